//! iptables is missing, hangs, is killed, fails or prints invalid output: an error within the time limit, and existing
//! rules stay installed.

use std::fs;
use std::time::Duration;

use lab::{Done, Family, Variant};
use serde_json::Value;

use crate::cli::support::{Locked, V4};

/// Runs `apply` with other users, which is to fail so, and to leave the address locked.
#[track_caller]
fn apply_fails(locked: &Locked, code: i32, says: &str) -> Done {
    let done = Done::of(locked.lab.program().args(["--wait=1", V4, "alice"])).expect_code(code);
    assert!(done.stderr.contains(says), "no {says:?} in {done}");
    locked.expect_not_open();
    done
}

/// Puts the programs right again, and expects that the next apply mends whatever there is to mend.
#[track_caller]
fn mended(locked: &Locked, suffix: &str) {
    locked.unstub(suffix);
    locked.lab.lockdown(&[V4, "root"]).expect_code(0);
    locked.expect_unchanged();
    locked.lab.lockdown(&["verify"]).expect_code(0);
}

#[test]
fn without_iptables_the_package_is_named() {
    let locked = Locked::new(Variant::Nft);
    locked
        .lab
        .sh("mkdir /run/saved; mv /usr/sbin/*tables* /run/saved/")
        .expect_code(0);
    // `verify` without iptables: nftables enforces the lockdown, and our chains are known by name.
    let of_auto = [("auto", &["verify"][..], 4), ("auto", &["status"], 3)];
    let of_one = ["nft", "legacy"].into_iter().flat_map(|variant| {
        [&[V4, "alice"][..], &["verify"], &["status"], &["remove"]].map(|words| (variant, words, 3))
    });
    for (variant, words, code) in of_auto.into_iter().chain(of_one) {
        {
            let mut command = locked.lab.command(lab::lockdown_program());
            let done =
                Done::of(command.arg(format!("--variant={variant}")).args(words)).expect_code(code);
            let said = format!("{}{}", done.stdout, done.stderr);
            assert!(said.contains("install"), "{done}");
            assert!(said.contains("iptables"), "{done}");
        }
    }
    for (id, says) in [
        ("debian", "apt-get install iptables"),
        ("amzn", "dnf install"),
        ("alpine", "apk add"),
    ] {
        locked
            .lab
            .sh(&format!(
                "rm /etc/os-release; echo ID={id} > /etc/os-release"
            ))
            .expect_code(0);
        locked.fails(&["status"], 3, says);
    }
    locked.lab.sh("mv /run/saved/* /usr/sbin/").expect_code(0);
    locked.expect_unchanged();
    locked.expect_not_open();
}

#[test]
fn without_ip6tables_nothing_is_changed_by_a_look_and_it_is_named() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        locked
            .lab
            .sh("mkdir /run/saved; mv /usr/sbin/ip6tables* /run/saved/")
            .expect_code(0);
        for (words, code) in [(&["verify"][..], 4), (&["status"], 3)] {
            let done = Done::of(locked.lab.program().args(words)).expect_code(code);
            let said = format!("{}{}", done.stdout, done.stderr);
            assert!(said.contains("ip6tables is not in"), "{done}");
        }
        if variant == Variant::Legacy {
            // What the table of the other family holds cannot be known without its program.
            locked
                .lab
                .sh("nft delete table inet ip_lockdown")
                .expect_code(0);
            let done = Done::of(locked.lab.program().arg("remove")).expect_code(3);
            assert!(done.stdout.contains("169.254.169.254 is open"), "{done}");
            assert!(!done.stdout.contains("fd00:ec2::254 is open"), "{done}");
            continue;
        }
        locked.lab.sh("mv /run/saved/* /usr/sbin/").expect_code(0);
        locked.expect_unchanged();
    }
}

