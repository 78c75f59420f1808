//! `--layers`: which layers a host gets, how one choice replaces another, and which layers other tools would remove.

use lab::{Done, Family, How, IMDS, Lab, User, Variant, lockdown_program};
use serde_json::{Value, json};

use crate::hosts::{alone, legacy, nft};
use crate::netns::support::{V4, lock, not_open, only_root, refused, served, verify};
use lab::saved::{own_table, rules, state};

/// The layers that `status` says the first lock is laid in.
#[track_caller]
fn laid(lab: &Lab) -> Value {
    let status: Value = lab
        .lockdown(&["status", "--output=json"])
        .expect_code(0)
        .json();
    assert_eq!(
        status["locks"][0]["layers"]["ipv4"],
        status["locks"][0]["layers"]["ipv6"]
    );
    status["locks"][0]["layers"]["ipv4"].clone()
}

/// In which layers there is anything of ours at all.
#[track_caller]
fn found(lab: &Lab) -> Vec<&'static str> {
    let saved = Family::ALL.map(|family| lab.save(family));
    let in_table = |table: &str| {
        saved.iter().any(|save| {
            let rules = save.split(&format!("*{table}")).nth(1).unwrap_or_default();
            rules
                .split("COMMIT")
                .next()
                .unwrap_or_default()
                .contains("IP")
                && rules
                    .split("COMMIT")
                    .next()
                    .unwrap_or_default()
                    .contains("169.254")
        })
    };
    let mut found = Vec::new();
    found.extend(in_table("filter").then_some("filter"));
    found.extend((!own_table(lab).is_empty()).then_some("nftables"));
    found.extend(in_table("security").then_some("security"));
    found
}

#[test]
fn no_change_of_layers_opens_the_address_or_leaves_stale_rules() {
    let lab = &nft();
    let ways = [
        "filter,security",
        "filter,nftables",
        "nftables",
        "filter,nftables,security",
        "filter",
        "security,filter",
        "nftables",
        "auto",
        "filter,nftables",
    ];
    let apply = |layers: &str| {
        let done = lab.lockdown(&["--layers", layers, V4, "root"]);
        let done = done.expect_code(if layers == "filter" { 4 } else { 0 });
        assert_eq!(done.stderr, "", "{done}");
    };
    apply(ways[0]);
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
        for layers in ways {
            apply(layers);
            let mut expected: Vec<&str> = match layers {
                "auto" => vec!["filter", "nftables"],
                layers => layers.split(',').collect(),
            };
            expected.sort_unstable();
            assert_eq!(found(lab), expected, "{layers}");
            assert_eq!(laid(lab), json!(expected), "{layers}");
        }
    });
    assert_eq!(counts.passed(), 0, "{counts:?}");
    assert!(counts.attempts > 1000, "{counts:?}");
    only_root(lab);
    verify(lab, 0, &[]);
    verify(lab, 0, &["--layers", "nftables,filter"]);
    verify(lab, 1, &["--layers", "filter,security"]).expect_failed(
        "as-asked",
        "installed in layers filter,nftables, expected filter,security",
    );
}

#[test]
fn listed_users_are_served_on_the_way() {
    let lab = &nft();
    lock(lab, &["--layers=filter,security", V4, "alice"]);
    let mut others = ["nftables", "filter,security", "filter,nftables"].iter();
    for round in 0..12 {
        if round % 4 == 1 {
            let layers = others.next().expect("one a round");
            lock(lab, &["--layers", layers, V4, "alice", "root"]);
        }
        for address in IMDS {
            assert_eq!(
                lab.requests(&User::ALICE, address, 20).served,
                20,
                "{round}"
            );
        }
    }
    assert_eq!(lab.server_half_closed(), 0);
}

