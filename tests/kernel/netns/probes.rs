//! What probes are, and how they are judged: only what was tested passes.

use lab::{Done, Family, How, IMDS, IMDS_V4, Lab, User};

use crate::netns::support::{V4, V6, lock, refused, served, verify};

/// The EKS Pod Identity agent.
const POD_IDENTITY: &str = "169.254.170.23";

on_both_variants! {
    // Every host that was hardened as CIS says.
    fn udp_that_is_refused_for_everybody_does_not_matter_to_the_metadata_service(lab) {
        lock(lab, &[V4, "root"]);
        for family in Family::ALL {
            lab.iptables(family, "-A OUTPUT -p udp -j REJECT").expect_code(0);
        }
        served(lab, &User::ROOT, &IMDS);
        verify(lab, 0, &[]).expect_said("listed-served", "1 of 1 got through (TCP)");
        assert!(lock(lab, &[V4, "root"]).stdout.contains("unchanged"));
    }

    fn a_listed_user_whose_tcp_is_refused_is_not_served(lab) {
        lock(lab, &[V4, "root", "alice"]);
        for (to, family, with) in [
            (V4, Family::V4, "icmp-port-unreachable"),
            (V4, Family::V4, "icmp-admin-prohibited"),
            (V4, Family::V4, "tcp-reset"),
            (V6, Family::V6, "icmp6-port-unreachable"),
            (V6, Family::V6, "icmp6-adm-prohibited"),
            (V6, Family::V6, "tcp-reset"),
        ] {
            let rule = format!("OUTPUT -p tcp -d {to} -m owner --uid-owner 1001 -j REJECT --reject-with {with}");
            lab.iptables(family, &format!("-A {rule}")).expect_code(0);
            verify(lab, 1, &[]).expect_failed("listed-served", "refused although allowed: uid 1001");
            lab.iptables(family, &format!("-D {rule}")).expect_code(0);
        }
        verify(lab, 0, &[]).expect_said("listed-served", "2 of 2 got through (TCP)");
    }

    // The other one is answered, so that silence is not the service's.
    fn a_listed_user_whose_packets_are_dropped_is_not_served(lab) {
        lock(lab, &[V4, "root", "alice"]);
        let rule = format!("OUTPUT -d {V4} -m owner --uid-owner 1001 -j DROP");
        lab.iptables(Family::V4, &format!("-A {rule}")).expect_code(0);
        verify(lab, 1, &[]).expect_failed("listed-served", "refused although allowed: uid 1001");
    }

    fn at_another_address_either_transport_is_said(lab) {
        let dns = lab::DNS_V4.to_string();
        lock(lab, &[&dns, "root"]);
        verify(lab, 0, &[]).expect_said("listed-served", "1 of 1 got through (UDP, TCP to port 80)");
        lab.iptables(Family::V4, &format!("-A OUTPUT -p udp -d {dns} -j REJECT")).expect_code(0);
        verify(lab, 4, &[]).expect_said("listed-served", "UDP to port 80 was refused, TCP was not: uid 0");
        lab.iptables(Family::V4, "-F OUTPUT").expect_code(0);
        lock(lab, &[&dns, "root"]);
        lab.iptables(Family::V4, &format!("-A OUTPUT -p tcp -d {dns} -j REJECT")).expect_code(0);
        verify(lab, 4, &[]).expect_said("listed-served", "TCP to port 80 was refused, UDP was not: uid 0");
        lab.iptables(Family::V4, &format!("-A OUTPUT -p udp -d {dns} -j REJECT")).expect_code(0);
        verify(lab, 1, &[]).expect_failed("listed-served", "refused although allowed: uid 0");
    }
}

