//! Checks that several tests in this directory share.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use lab::{Done, Ending, Family, How, IMDS, Lab, User};
use serde_json::Value;

use lab::saved::lines;

pub(crate) use lab::{V4, V6};

/// The layer that is read for counters.
pub(crate) fn first_layer(lab: &Lab) -> &'static str {
    if lab.is_without_iptables() {
        "nftables"
    } else {
        "filter"
    }
}

/// The layer behind `filter`.
pub(crate) fn backstop(lab: &Lab) -> &'static str {
    match lab.options() {
        [_, _, _, layers] if layers == "filter,security" => "security",
        _ => "nftables",
    }
}

/// A listing of the other variant.
#[track_caller]
pub(crate) fn save_of_other(lab: &Lab, family: Family) -> String {
    let program = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let program = format!("{program}-{}-save", lab.variant().other());
    lab.run(&[&program, "-c"]).expect_code(0).stdout
}

/// Locks, and expects that all is well and nothing is said about it.
#[track_caller]
pub(crate) fn lock(lab: &Lab, arguments: &[&str]) -> Done {
    let done = lab.lockdown(arguments).expect_code(0);
    assert_eq!(done.stderr, "", "{done}");
    done
}

/// What `verify` said.
pub(crate) struct Verdict {
    done: Done,
    json: Value,
}

/// Runs `verify`, which is to end with this code.
#[track_caller]
pub(crate) fn verify(lab: &Lab, code: i32, arguments: &[&str]) -> Verdict {
    let words: Vec<&str> = ["verify", "--output", "json"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let done = lab.lockdown(&words).expect_code(code);
    let json = done.json();
    Verdict { done, json }
}

impl Verdict {
    fn findings(&self) -> &[Value] {
        let findings = self.json["findings"].as_array();
        findings.unwrap_or_else(|| panic!("no findings: {}", self.done))
    }

    /// The ids of the findings that failed, sorted, each once.
    pub(crate) fn failed(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self
            .findings()
            .iter()
            .filter(|finding| finding["status"] == "fail")
            .filter_map(|finding| finding["id"].as_str())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Expects a failed finding of this id which says `words`.
    #[track_caller]
    pub(crate) fn expect_failed(&self, id: &str, words: &str) -> &Self {
        let found = self.findings().iter().any(|finding| {
            finding["id"] == id && finding["status"] == "fail" && says(finding, words)
        });
        assert!(found, "no failed {id} that says {words:?}: {}", self.done);
        self
    }

    /// Expects that a finding of this id in this layer failed.
    #[track_caller]
    pub(crate) fn expect_failed_in(&self, id: &str, layer: &str) -> &Self {
        let found = self.findings().iter().any(|finding| {
            finding["id"] == id && finding["status"] == "fail" && finding["layer"] == layer
        });
        assert!(found, "no failed {id} in {layer}: {}", self.done);
        self
    }

    /// Expects a finding of this id, however it came out, which says `words`.
    #[track_caller]
    pub(crate) fn expect_said(&self, id: &str, words: &str) -> &Self {
        let found = self
            .findings()
            .iter()
            .any(|finding| finding["id"] == id && says(finding, words));
        assert!(found, "no {id} that says {words:?}: {}", self.done);
        self
    }
}

fn says(finding: &Value, words: &str) -> bool {
    finding["message"]
        .as_str()
        .is_some_and(|message| message.contains(words))
}

/// Expects that the user gets through to each of the addresses.
#[track_caller]
pub(crate) fn served(lab: &Lab, who: &User, addresses: &[IpAddr]) {
    for &address in addresses {
        let outcome = lab.attempt(who, How::Tcp, address);
        assert_eq!(
            outcome.ending,
            Ending::Connected,
            "{} to {address}: {outcome:?}",
            who.name
        );
    }
}

/// Expects that the user is turned away at each of the addresses, and at once.
#[track_caller]
pub(crate) fn refused(lab: &Lab, who: &User, addresses: &[IpAddr]) {
    for &address in addresses {
        let outcome = lab.attempt(who, How::Tcp, address);
        assert_eq!(
            outcome.ending,
            Ending::Refused,
            "{} to {address}: {outcome:?}",
            who.name
        );
        // A machine that is busy with other tests may be slow once.
        let fast = (0..5).any(|_| lab.attempt(who, How::Tcp, address).ms < 50.0);
        assert!(fast, "{} waits for {address}: {outcome:?}", who.name);
        not_open(lab, who, &[address]);
    }
}

/// Expects that nothing of the user gets out to any of the addresses, whatever it sees of that.
#[track_caller]
pub(crate) fn not_open(lab: &Lab, who: &User, addresses: &[IpAddr]) {
    for &address in addresses {
        let outcome = lab.attempt(who, How::Udp, address);
        assert_eq!(
            outcome.ending,
            Ending::Denied,
            "{} to {address}: {outcome:?}",
            who.name
        );
    }
}

/// Expects that root is served and the others are refused, at both addresses of the metadata service.
#[track_caller]
pub(crate) fn only_root(lab: &Lab) {
    served(lab, &User::ROOT, &IMDS);
    refused(lab, &User::MALLORY, &IMDS);
}

/// Waits until no packet is counted any more: those of the kernel, such as a SYN sent again, may come late.
#[track_caller]
pub(crate) fn settle(lab: &Lab) {
    let read = || Family::ALL.map(|family| lines(&lab.save(family)).collect::<Vec<_>>());
    let mut last = read();
    for _ in 0..20 {
        sleep(Duration::from_millis(150));
        let now = read();
        if now == last {
            return;
        }
        last = now;
    }
    panic!("packets are counted all the time: {last:?}");
}