#[test]
fn a_host_without_nft_lacks_nothing() {
    let lab = &nft();
    lab.sh("mkdir -p /usr/lib/away; mv /usr/sbin/nft /usr/lib/away/nft")
        .expect_code(0);
    lock(lab, &["--layers=filter,security", V4, "root"]);
    verify(lab, 0, &[]);
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
        lock(lab, &[V4, "root"]);
    });
    assert_eq!(counts.passed(), 0, "{counts:?}");
    assert_eq!(laid(lab), json!(["filter", "nftables"]));
    verify(lab, 0, &[]);
    only_root(lab);
    lock(lab, &[V4, "root", "alice"]);
    verify(lab, 0, &[V4, "root", "alice"]);
    served(lab, &User::ALICE, &IMDS);
    lab.sh("mv /usr/lib/away/nft /usr/sbin/nft").expect_code(0);
    assert_eq!(found(lab), ["filter", "nftables"]);
    verify(lab, 0, &[]);
    lab.sh("mv /usr/sbin/nft /usr/lib/away/nft").expect_code(0);
    lock(lab, &["remove"]);
    served(lab, &User::MALLORY, &IMDS);
    lab.sh("mv /usr/lib/away/nft /usr/sbin/nft").expect_code(0);
    assert_eq!(found(lab), [""; 0]);
}

#[test]
fn a_policy_with_groups_has_security_behind_it() {
    let lab = &nft();
    lock(lab, &[V4, "root"]);
    lock(lab, &[V4, "root", "--group=ops"]);
    assert_eq!(found(lab), ["filter", "security"]);
    served(lab, &User::DAVE, &IMDS);
    refused(lab, &User::MALLORY, &IMDS);
    verify(lab, 0, &[V4, "root", "--group=ops"]);
    let before = state(lab);
    for layers in ["filter,nftables", "nftables"] {
        let done = lab
            .lockdown(&["--layers", layers, V4, "root", "--group=ops"])
            .expect_code(2);
        assert!(done.stderr.contains("supplementary groups"), "{done}");
    }
    let long = "x".repeat(150);
    lab.sh(&format!(
        "echo '{long}:x:1777:1777::/:/bin/sh' >> /etc/passwd"
    ))
    .expect_code(0);
    let done = lab
        .lockdown(&["--layers=nftables", V4, &long])
        .expect_code(2);
    assert!(done.stderr.contains("too long"), "{done}");
    assert_eq!(state(lab), before);
    lock(lab, &[V4, &long]);
    assert_eq!(found(lab), ["filter", "security"]);
    lock(lab, &[V4, "root"]);
    assert_eq!(found(lab), ["filter", "nftables"]);
    only_root(lab);
}

#[test]
fn policies_with_and_without_groups_stand_side_by_side() {
    let lab = &nft();
    lock(lab, &["--only", V4, "root", "--group=ops"]);
    lock(lab, &["--only", "fd00:ec2::254", "root", "alice"]);
    verify(lab, 0, &[]);
    served(lab, &User::DAVE, &IMDS[..1]);
    refused(lab, &User::DAVE, &IMDS[1..]);
    served(lab, &User::ALICE, &IMDS[1..]);
    lock(lab, &["remove", "--only", "fd00:ec2::254"]);
    verify(lab, 0, &["--only", V4, "root", "--group=ops"]);
    assert_eq!(own_table(lab), "");
}

#[test]
fn legacy_has_nftables_behind_it_by_itself_and_security_where_asked() {
    let lab = &legacy();
    lock(lab, &[V4, "root"]);
    assert_eq!(laid(lab), json!(["filter", "nftables"]));
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
        lock(lab, &["--layers=filter,security", V4, "root"]);
        assert_eq!(found(lab), ["filter", "security"]);
        verify(lab, 0, &[]);
        lock(lab, &[V4, "root"]);
    });
    assert_eq!(counts.passed(), 0, "{counts:?}");
    assert_eq!(found(lab), ["filter", "nftables"]);
    verify(lab, 0, &[]);
}