#[test]
fn without_the_other_variant_the_one_is_enough() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        let other = if variant == Variant::Nft {
            "legacy"
        } else {
            "nft"
        };
        locked
            .lab
            .sh(&format!("rm -f /usr/sbin/*tables-{other}*"))
            .expect_code(0);
        for words in [&[V4, "root"][..], &["verify"], &["status"]] {
            locked.lab.lockdown(words).expect_code(0);
        }
        locked.expect_unchanged();
        let done = Done::of(locked.lab.command(lab::lockdown_program()).args([
            "--variant",
            other,
            "status",
        ]));
        assert!(
            done.code == Some(3) && done.stderr.contains("iptables"),
            "{done}"
        );
    }
}

#[test]
fn a_restore_that_fails_is_told_and_changes_nothing() {
    let reject = "cat > /dev/null; echo 'iptables-restore: line 7 failed' >&2; exit";
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        for (script, says) in [
            (
                format!("{reject} 1"),
                "exit code 1: iptables-restore: line 7 failed",
            ),
            (format!("{reject} 2"), "exit code 2"),
            (format!("{reject} 4"), "exit code 4"),
            (
                "echo 'Another app is currently holding the xtables lock' >&2; exit 4".to_owned(),
                "another process is changing the firewall",
            ),
            ("exit 1".to_owned(), "exit code 1"),
            ("kill -9 $$".to_owned(), "was killed by signal 9"),
            (
                "cat > /dev/null; kill -SEGV $$".to_owned(),
                "was killed by signal 11",
            ),
        ] {
            locked.stub("-restore", &script);
            let done = apply_fails(&locked, 3, says);
            assert!(
                done.stderr.contains("IPv4:") && done.stderr.contains("IPv6:"),
                "{done}"
            );
            locked.expect_unchanged();
        }
        mended(&locked, "-restore");
    }
}

#[test]
fn a_remove_does_in_each_place_what_can_be_done_there() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        locked.stub("-restore", "cat > /dev/null; echo broken >&2; exit 1");
        let done = Done::of(locked.lab.program().arg("remove"));
        if variant == Variant::Nft {
            // Over netlink, by name.
            let done = done.expect_code(0);
            assert!(done.stdout.contains("169.254.169.254 is open"), "{done}");
            let left = locked.lab.sh("nft list ruleset").expect_code(0).stdout;
            assert!(
                !left.contains("IPL-") && !left.contains("ip_lockdown"),
                "{left}"
            );
        } else {
            let done = done.expect_code(3);
            assert_eq!(done.stdout, "", "{done}");
            for says in ["broken", "still locked: 169.254.169.254 and fd00:ec2::254"] {
                assert!(done.stderr.contains(says), "{done}");
            }
            locked.expect_not_open();
        }
    }
}

#[test]
fn a_restore_that_only_claims_success_is_not_believed() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        for script in [
            "cat > /dev/null",
            "exit 0",
            "cat; echo rubbish >&2",
            "head -c 1000 /dev/urandom",
        ] {
            locked.stub("-restore", script);
            let done = Done::of(locked.lab.program().args([V4, "alice"])).expect_code(1);
            assert!(done.stdout.contains("rules-match"), "{done}");
            assert!(!done.stdout.contains(": locked"), "{done}");
            locked.expect_iptables_unchanged();
            locked.expect_not_open();
            let done = Done::of(locked.lab.program().arg("remove")).expect_code(3);
            assert!(!done.stdout.contains("is open"), "{done}");
            locked.expect_iptables_unchanged();
            locked.expect_not_open();
        }
        mended(&locked, "-restore");
    }
}

#[test]
fn one_family_that_fails_leaves_it_as_it_was_and_locks_the_other() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        locked.stub_one(
            Family::V6,
            "-restore",
            "cat > /dev/null; echo broken >&2; exit 1",
        );
        let done = apply_fails(&locked, 3, "IPv6:");
        assert!(!done.stderr.contains("IPv4:"), "{done}");
        let v4 = locked.lab.save(Family::V4);
        assert!(v4.contains("--uid-owner 1001 "), "{v4}");
        let v6 = locked.lab.save(Family::V6);
        assert!(
            v6.contains("--uid-owner 0 ") && !v6.contains("--uid-owner 1001 "),
            "{v6}"
        );
        locked.lab.lockdown(&["verify"]).expect_code(1);
        mended(&locked, "-restore");
    }
}

