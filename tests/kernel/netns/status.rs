//! `status`: what is locked, to whom, and what was counted.

use lab::{DNS_V4, IMDS, IMDS_V4, IMDS_V6, Lab, User};
use serde_json::Value;

use crate::netns::support::{V4, V6, first_layer, lock, settle};

/// A packet counter of the layer `filter`.
#[track_caller]
fn packets(lab: &Lab, address: &str, what: &str) -> u64 {
    let status: Value = lock(lab, &["status", "--output=json"]).json();
    let counted = status["locks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|lock| lock["counters"].as_array())
        .flatten()
        .find(|counted| counted["address"] == address && counted["layer"] == first_layer(lab));
    counted
        .and_then(|counted| counted[what]["packets"].as_u64())
        .unwrap_or_else(|| panic!("no {what} of {address} in {status:#}"))
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

    fn with_nothing_locked_status_says_so(lab) {
        let done = lock(lab, &["status"]);
        assert_eq!(done.stdout, "no address is locked\n");
        let json: Value = lock(lab, &["status", "--output=json"]).json();
        assert_eq!(json["locks"], serde_json::json!([]));
        match lab.is_without_iptables() {
            true => assert_eq!(json["variant"], Value::Null),
            false => assert_eq!(json["variant"], lab.variant().to_string()),
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
            "allowed     only root (0), uid 1001-1099, group metadata (2000) are allowed\n",
            &format!("layers      filter and security (iptables-{}), IPv4 and IPv6\n", lab.variant()),
            &backstop,
            "forwarded   refused\n",
            "169.254.169.253\n",
            "allowed     nobody is allowed\n",
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