#[test]
fn the_variant_switched_by_the_admin_moves_everything_and_never_opens() {
    let lab = &nft();
    lock(lab, &[V4, "root"]);
    let switch = |to: Variant| {
        for name in ["iptables", "ip6tables"] {
            for suffix in ["", "-save", "-restore"] {
                lab.run(&[
                    "ln",
                    "-sfn",
                    &format!("{name}-{to}{suffix}"),
                    &format!("/usr/sbin/{name}{suffix}"),
                ])
                .expect_code(0);
            }
        }
    };
    let auto = |words: &[&str], code| {
        Done::of(lab.command(lockdown_program()).args(words)).expect_code(code)
    };
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
        switch(Variant::Legacy);
        auto(&["verify"], 1);
        auto(&[V4, "root"], 0);
        auto(&["verify"], 0);
        assert_eq!(found(lab), ["nftables"], "nothing of iptables-nft is left");
        switch(Variant::Nft);
        auto(&[V4, "root"], 0);
        auto(&["verify"], 0);
    });
    assert_eq!(counts.passed(), 0, "{counts:?}");
    assert_eq!(found(lab), ["filter", "nftables"]);
    let legacy = rules(&lab.run(&["iptables-legacy-save"]).stdout);
    assert!(
        !legacy.contains("IPL-") && !legacy.contains("IPF-"),
        "{legacy}"
    );
    only_root(lab);
}

#[test]
fn remove_takes_every_layer_of_every_variant_away() {
    let lab = &nft();
    let dry = |options: &[&str]| -> Value {
        let words: Vec<&str> = ["--output=json", "--dry-run"]
            .iter()
            .chain(options)
            .copied()
            .collect();
        Done::of(lab.command(lockdown_program()).args(words))
            .expect_code(0)
            .json()
    };
    // All that ever could be, at the same time.
    let mut planned = Vec::new();
    for variant in ["nft", "legacy"] {
        let all = [
            "--variant",
            variant,
            "--layers=filter,nftables,security",
            V4,
            "root",
        ];
        planned.extend(
            dry(&all)["transactions"]
                .as_array()
                .expect("a list")
                .clone(),
        );
    }
    for transaction in &planned {
        let words = transaction["command"].as_array().expect("a list");
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        let input = transaction["input"].as_str().expect("a text");
        let script = r#"input=$1; shift; printf %s "$input" | "$@""#;
        if words[0].ends_with("nft") && !own_table(lab).is_empty() {
            continue;
        }
        let done = Done::of(
            lab.command("bash")
                .args(["-euo", "pipefail", "-c", script, "feed", input])
                .args(words),
        );
        done.expect_code(0);
    }
    assert_eq!(found(lab), ["filter", "nftables", "security"]);
    lock(lab, &["remove"]);
    assert_eq!(found(lab), [""; 0]);
    let legacy = rules(&lab.run(&["iptables-legacy-save"]).stdout);
    assert!(
        !legacy.contains("IPL-") && !legacy.contains("IPF-"),
        "{legacy}"
    );
    served(lab, &User::MALLORY, &IMDS);
}

/// Somebody who has the table `inet ip_lockdown` for himself (`flags owner`, Linux 5.12): as long as he lives, the
/// kernel refuses whoever else changes it.
struct Owner {
    nft: std::process::Child,
}

impl Owner {
    fn of_our_table(lab: &Lab) -> Self {
        Self::who_runs(lab, "add table inet ip_lockdown { flags owner; }")
    }

