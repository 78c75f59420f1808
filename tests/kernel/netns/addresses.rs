//! Several addresses side by side, and the two halves of the metadata service.

use lab::{DNS_V4, DNS_V6, Family, IMDS, IMDS_V4, IMDS_V6, Lab, User};

use crate::netns::support::{V4, V6, lock, only_root, refused, served, verify};
use lab::saved::{lines, state};

on_every_host! {
    fn each_address_has_its_own_users(lab) {
        let [dns_v4, dns_v6] = [DNS_V4, DNS_V6].map(|address| address.to_string());
        lock(lab, &[V4, "root"]);
        lock(lab, &[&dns_v4, "alice"]);
        lock(lab, &[&dns_v6, "bob", "alice"]);
        only_root(lab);
        served(lab, &User::ALICE, &[DNS_V4, DNS_V6]);
        served(lab, &User::BOB, &[DNS_V6]);
        refused(lab, &User::BOB, &[DNS_V4]);
        refused(lab, &User::ROOT, &[DNS_V4, DNS_V6]);
        verify(lab, 0, &[]);
        verify(lab, 0, &[V4, "root"]);
        verify(lab, 0, &[&dns_v4, "alice"]);
        let status = lab.lockdown(&["status"]).expect_code(0).stdout;
        for address in [V4, &dns_v4, &dns_v6] {
            assert!(status.contains(address), "{status}");
        }
    }

    fn a_third_address_moves_no_jump_of_the_others(lab) {
        lock(lab, &[V4, "root"]);
        let before = jumps(lab);
        lock(lab, &[&DNS_V4.to_string(), "root"]);
        let after: Vec<_> = jumps(lab).into_iter().filter(|(rule, _)| rule.contains(V4)).collect();
        expect_kept(&before, &after);
    }

    fn only_locks_one_half(lab) {
        lock(lab, &["--only", V4, "root"]);
        served(lab, &User::ROOT, &IMDS);
        refused(lab, &User::MALLORY, &[IMDS_V4]);
        served(lab, &User::MALLORY, &[IMDS_V6]);
        verify(lab, 0, &[]);
        verify(lab, 0, &["--only", V4, "root"]);
        // The pair is not locked as a pair.
        verify(lab, 1, &[V4, "root"]);
    }

    fn only_on_one_half_of_a_locked_pair_leaves_the_other_under_its_old_list(lab) {
        lock(lab, &[V4, "root"]);
        lock(lab, &["--only", V6, "alice"]);
        served(lab, &User::ROOT, &[IMDS_V4]);
        served(lab, &User::ALICE, &[IMDS_V6]);
        refused(lab, &User::ALICE, &[IMDS_V4]);
        refused(lab, &User::ROOT, &[IMDS_V6]);
        refused(lab, &User::MALLORY, &IMDS);
        verify(lab, 0, &[]);
        verify(lab, 0, &["--only", V4, "root"]);
        verify(lab, 0, &["--only", V6, "alice"]);
        // And back to one list for both.
        lock(lab, &[V6, "bob"]);
        served(lab, &User::BOB, &IMDS);
        refused(lab, &User::ROOT, &IMDS);
        refused(lab, &User::ALICE, &IMDS);
        verify(lab, 0, &[V4, "bob"]);
        assert!(!state(lab).contains(" only"), "{}", state(lab));
    }

    fn two_halves_locked_one_by_one_are_two_lockdowns(lab) {
        lock(lab, &["--only", V4, "root"]);
        lock(lab, &["--only", V6, "alice"]);
        lab.lockdown(&["remove", "--only", V6]).expect_code(0);
        served(lab, &User::MALLORY, &[IMDS_V6]);
        refused(lab, &User::MALLORY, &[IMDS_V4]);
        verify(lab, 0, &[]);
    }

    fn opening_one_half_of_a_pair_keeps_the_other_and_verify_agrees(lab) {
        lock(lab, &[V4, "root"]);
        lab.lockdown(&["remove", "--only", V6]).expect_code(0);
        served(lab, &User::MALLORY, &[IMDS_V6]);
        refused(lab, &User::MALLORY, &[IMDS_V4]);
        served(lab, &User::ROOT, &IMDS);
        verify(lab, 0, &[]);
    }
}

on_both_variants! {
    fn applying_one_address_does_not_disturb_another(lab) {
        let dns = DNS_V4.to_string();
        lock(lab, &[&dns, "alice"]);
        lab.requests(&User::ALICE, DNS_V4, 3);
        let before = of_chain(lab, &dns);
        lock(lab, &[V4, "root"]);
        lock(lab, &[V4, "bob", "--forwarded=allow"]);
        lock(lab, &[V4, "--only", "bob"]);
        lab.lockdown(&["remove", V4]).expect_code(0);
        expect_kept(&before, &of_chain(lab, &dns));
        verify(lab, 0, &[]);
    }
}

/// The lines that name the address, with their counters.
fn of_chain(lab: &Lab, address: &str) -> Vec<(String, Option<u64>)> {
    let mut found = Vec::new();
    for family in Family::ALL {
        found.extend(lines(&lab.save(family)).filter(|(rule, _)| rule.contains(address)));
    }
    assert!(found.len() >= 8, "{found:?}");
    found
}

/// The jumps of ours, with their counters.
fn jumps(lab: &Lab) -> Vec<(String, Option<u64>)> {
    lines(&lab.save(Family::V4))
        .filter(|(rule, _)| rule.contains("-A OUTPUT") || rule.contains("-A FORWARD"))
        .collect()
}

/// Expects the same rules in the same order, none of which was made anew: its counter would begin at 0. A late
/// packet may still have come.
#[track_caller]
fn expect_kept(before: &[(String, Option<u64>)], after: &[(String, Option<u64>)]) {
    let rules =
        |lines: &[(String, _)]| -> Vec<_> { lines.iter().map(|line| line.0.clone()).collect() };
    assert_eq!(rules(before), rules(after));
    for ((rule, before), (_, after)) in before.iter().zip(after) {
        assert!(
            before <= after,
            "the counter of {rule:?} went from {before:?} to {after:?}"
        );
    }
}