on_every_host! {
    // IMDS that is switched off, or a proxy that is not started.
    fn a_closed_port_of_the_service_refuses_nobody(lab) {
        lock(lab, &[V4, "root"]);
        close_the_port(lab);
        verify(lab, 0, &[]).expect_said("listed-served", "1 of 1 not refused (TCP), but not answered");
    }

    fn without_a_route_ipv4_is_tested_through_lo(lab) {
        lab.sh("ip link set lo up; ip route del default; ip -6 route del default").expect_code(0);
        let done = lock(lab, &[V4, "root"]);
        assert!(done.stdout.contains("not tested: no route to fd00:ec2::254"), "{done}");
        let verdict = verify(lab, 0, &[]);
        verdict
            .expect_said("unlisted-refused", "(UDP, TCP through lo: no route to 169.254.169.254)")
            .expect_said("refused-at-once", "through lo")
            .expect_said("listed-served", "1 of 1 not refused (TCP through lo: no route to 169.254.169.254), but not answered")
            .expect_status("unlisted-refused", V6, "not-tested")
            .expect_status("refused-at-once", V6, "not-tested")
            .expect_status("listed-served", V6, "not-tested");
        let done = lab.lockdown(&["verify"]).expect_code(0);
        assert!(done.stdout.contains("3 not tested: no route to fd00:ec2::254"), "{done}");
    }

    // The rules are there and right; yet nothing was tested.
    fn without_lo_nothing_is_tested_and_nothing_passes(lab) {
        lab.sh("ip link set lo down; ip route del default; ip -6 route del default").expect_code(0);
        lock(lab, &[V4, "root"]);
        let verdict = verify(lab, 0, &[]);
        for address in [V4, V6] {
            for id in ["unlisted-refused", "refused-at-once", "listed-served"] {
                verdict.expect_status(id, address, "not-tested");
            }
        }
    }

    fn a_listed_user_without_a_route_is_not_counted_as_served(lab) {
        lock(lab, &[V4, "root", "alice"]);
        lab.sh("ip rule add pref 10 uidrange 1001-1001 unreachable
            ip -6 rule add pref 10 uidrange 1001-1001 unreachable").expect_code(0);
        verify(lab, 0, &[])
            .expect_said("listed-served", "1 of 2 got through (TCP); not tested: no route for uid 1001")
            .expect_status("listed-served", V4, "not-tested")
            .expect_status("listed-served", V6, "not-tested");
    }

    // systemd-imdsd makes such a route.
    fn a_prohibit_route_refuses_listed_users_too(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh("ip link set lo up; ip route add prohibit 169.254.169.254; ip -6 route add prohibit fd00:ec2::254").expect_code(0);
        verify(lab, 4, &[])
            .expect_failed("listed-served", "a route of the type `prohibit`")
            .expect_status("unlisted-refused", V4, "pass")
            .expect_status("unlisted-refused", V6, "not-tested");
    }

    fn an_address_of_this_host_is_not_locked(lab) {
        lab.sh(&format!("ip link set lo up; ip address add {POD_IDENTITY}/32 dev lo")).expect_code(0);
        let done = lab.lockdown(&[POD_IDENTITY, "root"]).expect_code(2);
        assert!(done.stderr.contains("169.254.170.23 is an address of this host (interface lo)"), "{done}");
        lab.lockdown(&["status"]).expect_code(0);
        assert!(!lab.lockdown(&["status"]).stdout.contains(POD_IDENTITY));
        for loopback in ["127.0.0.1", "127.9.9.9", "::1"] {
            let done = lab.lockdown(&[loopback, "root"]).expect_code(2);
            assert!(done.stderr.contains("is an address of this host"), "{done}");
        }
        let done = lab.lockdown(&["--dry-run", POD_IDENTITY, "root"]).expect_code(2);
        assert_eq!(done.stdout, "", "{done}");
        // An image build writes the configuration of other hosts.
        lab.lockdown(&["enable", "--now", POD_IDENTITY, "root"]).expect_code(2);
        let done = lab.lockdown(&["enable", POD_IDENTITY, "root"]);
        assert!(done.stdout.contains("config.toml: written"), "{done}");
    }

    fn an_address_that_this_host_gets_later_fails(lab) {
        lock(lab, &[POD_IDENTITY, "root"]);
        lab.sh(&format!("ip link set lo up; ip address add {POD_IDENTITY}/32 dev lo")).expect_code(0);
        verify(lab, 1, &[]).expect_failed("address-remote", "is an address of this host (interface lo)");
        lab.lockdown(&["remove", POD_IDENTITY]).expect_code(0);
    }
}

on_both_variants! {
    fn a_packet_that_a_queue_holds_is_neither_refused_nor_through(lab) {
        lock(lab, &[V4, "root"]);
        queued(lab);
        let held = lab.queue(false);
        let verdict = verify(lab, 4, &[]);
        assert_eq!(verdict.failed(), [""; 0]);
        verdict
            .expect_said("unlisted-refused", "NFQUEUE")
            .expect_status("unlisted-refused", V4, "unknown")
            .expect_status("refused-at-once", V4, "unknown")
            .expect_status("listed-served", V4, "unknown");
        drop(held);
    }

    // It answers at once, and the packet goes on to the rules; the verdict of these does not reach the sender of a datagram.
    fn a_packet_that_a_queue_lets_go_is_judged_by_tcp(lab) {
        lock(lab, &[V4, "root"]);
        queued(lab);
        let quick = lab.queue(true);
        assert_eq!(lab.attempt(&User::MALLORY, How::Tcp, IMDS_V4).ending, lab::Ending::Refused);
        let verdict = verify(lab, 4, &[]);
        assert_eq!(verdict.failed(), [""; 0]);
        verdict
            .expect_said("unlisted-refused", "NFQUEUE")
            .expect_status("refused-at-once", V4, "pass")
            .expect_said("listed-served", "1 of 1 got through (TCP)");
        drop(quick);
        refused(lab, &User::MALLORY, &[IMDS_V4]);
    }
}

#[test]
fn a_socket_that_is_denied_is_no_result() {
    let lab = crate::hosts::nft();
    lock(&lab, &[V4, "root"]);
    for what in ["ipv4-eperm", "ipv4-eacces", "ipv4-einval"] {
        let mut command = lab.without(what, lab::lockdown_program());
        let done = Done::of(command.args(["--variant", "nft", "verify"])).expect_code(3);
        assert!(done.stdout.contains("cannot open a socket"), "{done}");
        assert!(!done.stdout.contains("no route"), "{done}");
    }
}

/// The metadata service answers each connect by a reset.
fn close_the_port(lab: &Lab) {
    for program in ["iptables-nft", "ip6tables-nft"] {
        let rule =
            format!("{program} -I INPUT -p tcp --dport 80 -j REJECT --reject-with tcp-reset");
        Done::of(lab.in_imds("bash").args(["-euc", &rule])).expect_code(0);
    }
}

/// What OpenSnitch installs: new flows go to queue 0, before every rule of ours.
fn queued(lab: &Lab) {
    for family in Family::ALL {
        let rule = "-t mangle -A OUTPUT -p udp -j NFQUEUE --queue-num 0 --queue-bypass";
        lab.iptables(family, rule).expect_code(0);
        let rule = "-t mangle -A OUTPUT -p tcp --syn -j NFQUEUE --queue-num 0 --queue-bypass";
        lab.iptables(family, rule).expect_code(0);
    }
}