    fn who_runs(lab: &Lab, command: &str) -> Self {
        use std::io::Write as _;
        let mut nft = lab
            .command("nft")
            .arg("-i")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("nft starts");
        let input = nft.stdin.as_mut().expect("a pipe");
        writeln!(input, "{command}").expect("it reads");
        while !lab.sh("nft list tables").stdout.contains("ip_lockdown") {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self { nft }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.nft.kill();
        let _ = self.nft.wait();
    }
}

#[test]
fn a_table_that_ends_with_its_process_locks_nothing() {
    let lab = &nft();
    let words = ["--layers=nftables", V4, "root"];
    lock(lab, &words);
    lab.sh(
        "nft list table inet ip_lockdown | sed '1a flags owner;' > /run/copy.nft
            nft delete table inet ip_lockdown",
    )
    .expect_code(0);
    let owner = Owner::who_runs(lab, "include \"/run/copy.nft\"");
    not_open(lab, &User::MALLORY, &IMDS);
    verify(lab, 1, &[]).expect_said("rules-match", "another process owns the table");
    let done = lab.lockdown(&words).expect_code(3);
    assert!(done.stderr.contains("the kernel refused"), "{done}");
    drop(owner);
    lock(lab, &words);
    verify(lab, 0, &[]);
    only_root(lab);
}

#[test]
fn security_replaces_a_table_that_the_kernel_refuses_unless_nftables_was_requested() {
    let lab = &nft();
    let owner = Owner::of_our_table(lab);
    let done = lab.lockdown(&[V4, "root"]).expect_code(0);
    assert!(
        done.stderr.contains("layer security replaces it")
            && done
                .stderr
                .contains("the kernel refused `add table inet ip_lockdown`"),
        "{done}"
    );
    assert_eq!(laid(lab), json!(["filter", "security"]));
    only_root(lab);
    // Twice is once.
    let again = lab.lockdown(&[V4, "root"]).expect_code(0);
    assert!(again.stdout.contains("(unchanged)"), "{again}");
    let done = lab
        .lockdown(&["--layers=filter,nftables", V4, "root"])
        .expect_code(3);
    assert!(done.stderr.contains("the kernel refused"), "{done}");
    not_open(lab, &User::MALLORY, &IMDS);
    served(lab, &User::ROOT, &IMDS);
    // Nor does a new list come into one layer and not into the other.
    let before = state(lab);
    lab.lockdown(&["--layers=filter,nftables", V4, "alice"])
        .expect_code(3);
    assert_eq!(state(lab), before);
    served(lab, &User::ROOT, &IMDS);
    // More refusals than the socket has room for: the first one says why.
    let long: Vec<String> = (0..400).map(|nth| (3 * nth + 2000).to_string()).collect();
    let words = ["--layers=nftables", V4].into_iter();
    let words: Vec<&str> = words.chain(long.iter().map(String::as_str)).collect();
    let done = lab.lockdown(&words).expect_code(3);
    let why = "refused `add table inet ip_lockdown`: Operation not permitted";
    assert!(done.stderr.contains(why), "{done}");
    assert_eq!(state(lab), before);
    // The table goes with its owner.
    drop(owner);
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
        lock(lab, &[V4, "root"]);
    });
    assert_eq!(counts.passed(), 0, "{counts:?}");
    assert_eq!(laid(lab), json!(["filter", "nftables"]));
    verify(lab, 0, &[]);
}

#[test]
fn nothing_is_locked_while_the_kernel_refuses_the_only_layer() {
    let lab = &alone();
    let owner = Owner::of_our_table(lab);
    let before = own_table(lab);
    for words in [&["--layers=nftables", V4, "root"][..], &[V4, "root"]] {
        let done = Done::of(lab.command(lockdown_program()).args(words)).expect_code(3);
        let told = "the kernel refused `add table inet ip_lockdown`: Operation not permitted";
        assert!(done.stderr.contains(told), "{done}");
        assert!(done.stdout.contains("OPEN"), "{done}");
    }
    verify(lab, 1, &[]).expect_failed("something-locked", "no address is locked");
    let done = lock(lab, &["remove"]);
    assert!(done.stdout.contains("nothing to remove"), "{done}");
    assert_eq!(own_table(lab), before, "what others own is left to them");
    drop(owner);
    lock(lab, &[V4, "root"]);
    only_root(lab);
    verify(lab, 0, &[]);
}

#[test]
fn legacy_reports_a_table_with_an_owner_too_and_nothing_changes_halfway() {
    let lab = &legacy();
    lock(lab, &["--layers=filter,security", V4, "root"]);
    let owner = Owner::of_our_table(lab);
    let before = state(lab);
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
        lab.lockdown(&["--layers=filter,nftables", V4, "root", "alice"])
            .expect_code(3);
        assert_eq!(state(lab), before);
        let done = lab.lockdown(&[V4, "root", "alice"]).expect_code(0);
        assert!(done.stderr.contains("layer security replaces it"), "{done}");
        assert_eq!(laid(lab), json!(["filter", "security"]));
        served(lab, &User::ALICE, &IMDS);
        verify(lab, 0, &[V4, "root", "alice"]);
        drop(owner);
        lock(lab, &[V4, "root"]);
    });
    assert_eq!(counts.passed(), 0, "{counts:?}");
    assert_eq!(found(lab), ["filter", "nftables"]);
    only_root(lab);
}

