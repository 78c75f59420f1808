//! One place that cannot be read or changed stops no other: each layer and family is locked, judged and opened on its
//! own.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::saved::own_table;
use lab::{Done, Ending, How, IMDS, Lab, User};

use crate::hosts::{alone, legacy, nft};
use crate::netns::support::{V4, V6, lock, only_root, refused, served, verify};

/// What iptables-nft-save of some version cannot print, and ends with an error or without the table.
const UNPRINTABLE: [&str; 2] = [
    "meta skuid 5 accept",
    "ct state established log prefix \"native\" accept",
];

/// The tables of other tools.
#[track_caller]
fn tables(lab: &Lab) -> String {
    let script = "for table in 'ip filter' 'ip mangle' 'ip6 filter'; do nft -s list table $table || true; done";
    lab.sh(script).stdout
}

/// Expects that nothing of ours is left, and that everybody is served.
#[track_caller]
fn open(lab: &Lab) {
    served(lab, &User::MALLORY, &IMDS);
    let left = lab.sh("nft list ruleset").expect_code(0).stdout;
    for name in ["IPL-", "IPF-", "ip_lockdown"] {
        assert!(!left.contains(name), "{left}");
    }
}

/// Removes everything, and expects that each address is said to be open.
#[track_caller]
fn remove(lab: &Lab) -> Done {
    let done = lab.lockdown(&["remove"]).expect_code(0);
    for address in [V4, V6] {
        let said = format!("{address} is open to all users again");
        assert!(done.stdout.contains(&said), "{done}");
    }
    open(lab);
    done
}

/// Locks, expects exit code 4 and these words once, and that all is as it should be, again and again.
#[track_caller]
fn degraded(lab: &Lab, words: &str) {
    for run in [
        &[V4, "root"][..],
        &["verify"],
        &[V4, "root"],
        &["verify", V4, "root"],
    ] {
        let done = lab.lockdown(run).expect_code(4);
        let all = format!("{}{}", done.stdout, done.stderr);
        assert_eq!(all.matches(words).count(), 1, "{words:?}: {done}");
        assert!(all.contains("help: "), "{done}");
        only_root(lab);
    }
}

#[test]
fn a_table_that_iptables_cannot_print_stops_no_other_layer() {
    for rule in UNPRINTABLE {
        let lab = &nft();
        lab.sh(&format!(
            "iptables-nft -A OUTPUT -d 10.0.0.1 -j DROP; nft 'add rule ip filter OUTPUT {rule}'"
        ))
        .expect_code(0);
        let before = tables(lab);
        degraded(lab, "cannot read the table filter (IPv4)");
        assert_eq!(tables(lab).matches("10.0.0.1").count(), 1);
        remove(lab);
        // The table of the other family was not there before.
        assert!(tables(lab).starts_with(&before), "{}", tables(lab));
    }
}

#[test]
fn a_table_that_no_layer_uses_is_nothing_to_it() {
    let lab = &nft();
    lab.sh(&format!(
        "iptables-nft -t mangle -A OUTPUT -d 10.0.0.1 -j MARK --set-mark 1
         nft 'add rule ip mangle OUTPUT {}'",
        UNPRINTABLE[0]
    ))
    .expect_code(0);
    let before = tables(lab);
    lock(lab, &[V4, "root"]);
    only_root(lab);
    verify(lab, 0, &[]);
    lock(lab, &[V4, "root"]);
    remove(lab);
    assert!(tables(lab).contains(before.trim_end()), "{}", tables(lab));
}

#[test]
fn a_table_that_became_unprintable_is_given_up_and_cleared_by_name() {
    for rule in UNPRINTABLE {
        let native = format!("nft 'add rule ip filter OUTPUT {rule}'");
        let lab = &nft();
        lock(lab, &[V4, "root"]);
        lab.sh(&native).expect_code(0);
        lab.lockdown(&["verify"]).expect_code(4);
        remove(lab);
        assert!(tables(lab).contains("accept"), "{}", tables(lab));
        lab.sh("nft flush ruleset").expect_code(0);

        lock(lab, &[V4, "root"]);
        lab.sh(&native).expect_code(0);
        // A new list: the old one in `filter` would refuse alice.
        let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
            lab.lockdown(&[V4, "root", "alice"]).expect_code(4);
        });
        assert_eq!(counts.passed(), 0, "{counts:?}");
        served(lab, &User::ALICE, &IMDS);
        refused(lab, &User::MALLORY, &IMDS);
        lab.lockdown(&["verify"]).expect_code(4);
        // Without the native rule, all layers come back.
        lab.sh("nft flush chain ip filter OUTPUT").expect_code(0);
        lock(lab, &[V4, "root"]);
        verify(lab, 0, &[]);
        remove(lab);
    }
}

