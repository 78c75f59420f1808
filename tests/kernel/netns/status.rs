//! `status`: what is locked, for whom, and the counters.

use std::net::IpAddr;

use ip_lockdown::probe::SOURCE_PORT;
use lab::{DNS_V4, Done, Family, IMDS, IMDS_V4, IMDS_V6, Lab, User};
use serde_json::Value;

use crate::netns::support::{V4, V6, first_layer, lock, settle, verify};

/// The counters of each address in each layer.
#[track_caller]
fn counters(lab: &Lab) -> Vec<Value> {
    let status: Value = lock(lab, &["status", "--output=json"]).json();
    let locks = status["locks"].as_array().expect("a list");
    let counters = locks.iter().filter_map(|lock| lock["counters"].as_array());
    counters.flatten().cloned().collect()
}

/// A packet counter of the first layer.
#[track_caller]
fn packets(lab: &Lab, address: &str, what: &str) -> u64 {
    let all = counters(lab);
    let counted = all
        .iter()
        .find(|counted| counted["address"] == address && counted["layer"] == first_layer(lab));
    counted
        .and_then(|counted| counted[what]["packets"].as_u64())
        .unwrap_or_else(|| panic!("no {what} of {address} in {all:#?}"))
}

/// The packets refused since the chains were written, of all layers and addresses.
#[track_caller]
fn refused_anywhere(lab: &Lab) -> u64 {
    let refused = |counted: &Value| counted["refused"]["packets"].as_u64().expect("a number");
    counters(lab).iter().map(refused).sum()
}

/// Connects to port 80 from this source port as a user who is not listed.
#[track_caller]
fn refused_from_port(lab: &Lab, source: u16, address: IpAddr) {
    let url = format!("http://{}/", std::net::SocketAddr::new(address, 80));
    lab.run(&[
        "setpriv",
        "--reuid=1666",
        "--regid=1666",
        "--clear-groups",
        "curl",
        "--silent",
        "--max-time",
        "2",
        "--local-port",
        &source.to_string(),
        &url,
    ])
    .expect_code(7);
}

/// Has the service answer no datagram, as the real one does not. (The lab's answer comes when the probe of a listed
/// user has closed its socket. The host's kernel then sends an ICMP error to the service, a packet that is refused.)
#[track_caller]
fn no_datagram_is_answered(lab: &Lab) {
    let script = "nft 'add table inet mute; add chain inet mute out { type filter hook output priority 0; }; \
                  add rule inet mute out udp sport 80 drop'";
    Done::of(lab.in_imds("bash").args(["-euc", script])).expect_code(0);
}

/// A few users, and so many that their rules are in sub-chains.
fn lists() -> [Vec<String>; 2] {
    let many = (0..600).map(|nth| (2 * nth + 1).to_string());
    [vec!["root".to_owned()], many.collect()]
}

on_hosts! {
    [nft, legacy, alone, nft_security, legacy_security]

    fn a_host_where_nobody_knocks_has_no_refusals_however_often_it_verifies(lab) {
        no_datagram_is_answered(lab);
        for list in lists() {
            let list: Vec<&str> = [V4].into_iter().chain(list.iter().map(String::as_str)).collect();
            lock(lab, &list);
            for _ in 0..5 {
                verify(lab, 0, &[]);
            }
            settle(lab);
            for counted in counters(lab) {
                let nothing = serde_json::json!({ "packets": 0, "bytes": 0 });
                assert_eq!(counted["refused"], nothing, "{counted:#}");
            }
            for (nth, (address, text)) in [(IMDS_V4, V4), (IMDS_V6, V6)].into_iter().enumerate() {
                // At least two users, by TCP and UDP, once after `lock` and five times after that.
                let probes = packets(lab, text, "probes");
                assert!(probes >= 2 * 2 * 6, "{text}: {probes}");
                lab.curl(&User::MALLORY, address).expect_code(7);
                settle(lab);
                assert_eq!(packets(lab, text, "refused"), 1, "{text}");
                assert_eq!(packets(lab, text, "probes"), probes, "{text}");
                assert_eq!(refused_anywhere(lab), nth as u64 + 1);
            }
        }
    }

    // The source port of probes gains nothing: who takes it is refused like everybody, though counted as a probe.
    fn whoever_sends_from_the_port_of_probes_is_refused_and_counted_as_a_probe(lab) {
        no_datagram_is_answered(lab);
        for list in lists() {
            let list: Vec<&str> = [V4].into_iter().chain(list.iter().map(String::as_str)).collect();
            lock(lab, &list);
            for (address, text) in [(IMDS_V4, V4), (IMDS_V6, V6)] {
                let probes = packets(lab, text, "probes");
                refused_from_port(lab, SOURCE_PORT, address);
                assert_eq!(packets(lab, text, "probes"), probes + 1, "{text}");
                assert_eq!(refused_anywhere(lab), 0);
            }
            refused_from_port(lab, SOURCE_PORT + 1, IMDS_V4);
            assert_eq!(packets(lab, V4, "refused"), 1);
        }
    }
}