#[test]
fn a_save_that_fails_is_never_taken_for_an_empty_firewall() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        let real = format!("xtables-{variant}-multi");
        for (script, says) in [
            (
                "echo 'no way' >&2; exit 1".to_owned(),
                "exit code 1: no way",
            ),
            ("exit 4".to_owned(), "exit code 4"),
            ("kill -9 $$".to_owned(), "was killed by signal 9"),
            (
                "echo Segmentation fault".to_owned(),
                "cannot parse the output of",
            ),
            (
                "head -c 5000 /dev/urandom".to_owned(),
                "cannot parse the output of",
            ),
            (
                format!("{real} iptables-{variant}-save | head -n 8"),
                "cannot parse the output of",
            ),
            (
                "printf '*filter\\n:OUTPUT ACCEPT [0:0]\\n'".to_owned(),
                "cannot parse the output of",
            ),
        ] {
            // Neither all tables at once nor one of them can be read.
            locked.stub("-save", &script);
            locked.stub("", &script);
            for (words, code) in [
                (&["verify"][..], 4),
                (&["verify", "--no-probe"], 4),
                (&["verify", V4, "root"], 4),
                (&["status"], 3),
            ] {
                let done =
                    Done::of(locked.lab.program().arg("--wait=1").args(words)).expect_code(code);
                let all = format!("{}{}", done.stdout, done.stderr);
                assert!(all.contains(says), "{done}");
                for lie in ["no address is locked", "nothing to remove", "is open"] {
                    assert!(!all.contains(lie), "{lie:?} in {done}");
                }
            }
            locked.unstub("");
            locked.unstub("-save");
            locked.expect_unchanged();
        }
    }
}

#[test]
fn a_save_that_says_nothing_opens_nothing() {
    for variant in Variant::ALL {
        let locked = Locked::new(variant);
        for script in ["exit 0", "echo '# Generated by nothing'"] {
            locked.stub("-save", script);
            // It says that the firewall is empty; what was written is not there, then.
            let done = Done::of(locked.lab.program().args([V4, "root"])).expect_code(1);
            assert!(
                done.stdout.contains("IPL-169.254.169.254 is missing"),
                "{done}"
            );
            locked.expect_not_open();
            mended(&locked, "-save");
        }
    }
}

/// No process of that name is left: its words are found nowhere in `/proc`.
fn expect_none_left(words: &str) {
    let left: Vec<String> = fs::read_dir("/proc")
        .expect("a proc file system")
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(words))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_restore_that_hangs_is_ended_and_leaves_no_process() {
    let locked = Locked::new(Variant::Legacy);
    locked.stub("-restore", "sleep 86461.25 & sleep 86461.25; wait");
    let done = apply_fails(&locked, 3, "did not end within 11.1s and was killed");
    assert!(done.took < Duration::from_secs(30), "{done}");
    expect_none_left("sleep 86461.25");
    mended(&locked, "-restore");
}

#[test]
fn a_save_that_hangs_is_ended_and_leaves_no_process() {
    let locked = Locked::new(Variant::Nft);
    locked.stub(
        "-save",
        "trap '' TERM; sleep 86462.25 & sleep 86462.25; wait",
    );
    // The tables are read one by one instead.
    let done = Done::of(locked.lab.program().args(["--wait=1", "status"])).expect_code(0);
    assert!(done.took < Duration::from_secs(20), "{done}");
    expect_none_left("sleep 86462.25");
    mended(&locked, "-save");
}

#[test]
fn apply_ends_though_every_look_hangs() {
    let locked = Locked::new(Variant::Nft);
    locked.stub("-save", "sleep 86463.25 & sleep 86463.25; wait");
    let done = Done::of(locked.lab.program().args(["--wait=0", V4, "alice"])).expect_code(0);
    assert!(done.took < Duration::from_secs(25), "{done}");
    expect_none_left("sleep 86463.25");
    locked.expect_not_open();
    mended(&locked, "-save");
}

