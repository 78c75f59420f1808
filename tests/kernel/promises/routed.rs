//! Packets of a container that is routed through the host have no owner on the host: all of them are refused.

use lab::{DNS_V4, DNS_V6, Ending, Family, How, IMDS, IMDS_V4, IMDS_V6, Lab, User};

use crate::promises::support::{Arrivals, V4, apply, packets, status};

/// What a container can be refused by.
const KINDS: [How; 4] = [How::Tcp, How::Udp, How::Mptcp, How::Icmp];

fn a_container_is_refused_at_once_whoever_it_is(lab: &Lab) {
    let arrivals = Arrivals::count(lab);
    for address in IMDS {
        assert!(
            lab.container_attempt(&User::ROOT, How::Tcp, address)
                .passed()
        );
    }
    // Root and alice of the host are not root and alice of the container.
    apply(lab, &["root", "alice"]);
    let before = arrivals.so_far();
    assert!(before.iter().all(|&packets| packets > 0));
    for user in [User::ROOT, User::ALICE, User::MALLORY] {
        for (address, how) in IMDS.iter().flat_map(|to| KINDS.map(|how| (*to, how))) {
            let outcome = lab.container_attempt(&user, how, address);
            let unsupported = outcome.ending == Ending::Unsupported && how == How::Mptcp;
            assert!(
                outcome.refused_fast() || unsupported,
                "{} {how} {address}: {outcome:?}",
                user.name
            );
        }
    }
    assert_eq!(arrivals.so_far(), before);
    assert!(packets(&status(lab), "forwarded_refused") > 0);
    for address in IMDS {
        lab.container_curl(&User::ROOT, address).expect_code(7);
        lab.curl(&User::ALICE, address).expect_code(0);
        lab.curl(&User::ROOT, address).expect_code(0);
    }
    for address in [DNS_V4, DNS_V6] {
        assert!(
            lab.container_attempt(&User::ROOT, How::Tcp, address)
                .passed()
        );
    }
}
on_both_variants!(a_container_is_refused_at_once_whoever_it_is);

fn a_container_stays_out_when_filter_is_flushed(lab: &Lab) {
    let arrivals = Arrivals::count(lab);
    apply(lab, &["root", "alice"]);
    let before = arrivals.so_far();
    for family in Family::ALL {
        lab.iptables(family, "-F").expect_code(0);
    }
    for address in IMDS {
        for how in [How::Tcp, How::Udp] {
            let outcome = lab.container_attempt(&User::ROOT, how, address);
            assert_eq!(
                outcome.ending,
                Ending::TimedOut,
                "the backstop drops: {how} {address}"
            );
            let outcome = lab.attempt(&User::MALLORY, how, address);
            assert!(!outcome.passed(), "{how} {address}: {outcome:?}");
        }
        lab.curl(&User::ALICE, address).expect_code(0);
    }
    assert_eq!(arrivals.so_far(), before);
    lab.lockdown(&["verify"]).expect_code(1);
}
in_filter_and_security!(a_container_stays_out_when_filter_is_flushed);

fn containers_are_left_alone_where_that_is_said_and_users_of_the_host_are_not(lab: &Lab) {
    lab.lockdown(&["apply", V4, "root", "--forwarded", "allow"])
        .expect_code(0);
    for address in [IMDS_V4, IMDS_V6] {
        assert!(
            lab.container_attempt(&User::NOBODY, How::Tcp, address)
                .passed()
        );
        assert!(lab.attempt(&User::NOBODY, How::Tcp, address).refused_fast());
    }
    apply(lab, &["root"]);
    for address in [IMDS_V4, IMDS_V6] {
        assert!(
            lab.container_attempt(&User::NOBODY, How::Tcp, address)
                .refused_fast()
        );
    }
}
on_both_variants!(containers_are_left_alone_where_that_is_said_and_users_of_the_host_are_not);
