//! Kernels and hosts that lack something.

use lab::{Done, Family, IMDS, IMDS_V4, IMDS_V6, Lab, User, Variant, lockdown_program};
use serde_json::Value;

use crate::hosts::alone;
use crate::netns::support::{V4, V6, lock, only_root, refused, served, verify};
use lab::saved::state;

/// The program under test, on a kernel without IPv6.
#[track_caller]
fn without_ipv6(lab: &Lab, arguments: &[&str]) -> Done {
    let mut command = lab.without_ipv6(lockdown_program());
    Done::of(command.args(lab.options()).args(arguments))
}

on_every_host! {
    fn without_ipv6_in_the_kernel_ipv4_is_locked_and_it_says_so(lab) {
        let done = without_ipv6(lab, &[V4, "root"]).expect_code(0);
        served(lab, &User::ROOT, &[IMDS_V4]);
        refused(lab, &User::MALLORY, &[IMDS_V4]);
        let verdict = without_ipv6(lab, &["verify"]).expect_code(0);
        assert!(verdict.stdout.contains("this kernel has no IPv6"), "{verdict}");
        assert_eq!(done.stderr, "", "{done}");
        let json: Value = without_ipv6(lab, &["--output=json", V4, "root"]).expect_code(0).json();
        assert!(json.to_string().contains("this kernel has no IPv6"), "{json}");
        let json: Value = without_ipv6(lab, &["status", "--output=json"]).expect_code(0).json();
        assert_eq!(json["families"], serde_json::json!(["ipv4"]));
        without_ipv6(lab, &["remove"]).expect_code(0);
        served(lab, &User::MALLORY, &IMDS);
    }

    fn without_ipv6_in_the_kernel_an_ipv6_address_cannot_be_locked(lab) {
        let before = state(lab);
        for words in [&["2001:db8::1", "root"][..], &["--only", V6, "root"]] {
            let done = without_ipv6(lab, words).expect_code(3);
            assert!(done.stderr.contains("this kernel has no IPv6"), "{done}");
        }
        assert_eq!(state(lab), before);
    }

    fn without_ipv6_nothing_of_ip6tables_is_needed(lab) {
        lab.sh("rm -f /usr/sbin/ip6tables*").expect_code(0);
        without_ipv6(lab, &[V4, "root"]).expect_code(0);
        without_ipv6(lab, &["verify"]).expect_code(0);
        refused(lab, &User::MALLORY, &[IMDS_V4]);
    }

    fn an_interface_without_an_ipv6_address_is_locked_all_the_same(lab) {
        lab.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6").expect_code(0);
        lock(lab, &[V4, "root"]);
        verify(lab, 0, &[]);
        lab.sh("echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6
            ip addr add 2001:db8:1::1/64 dev to-imds nodad
            ip route replace default via 2001:db8:1::2").expect_code(0);
        only_root(lab);
    }

    fn with_no_route_at_all_it_is_locked_and_says_that_there_is_none(lab) {
        lab.sh("ip link del to-imds; ip link del to-container").expect_code(0);
        lock(lab, &[V4, "root"]);
        verify(lab, 0, &[])
            .expect_said("unlisted-refused", "no route")
            .expect_said("listed-served", "no route");
    }
}

/// A host with iptables-legacy, whose kernel has neither nf_tables nor, as far as iptables-legacy shows it, the table
/// `security`: it cannot be initialised.
fn without_second_layer() -> Lab {
    without_second_layer_in(&["iptables", "ip6tables"])
}

fn without_second_layer_in(names: &[&str]) -> Lab {
    let mut lab = Lab::new(Variant::Legacy);
    lab.take_nf_tables();
    for name in names {
        let restore = format!(
            r#"#!/bin/bash
            input=$(cat)
            if [[ $input == *'*security'* ]]; then
                echo "{name}-restore v1.8.9 (legacy): {name}-restore: unable to initialize table 'security'" >&2
                exit 2
            fi
            exec xtables-legacy-multi {name}-legacy-restore "$@" <<< "$input"
            "#
        );
        let ask = format!(
            r#"#!/bin/bash
            if [[ "$*" == *security* ]]; then
                echo "{name} v1.8.9 (legacy): can't initialize {name} table \`security': Table does not exist" >&2
                exit 3
            fi
            exec xtables-legacy-multi {name}-legacy "$@"
            "#
        );
        lab.stub(&format!("/usr/sbin/{name}-legacy-restore"), &restore);
        lab.stub(&format!("/usr/sbin/{name}-legacy"), &ask);
    }
    lab
}

#[test]
fn a_kernel_without_a_second_layer_is_locked_and_reported_as_degraded() {
    let lab = &without_second_layer();
    let done = lab.lockdown(&[V4, "root"]).expect_code(4);
    assert!(done.stdout.contains("backstop-present"), "{done}");
    only_root(lab);
    verify(lab, 4, &[]).expect_failed("backstop-present", "filter is the only layer");
    verify(lab, 4, &[V4, "root"]);
    let status = lab.lockdown(&["status"]).expect_code(0);
    assert!(status.stdout.contains("backstop    none"), "{status}");
    // Twice is once.
    let json: Value = lab
        .lockdown(&["--output=json", V4, "root"])
        .expect_code(4)
        .json();
    assert_eq!(json["changed"], false, "{json}");
    assert_eq!(
        json["locks"][0]["layers"]["ipv4"],
        serde_json::json!(["filter"])
    );
}

#[test]
fn a_kernel_without_a_second_layer_is_never_open_while_users_change() {
    let lab = &without_second_layer();
    lab.lockdown(&[V4, "root"]).expect_code(4);
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
        for user in ["alice", "bob", "root", "1000-1665"] {
            lab.lockdown(&[V4, user]).expect_code(4);
        }
    });
    assert_eq!(counts.passed(), 0, "{counts:?}");
    assert!(counts.refused > 50, "{counts:?}");
    served(lab, &User::ALICE, &[IMDS_V4, IMDS_V6]);
}

