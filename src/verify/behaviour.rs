//! Probe results -> findings.

use super::finding::{Check, Finding};
use crate::policy::Address;
use crate::probe::{Expected, Outcome, ProbeResult, Sample, Transport};

/// The findings on the probes of one address.
#[must_use]
pub fn behaviour(address: Address, sample: &Sample, results: &[ProbeResult]) -> Vec<Finding> {
    let of = |expected, transport| -> Vec<&ProbeResult> {
        let results = results.iter().filter(|result| {
            result.address == address
                && result.identity.expected == expected
                && result.transport == transport
        });
        results.collect()
    };
    let refused_udp = of(Expected::Refused, Transport::Udp);
    let refused_tcp = of(Expected::Refused, Transport::Tcp);
    let mut findings = vec![
        unlisted_refused(address, &[refused_udp, refused_tcp.clone()].concat()),
        refused_at_once(address, &refused_tcp),
    ];
    if sample.listed > 0 {
        findings.push(listed_served(
            address,
            &of(Expected::Served, Transport::Udp),
            sample,
        ));
    }
    findings
        .into_iter()
        .map(|finding| finding.about(address))
        .collect()
}

/// The finding for a run with `--no-probe`: the behaviour is unknown.
#[must_use]
pub fn not_probed(address: Address) -> Finding {
    Finding::unknown(
        Check::UnlistedRefused,
        "no probes were sent (--no-probe), so it is not known what the kernel does with packets",
    )
    .degraded()
    .about(address)
    .help("run it without --no-probe")
}

fn unlisted_refused(address: Address, results: &[&ProbeResult]) -> Finding {
    let check = Check::UnlistedRefused;
    let through = users(results, |outcome| *outcome == Outcome::Sent);
    if !through.is_empty() {
        return Finding::fail(check, format!("got through: {}", through.join(", ")))
            .help("apply the lockdown again; the findings on the rules show what is wrong");
    }
    if let Some(reason) = failed_probe(results) {
        return Finding::unknown(check, reason);
    }
    if results.is_empty() {
        return Finding::not_tested(check, "every uid is allowed, so there is nobody to refuse");
    }
    if !any_route(results) {
        return no_route(check, address);
    }
    let refused = users(results, |_| true);
    Finding::pass(check, format!("refused: {} (UDP, TCP)", refused.join(", ")))
}

fn refused_at_once(address: Address, results: &[&ProbeResult]) -> Finding {
    let check = Check::RefusedAtOnce;
    let waiting = users(results, |outcome| *outcome == Outcome::NoAnswer);
    if !waiting.is_empty() {
        let message = format!("a TCP connect was not answered: {}", waiting.join(", "));
        return Finding::fail(check, message).help(
            "apply the lockdown again; if the findings on the rules pass, the INPUT rules of this \
             host drop the TCP reset",
        );
    }
    match failed_probe(results) {
        Some(reason) => Finding::unknown(check, reason),
        None if results.is_empty() => {
            Finding::not_tested(check, "every uid is allowed, so there is nobody to refuse")
        }
        None if !any_route(results) => no_route(check, address),
        None => Finding::pass(check, "refused connections fail at once"),
    }
}

fn listed_served(address: Address, results: &[&ProbeResult], sample: &Sample) -> Finding {
    let check = Check::ListedServed;
    let denied = users(results, |outcome| *outcome == Outcome::Denied);
    if !denied.is_empty() {
        let message = format!("refused although allowed: {}", denied.join(", "));
        return Finding::fail(check, message).help(
            "if the findings on the rules pass, a foreign rule refuses them: see \
             `iptables -S OUTPUT`",
        );
    }
    if let Some(reason) = failed_probe(results) {
        return Finding::unknown(check, reason);
    }
    if !any_route(results) {
        return no_route(check, address);
    }
    let Sample { probed, listed, .. } = sample;
    Finding::pass(
        check,
        if probed == listed {
            format!("allowed: {probed} of {listed} got through")
        } else {
            format!("allowed: a sample of {probed} of {listed} got through")
        },
    )
}

fn no_route(check: Check, address: Address) -> Finding {
    Finding::not_tested(check, format!("no route to {address}"))
}

/// Whether any probe had a route to the address.
fn any_route(results: &[&ProbeResult]) -> bool {
    results
        .iter()
        .any(|result| result.outcome != Outcome::NoRoute)
}

/// The probed users whose outcome `matches`, each once.
fn users(results: &[&ProbeResult], matches: impl Fn(&Outcome) -> bool) -> Vec<String> {
    let mut users: Vec<String> = results
        .iter()
        .filter(|result| matches(&result.outcome))
        .map(|result| {
            let identity = &result.identity;
            match identity.groups.first() {
                Some(group) => format!("uid {} in group {group}", identity.uid),
                None => format!("uid {}", identity.uid),
            }
        })
        .collect();
    users.sort();
    users.dedup();
    users
}

/// The reason of the first probe that could not be made.
fn failed_probe(results: &[&ProbeResult]) -> Option<String> {
    results.iter().find_map(|result| match &result.outcome {
        Outcome::NotMade(reason) => {
            let uid = result.identity.uid;
            Some(format!("the probe as uid {uid} failed: {reason}"))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status::{self, Fail, NotTested, Pass, Unknown};
    use super::*;
    use crate::policy::{IMDS_V4, Subjects, Uid};
    use crate::probe::sample;

    #[test]
    fn outcomes_become_findings() {
        let root = Uid::ROOT.into();
        let sample = sample(&Subjects::new([], [root], []));
        let judge = |refused_udp: Outcome, refused_tcp: Outcome, served_udp: Outcome| {
            let mut results = Vec::new();
            for identity in &sample.identities {
                let outcomes = match identity.expected {
                    Expected::Served => vec![(Transport::Udp, &served_udp)],
                    Expected::Refused => {
                        vec![
                            (Transport::Udp, &refused_udp),
                            (Transport::Tcp, &refused_tcp),
                        ]
                    }
                };
                results.extend(
                    outcomes
                        .into_iter()
                        .map(|(transport, outcome)| ProbeResult {
                            identity: identity.clone(),
                            address: IMDS_V4,
                            transport,
                            outcome: outcome.clone(),
                        }),
                );
            }
            behaviour(IMDS_V4, &sample, &results)
                .into_iter()
                .map(|finding| (finding.check.id(), finding.status))
                .collect::<Vec<_>>()
        };
        let ids = ["unlisted-refused", "refused-at-once", "listed-served"];
        let expect = |statuses: [Status; 3]| ids.into_iter().zip(statuses).collect::<Vec<_>>();
        assert_eq!(
            judge(Outcome::Denied, Outcome::Refused, Outcome::Sent),
            expect([Pass, Pass, Pass])
        );
        assert_eq!(
            judge(Outcome::Sent, Outcome::Refused, Outcome::Denied),
            expect([Fail, Pass, Fail])
        );
        assert_eq!(
            judge(Outcome::Denied, Outcome::NoAnswer, Outcome::Sent),
            expect([Pass, Fail, Pass])
        );
        assert_eq!(
            judge(Outcome::Denied, Outcome::Sent, Outcome::Sent),
            expect([Fail, Pass, Pass])
        );
        let broken = || Outcome::NotMade("EINVAL".to_owned());
        assert_eq!(
            judge(broken(), broken(), broken()),
            expect([Unknown, Unknown, Unknown])
        );
        assert_eq!(
            judge(Outcome::NoRoute, Outcome::NoRoute, Outcome::NoRoute),
            expect([NotTested, NotTested, NotTested])
        );
    }
}