#[test]
fn the_finding_names_the_layers_that_are_left() {
    let lab = &nft();
    lock(lab, &["--layers=filter,nftables,security", V4, "root"]);
    let sound = state(lab);
    let lose = [
        (
            "iptables-nft -F; ip6tables-nft -F",
            "locked by nftables and security alone",
        ),
        (
            "nft flush table inet ip_lockdown",
            "locked by security alone",
        ),
    ];
    for (script, words) in lose {
        lab.sh(script).expect_code(0);
        verify(lab, 1, &[]).expect_said("address-locked", words);
        not_open(lab, &User::MALLORY, &IMDS);
    }
    lab.sh("for ipt in iptables-nft ip6tables-nft; do $ipt -t security -F; done")
        .expect_code(0);
    assert!(lab.attempt(&User::MALLORY, How::Tcp, IMDS[0]).passed());
    lock(lab, &["--layers=filter,nftables,security", V4, "root"]);
    assert_eq!(state(lab), sound);
    // Each by itself refuses, and serves whom it lists.
    for keep in ["filter", "nftables", "security"] {
        lock(lab, &["--layers=filter,nftables,security", V4, "root"]);
        for (layer, script) in [
            ("filter", "iptables-nft -F; ip6tables-nft -F"),
            ("nftables", "nft flush table inet ip_lockdown"),
            (
                "security",
                "iptables-nft -t security -F; ip6tables-nft -t security -F",
            ),
        ] {
            if layer != keep {
                lab.sh(script).expect_code(0);
            }
        }
        not_open(lab, &User::MALLORY, &IMDS);
        for address in IMDS {
            assert!(
                !lab.attempt(&User::MALLORY, How::Tcp, address).passed(),
                "{keep}"
            );
            assert!(
                !lab.container_attempt(&User::ROOT, How::Tcp, address)
                    .passed(),
                "{keep}"
            );
            assert_eq!(lab.requests(&User::ROOT, address, 30).served, 30, "{keep}");
        }
        verify(lab, 1, &[]).expect_said("address-locked", &format!("locked by {keep} alone"));
    }
    assert_eq!(lab.server_half_closed(), 0);
}

#[test]
fn firewalld_beside_the_tables_of_iptables_nft_is_reported() {
    let lab = &nft();
    // Its own table is how it is known.
    lab.sh("nft 'table inet firewalld { chain filter_OUTPUT { type filter hook output priority 10; }; }'")
        .expect_code(0);
    lock(lab, &[V4, "root"]);
    verify(lab, 0, &[]).expect_said("survives-firewalld", "does not touch our nftables table");
    lab.lockdown(&["--layers=filter,security", V4, "root"])
        .expect_code(4);
    verify(lab, 4, &[]).expect_failed("survives-firewalld", "removes every iptables rule");
    // Nor does iptables-legacy help: firewalld flushes whatever `iptables` is.
    lab.lockdown_as("legacy", &["--layers=filter,security", V4, "root"])
        .expect_code(4);
    lab.lockdown(&["remove"]).expect_code(0);
    let apply = |code| {
        lab.lockdown(&["--layers=filter,security", V4, "root"])
            .expect_code(code);
    };
    lab.sh("nft delete table inet firewalld; iptables-nft -N INPUT_direct")
        .expect_code(0);
    apply(4);
    lab.sh("iptables-nft -X INPUT_direct").expect_code(0);
    apply(0);
    // Not running, but enabled: at the next boot.
    let wants = "/etc/systemd/system/multi-user.target.wants";
    lab.sh(&format!(
        "mkdir -p {wants}; ln -s /lib/systemd/system/firewalld.service {wants}/"
    ))
    .expect_code(0);
    verify(lab, 4, &[]).expect_failed("survives-firewalld", "or enabled");
    lab.sh("ln -s /dev/null /etc/systemd/system/firewalld.service")
        .expect_code(0);
    verify(lab, 0, &[]);
}