#[test]
fn a_question_that_hangs_is_ended_and_leaves_no_process() {
    let locked = Locked::new(Variant::Nft);
    // What `iptables` means is asked of the program itself when its name does not tell.
    locked.lab.stub(
        "/usr/sbin/iptables",
        "#!/bin/bash\nsleep 86464.25 & sleep 86464.25; wait\n",
    );
    let mut command = locked.lab.command(lab::lockdown_program());
    let done = Done::of(command.args(["--wait=0", "status"])).expect_code(3);
    assert!(done.stderr.contains("did not end in time"), "{done}");
    assert!(done.took < Duration::from_secs(15), "{done}");
    expect_none_left("sleep 86464.25");
    locked.expect_unchanged();
}

#[test]
fn the_variant_of_an_unknown_program_is_not_guessed() {
    let locked = Locked::new(Variant::Nft);
    for (script, says) in [
        (
            "echo hello",
            "the output of --version is not that of iptables",
        ),
        ("exit 1", "--version failed with exit code 1"),
        ("kill -9 $$", "a signal killed --version"),
    ] {
        locked
            .lab
            .stub("/usr/sbin/iptables", &format!("#!/bin/bash\n{script}\n"));
        let mut command = locked.lab.command(lab::lockdown_program());
        let done = Done::of(command.arg("verify")).expect_code(4);
        assert!(done.stdout.contains(says), "{done}");
        assert!(
            done.stdout.contains("--variant nft or --variant legacy"),
            "{done}"
        );
    }
    locked.expect_unchanged();
}

#[test]
fn a_program_that_cannot_be_run_is_not_a_missing_one() {
    let locked = Locked::new(Variant::Nft);
    locked
        .lab
        .sh("rm /usr/sbin/iptables; echo > /usr/sbin/iptables; chmod 644 /usr/sbin/iptables")
        .expect_code(0);
    let run = |words: &[&str], says: &str| {
        let mut command = locked.lab.command(lab::lockdown_program());
        let done = Done::of(command.args(words)).expect_code(3);
        assert!(done.stderr.contains(says), "{done}");
    };
    let says = "cannot run /usr/sbin/iptables: Permission denied";
    for words in [
        &["--layers=filter", V4, "alice"][..],
        &["--group=staff", V4],
        &["status"],
    ] {
        run(words, says);
        locked.expect_unchanged();
    }
    // Another address, which no layer locks yet, gets the layer that needs no iptables.
    let mut command = locked.lab.command(lab::lockdown_program());
    let done = Done::of(command.args(["10.9.8.7", "root"])).expect_code(4);
    assert!(done.stdout.contains(says), "{done}");
    let table = locked.lab.sh("nft list table inet ip_lockdown").stdout;
    assert!(table.contains("10.9.8.7"), "{table}");
}

#[test]
fn endless_output_is_bounded() {
    let locked = Locked::new(Variant::Nft);
    locked.stub_one(Family::V4, "-save", "exec yes '[0:0] -A OUTPUT -j ACCEPT'");
    let done = Done::of(locked.lab.program().args(["--wait=0", "status"])).expect_code(0);
    assert!(done.took < Duration::from_secs(25), "{done}");
    expect_none_left("yes [0:0] -A OUTPUT");
    mended(&locked, "-save");
}

#[test]
fn errors_of_programs_are_in_the_json_too() {
    let locked = Locked::new(Variant::Nft);
    for suffix in ["-save", ""] {
        locked.stub_one(Family::V6, suffix, "echo 'no way' >&2; exit 1");
    }
    for (words, code) in [(&["verify"][..], 4), (&["status"], 3)] {
        let done =
            Done::of(locked.lab.program().arg("--output=json").args(words)).expect_code(code);
        let json: Value = done.json();
        assert_eq!(json["exit_code"], code);
        assert!(json.to_string().contains("no way"), "{done}");
    }
}
