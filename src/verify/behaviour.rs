//! What the probes say.
//!
//! The rules' text is one thing, what the kernel does another: for listed and unlisted users a
//! child that has become that user sends one UDP datagram to the address. The kernel says at once
//! whether it was sent or denied (EPERM), with no server in reach. Unlisted ones also try a TCP
//! connect, which must be refused at once.

use serde::{Deserialize, Serialize};

use super::finding::{Check, Finding};
use super::sample::{Expected, Sample, Witness};
use crate::policy::Address;

/// Which way a probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One datagram.
    Udp,
    /// One connect.
    Tcp,
}

/// What became of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The kernel sent the datagram, or the connect was answered.
    Sent,
    /// The kernel denied it (EPERM).
    Denied,
    /// The connect was refused at once.
    Refused,
    /// The connect was still without an answer when the probe's time was over.
    NoAnswer,
    /// There is no route to the address: nobody can send.
    NoRoute,
    /// The probe could not be made, with the reason.
    NotMade(String),
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeResult {
    /// Who.
    pub witness: Witness,
    /// Where to.
    pub address: Address,
    /// How.
    pub transport: Transport,
    /// What became of it.
    pub outcome: Outcome,
}

/// What the probes of one address say.
#[must_use]
pub fn behaviour(address: Address, sample: &Sample, results: &[ProbeResult]) -> Vec<Finding> {
    let of = |expected, transport| {
        results.iter().filter(move |result| {
            result.address == address
                && result.witness.expected == expected
                && result.transport == transport
        })
    };
    let mut findings = vec![
        unlisted_refused(
            of(Expected::Refused, Transport::Udp).chain(of(Expected::Refused, Transport::Tcp)),
        ),
        refused_at_once(of(Expected::Refused, Transport::Tcp)),
    ];
    if sample.listed > 0 {
        findings.push(listed_served(of(Expected::Served, Transport::Udp), sample));
    }
    findings
        .into_iter()
        .map(|finding| finding.about(address))
        .collect()
}

/// The findings where probes were left out on request: not looked at, hence unknown.
#[must_use]
pub fn not_probed(address: Address) -> Finding {
    Finding::unknown(
        Check::UnlistedRefused,
        "not probed (--no-probe): what the kernel does with real packets was not looked at",
    )
    .degraded()
    .about(address)
    .cure("run it without --no-probe")
}

fn unlisted_refused<'a>(results: impl Iterator<Item = &'a ProbeResult>) -> Finding {
    let check = Check::UnlistedRefused;
    let results: Vec<_> = results.collect();
    let through: Vec<String> = users(&results, |outcome| *outcome == Outcome::Sent);
    if !through.is_empty() {
        return Finding::fail(check, format!("got through: {}", through.join(", ")))
            .cure("look at the findings on the rules; apply again");
    }
    if let Some(reason) = not_made(&results) {
        return Finding::unknown(check, reason);
    }
    let refused = users(&results, |_| true);
    match refused.as_slice() {
        [] => Finding::pass(check, "every uid is listed, so there is nobody to refuse"),
        _ if results
            .iter()
            .all(|result| result.outcome == Outcome::NoRoute) =>
        {
            Finding::pass(
                check,
                "no route from here: nobody can send to it now, listed or not; the rules stand for \
             when there is one",
            )
        }
        refused => Finding::pass(check, format!("refused: {}", refused.join(", "))),
    }
}

fn refused_at_once<'a>(results: impl Iterator<Item = &'a ProbeResult>) -> Finding {
    let check = Check::RefusedAtOnce;
    let results: Vec<_> = results.collect();
    let waiting = users(&results, |outcome| *outcome == Outcome::NoAnswer);
    if !waiting.is_empty() {
        return Finding::fail(
            check,
            format!(
                "a connect was left without an answer: {}",
                waiting.join(", ")
            ),
        )
        .cure(
            "apply again; if the findings on the rules pass, the host's INPUT rules drop the reset",
        );
    }
    match not_made(&results) {
        Some(reason) => Finding::unknown(check, reason),
        None => Finding::pass(check, "no unlisted user's connect is kept waiting"),
    }
}

fn listed_served<'a>(results: impl Iterator<Item = &'a ProbeResult>, sample: &Sample) -> Finding {
    let check = Check::ListedServed;
    let results: Vec<_> = results.collect();
    let denied = users(&results, |outcome| *outcome == Outcome::Denied);
    if !denied.is_empty() {
        return Finding::fail(
            check,
            format!("refused though listed: {}", denied.join(", ")),
        )
        .cure(
            "if the findings on the rules pass, another rule of this host refuses them: look at \
             `iptables -S OUTPUT`",
        );
    }
    if let Some(reason) = not_made(&results) {
        return Finding::unknown(check, reason);
    }
    let counted = match (sample.probed, sample.listed) {
        (probed, listed) if probed == listed => format!("{probed} of {listed} listed"),
        (probed, listed) => format!("a sample, {probed} of {listed} listed"),
    };
    if results
        .iter()
        .all(|result| result.outcome == Outcome::NoRoute)
    {
        let message = format!("{counted}: none is refused, there is no route from here");
        return Finding::pass(check, message);
    }
    Finding::pass(check, format!("{counted}: sent"))
}

/// The witnesses whose outcome is such, each once.
fn users(results: &[&ProbeResult], such: impl Fn(&Outcome) -> bool) -> Vec<String> {
    let mut users: Vec<String> = results
        .iter()
        .filter(|result| such(&result.outcome))
        .map(|result| {
            let witness = &result.witness;
            match witness.groups.first() {
                Some(group) => format!("uid {} in group {group}", witness.uid),
                None => format!("uid {}", witness.uid),
            }
        })
        .collect();
    users.dedup();
    users.sort();
    users.dedup();
    users
}

fn not_made(results: &[&ProbeResult]) -> Option<String> {
    results.iter().find_map(|result| match &result.outcome {
        Outcome::NotMade(reason) => {
            Some(format!("no probe as uid {}: {reason}", result.witness.uid))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status::{self, Fail, Pass, Unknown};
    use super::super::sample::sample;
    use super::*;
    use crate::policy::{IMDS_V4, Subjects, Uid};

    #[test]
    fn outcomes_become_findings() {
        let root = Uid::ROOT.into();
        let sample = sample(&Subjects::new([], [root], []));
        let judge = |refused_udp: Outcome, refused_tcp: Outcome, served_udp: Outcome| {
            let mut results = Vec::new();
            for witness in &sample.witnesses {
                let outcomes = match witness.expected {
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
                            witness: witness.clone(),
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
            expect([Pass, Pass, Pass])
        );
    }
}
