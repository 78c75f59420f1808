//! Ways to the address that do not meet our rules: each is found, named, and told how to close.

use lab::{Ending, Family, How, IMDS_V4, Lab, User};

use crate::hosts::nft;
use crate::netns::support::{V4, lock, only_root, verify};

/// Makes the container a neighbour at layer 2: one bridge joins it, the host and the metadata service.
fn bridge(lab: &Lab) {
    lab.sh("ip link add br0 type bridge
         ip addr flush dev to-imds; ip addr flush dev to-container
         ip link set to-imds master br0; ip link set to-container master br0
         ip link set br0 up
         ip addr add 192.0.2.1/24 dev br0
         ip route add default via 192.0.2.2")
        .expect_code(0);
    for (mut command, address) in [
        (lab.in_imds("bash"), "192.0.2.2/24"),
        (lab.in_container("bash"), "192.0.2.3/24"),
    ] {
        let script = format!(
            "ip addr add {address} dev to-host; ip addr del 192.0.2.2/30 dev to-host 2>/dev/null || true; \
             ip route replace default via 192.0.2.2 2>/dev/null || true"
        );
        lab::Done::of(command.args(["-c", &script])).expect_code(0);
    }
}

on_every_host! {
    fn a_bridged_container_is_refused_or_verify_fails(lab) {
        bridge(lab);
        lock(lab, &[V4, "root"]);
        let container = |lab: &Lab| lab.container_attempt(&User::ROOT, How::Tcp, IMDS_V4).ending;
        assert_eq!(container(lab), Ending::Refused);
        verify(lab, 0, &[]);
        lab.sh("echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables").expect_code(0);
        assert_eq!(container(lab), Ending::Connected);
        verify(lab, 1, &[])
            .expect_failed("bridged-refused", "br0")
            .expect_failed("bridged-refused", "bridge-nf-call-iptables");
        lock(lab, &[V4, "root", "--forwarded=allow"]);
        verify(lab, 0, &[]);
    }
}

#[test]
fn a_bridge_that_does_not_lead_to_the_address_is_no_alarm() {
    let lab = &nft();
    lab.sh(
        "ip link add docker0 type bridge; ip link set docker0 up
         ip link add v1 type veth peer name v2; ip link set v1 master docker0; ip link set v2 master docker0
         echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables
         echo 0 > /proc/sys/net/bridge/bridge-nf-call-ip6tables",
    )
    .expect_code(0);
    lock(lab, &[V4, "root"]);
    verify(lab, 0, &[]);
}

on_both_variants! {
    fn a_transparent_proxy_in_mangle_is_found(lab) {
        lock(lab, &[V4, "root"]);
        lab.iptables(
            Family::V4,
            "-t mangle -A PREROUTING -p tcp --dport 80 -j TPROXY --on-port 3128 --on-ip 127.0.0.1 --tproxy-mark 1",
        )
        .expect_code(0);
        verify(lab, 1, &[]).expect_failed("nat-untouched", "mangle PREROUTING may rewrite the address");
        lab.iptables(Family::V4, "-t mangle -I PREROUTING -d 169.254.0.0/16 -j RETURN").expect_code(0);
        verify(lab, 0, &[]);
        only_root(lab);
    }
}

with_nftables! {
    fn a_transparent_proxy_in_a_filter_chain_of_nftables_is_found(lab) {
        lock(lab, &[V4, "root"]);
        let table = |rule: &str| format!(
            "nft 'table inet squid {{ chain pre {{ type filter hook prerouting priority -150; {rule}; }}; }}'"
        );
        lab.sh(&table("ip daddr 10.0.0.0/8 tcp dport 80 tproxy ip to :3128")).expect_code(0);
        lab.sh(&table("ct state established,related accept; fib saddr . iif oif missing drop; meta mark set 1"))
            .expect_code(0);
        verify(lab, 0, &[]);
        lab.sh(&table("meta l4proto tcp tcp dport 80 tproxy ip to 127.0.0.1:3128 meta mark set 1 accept"))
            .expect_code(0);
        verify(lab, 1, &[]).expect_failed("nat-untouched", "nftables chain squid pre may rewrite the address");
    }

    fn a_stateless_rewrite_outside_of_nat_is_found(lab) {
        lock(lab, &[V4, "root"]);
        for hook in ["output", "prerouting"] {
            lab.sh(&format!(
                "nft 'table ip x {{ chain c {{ type filter hook {hook} priority -150; \
                 ip daddr {V4} tcp dport 80 ip daddr set 192.0.2.2; }}; }}'"
            ))
            .expect_code(0);
            verify(lab, 1, &["--no-probe"]).expect_failed("nat-untouched", "nftables chain x c");
            lab.sh("nft delete table ip x").expect_code(0);
        }
    }

    fn source_routes_are_found(lab) {
        lock(lab, &[V4, "root"]);
        lab.sh("echo 1 > /proc/sys/net/ipv4/conf/to-container/accept_source_route
                echo 0 > /proc/sys/net/ipv4/conf/all/accept_source_route").expect_code(0);
        verify(lab, 0, &[]);
        lab.sh("echo 1 > /proc/sys/net/ipv4/conf/all/accept_source_route").expect_code(0);
        verify(lab, 1, &[]).expect_failed("no-source-routes", "accept_source_route");
        lab.sh("echo 0 > /proc/sys/net/ipv4/ip_forward").expect_code(0);
        verify(lab, 0, &[]);
    }

    fn segment_routing_is_found_where_forwarded_packets_are_allowed(lab) {
        for setting in ["seg6_enabled", "rpl_seg_enabled"] {
            lock(lab, &[V4, "root", "--forwarded=allow"]);
            lab.sh(&format!("echo 1 > /proc/sys/net/ipv6/conf/lo/{setting}")).expect_code(0);
            verify(lab, 0, &[]);
            lab.sh(&format!("echo 1 > /proc/sys/net/ipv6/conf/all/{setting}")).expect_code(0);
            verify(lab, 1, &[]).expect_failed("no-source-routes", setting);
            lock(lab, &[V4, "root"]);
            verify(lab, 0, &[]);
            lab.sh(&format!("echo 0 > /proc/sys/net/ipv6/conf/all/{setting}")).expect_code(0);
        }
    }
}

#[test]
fn a_rule_that_iptables_cannot_print_is_read_from_the_kernel() {
    let lab = &nft();
    lock(lab, &[V4, "root"]);
    lab.sh("iptables-nft -t nat -A OUTPUT -d 192.0.2.77 -j ACCEPT")
        .expect_code(0);
    lab.sh("nft add rule ip nat OUTPUT meta skuid 1666 ip daddr 192.0.2.9 tcp dport 80 dnat to 192.0.2.2:80")
        .expect_code(0);
    verify(lab, 0, &[]);
    lab.sh(&format!(
        "nft add rule ip nat OUTPUT meta skuid 1666 ip daddr {V4} tcp dport 80 dnat to 192.0.2.2:80"
    ))
    .expect_code(0);
    verify(lab, 1, &[]).expect_failed("nat-untouched", "meta skuid");
}