#[test]
fn a_native_base_chain_named_as_that_of_iptables_stops_no_other_layer() {
    let lab = &nft();
    lab.sh("nft 'add table ip filter; add chain ip filter OUTPUT { type filter hook output priority -100; }
                 add rule ip filter OUTPUT ip daddr 10.0.0.1 drop'")
        .expect_code(0);
    for _ in 0..2 {
        lab.lockdown(&[V4, "root"]).expect_code(4);
        only_root(lab);
        assert!([Some(0), Some(4)].contains(&lab.lockdown(&["verify"]).code));
    }
    remove(lab);
    assert!(tables(lab).contains("10.0.0.1"), "{}", tables(lab));
}

#[test]
fn a_kernel_without_xt_modules_is_locked_by_nftables() {
    let lab = &nft();
    for name in ["iptables-nft-restore", "ip6tables-nft-restore"] {
        let script = format!(
            "#!/bin/bash\ninput=$(cat)
if [[ $input == *'-m owner'* ]]; then
    echo 'Warning: Extension owner revision 0 not supported, missing kernel module?' >&2
    echo '{name}: line 7: RULE_APPEND failed (No such file or directory): rule in chain IPL' >&2
    exit 4
fi
exec xtables-nft-multi {name} \"$@\" <<< \"$input\"\n"
        );
        lab.stub(&format!("/usr/sbin/{name}"), &script);
    }
    for _ in 0..2 {
        let done = lab.lockdown(&[V4, "root"]).expect_code(4);
        let all = format!("{}{}", done.stdout, done.stderr);
        assert!(all.contains("missing kernel module"), "{done}");
        only_root(lab);
        assert!([Some(0), Some(4)].contains(&lab.lockdown(&["verify"]).code));
    }
    remove(lab);
}

#[test]
fn without_ip6tables_both_families_are_locked() {
    for lab in [&nft(), &legacy()] {
        lab.sh("rm -f /usr/sbin/ip6tables*").expect_code(0);
        let before = lab.sh("nft list ruleset").stdout;
        lab.lockdown(&["--layers=nftables", V4, "root"])
            .expect_code(0);
        only_root(lab);
        lab.lockdown(&["--layers=nftables", "verify"])
            .expect_code(0);
        remove(lab);
        degraded(lab, "ip6tables is not in ");
        let listed = lab.sh(&format!("iptables-{}-save", lab.variant())).stdout;
        assert!(listed.contains("IPL-169.254.169.254"), "{listed}");
        remove(lab);
        assert_eq!(before, "");
    }
}

on_both_variants! {
    fn a_missing_match_library_stops_no_other_layer(lab) {
        lab.sh(&format!(
            "iptables-{} -A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT
             rm /usr/lib/*/xtables/libxt_statistic.so",
            lab.variant()
        ))
        .expect_code(0);
        // iptables-nft prints the rule without the match, and tells of it.
        let code = lab.lockdown(&[V4, "root"]).code;
        assert!([Some(0), Some(4)].contains(&code), "{code:?}");
        only_root(lab);
        assert_eq!(lab.lockdown(&["verify"]).code, code);
        assert_eq!(lab.lockdown(&[V4, "root"]).code, code);
        remove(lab);
    }

    fn a_match_library_that_goes_missing_later_keeps_no_address_locked(lab) {
        let variant = lab.variant();
        lock(lab, &[V4, "root"]);
        lab.sh(&format!(
            "iptables-{variant} -A INPUT -m statistic --mode random --probability 0.5 -j ACCEPT
             rm /usr/lib/*/xtables/libxt_statistic.so"
        ))
        .expect_code(0);
        let code = lab.lockdown(&["verify"]).code;
        assert!([Some(0), Some(4)].contains(&code), "{code:?}");
        remove(lab);
        let left = lab.sh(&format!("iptables-{variant} -S OUTPUT")).expect_code(0).stdout;
        assert!(!left.contains("IPL-"), "{left}");
    }

    fn the_first_lockdown_does_not_wait_for_iptables(lab) {
        let variant = lab.variant();
        // Tables that exist must be read.
        lab.sh(&format!("for p in iptables ip6tables; do $p-{variant} -A INPUT -p tcp --dport 9 -j DROP; done"))
            .expect_code(0);
        slow(lab, "sleep 4.75");
        let mut command = lab.program();
        let pipes = command.args([V4, "root"]).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        let mut child = pipes.spawn().expect("it starts");
        let is_open = || IMDS.iter().any(|&to| lab.attempt(&User::MALLORY, How::Udp, to).ending != Ending::Denied);
        while is_open() {
            assert!(started.elapsed() < Duration::from_secs(3), "the address is open");
            sleep(Duration::from_millis(20));
        }
        println!("closed after {:?}", started.elapsed());
        assert!(child.try_wait().expect("a child").is_none(), "it still reads");
        assert_eq!(child.wait().expect("a child").code(), Some(0));
        verify(lab, 0, &[]);
        only_root(lab);
        remove(lab);
    }
}

/// Puts something before the work of `iptables-save`, of both families.
#[track_caller]
fn slow(lab: &Lab, what: &str) {
    let variant = lab.variant();
    for base in ["iptables", "ip6tables"] {
        let name = format!("{base}-{variant}-save");
        let script = format!("#!/bin/bash\n{what}\nexec xtables-{variant}-multi {name} \"$@\"\n");
        lab.stub(&format!("/usr/sbin/{name}"), &script);
    }
}

#[test]
fn a_listing_that_starts_over_again_and_again_is_not_needed() {
    let lab = &nft();
    lab.sh("iptables-nft -t nat -A OUTPUT -d 10.0.0.1 -p tcp -j DNAT --to-destination 10.0.0.2")
        .expect_code(0);
    lock(lab, &[V4, "root"]);
    slow(lab, "sleep 600.75");
    verify(lab, 0, &[]);
    lab.lockdown(&[V4, "root", "alice"]).expect_code(0);
    served(lab, &User::ALICE, &IMDS);
    verify(lab, 0, &[V4, "root", "alice"]);
    remove(lab);
}

#[test]
fn layers_that_a_host_without_iptables_cannot_have_change_nothing() {
    let lab = &alone();
    let program = lab::lockdown_program();
    let done = Done::of(
        lab.command(program)
            .args(["--layers=filter,nftables", V4, "root"]),
    )
    .expect_code(3);
    assert!(done.stderr.contains("iptables is not installed"), "{done}");
    assert_eq!(own_table(lab), "");
    served(lab, &User::MALLORY, &IMDS);
}
