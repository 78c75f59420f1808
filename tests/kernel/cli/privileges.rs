//! Which privileges the program needs, and which it passes to programs that it starts.

use lab::{Done, Lab, Variant, lockdown_program};
use serde_json::Value;

use crate::cli::support::{Locked, V4, installed};

/// Runs the installed program through `setpriv` with these options.
#[track_caller]
fn as_other(lab: &Lab, options: &[&str], arguments: &[&str]) -> Done {
    let place = installed(lab);
    let mut command = lab.command("setpriv");
    command.args(options).arg("--").arg(place);
    command.arg(format!("--variant={}", lab.variant()));
    Done::of(command.args(arguments))
}

const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

#[test]
fn without_privileges_nothing_is_tried() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        // Not even the lock file is looked at, nor a name looked up.
        locked.lab.sh("rm /run/ip-lockdown.lock").expect_code(0);
        for words in [
            &[V4, "root"][..],
            &[V4, "nosuchuser"],
            &["--dry-run", V4, "root"],
            &["verify"],
            &["verify", "--no-probe"],
            &["status"],
            &["remove"],
        ] {
            let done = as_other(&locked.lab, &NOBODY, words).expect_code(3);
            assert!(done.stderr.contains("CAP_NET_ADMIN"), "{done}");
            assert!(done.stderr.contains("run it as root"), "{done}");
            assert_eq!(done.stdout, "");
        }
        locked
            .lab
            .sh("test ! -e /run/ip-lockdown.lock")
            .expect_code(0);
        locked.expect_unchanged();
    }
}

#[test]
fn what_needs_no_privileges_works_without() {
    let lab = Lab::new(Variant::Nft);
    for words in [
        &["--help"][..],
        &["--version"],
        &["generate", "man"],
        &["generate", "completions", "bash"],
        &["trust-policy", "build"],
    ] {
        let done = as_other(&lab, &NOBODY, words).expect_code(0);
        assert_eq!(done.stderr, "", "{done}");
    }
    as_other(&lab, &NOBODY, &["somewhere", "root"]).expect_code(2);
}

#[test]
fn the_missing_capability_is_named_to_root() {
    let locked = Locked::new(Variant::Nft);
    for (missing, words, name) in [
        ("net_admin", &[V4, "alice"][..], "CAP_NET_ADMIN"),
        ("net_raw", &[V4, "alice"], "CAP_NET_RAW"),
        ("setuid", &[V4, "alice"], "CAP_SETUID"),
        ("setgid", &["verify"], "CAP_SETGID"),
        ("net_admin", &["status"], "CAP_NET_ADMIN"),
        ("net_admin", &["remove"], "CAP_NET_ADMIN"),
    ] {
        let options = [
            format!("--bounding-set=-{missing}"),
            format!("--inh-caps=-{missing}"),
        ];
        let options = options.each_ref().map(String::as_str);
        let done = as_other(&locked.lab, &options, words).expect_code(3);
        let missing = format!("missing capabilities: {name}\n");
        assert!(done.stderr.contains(&missing), "{done}");
    }
    // Looking needs no probes here, hence not their capabilities.
    let options = [
        "--bounding-set=-setuid,-setgid",
        "--inh-caps=-setuid,-setgid",
    ];
    as_other(&locked.lab, &options, &["status"]).expect_code(0);
    as_other(&locked.lab, &options, &["verify", "--no-probe"]).expect_code(4);
    locked.expect_unchanged();
}

#[test]
fn another_user_with_the_capabilities_can_verify_and_learns_which_file_it_cannot_write() {
    let locked = Locked::new(Variant::Nft);
    let caps = "+net_admin,+net_raw,+setuid,+setgid";
    let (inheritable, ambient) = (
        format!("--inh-caps={caps}"),
        format!("--ambient-caps={caps}"),
    );
    let options = [NOBODY[0], NOBODY[1], NOBODY[2], &inheritable, &ambient];
    // The lock file is root's.
    for words in [&[V4, "alice"][..], &["verify"], &["status"]] {
        let done = as_other(&locked.lab, &options, words).expect_code(3);
        assert!(done.stderr.contains("/run/ip-lockdown.lock"), "{done}");
        assert!(done.stderr.contains("ermission denied"), "{done}");
    }
    locked.expect_unchanged();
    // Where there is none, nothing can change either, and a look needs none.
    locked.lab.sh("rm /run/ip-lockdown.lock").expect_code(0);
    let json: Value = as_other(&locked.lab, &options, &["status", "--output=json"])
        .expect_code(0)
        .json();
    assert_eq!(json["locks"][0]["addresses"][0], V4);
    // The list of legacy tables is root's too, so that one finding stays unknown: 4, not 0.
    let done = as_other(&locked.lab, &options, &["verify", "-v"]).expect_code(4);
    assert!(done.stdout.contains("other-variant-clear"), "{done}");
    locked.expect_unchanged();
}

