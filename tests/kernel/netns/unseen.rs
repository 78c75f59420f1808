//! Rules that iptables does not show, or shows in a misleading way: such a check never passes.

use std::net::IpAddr;

use lab::{Family, How, IMDS, IMDS_V4, Lab, User};
use serde_json::Value;

use crate::hosts::nft_security;
use crate::netns::support::{V4, V6, lock, only_root, refused, served, verify};

/// A service of the container's side that an unlisted user is led to in the place of the address.
const DECOY: &str = "169.254.169.253:80";

fn gets_through(lab: &Lab, address: IpAddr) -> bool {
    lab.attempt(&User::MALLORY, How::Tcp, address).passed()
}

on_both_variants! {
    fn a_nat_rule_of_the_other_variant_is_found(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh(&format!(
            "iptables-{} -t nat -A OUTPUT -d {V4} -p tcp --dport 80 -m owner --uid-owner 1666 \
             -j DNAT --to-destination {DECOY}",
            lab.variant().other()
        ))
        .expect_code(0);
        assert!(gets_through(lab, IMDS_V4), "the rule leads past the lockdown");
        verify(lab, 1, &[]).expect_failed("nat-untouched", "uid-owner 1666");
    }

    fn a_nat_rule_behind_a_misleading_comment_is_found(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh(&format!(
            "iptables -t nat -A OUTPUT -d {V4} -p tcp --dport 80 -m owner --uid-owner 1666 \
             -m comment --comment=-j -j DNAT --to-destination {DECOY}"
        ))
        .expect_code(0);
        assert!(gets_through(lab, IMDS_V4), "the rule leads past the lockdown");
        verify(lab, 1, &[]).expect_failed("nat-untouched", "uid-owner 1666");
    }

    fn nat_chains_of_nftables_are_read(lab) {
        lock(lab, &[V4, "root"]);
        verify(lab, 0, &[]);
        lab.sh(&format!(
            "nft 'table inet x {{ chain o {{ type nat hook output priority -100; \
             meta skuid 1666 ip daddr {V4} tcp dport 80 dnat ip to {DECOY}; }}; }}'"
        ))
        .expect_code(0);
        assert!(gets_through(lab, IMDS_V4), "the rule leads past the lockdown");
        verify(lab, 1, &[]).expect_failed("nat-untouched", "nftables chain x o may rewrite the address");
        // An empty chain, and one for other packets, translate nothing of ours.
        lab.sh("nft delete table inet x; nft 'table ip y { chain o { type nat hook output priority -100; }; \
                chain p { type nat hook postrouting priority 100; masquerade; }; }'")
            .expect_code(0);
        verify(lab, 0, &[]);
    }

    fn control_characters_of_foreign_rules_never_reach_the_terminal(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh("iptables -I OUTPUT -m comment --comment $'\\e[31mred\\a' -j ACCEPT")
            .expect_code(0);
        let done = lab.lockdown(&["verify"]).expect_code(1);
        assert!(done.stdout.contains("[31mred"), "{done}");
        assert!(!done.stdout.contains(['\u{1b}', '\u{7}']), "{done}");
    }

    fn status_tells_of_drift(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh(&format!("iptables -D OUTPUT -d {V4} -j IPL-{V4}")).expect_code(0);
        let done = lab.lockdown(&["status"]).expect_code(0);
        assert!(done.stdout.contains("run `ip-lockdown verify`"), "{done}");
        let json: Value = lab.lockdown(&["status", "--output=json"]).expect_code(0).json();
        assert_ne!(json["locks"][0]["drift"], 0, "{json}");
        lock(lab, &[V4, "root"]);
        let json: Value = lab.lockdown(&["status", "--output=json"]).expect_code(0).json();
        assert_eq!(json["locks"][0]["drift"], 0, "{json}");
    }

    fn the_same_ids_by_other_names_are_as_expected(lab) {
        lock(lab, &[V4, "0", "1001"]);
        verify(lab, 0, &[V4, "root", "alice"]);
        verify(lab, 1, &[V4, "root"]).expect_failed("as-asked", "different users");
    }

    fn one_half_of_a_pair_that_the_other_variant_holds_keeps_its_list(lab) {
        lab.lockdown_as(lab.variant().other(), &[V4, "root"]).expect_code(0);
        lab.lockdown(&["--only", V4, "alice"]).expect_code(0);
        verify(lab, 0, &[]);
        verify(lab, 0, &["--only", V4, "alice"]);
        verify(lab, 0, &["--only", V6, "root"]);
        served(lab, &User::ALICE, &[IMDS_V4]);
        refused(lab, &User::ROOT, &[IMDS_V4]);
        let counts = lab.hammer_while(&User::MALLORY, &[IMDS[1]], || {
            lab.lockdown(&["remove", "--only", V4]).expect_code(0);
        });
        assert_eq!(counts.passed(), 0, "{counts:?}");
        assert!(gets_through(lab, IMDS_V4));
        verify(lab, 0, &["--only", V6, "root"]);
    }

    fn removing_half_of_a_pair_of_the_other_variant_opens_just_that(lab) {
        lab.lockdown_as(lab.variant().other(), &[V4, "root"]).expect_code(0);
        lab.lockdown(&["remove", "--only", V4]).expect_code(0);
        assert!(gets_through(lab, IMDS_V4));
        assert!(!gets_through(lab, IMDS[1]));
        verify(lab, 0, &[]);
        verify(lab, 0, &["--only", V6, "root"]);
    }
}

in_filter_and_security! {
    fn a_name_that_begins_with_a_quote_hides_no_rule(lab) {
        lock(lab, &[V4, "root"]);
        for table in ["filter", "security"] {
            lab.sh(&format!(
                "iptables -t {table} -A FORWARD -j IDLETIMER --timeout 10 --label '\"{table}'
                 iptables -t {table} -I OUTPUT -m owner --uid-owner 1666 \
                     -m comment --comment 'allow the agent' -j ACCEPT"
            ))
            .expect_code(0);
        }
        assert!(gets_through(lab, IMDS_V4), "both layers let it through");
        verify(lab, 1, &[]).expect_failed("no-bypass", "allow the agent");
        lock(lab, &[V4, "root"]);
        verify(lab, 0, &[]);
        only_root(lab);
    }
}

#[test]
fn tables_that_are_switched_off_enforce_nothing() {
    let lab = &nft_security();
    lock(lab, &[V4, "root"]);
    lab.sh("nft 'add table ip security { flags dormant; }'")
        .expect_code(0);
    verify(lab, 1, &[])
        .expect_failed("rules-match", "flags dormant")
        .expect_failed("backstop-present", "does not enforce");
    refused(lab, &User::MALLORY, &IMDS);
    lab.sh("nft 'add table ip filter { flags dormant; }'")
        .expect_code(0);
    assert!(gets_through(lab, IMDS_V4));
    // Without a route no probe would tell.
    lab.sh("ip link del to-imds; ip link del to-container")
        .expect_code(0);
    verify(lab, 1, &[]).expect_failed("address-locked", "OPEN");
    assert!(!lab.save(Family::V4).is_empty());
}
