//! Neither listed users nor other traffic lose a packet.

use lab::{DNS_V4, DNS_V6, How, IMDS, Lab, User};

use crate::promises::support::{apply, packets, status};

fn two_hundred_requests_of_a_listed_user_have_no_refused_packet(lab: &Lab) {
    requests_have_no_refused_packet(lab, &["root", "alice"]);
}
on_every_host!(two_hundred_requests_of_a_listed_user_have_no_refused_packet);

/// Their rules are in sub-chains, three levels deep.
fn two_hundred_requests_of_one_user_of_many_have_no_refused_packet(lab: &Lab) {
    let uids: Vec<String> = (0..600).map(|n| (2 * n + 1).to_string()).collect();
    let uids = uids.iter().map(String::as_str);
    let users: Vec<&str> = ["root", "alice"].into_iter().chain(uids).collect();
    requests_have_no_refused_packet(lab, &users);
}
on_every_host!(two_hundred_requests_of_one_user_of_many_have_no_refused_packet);

#[track_caller]
fn requests_have_no_refused_packet(lab: &Lab, users: &[&str]) {
    // The probes of apply are refused packets, too; status and requests come after them.
    apply(lab, users);
    for address in IMDS {
        let before = status(lab);
        let served = lab.requests(&User::ALICE, address, 200);
        let half_closed = lab.server_half_closed();
        let after = status(lab);
        assert_eq!(
            (served.served, served.failed),
            (200, 0),
            "{address}: {served:?}"
        );
        assert_eq!(half_closed, 0, "{address}");
        for counter in ["refused", "forwarded_refused"] {
            assert_eq!(
                packets(&before, counter),
                packets(&after, counter),
                "{address}: {counter}"
            );
        }
        // Each layer saw each of them.
        let passed = packets(&after, "passed") - packets(&before, "passed");
        let layers = if lab.is_without_iptables() { 1 } else { 2 };
        assert!(passed > layers * 3 * 200, "{address}: {passed} packets");
    }
    // The check can fail: an unlisted user's packets are counted.
    let before = packets(&status(lab), "refused");
    assert_eq!(lab.requests(&User::BOB, IMDS[0], 5).served, 0);
    assert!(packets(&status(lab), "refused") > before);
}

fn looking_and_applying_again_refuse_no_packet_of_a_listed_user_and_keep_the_counters(lab: &Lab) {
    apply(lab, &["alice"]);
    lab.requests(&User::ALICE, IMDS[0], 10);
    let before = packets(&status(lab), "passed");
    assert!(before > 0);
    for _ in 0..3 {
        apply(lab, &["alice"]);
        lab.lockdown(&["verify"]).expect_code(0);
    }
    assert!(packets(&status(lab), "passed") >= before);
}
on_every_host!(looking_and_applying_again_refuse_no_packet_of_a_listed_user_and_keep_the_counters);

fn other_addresses_stay_reachable_for_everybody(lab: &Lab) {
    // Not even root may pass: other addresses are no matter of the list.
    apply(lab, &[]);
    for user in [User::ROOT, User::NOBODY, User::MALLORY] {
        for address in [DNS_V4, DNS_V6] {
            for how in [How::Tcp, How::Udp, How::Icmp] {
                let outcome = lab.attempt(&user, how, address);
                assert!(
                    outcome.passed(),
                    "{} {how} {address}: {outcome:?}",
                    user.name
                );
                let outcome = lab.container_attempt(&user, how, address);
                assert!(outcome.passed(), "routed, {how} {address}: {outcome:?}");
            }
        }
        for address in IMDS {
            let outcome = lab.attempt(&user, How::Tcp, address);
            assert!(
                outcome.refused_fast(),
                "{} {address}: {outcome:?}",
                user.name
            );
        }
    }
    for address in [DNS_V4, DNS_V6] {
        let served = lab.requests(&User::NOBODY, address, 50);
        assert_eq!(
            (served.served, served.failed),
            (50, 0),
            "{address}: {served:?}"
        );
    }
    assert_eq!(lab.server_half_closed(), 0);
}
on_every_host!(other_addresses_stay_reachable_for_everybody);