/// A script that writes down how it was started, and then is the real program.
fn recorder(name: &str) -> String {
    format!(
        r#"record=/run/record.$$
        {{ tr '\0' '\n' < /proc/$$/environ | sed 's/^/env /'
           grep -E '^(Cap|NoNewPrivs|Uid)' /proc/$$/status
           echo "cwd $(readlink /proc/$$/cwd)"
           for fd in /proc/$$/fd/*; do echo "fd ${{fd##*/}} $(readlink "$fd")"; done
        }} > "$record"
        exec "${{multi:?}}" "{name}" "$@""#
    )
}

#[test]
fn programs_get_a_clean_environment_and_two_capabilities() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        let lab = &locked.lab;
        let multi = format!("multi=xtables-{variant}-multi\n");
        for (name, family) in [
            ("iptables", lab::Family::V4),
            ("ip6tables", lab::Family::V6),
        ] {
            for suffix in ["", "-save", "-restore"] {
                let script = multi.clone() + &recorder(&format!("{name}-{variant}{suffix}"));
                locked.stub_one(family, suffix, &script);
            }
        }
        // A program of the same name where PATH leads to, and what else a caller may have set.
        lab.sh("mkdir /run/evil; for name in iptables iptables-save iptables-restore iptables-nft-save bash sh; do
                    printf '#!/bin/dash\necho was here >> /run/evil-ran\nexit 0\n' > /run/evil/$name
                    chmod 755 /run/evil/$name
                done")
            .expect_code(0);
        let mut command = lab.command("env");
        command
            .args([
                "PATH=/run/evil",
                "XTABLES_LIBDIR=/run/evil",
                "IPTABLES_LIB_DIR=/run/evil",
            ])
            .args([
                "LD_LIBRARY_PATH=/run/evil",
                "BASH_ENV=/run/evil/sh",
                "ENV=/run/evil/sh",
                "IFS=/",
            ])
            .args([
                "LANG=de_DE.UTF-8",
                "LC_ALL=de_DE.UTF-8",
                "LANGUAGE=de",
                "HOME=/run/evil",
                "SECRET=1",
            ])
            .args(["XTABLES_LOCKFILE=/run/evil/lock", "TMPDIR=/run/evil"])
            .arg(lab::lockdown_program())
            .args([&format!("--variant={variant}"), V4, "alice"]);
        Done::of(&mut command).expect_code(0);
        lab.sh("test ! -e /run/evil-ran; test ! -e /run/evil/lock")
            .expect_code(0);

        let count: u32 = lab
            .sh("ls /run/record.* | wc -l")
            .stdout
            .trim()
            .parse()
            .expect("a number");
        assert!(count >= 4, "{count} programs were recorded");
        let record = lab.sh("cat /run/record.*").stdout;
        let lines = |prefix: &str| {
            let mut lines: Vec<&str> = record
                .lines()
                .filter_map(|line| line.strip_prefix(prefix))
                .collect();
            lines.sort_unstable();
            lines.dedup();
            lines
        };
        assert_eq!(
            lines("env "),
            // The last three keep the name service from asking for each id (sys/program.rs).
            [
                "LC_ALL=C",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "SYSTEMD_NSS_DYNAMIC_BYPASS=1",
                "_NO_WINBINDD=1",
                "_SSS_LOOPS=NO"
            ]
        );
        assert_eq!(lines("cwd "), ["/"]);
        // CAP_NET_ADMIN is 12, CAP_NET_RAW 13.
        for set in ["CapBnd:\t", "CapEff:\t", "CapPrm:\t"] {
            assert_eq!(lines(set), ["0000000000003000"], "{set}");
        }
        for set in ["CapAmb:\t", "CapInh:\t"] {
            assert_eq!(lines(set), ["0000000000000000"], "{set}");
        }
        // The lock is handed on: should ip-lockdown be killed, what it started goes on to hold it.
        let lock = |line: &&str| line.ends_with("/run/ip-lockdown.lock");
        assert_eq!(
            lines("fd ").iter().filter(|fd| lock(fd)).count(),
            1,
            "{record}"
        );
        lab.sh("rm /run/record.*").expect_code(0);
        lab.lockdown(&["status"]).expect_code(0);
        let record = lab.sh("cat /run/record.*").stdout;
        assert!(
            record.contains("fd 0 ") && !record.lines().any(|line| lock(&line)),
            "{record}"
        );
    }
}

#[test]
fn no_shell_is_started() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        let shells =
            "for shell in bash sh dash zsh ash busybox; do rm -f /usr/bin/$shell /bin/$shell; done";
        locked.lab.sh(shells).expect_code(0);
        for words in [&[V4, "alice"][..], &["verify"], &["status"], &[V4, "root"]] {
            locked.lab.lockdown(words).expect_code(0);
        }
        locked.expect_not_open();
        locked.lab.lockdown(&["remove"]).expect_code(0);
    }
}

#[test]
fn an_environment_that_is_none_does_no_harm() {
    let lab = Lab::new(Variant::Nft);
    let mut command = lab.command("env");
    command
        .args(["-i", "=A=b", "B="])
        .arg(lockdown_program())
        .arg("status");
    Done::of(&mut command).expect_code(0);
}