on_every_host! {
    fn counters_go_up_by_what_was_sent(lab) {
        lock(lab, &[V4, "root"]);
        settle(lab);
        for (address, text) in [(IMDS_V4, V4), (IMDS_V6, V6)] {
            let refused = packets(lab, text, "refused");
            let passed = packets(lab, text, "passed");
            for _ in 0..3 {
                lab.curl(&User::NOBODY, address).expect_code(7);
            }
            assert_eq!(packets(lab, text, "refused"), refused + 3);
            assert_eq!(packets(lab, text, "passed"), passed);
            lab.curl(&User::ROOT, address).expect_code(0);
            assert_eq!(packets(lab, text, "refused"), refused + 3);
            assert!(packets(lab, text, "passed") >= passed + 6);
            let forwarded = packets(lab, text, "forwarded_refused");
            lab.container_curl(&User::ROOT, address).expect_code(7);
            assert_eq!(packets(lab, text, "forwarded_refused"), forwarded + 1);
        }
    }

    fn a_hundred_requests_of_a_listed_user_refuse_no_packet(lab) {
        lock(lab, &[V4, "alice"]);
        settle(lab);
        let before = [V4, V6].map(|address| packets(lab, address, "refused"));
        for address in IMDS {
            assert_eq!(lab.requests(&User::ALICE, address, 100).served, 100);
        }
        assert_eq!([V4, V6].map(|address| packets(lab, address, "refused")), before);
        assert_eq!(lab.server_half_closed(), 0);
    }

    // Somebody else has the source port of probes, so that they leave from others: they show the same.
    fn where_the_port_of_probes_is_taken_they_are_made_without_it(lab) {
        no_datagram_is_answered(lab);
        lock(lab, &[V4, "root"]);
        let probes = packets(lab, V4, "probes");
        lab.sh(&format!("echo {} > /proc/sys/net/ipv4/ip_unprivileged_port_start", SOURCE_PORT + 1))
            .expect_code(0);
        verify(lab, 0, &[]);
        // Two users, by TCP and UDP.
        assert_eq!((packets(lab, V4, "probes"), packets(lab, V4, "refused")), (probes, 4));
        // And they find what is open.
        lab.sh("nft flush chain inet ip_lockdown OUTPUT").expect_code(0);
        if !lab.is_without_iptables() {
            lab.iptables(Family::V4, "-F OUTPUT").expect_code(0);
        }
        verify(lab, 1, &[]).expect_failed("unlisted-refused", "got through: uid");
    }

    fn with_nothing_locked_status_says_so(lab) {
        let done = lock(lab, &["status"]);
        assert_eq!(done.stdout, "no address is locked\n");
        let json: Value = lock(lab, &["status", "--output=json"]).json();
        assert_eq!(json["locks"], serde_json::json!([]));
        if lab.is_without_iptables() {
            assert_eq!(json["variant"], Value::Null);
        } else {
            assert_eq!(json["variant"], lab.variant().to_string());
        }
    }
}

on_both_variants! {
    fn status_shows_what_is_locked_and_who_is_allowed(lab) {
        lock(lab, &[V4, "root", "1001-1099", "--group=metadata"]);
        lab.lockdown(&[&DNS_V4.to_string()]).expect_code(0);
        let text = lock(lab, &["status"]).stdout;
        let why = " (nftables cannot match supplementary groups)";
        let backstop = format!("backstop    security{why}\n");
        for words in [
            "169.254.169.254 and fd00:ec2::254\n",
            "allowed     root (0), uid 1001-1099, group metadata (2000)\n",
            &format!("layers      filter and security (iptables-{}), IPv4 and IPv6\n", lab.variant()),
            &backstop,
            "forwarded   refused\n",
            "169.254.169.253\n",
            "allowed     nobody\n",
        ] {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
        let json: Value = lock(lab, &["status", "--output=json"]).json();
        let locks = json["locks"].as_array().expect("a list");
        assert_eq!(locks.len(), 2, "{json}");
        assert!(locks.iter().any(|lock| lock["addresses"] == serde_json::json!([V4, V6])));
        assert_eq!(json["errors"], serde_json::json!([]));
    }
}
