//! `apply`: who gets through and who is refused afterwards; the same input gives the same state.

use std::net::IpAddr;

use lab::{DNS_V4, DNS_V6, Done, Ending, Family, How, IMDS, IMDS_V4, IMDS_V6, Lab, User};
use serde_json::Value;

use crate::netns::support::{V4, V6, backstop, lock, not_open, only_root, refused, served, verify};
use lab::saved::{lines, rules, state};

on_every_host! {
    fn apply_waits_for_a_tool_that_refuses_everybody_for_a_moment(lab) {
        // As firewalld does while it reloads.
        lab.sh("nft 'table inet moment { chain o { type filter hook output priority 0; policy drop; }; }'
                (sleep 0.6; nft delete table inet moment) > /dev/null 2>&1 &").expect_code(0);
        let done = lock(lab, &[V4, "root"]);
        assert!(done.took.as_millis() > 300, "{done}");
        only_root(lab);
        // One that goes on is told.
        lab.sh("nft 'table inet moment { chain o { type filter hook output priority 0; policy drop; }; }'")
            .expect_code(0);
        let done = lab.lockdown(&[V4, "root"]).expect_code(1);
        assert!(done.stdout.contains("UDP to port 80 was refused, and TCP was not answered: uid 0"), "{done}");
    }

    fn one_user_is_served_and_all_others_are_refused_at_once(lab) {
        lock(lab, &[V4, "root"]);
        for address in IMDS {
            lab.curl(&User::ROOT, address).expect_code(0);
            // "Failed to connect", not 28, "timed out".
            lab.curl(&User::NOBODY, address).expect_code(7);
        }
        served(lab, &User::ROOT, &IMDS);
        for user in [User::NOBODY, User::ALICE, User::MALLORY, User::CAROL, User::DAVE] {
            refused(lab, &user, &IMDS);
        }
        let verdict = lab.lockdown(&["verify"]).expect_code(0);
        assert_eq!(verdict.stderr, "");
    }

    fn other_traffic_is_left_alone(lab) {
        lock(lab, &[V4, "root"]);
        for user in [User::ROOT, User::NOBODY] {
            served(lab, &user, &[DNS_V4, DNS_V6]);
        }
        for neighbour in [DNS_V4, DNS_V6] {
            assert_eq!(lab.container_attempt(&User::ROOT, How::Tcp, neighbour).ending, Ending::Connected);
        }
    }

    fn other_users_replace_the_list(lab) {
        lock(lab, &[V4, "root", "alice"]);
        served(lab, &User::ALICE, &IMDS);
        lock(lab, &[V4, "bob"]);
        served(lab, &User::BOB, &IMDS);
        for user in [User::ROOT, User::ALICE, User::MALLORY] {
            refused(lab, &user, &IMDS);
        }
        verify(lab, 0, &[V4, "bob"]);
    }

    fn the_ends_of_a_range_are_inside_and_their_neighbours_outside(lab) {
        lock(lab, &[V4, "1001-1003"]);
        let uid = |uid| User { uid, gid: uid, groups: &[], ..User::ALICE };
        for inside in [1001, 1002, 1003] {
            served(lab, &uid(inside), &[IMDS_V4]);
        }
        for outside in [1000, 1004, 0, 4_294_967_294] {
            refused(lab, &uid(outside), &[IMDS_V4]);
        }
    }

    fn without_a_user_nobody_is_allowed_and_a_warning_reports_it(lab) {
        let done = lab.lockdown(&[V4]).expect_code(0);
        assert!(done.stderr.contains("no user is allowed"), "{done}");
        for user in [User::ROOT, User::NOBODY, User::ALICE] {
            refused(lab, &user, &IMDS);
        }
        verify(lab, 0, &[]);
    }

    fn an_ipv4_address_alone_touches_ipv4_alone(lab) {
        let before = rules(&lab.save(Family::V6));
        lock(lab, &[&DNS_V4.to_string(), "alice"]);
        served(lab, &User::ALICE, &[DNS_V4]);
        refused(lab, &User::ROOT, &[DNS_V4]);
        served(lab, &User::NOBODY, &[DNS_V6, IMDS_V4, IMDS_V6]);
        assert_eq!(rules(&lab.save(Family::V6)), before);
        verify(lab, 0, &[]);
    }

    fn an_ipv6_address_alone_touches_ipv6_alone(lab) {
        let before = rules(&lab.save(Family::V4));
        lock(lab, &[&DNS_V6.to_string(), "alice"]);
        served(lab, &User::ALICE, &[DNS_V6]);
        refused(lab, &User::ROOT, &[DNS_V6]);
        served(lab, &User::NOBODY, &[DNS_V4, IMDS_V4, IMDS_V6]);
        assert_eq!(rules(&lab.save(Family::V4)), before);
        verify(lab, 0, &[]);
    }

    fn an_ipv6_address_too_long_for_a_chain_name_is_locked_all_the_same(lab) {
        let text = "2001:db8:1234:5678:9abc:def0:1234:5678";
        let address: IpAddr = text.parse().expect("an address");
        lock(lab, &[text, "alice"]);
        not_open(lab, &User::ROOT, &[address]);
        let passes = lab.attempt(&User::ALICE, How::Udp, address);
        assert_ne!(passes.ending, Ending::Denied, "{passes:?}");
        verify(lab, 0, &[]);
        let status = lab.lockdown(&["status"]).expect_code(0);
        assert!(status.stdout.contains(text), "{status}");
        lab.lockdown(&["remove", text]).expect_code(0);
        assert!(!state(lab).contains("IPL-"), "{}", state(lab));
    }

    fn a_mapped_or_bracketed_address_is_the_same_address(lab) {
        lock(lab, &["::ffff:169.254.169.254", "root"]);
        only_root(lab);
        let again = lock(lab, &["[fd00:ec2::254]", "root"]);
        assert!(again.stdout.contains("(unchanged)"), "{again}");
    }

    fn a_dry_run_prints_what_the_programs_take_and_changes_nothing(lab) {
        lock(lab, &[V4, "alice"]);
        let before = state(lab);
        let text = lock(lab, &["apply", "--dry-run", V4, "root", "dave"]).stdout;
        let json: Value =
            lock(lab, &["--output=json", "apply", "--dry-run", V4, "root", "dave"]).json();
        assert_eq!(state(lab), before);
        served(lab, &User::ALICE, &IMDS);

        let transactions = json["transactions"].as_array().expect("a list");
        let count = match (lab.is_without_iptables(), backstop(lab)) {
            (true, _) => 1,
            (false, "nftables") => 3,
            (false, _) => 2,
        };
        assert_eq!(transactions.len(), count, "{json}");
        for transaction in transactions {
            let input = transaction["input"].as_str().expect("a text");
            assert!(text.contains(input), "{text}");
            let command: Vec<&str> = transaction["command"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            feed(lab, input, &command);
        }
        verify(lab, 0, &[V4, "root", "dave"]);
        served(lab, &User::DAVE, &IMDS);
        refused(lab, &User::ALICE, &IMDS);
        // The whole of it: what apply would do now is nothing.
        let nothing = lock(lab, &["--dry-run", V4, "root", "dave"]);
        assert!(nothing.stdout.contains("nothing to do"), "{nothing}");
    }
}

on_both_variants! {
    fn applying_twice_changes_nothing_and_keeps_the_counters(lab) {
        lock(lab, &[V4, "root", "alice"]);
        for address in IMDS {
            lab.curl(&User::ALICE, address).expect_code(0);
            lab.curl(&User::NOBODY, address).expect_code(7);
        }
        let before = Family::ALL.map(|family| lab.save(family));
        let handles = nft_rules(lab);
        // The order of the words, and how often each is said, does not matter.
        let again = lock(lab, &[V6, "alice", "root", "alice", "0"]);
        assert!(again.stdout.contains("(unchanged)"), "{again}");
        let json: Value = lock(lab, &[V4, "root", "alice", "--output", "json"]).json();
        assert_eq!(json["changed"], false);
        let after = Family::ALL.map(|family| lab.save(family));
        assert_eq!(handles, nft_rules(lab), "rules were written anew");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(rules(before), rules(after));
            for ((rule, before), (_, after)) in lines(before).zip(lines(after)) {
                assert!(before <= after, "the counter of {rule:?} went from {before:?} to {after:?}");
            }
            // A curl of alice: more packets than any probe sends.
            let passed = lines(after).find(|(rule, _)| rule.contains("--uid-owner 1001 "));
            assert!(passed.is_some_and(|(_, packets)| packets >= Some(8)), "{after}");
        }
    }

    fn auto_is_what_iptables_means_here(lab) {
        let variant = lab.variant().to_string();
        let json: Value = lab.lockdown_as("auto", &["--output=json", V4, "root"]).expect_code(0).json();
        assert_eq!(json["variant"], variant);
        only_root(lab);
        verify(lab, 0, &[V4, "root"]);
    }

    fn distributions_with_plain_names_only_are_served_too(lab) {
        let multi = format!("xtables-{}-multi", lab.variant());
        for name in ["iptables", "ip6tables"] {
            for suffix in ["", "-save", "-restore"] {
                let script = format!("#!/bin/sh\nexec {multi} {name}{suffix} \"$@\"\n");
                lab.stub(&format!("/usr/sbin/{name}{suffix}"), &script);
                lab.hide(&format!("/usr/sbin/{name}-nft{suffix}"));
                lab.hide(&format!("/usr/sbin/{name}-legacy{suffix}"));
            }
        }
        for variant in ["auto", &lab.variant().to_string()] {
            let json: Value = lab.lockdown_as(variant, &["--output=json", V4, "root"]).expect_code(0).json();
            assert_eq!(json["variant"], lab.variant().to_string());
        }
        only_root(lab);
    }

    fn json_of_apply_says_what_was_locked_and_what_was_found(lab) {
        let json: Value = lock(lab, &["--output", "json", V4, "root", "7-9", "--group", "ops"]).json();
        assert_eq!(json["exit_code"], 0);
        assert_eq!(json["changed"], true);
        assert_eq!(json["variant"], lab.variant().to_string());
        let lock = &json["locks"][0];
        assert_eq!(lock["addresses"], serde_json::json!([V4, V6]));
        assert_eq!(lock["layers"]["ipv4"], serde_json::json!(["filter", "security"]));
        assert_eq!(lock["forwarded"], "refuse");
        let subjects = serde_json::json!([
            {"kind": "user", "ids": "0", "names": ["root"]},
            {"kind": "user", "ids": "7-9", "names": []},
            {"kind": "group", "ids": "2001", "names": ["ops"]},
        ]);
        assert_eq!(lock["subjects"], subjects);
        let findings = json["findings"].as_array().expect("a list");
        assert!(findings.iter().all(|finding| finding["status"] == "pass"), "{json}");
        assert!(json["probes"].as_array().is_some_and(|probes| !probes.is_empty()));
    }

    fn names_uids_ranges_and_groups_say_who_may_pass(lab) {
        lock(lab, &[V4, "svc-web", "1002", "1600-1699", "--group", "metadata", "--group=ops"]);
        // Carol belongs to `metadata` by supplementary membership, dave to `ops` by primary.
        for user in [User::SVC_WEB, User::BOB, User::MALLORY, User::CAROL, User::DAVE] {
            served(lab, &user, &IMDS);
        }
        // The same people without their groups.
        let carol = User { groups: &[], ..User::CAROL };
        let dave = User { gid: 1005, ..User::DAVE };
        for user in [User::ROOT, User::NOBODY, User::ALICE, carol, dave] {
            refused(lab, &user, &IMDS);
        }
        verify(lab, 0, &[]);
        lock(lab, &[V4, "--group", "2000"]);
        served(lab, &User::CAROL, &IMDS);
        refused(lab, &User::DAVE, &IMDS);
        refused(lab, &User::BOB, &IMDS);
    }
}

/// The rules of iptables-nft with their handles, which a rewritten rule does not keep; without counters.
fn nft_rules(lab: &Lab) -> String {
    let script = "nft -a list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+//'";
    lab.sh(script).expect_code(0).stdout
}

/// Runs a command on the lab's host with this input.
#[track_caller]
fn feed(lab: &Lab, input: &str, command: &[&str]) {
    let script = r#"input=$1; shift; printf %s "$input" | "$@""#;
    let mut bash = lab.command("bash");
    Done::of(
        bash.args(["-euo", "pipefail", "-c", script, "feed", input])
            .args(command),
    )
    .expect_code(0);
}
