//! `remove`: our rules and chains, and nothing else, in every table, family and variant.

use lab::{DNS_V4, Family, How, IMDS, IMDS_V4, IMDS_V6, Lab, User};
use serde_json::Value;

use crate::hosts::nft;
use crate::netns::config::{CONFIG, imds, write};
use crate::netns::support::{V4, V6, lock, only_root, refused, save_of_other, served, verify};
use lab::saved::{rules, state};

on_every_host! {
    fn remove_opens_and_leaves_no_trace(lab) {
        lab.iptables(Family::V4, "-A OUTPUT -d 10.0.0.1 -j DROP").expect_code(0);
        lab.iptables(Family::V6, "-N mine").expect_code(0);
        lab.iptables(Family::V4, "-t security -A OUTPUT -d 10.0.0.2 -j DROP").expect_code(0);
        lab.iptables(Family::V6, "-t security -N mine").expect_code(0);
        let before = state(lab);
        lock(lab, &[V4, "root"]);
        let done = lock(lab, &["remove"]);
        for address in [V4, V6] {
            assert!(done.stdout.contains(&format!("{address} is open")), "{done}");
        }
        assert_eq!(state(lab), before);
        served(lab, &User::MALLORY, &IMDS);
        for address in IMDS {
            assert!(lab.container_attempt(&User::ROOT, How::Tcp, address).passed());
        }
        verify(lab, 1, &[]).expect_failed("something-locked", "no address is locked");
    }

    fn remove_twice_is_fine(lab) {
        lock(lab, &[V4, "root"]);
        lock(lab, &["remove"]);
        let before = state(lab);
        for words in [&["remove"][..], &["remove", V4], &["remove", "192.0.2.77"]] {
            let done = lock(lab, words);
            assert!(done.stdout.contains("nothing to remove"), "{done}");
        }
        assert_eq!(state(lab), before);
    }

    fn remove_of_one_address_keeps_the_other(lab) {
        lock(lab, &[V4, "root"]);
        lock(lab, &[&DNS_V4.to_string(), "alice"]);
        lock(lab, &["remove", V6]);
        served(lab, &User::MALLORY, &IMDS);
        served(lab, &User::ALICE, &[DNS_V4]);
        refused(lab, &User::MALLORY, &[DNS_V4]);
        verify(lab, 0, &[]);
        lock(lab, &[V4, "root"]);
        lock(lab, &["remove", &DNS_V4.to_string()]);
        refused(lab, &User::MALLORY, &IMDS);
        served(lab, &User::MALLORY, &[DNS_V4]);
        verify(lab, 0, &[]);
    }

    fn remove_of_an_address_that_is_not_locked_changes_nothing(lab) {
        lock(lab, &[V4, "root"]);
        let before = state(lab);
        let json: Value = lock(lab, &["remove", "192.0.2.77", "--output=json"]).json();
        assert_eq!(json["removed"], serde_json::json!([]));
        assert_eq!(state(lab), before);
        refused(lab, &User::MALLORY, &[IMDS_V4, IMDS_V6]);
    }

    fn json_of_remove_lists_what_was_removed(lab) {
        lock(lab, &[V4, "root"]);
        let json: Value = lock(lab, &["remove", "--output=json", V4]).json();
        assert_eq!(json["removed"], serde_json::json!([V4, V6]));
        assert_eq!(json["errors"], serde_json::json!([]));
    }
}

on_both_variants! {
    fn remove_mends_what_is_left_of_a_damaged_lockdown(lab) {
        lab.iptables(Family::V4, "-L -n").expect_code(0);
        let before = rules(&lab.save(Family::V4));
        lock(lab, &[V4, "root"]);
        for rule in [
            "-A FORWARD -d 169.254.169.254 -j IPF-169.254.169.254",
            "-A OUTPUT -p tcp -j IPL-169.254.169.254",
            "-F IPL-169.254.169.254",
            "-D OUTPUT -d 169.254.169.254 -j IPL-169.254.169.254",
        ] {
            lab.iptables(Family::V4, rule).expect_code(0);
        }
        lock(lab, &["remove"]);
        let after = rules(&lab.save(Family::V4));
        assert!(!after.contains("IP"), "{after}");
        assert!(after.contains(before.trim_end_matches("COMMIT\n")), "{after}\n{before}");
    }

    fn remove_takes_away_what_both_variants_hold(lab) {
        let theirs = lab.variant().other().to_string();
        lab.lockdown_as(&theirs, &[V4, "root"]).expect_code(0);
        let program = format!("iptables-{theirs}");
        lab.run(&[&program, "-A", "OUTPUT", "-d", "10.0.0.1", "-j", "DROP"]).expect_code(0);
        lock(lab, &["remove"]);
        served(lab, &User::MALLORY, &IMDS);
        for family in Family::ALL {

            let left = rules(&save_of_other(lab, family));
            assert!(!left.contains("IPL-") && !left.contains("IPF-"), "{left}");
        }
        assert!(save_of_other(lab, Family::V4).contains("-d 10.0.0.1/32 -j DROP"));
    }
}

