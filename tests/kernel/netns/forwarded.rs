//! Packets that the host routes for a container.

use lab::{How, IMDS, Lab, User};

use crate::netns::support::{V4, lock, refused, served, verify};
use lab::saved::state;

#[track_caller]
fn container_refused(lab: &Lab) {
    for address in IMDS {
        let outcome = lab.container_attempt(&User::ROOT, How::Tcp, address);
        assert!(outcome.refused_fast(), "{address}: {outcome:?}");
        assert!(
            !lab.container_attempt(&User::ROOT, How::Udp, address)
                .passed()
        );
        lab.container_curl(&User::ROOT, address).expect_code(7);
    }
}

#[track_caller]
fn container_served(lab: &Lab) {
    for address in IMDS {
        lab.container_curl(&User::NOBODY, address).expect_code(0);
    }
}

on_every_host! {
    fn a_routed_container_is_refused_at_once(lab) {
        container_served(lab);
        lock(lab, &[V4, "root"]);
        container_refused(lab);
        lock(lab, &[V4, "root", "--forwarded", "refuse"]);
        container_refused(lab);
    }

    fn forwarded_allow_allows_containers_and_locks_the_host(lab) {
        lock(lab, &[V4, "root", "--forwarded=allow"]);
        container_served(lab);
        served(lab, &User::ROOT, &IMDS);
        refused(lab, &User::MALLORY, &IMDS);
        assert!(!state(lab).contains("IPF-"), "{}", state(lab));
        verify(lab, 0, &[]);
        verify(lab, 0, &[V4, "root", "--forwarded=allow"]);
        verify(lab, 1, &[V4, "root"]);
        let status = lab.lockdown(&["status"]).expect_code(0);
        assert!(status.stdout.contains("forwarded   allowed"), "{status}");
    }

    fn the_choice_can_be_changed_both_ways(lab) {
        lock(lab, &[V4, "root"]);
        container_refused(lab);
        lock(lab, &[V4, "root", "--forwarded=allow"]);
        container_served(lab);
        verify(lab, 0, &[]);
        lock(lab, &[V4, "root"]);
        container_refused(lab);
        verify(lab, 0, &[]);
    }
}