#[test]
fn a_kernel_without_nf_tables_has_security_and_moves_to_nftables_when_it_can() {
    let mut lab = Lab::new(Variant::Legacy);
    lab.take_nf_tables();
    lock(&lab, &[V4, "root"]);
    let layers = |lab: &Lab| -> Value {
        let status: Value = lock(lab, &["status", "--output=json"]).json();
        status["locks"][0]["layers"]["ipv4"].clone()
    };
    assert_eq!(layers(&lab), serde_json::json!(["filter", "security"]));
    verify(&lab, 0, &[]);
    only_root(&lab);
    for layers in ["nftables", "filter,nftables"] {
        let done = lab.lockdown(&["--layers", layers, V4, "root"]);
        assert_eq!(done.code, Some(3), "{done}");
        assert!(done.stderr.contains("has no nf_tables"), "{done}");
    }
    verify(&lab, 0, &[]);
    lab.give_all_back();
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
        verify(&lab, 0, &[]);
        lock(&lab, &[V4, "root"]);
    });
    assert_eq!(counts.passed(), 0, "{counts:?}");
    assert_eq!(layers(&lab), serde_json::json!(["filter", "nftables"]));
    verify(&lab, 0, &[]);
    only_root(&lab);
}

#[test]
fn a_second_layer_that_becomes_available_is_used() {
    let lab = &without_second_layer();
    lab.lockdown(&[V4, "root"]).expect_code(4);
    for name in ["iptables", "ip6tables"] {
        lab.sh(&format!(
            "ln -sfn xtables-legacy-multi /usr/sbin/{name}-legacy
             ln -sfn xtables-legacy-multi /usr/sbin/{name}-legacy-restore"
        ))
        .expect_code(0);
    }
    lock(lab, &[V4, "root"]);
    verify(lab, 0, &[]);
    only_root(lab);
}

#[test]
fn a_family_without_a_second_layer_takes_nothing_from_the_other() {
    let lab = &without_second_layer_in(&["ip6tables"]);
    lab.lockdown(&[V4, "root"]).expect_code(4);
    lab.lockdown(&[V4, "root", "alice"]).expect_code(4);
    let saved = lab.save(Family::V4);
    let security = saved.split("*security").nth(1).expect("a table");
    assert!(security.contains("-j IPL-169.254.169.254"), "{saved}");
    verify(lab, 4, &[])
        .expect_said("backstop-present", "security enforces the lockdown too")
        .expect_failed("backstop-present", "filter is the only layer");
    let status = lab.lockdown(&["status"]).expect_code(0);
    let words = "backstop    IPv4: security; IPv6: none";
    assert!(status.stdout.contains(words), "{status}");
    served(lab, &User::ALICE, &IMDS);
    refused(lab, &User::MALLORY, &IMDS);
}

with_nftables! {
    fn a_sandbox_that_forbids_netlink_is_no_kernel_without_it(lab) {
        lock(lab, &[V4, "root"]);
        let before = state(lab);
        for words in [&[V4, "alice"][..], &["verify"], &["status"], &["remove"]] {
            let mut command = lab.without("netlink", lockdown_program());
            let done = Done::of(command.args(lab.options()).args(words)).expect_code(3);
            assert!(done.to_string().contains("Address family not supported"), "{done}");
            // What could not be looked at is not missing.
            assert!(!done.to_string().contains("install"), "{done}");
            assert_eq!(state(lab), before);
        }
        only_root(lab);
    }
}

#[test]
fn without_iptables_a_sandbox_that_forbids_netlink_is_no_host_that_lacks_something() {
    let lab = alone();
    let done = Done::of(
        lab.without("netlink", lockdown_program())
            .args([V4, "root"]),
    );
    assert_eq!(done.code, Some(3), "{done}");
    assert!(
        done.stderr.contains("Address family not supported"),
        "{done}"
    );
    assert!(!done.stderr.contains("install"), "{done}");
}

on_every_host! {
    fn a_sandbox_that_forbids_ipv6_is_no_kernel_without_it(lab) {
        let before = state(lab);
        let mut command = lab.without("ipv6", lockdown_program());
        command.args(lab.options()).args([V4, "root"]);
        let done = Done::of(&mut command).expect_code(3);
        assert!(done.stderr.contains("sandbox"), "{done}");
        assert_eq!(state(lab), before);
    }
}

in_filter_and_security! {
    fn without_proc_nothing_is_called_absent(lab) {
        lock(lab, &[V4, "root"]);
        let script = format!(
            "mount -t tmpfs none /proc; exec {} --variant {} \"$@\"",
            lockdown_program().display(),
            lab.variant().other()
        );
        for words in [&["status"][..], &["remove"], &["verify"]] {
            let mut command = lab.command("unshare");
            command.args(["--mount", "--propagation", "private", "bash", "-euc", &script, "-"]);
            let done = Done::of(command.args(words));
            assert_eq!(done.code, Some(3), "{done}");
            assert!(!done.stdout.contains("nothing to remove"), "{done}");
            assert!(!done.stdout.contains("no address is locked"), "{done}");
        }
    }
}