#[test]
fn a_flush_in_the_configuration_of_nftables_is_reported() {
    let lab = &nft();
    let wants = "/etc/systemd/system/sysinit.target.wants";
    lab.sh(&format!(
        "mkdir -p {wants}; rm -f {wants}/nftables.service /lib/systemd/system/nftables.service
         printf '#!/usr/sbin/nft -f\\n\\nflush ruleset\\n' > /etc/nftables.conf"
    ))
    .expect_code(0);
    lock(lab, &[V4, "root"]);
    verify(lab, 0, &[]);
    lab.sh(&format!(
        "ln -s /lib/systemd/system/nftables.service {wants}/nftables.service"
    ))
    .expect_code(0);
    verify(lab, 4, &[]).expect_failed(
        "survives-nft-flush",
        "/etc/nftables.conf contains `flush ruleset`",
    );
    lab.sh("nft -f /etc/nftables.conf").expect_code(0);
    assert!(lab.attempt(&User::MALLORY, How::Tcp, IMDS[0]).passed());
    lab.sh("sed -i 's/^flush ruleset/flush table inet mine/' /etc/nftables.conf")
        .expect_code(0);
    lock(lab, &[V4, "root"]);
    verify(lab, 0, &[]);
    // Debian's unit flushes when it is stopped, whatever the configuration says.
    let unit = "/etc/systemd/system/nftables.service";
    lab.sh(&format!(
        "mkdir -p {unit}.d; printf '[Service]\\nExecStop=/usr/sbin/nft flush ruleset\\n' > {unit}"
    ))
    .expect_code(0);
    verify(lab, 4, &[]).expect_failed("survives-nft-flush", &format!("{unit} contains"));
    lab.sh(&format!(
        "printf '[Service]\\nExecStop=\\n' > {unit}.d/own.conf"
    ))
    .expect_code(0);
    verify(lab, 0, &[]);
    lab.sh(&format!(
        "rm {unit}.d/own.conf
         printf '[Service]\\nExecStartPost=/usr/sbin/ip-lockdown apply {V4} root\\n' > {unit}.d/own.conf"
    ))
    .expect_code(0);
    verify(lab, 0, &[]).expect_said("survives-nft-flush", "applies the lockdown again");
}

