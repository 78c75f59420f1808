//! iptables-nft and iptables-legacy have separate rules in the kernel, and every packet passes both.

use lab::{Family, IMDS, IMDS_V4, Lab, User, Variant};
use serde_json::Value;

use crate::netns::support::{V4, lock, only_root, refused, save_of_other, served, verify};
use lab::saved::state;

/// Lays a lockdown of the other variant beside the one that stands, as a host that was switched has it.
#[track_caller]
fn lay_stale(lab: &Lab, arguments: &[&str]) {
    let words: Vec<&str> = [
        "--output=json",
        "--layers=filter,security",
        "apply",
        "--dry-run",
    ]
    .into_iter()
    .chain(arguments.iter().copied())
    .collect();
    let json: Value = lab
        .lockdown_as(lab.variant().other(), &words)
        .expect_code(0)
        .json();
    for transaction in json["transactions"].as_array().expect("a list") {
        let program = transaction["command"][0].as_str().expect("a program");
        // What would be taken away of the lab's own variant stays, on such a host.
        if program.contains(&lab.variant().to_string()) || program == "nft" {
            continue;
        }
        let input = transaction["input"].as_str().expect("a text");
        let script = r#"printf %s "$2" | "$1" --noflush"#;
        lab.run(&["bash", "-euc", script, "lay", program, input])
            .expect_code(0);
    }
}

on_both_variants! {
    fn a_stale_lockdown_of_the_other_variant_is_told_and_taken_away(lab) {
        lock(lab, &[V4, "root"]);
        lay_stale(lab, &[V4, "alice"]);
        // Two lists, of which everyone must be on both.
        refused(lab, &User::ROOT, &IMDS);
        refused(lab, &User::ALICE, &IMDS);
        let words = format!("iptables-{} holds a lockdown too", lab.variant().other());
        verify(lab, 1, &[]).expect_failed("other-variant-clear", &words);
        lock(lab, &[V4, "root"]);
        only_root(lab);
        verify(lab, 0, &[]);
        for family in Family::ALL {
            let left = save_of_other(lab, family);
            assert!(!left.contains("IPL-") && !left.contains("IPF-"), "{left}");
        }
    }

    fn moving_from_one_variant_to_the_other_is_never_open(lab) {
        lab.lockdown_as(lab.variant().other(), &[V4, "root"]).expect_code(0);
        let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
            lock(lab, &[V4, "root"]);
            lab.lockdown_as(lab.variant().other(), &[V4, "root"]).expect_code(0);
            lock(lab, &[V4, "root"]);
        });
        assert_eq!(counts.passed(), 0, "{counts:?}");
        only_root(lab);
        verify(lab, 0, &[]);
    }

    fn a_lockdown_of_the_other_variant_for_another_address_is_left_alone(lab) {
        lab.lockdown_as(lab.variant().other(), &["--layers=filter,security", "192.0.2.77", "alice"]).expect_code(0);
        let before = lab::saved::rules(&save_of_other(lab, Family::V4));
        lock(lab, &[V4, "root"]);
        assert_eq!(lab::saved::rules(&save_of_other(lab, Family::V4)), before);
        verify(lab, 0, &[]);
    }

    fn legacy_tables_are_not_made_by_looking(lab) {
        for words in [&["status"][..], &["verify"], &["remove"], &["--dry-run", V4, "root"]] {
            lab.lockdown(words);
        }
        for list in ["ip_tables_names", "ip6_tables_names"] {
            let tables = lab.sh(&format!("cat /proc/net/{list} 2>/dev/null || true")).stdout;
            assert_eq!(tables, "", "{list}");
        }
        assert!(!state(lab).contains("IPL-"));
    }

    fn a_redirect_in_nat_is_reported(lab) {
        lock(lab, &[V4, "root"]);
        let redirects = [
            (Family::V4, "OUTPUT -d 169.254.169.254 -p tcp --dport 80 -j REDIRECT --to-ports 8181"),
            (Family::V4, "OUTPUT -d 169.254.0.0/16 -p tcp -j DNAT --to-destination 192.0.2.2:80"),
            (Family::V4, "PREROUTING -d 169.254.169.254 -p tcp -j DNAT --to-destination 192.0.2.2:80"),
            (Family::V6, "OUTPUT -d fd00:ec2::254 -p tcp -m multiport --dports 22,80 -j REDIRECT --to-ports 8181"),
        ];
        for (family, rule) in redirects {
            lab.iptables(family, &format!("-t nat -A {rule}")).expect_code(0);
            verify(lab, 1, &[]).expect_failed("nat-untouched", "may rewrite the address");
            lab.lockdown(&[V4, "root"]).expect_code(1);
            lab.iptables(family, &format!("-t nat -D {rule}")).expect_code(0);
            verify(lab, 0, &[]);
        }
        // The ECS agent's, for another address.
        for target in ["REDIRECT --to-ports 51679", "DNAT --to-destination 127.0.0.1:51679"] {
            let rule = format!("-t nat -A OUTPUT -d 169.254.170.2/32 -p tcp --dport 80 -j {target}");
            lab.iptables(Family::V4, &rule).expect_code(0);
        }
        verify(lab, 0, &[]);
        served(lab, &User::ROOT, &[IMDS_V4]);
    }
}

#[test]
fn the_first_legacy_rules_on_a_host_of_iptables_nft_are_warned_about() {
    let lab = Lab::new(Variant::Nft);
    let warns = |arguments: &[&str]| {
        let done = lab.lockdown_as("legacy", arguments).expect_code(0);
        done.stderr
            .contains("`iptables` on this host is iptables-nft")
    };
    assert!(warns(&[V4, "root"]));
    assert!(!warns(&[V4, "root"]), "what is there already is no news");
    only_root(&lab);
}

/// A host that was switched: neither command takes the other variant's lockdown for nothing.
#[test]
fn what_the_other_variant_locks_is_not_called_open() {
    for variant in Variant::ALL {
        let lab = Lab::new(variant);
        lock(&lab, &[V4, "root"]);
        let theirs = lab.variant().other().to_string();
        let status = lab.lockdown_as(&theirs, &["status"]).expect_code(0);
        assert!(
            status.stdout.contains(&format!("iptables-{variant}")),
            "{status}"
        );
        let verdict = lab.lockdown_as(&theirs, &["verify"]).expect_code(1);
        let words = format!("iptables-{variant} holds a lockdown");
        assert!(verdict.stdout.contains(&words), "{verdict}");
        only_root(&lab);
    }
}