/// Puts a systemd there that says what it is asked for, and whether our lock is held then.
#[track_caller]
fn with_systemd(lab: &Lab) {
    lab.sh("mkdir -p /run/systemd/system
        cat > /run/systemctl <<'SH'
#!/bin/sh
flock --nonblock /run/ip-lockdown.lock true && lock=free || lock=held
echo \"$lock $*\" >> /run/calls
SH
        rm -f /bin/systemctl /usr/bin/systemctl
        install -m 755 /run/systemctl /usr/bin/systemctl")
        .expect_code(0);
}

/// What it was asked to change since: `show` only reads.
#[track_caller]
fn calls(lab: &Lab) -> String {
    lab.sh("touch /run/calls; grep --invert-match ' show ' /run/calls || true; rm /run/calls")
        .expect_code(0)
        .stdout
}

#[test]
fn remove_stops_only_the_unit_that_would_reinstall_and_only_under_the_lock() {
    let lab = &nft();
    let lockdowns = format!(
        "{}[[lockdown]]\naddress = \"10.0.0.1\"\nusers = [0]\n",
        imds("\"root\"")
    );
    write(lab, CONFIG, &lockdowns);
    lock(lab, &["apply"]);
    lock(lab, &["10.0.0.2", "root"]);
    with_systemd(lab);
    // It lays nothing again that is not configured, and goes on.
    lock(lab, &["remove", "10.0.0.2"]);
    assert_eq!(calls(lab), "");
    // One that is waiting for names is missed.
    let done = lab.lockdown(&["remove", V6]).expect_code(0);
    let told = "it no longer waits for unresolved names";
    assert!(done.stderr.contains(told), "{done}");
    let stopped =
        "held --quiet is-active ip-lockdown-settle.service\nheld stop ip-lockdown-settle.service\n";
    assert_eq!(calls(lab), stopped);
    // Nor is it known what it would lay without a configuration.
    for spoil in ["[[[", ""] {
        write(lab, CONFIG, spoil);
        lock(lab, &["remove", "10.0.0.2"]);
        assert_eq!(calls(lab), stopped);
    }
    write(lab, CONFIG, &lockdowns);
    lock(lab, &["remove"]);
    assert_eq!(calls(lab), stopped);
}

#[test]
fn a_remove_that_may_not_remove_stops_nothing() {
    let lab = &nft();
    lock(lab, &[V4, "root"]);
    with_systemd(lab);
    let program = "/usr/local/bin/ip-lockdown";
    let source = lab::lockdown_program();
    let source = source.to_str().expect("a path of text");
    lab.run(&["install", "-D", "-m", "755", source, program])
        .expect_code(0);
    let done = lab
        .sh(&format!(
            "chmod 777 /run; setpriv --reuid=1666 --regid=1666 --clear-groups {program} remove"
        ))
        .expect_code(3);
    assert!(done.stderr.contains("not privileged"), "{done}");
    assert_eq!(calls(lab), "");
    lab.sh(
        "exec 9> /run/ip-lockdown.lock; flock 9; /usr/local/bin/ip-lockdown --wait=0 remove 9>&-",
    )
    .expect_code(3);
    assert_eq!(calls(lab), "");
    only_root(lab);
}

#[test]
fn the_removed_addresses_are_reported_even_if_a_unit_cannot_be_read() {
    let lab = &nft();
    lock(lab, &[V4, "root"]);
    lab.sh("ln -s loop.wants /etc/systemd/system/loop.wants")
        .expect_code(0);
    let done = lab.lockdown(&["remove", "--output=json"]).expect_code(0);
    assert_eq!(done.json::<Value>()["removed"], serde_json::json!([V4, V6]));
    assert!(
        done.stderr
            .contains("cannot read ip-lockdown.service: Too many levels of symbolic links"),
        "{done}"
    );
}