#[test]
fn drop_ins_of_nftables_service_count_as_systemd_reads_them() {
    let lab = &nft();
    let etc = "/etc/systemd/system";
    let vendor = "/usr/lib/systemd/system/nftables.service.d";
    let own = &format!("{etc}/nftables.service.d");
    lab.sh(&format!(
        "mkdir -p {etc}/sysinit.target.wants {vendor} {own}
         rm -f /etc/nftables.conf {vendor}/* {own}/*
         printf '[Service]\\nExecStop=/usr/sbin/nft flush ruleset\\n' > {etc}/nftables.service
         ln -sf ../nftables.service {etc}/sysinit.target.wants/nftables.service"
    ))
    .expect_code(0);
    let put = |file: &str, line: &str| {
        lab.sh(&format!("printf '[Service]\\n{line}\\n' > {file}"))
            .expect_code(0);
    };
    let flushes = || {
        verify(lab, 4, &[]).expect_failed("survives-nft-flush", "contains `flush ruleset`");
    };
    let mended = || {
        verify(lab, 0, &[]).expect_said("survives-nft-flush", "applies the lockdown again");
    };
    let again = "ExecStartPost=/usr/sbin/ip-lockdown apply";
    lab.lockdown(&[V4, "root"]).expect_code(4);
    // What is not called *.conf is none.
    put(&format!("{own}/again.conf.dpkg-old"), again);
    flushes();
    put(&format!("{vendor}/50-again.conf"), again);
    mended();
    // Those of the administrator replace those of the same name, ...
    put(&format!("{own}/50-again.conf"), "ProtectHome=yes");
    flushes();
    lab.sh(&format!("ln -sf /dev/null {own}/50-again.conf"))
        .expect_code(0);
    flushes();
    lab.sh(&format!("rm {own}/50-again.conf")).expect_code(0);
    mended();
    // ... and an empty assignment takes back what comes before it, wherever that is.
    put(&format!("{own}/40-none.conf"), "ExecStartPost=");
    mended();
    put(&format!("{own}/60-none.conf"), "ExecStartPost =");
    flushes();
    // A command that comes after another does not take it back.
    put(&format!("{own}/70-more.conf"), "ExecStop=/bin/true");
    flushes();
    put(
        &format!("{own}/80-none.conf"),
        "ExecStop=\\nExecStop=/bin/true",
    );
    verify(lab, 0, &[]);
}

#[test]
fn what_starts_at_boot_and_cannot_be_looked_at_is_not_taken_for_disabled() {
    let lab = &nft();
    lock(lab, &[V4, "root"]);
    lab.sh("ln -s loop.wants /etc/systemd/system/loop.wants")
        .expect_code(0);
    let told = "Too many levels of symbolic links";
    verify(lab, 4, &[V4, "root"]).expect_said("survives-nft-flush", told);
    // Without a configuration, it decides whether there should be one.
    let done = lab.lockdown(&["verify"]).expect_code(3);
    assert!(done.stdout.contains(told), "{done}");
    // The other checks are made all the same.
    assert!(done.stdout.contains("locked by "), "{done}");
    // A file, or a link whose end is missing, has nothing in it.
    lab.sh("cd /etc/systemd/system; ln -sfT none loop.wants; touch file.wants")
        .expect_code(0);
    verify(lab, 0, &[]);
    lab.sh("ln -s none.service /etc/systemd/system/firewalld.service; touch /etc/systemd/system/nftables.service")
        .expect_code(0);
    verify(lab, 0, &[]);
}

#[test]
fn the_message_names_docker_for_its_chains_above_ours() {
    for lab in [&Lab::new(Variant::Nft), &Lab::new(Variant::Legacy)] {
        lock(lab, &[V4, "root"]);
        lab.iptables(Family::V4, "-N DOCKER-USER").expect_code(0);
        lab.iptables(Family::V4, "-I FORWARD -j DOCKER-USER")
            .expect_code(0);
        verify(lab, 1, &[]).expect_failed("jump-first", "behind rules of docker");
        lock(lab, &[V4, "root"]);
        verify(lab, 0, &[]);
        assert!(lab.save(Family::V4).contains("-j DOCKER-USER"));
    }
}

on_both_variants! {
    fn a_lockdown_of_an_earlier_version_is_taken_over_and_never_opens(lab) {
        let laid = include_str!("input/earlier-version.txt");
        let (v4, v6) = laid.split_once("# IPv6").expect("two families");
        for (family, rules) in [("iptables", v4), ("ip6tables", v6)] {
            let rules: String = rules.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
            let program = format!("{family}-{}-restore", lab.variant());
            lab.run(&["bash", "-euc", r#"printf %s "$2" | "$1" --noflush"#, "lay", &program, &rules])
                .expect_code(0);
        }
        only_root(lab);
        verify(lab, 1, &[]).expect_failed("rules-match", "another version wrote it");
        let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
            lock(lab, &[V4, "root", "alice"]);
        });
        assert_eq!(counts.passed(), 0, "{counts:?}");
        assert_eq!(found(lab), ["filter", "nftables"]);
        assert!(!state(lab).contains("backstop="));
        served(lab, &User::ALICE, &IMDS);
        verify(lab, 0, &[V4, "root", "alice"]);
    }
}

#[test]
fn the_half_that_is_cut_off_keeps_its_layers() {
    let lab = &nft();
    lock(lab, &[V4, "root"]);
    lab.lockdown(&["--layers=filter", "--only", V4, "alice"])
        .expect_code(4);
    assert!(
        own_table(lab).contains("IPL-fd00_ec2__254"),
        "{}",
        own_table(lab)
    );
    lab.lockdown(&["remove"]).expect_code(0);
    lock(lab, &["--layers=filter,security", V4, "root"]);
    lock(lab, &["remove", "--only", "fd00:ec2::254"]);
    assert_eq!(found(lab), ["filter", "security"]);
    verify(lab, 0, &["--only", V4, "root"]);
    only_root_v4(lab);
}

#[track_caller]
fn only_root_v4(lab: &Lab) {
    served(lab, &User::ROOT, &IMDS[..1]);
    refused(lab, &User::MALLORY, &IMDS[..1]);
    served(lab, &User::MALLORY, &IMDS[1..]);
}
