//! Probe results -> findings. Only what was tested passes.

use std::collections::BTreeSet;

use super::finding::{Check, Finding};
use crate::policy::Address;
use crate::probe::{Expected, Identity, Listed, Outcome, ProbeResult, Sample, Transport, Via};

/// The findings on the probes of one address.
#[must_use]
pub fn behaviour(address: Address, sample: &Sample, results: &[ProbeResult]) -> Vec<Finding> {
    let of = |expected| -> Vec<&ProbeResult> {
        let results = results
            .iter()
            .filter(|result| result.address == address && result.identity.expected == expected);
        results.collect()
    };
    let unlisted = of(Expected::Refused);
    let connects: Vec<&ProbeResult> = unlisted
        .iter()
        .filter(|result| result.transport == Transport::Tcp)
        .copied()
        .collect();
    let mut findings = vec![
        unlisted_refused(address, &unlisted),
        refused_at_once(address, &connects),
    ];
    if sample.listed > 0 {
        findings.push(listed_served(address, &of(Expected::Served), sample));
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
    let through = users(results, |result| result.outcome == Outcome::Sent);
    if !through.is_empty() {
        return Finding::fail(check, format!("got through: {}", through.join(", ")))
            .help("apply the lockdown again; the findings on the rules show what is wrong");
    }
    if let Some(finding) = not_judged(check, address, results) {
        return finding;
    }
    let refused: Vec<&ProbeResult> = results
        .iter()
        .filter(|result| result.outcome.is_refusal())
        .copied()
        .collect();
    if refused.is_empty() {
        return Finding::unknown(check, "no probe was refused, and none was answered");
    }
    let message = format!(
        "refused: {} ({})",
        users(&refused, |_| true).join(", "),
        ways(&refused, address)
    );
    let untested = users(results, |result| result.outcome.is_without_route());
    if untested.is_empty() {
        Finding::pass(check, message)
    } else {
        Finding::not_tested(check, format!("{message}; {}", no_route_for(&untested)))
    }
}

fn refused_at_once(address: Address, connects: &[&ProbeResult]) -> Finding {
    let check = Check::RefusedAtOnce;
    let waiting = users(connects, |result| result.outcome == Outcome::NoAnswer);
    if !waiting.is_empty() {
        let message = format!("a TCP connect was not answered: {}", waiting.join(", "));
        return Finding::fail(check, message).help(
            "apply the lockdown again; if the findings on the rules pass, the INPUT rules of this \
             host drop the TCP reset",
        );
    }
    if let Some(finding) = not_judged(check, address, connects) {
        return finding;
    }
    let refused: Vec<&ProbeResult> = connects
        .iter()
        .filter(|result| result.outcome.is_refusal())
        .copied()
        .collect();
    match refused.first() {
        None => Finding::not_tested(check, "no connect was refused"),
        Some(_) => Finding::pass(
            check,
            format!(
                "refused connections fail at once{}",
                through_lo(&refused, address)
            ),
        ),
    }
}

/// The finding on probes of unlisted users that show nothing.
fn not_judged(check: Check, address: Address, results: &[&ProbeResult]) -> Option<Finding> {
    if let Some(reason) = failed_probe(results) {
        return Some(Finding::unknown(check, reason));
    }
    if results.is_empty() {
        let message = "every uid is allowed, so there is nobody to refuse";
        return Some(Finding::not_tested(check, message));
    }
    let held = users(results, |result| result.outcome == Outcome::Held);
    if !held.is_empty() {
        return Some(held_finding(check, &held));
    }
    let mut outcomes = results.iter().map(|result| &result.outcome);
    outcomes
        .all(Outcome::is_without_route)
        .then(|| no_route(check, address))
}

/// What the probes of a listed identity show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Served {
    /// The service answered the connect; at an address of another service, the datagram was sent.
    Through,
    /// No rule refused the connect, and the service did not answer it.
    NotRefused,
    /// There is no route.
    NoRoute,
    /// A program that reads packets from a queue may have held the packets.
    Held,
    /// Only this transport was refused.
    Only(Transport),
    /// The datagram was refused, and the connect was not answered.
    Silent,
    /// A `prohibit` route or a security module denied it.
    Prohibited,
    /// A rule refused it.
    Refused,
}

/// At the metadata service the connect decides. Which transport another service uses is not known.
fn served(address: Address, datagram: &Outcome, connect: &Outcome) -> Served {
    let decisive = if address.is_imds() {
        [connect, connect]
    } else {
        [datagram, connect]
    };
    let any = |outcome| decisive.contains(&&outcome);
    if any(Outcome::Prohibited) {
        return Served::Prohibited;
    }
    if any(Outcome::NoRoute) {
        return Served::NoRoute;
    }
    match decisive.map(Outcome::is_refusal) {
        [true, true] => Served::Refused,
        [true, false] if *connect != Outcome::NoAnswer => Served::Only(Transport::Udp),
        [false, true] => Served::Only(Transport::Tcp),
        _ if *connect == Outcome::NoAnswer && datagram.is_refusal() => Served::Silent,
        _ if any(Outcome::Sent) => Served::Through,
        _ if any(Outcome::Held) => Served::Held,
        _ => Served::NotRefused,
    }
}

fn listed_served(address: Address, results: &[&ProbeResult], sample: &Sample) -> Finding {
    let check = Check::ListedServed;
    if let Some(reason) = failed_probe(results) {
        return Finding::unknown(check, reason);
    }
    // A packet through `lo` shows what the rules do. It does not show that this user has a route,
    // where others have one.
    let some_have_route = results
        .iter()
        .any(|result| result.via == Via::Route && !result.outcome.is_without_route());
    let judged: Vec<(&Identity, Served)> = pairs(results)
        .map(|(identity, datagram, connect)| {
            let served = if some_have_route && connect.via == Via::Lo {
                Served::NoRoute
            } else {
                served(address, &datagram.outcome, &connect.outcome)
            };
            (identity, served)
        })
        .collect();
    let of = |wanted: Served| -> Vec<String> {
        let judged = judged.iter().filter(|(_, served)| *served == wanted);
        names(judged.map(|(identity, _)| *identity))
    };
    // If the service answers another user, a rule drops the packets of a user whom it does not answer.
    let answers = results
        .iter()
        .any(|result| result.transport == Transport::Tcp && result.outcome == Outcome::Sent);
    let (mut refused, silent) = (of(Served::Refused), of(Served::Silent));
    if answers {
        refused.extend_from_slice(&silent);
    }
    if !refused.is_empty() {
        let message = format!("refused although allowed: {}", refused.join(", "));
        return Finding::fail(check, message).help(
            "if the findings on the rules pass, a foreign rule refuses them: see \
             `iptables -S OUTPUT`",
        );
    }
    let prohibited = of(Served::Prohibited);
    if !prohibited.is_empty() {
        let message = format!(
            "a route of the type `prohibit`, or a security module, refuses allowed users: {}",
            prohibited.join(", ")
        );
        return Finding::fail(check, message).degraded().help(format!(
            "see `ip route get {address}`; systemd-imdsd installs such a route"
        ));
    }
    if !silent.is_empty() {
        let message = format!(
            "UDP to port 80 was refused, and TCP was not answered: {}",
            silent.join(", ")
        );
        return Finding::unknown(check, message)
            .degraded()
            .help("see `iptables -S OUTPUT`; verify again where the service answers");
    }
    for (refused, other) in [("UDP", Transport::Udp), ("TCP", Transport::Tcp)] {
        let users = of(Served::Only(other));
        if !users.is_empty() {
            let passed = if refused == "UDP" { "TCP" } else { "UDP" };
            let message = format!(
                "{refused} to port 80 was refused, {passed} was not: {}",
                users.join(", ")
            );
            return Finding::unknown(check, message)
                .degraded()
                .help("a foreign rule refuses it, see `iptables -S OUTPUT`; this is right if the service does not use it");
        }
    }
    let held = of(Served::Held);
    if !held.is_empty() {
        return held_finding(check, &held);
    }
    if judged.iter().all(|(_, served)| *served == Served::NoRoute) {
        return no_route(check, address);
    }
    counted(address, results, &judged, sample)
}

/// The finding on listed users none of whom was refused: how many got through, and how many were not
/// tested.
fn counted(
    address: Address,
    results: &[&ProbeResult],
    judged: &[(&Identity, Served)],
    sample: &Sample,
) -> Finding {
    let check = Check::ListedServed;
    let Sample { probed, listed, .. } = sample;
    let of_all = |count: usize| {
        if probed == listed {
            format!("{count} of {listed}")
        } else if count as u64 == *probed {
            format!("a sample of {count} of {listed}")
        } else {
            format!("{count} of a sample of {probed} of {listed}")
        }
    };
    // A group has two identities. It counts as the one that fared worse.
    let worst = |subject: &Option<Listed>| {
        let judged = judged
            .iter()
            .filter(|(identity, _)| identity.listed == *subject);
        judged.map(|(_, served)| *served).max()
    };
    let subjects: BTreeSet<Option<Listed>> =
        judged.iter().map(|(identity, _)| identity.listed).collect();
    let count = |wanted| {
        subjects
            .iter()
            .filter(|subject| worst(subject) == Some(wanted))
            .count()
    };
    let decisive = |outcome: Outcome| -> Vec<&ProbeResult> {
        let decides = |result: &&ProbeResult| {
            (result.transport == Transport::Tcp || !address.is_imds()) && result.outcome == outcome
        };
        results.iter().copied().filter(decides).collect()
    };
    let mut parts = Vec::new();
    let (through, unanswered) = (count(Served::Through), count(Served::NotRefused));
    let port = if address.is_imds() { "" } else { " to port 80" };
    if through > 0 {
        let ways = ways_to(&decisive(Outcome::Sent), port, address);
        parts.push(format!("{} got through ({ways})", of_all(through)));
    }
    if unanswered > 0 {
        let ways = ways_to(&decisive(Outcome::NoAnswer), port, address);
        let all = of_all(unanswered);
        parts.push(format!("{all} not refused ({ways}), but not answered"));
    }
    let without = judged
        .iter()
        .filter(|(_, served)| *served == Served::NoRoute);
    let without = names(without.map(|(identity, _)| *identity));
    if without.is_empty() {
        return Finding::pass(check, format!("allowed: {}", parts.join("; ")));
    }
    parts.push(no_route_for(&without));
    Finding::not_tested(check, format!("allowed: {}", parts.join("; ")))
}

/// The identities, each with its datagram and its connect.
fn pairs<'a>(
    results: &[&'a ProbeResult],
) -> impl Iterator<Item = (&'a Identity, &'a ProbeResult, &'a ProbeResult)> {
    let of = |transport| {
        let results = results.iter().copied();
        results.filter(move |result: &&ProbeResult| result.transport == transport)
    };
    let datagrams: Vec<&ProbeResult> = of(Transport::Udp).collect();
    let connects: Vec<&ProbeResult> = of(Transport::Tcp).collect();
    datagrams.into_iter().filter_map(move |datagram| {
        let identity = &datagram.identity;
        let connect = connects
            .iter()
            .find(|connect| connect.identity == *identity)?;
        Some((identity, datagram, *connect))
    })
}

fn held_finding(check: Check, users: &[String]) -> Finding {
    let message = format!(
        "not known, because a program that reads packets from a queue (NFQUEUE) may have held the \
         probes of {}",
        users.join(", ")
    );
    Finding::unknown(check, message).degraded().help(
        "stop that program for a moment and verify again; /proc/net/netfilter/nfnetlink_queue lists \
         the queues",
    )
}

fn no_route(check: Check, address: Address) -> Finding {
    Finding::not_tested(check, format!("no route to {address}"))
}

fn no_route_for(users: &[String]) -> String {
    format!("not tested: no route for {}", users.join(", "))
}

/// What was tried: the transports, and whether the packets went through `lo`.
fn ways(results: &[&ProbeResult], address: Address) -> String {
    ways_to(results, "", address)
}

fn ways_to(results: &[&ProbeResult], port: &str, address: Address) -> String {
    let transports: BTreeSet<Transport> = results.iter().map(|result| result.transport).collect();
    let transports: Vec<String> = transports
        .iter()
        .map(|transport| transport.name().to_uppercase())
        .collect();
    format!(
        "{}{port}{}",
        transports.join(", "),
        through_lo(results, address)
    )
}

fn through_lo(results: &[&ProbeResult], address: Address) -> String {
    let through_lo = |result: &&ProbeResult| result.via == Via::Lo;
    if results.iter().all(through_lo) {
        format!(" through lo: no route to {address}")
    } else if results.iter().any(through_lo) {
        " partly through lo".to_owned()
    } else {
        String::new()
    }
}

/// The probed users whose result `matches`, each once.
fn users(results: &[&ProbeResult], matches: impl Fn(&ProbeResult) -> bool) -> Vec<String> {
    let results = results.iter().filter(|result| matches(result));
    names(results.map(|result| &result.identity))
}

fn names<'a>(identities: impl Iterator<Item = &'a Identity>) -> Vec<String> {
    let mut names: Vec<String> = identities.map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    names
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

    /// The results of the same outcomes for every identity: UDP and TCP of the unlisted ones, then of
    /// the listed ones.
    fn findings(address: Address, outcomes: &[Outcome; 4]) -> Vec<Finding> {
        let sample = sample(&Subjects::new([], [Uid::ROOT.into()], []));
        let mut results = Vec::new();
        for identity in &sample.identities {
            let at = match identity.expected {
                Expected::Refused => 0,
                Expected::Served => 2,
            };
            for (index, transport) in [(at, Transport::Udp), (at + 1, Transport::Tcp)] {
                results.push(ProbeResult {
                    identity: identity.clone(),
                    address,
                    transport,
                    via: Via::Route,
                    outcome: outcomes[index].clone(),
                });
            }
        }
        behaviour(address, &sample, &results)
    }

    fn statuses(address: Address, outcomes: &[Outcome; 4]) -> Vec<Status> {
        let findings = findings(address, outcomes);
        let ids: Vec<&str> = findings.iter().map(|finding| finding.check.id()).collect();
        assert_eq!(
            ids,
            ["unlisted-refused", "refused-at-once", "listed-served"]
        );
        findings.iter().map(|finding| finding.status).collect()
    }

    #[test]
    fn outcomes_become_findings() {
        use Outcome::{Denied, Held, NoAnswer, NoRoute, Refused, Sent};
        let judge = |outcomes: [Outcome; 4]| statuses(IMDS_V4, &outcomes);
        assert_eq!(judge([Denied, Refused, Sent, Sent]), [Pass, Pass, Pass]);
        assert_eq!(judge([Sent, Refused, Denied, Refused]), [Fail, Pass, Fail]);
        assert_eq!(judge([Denied, NoAnswer, Sent, Sent]), [Pass, Fail, Pass]);
        assert_eq!(judge([Denied, Sent, Sent, Sent]), [Fail, NotTested, Pass]);
        assert_eq!(judge([Denied, Refused, Sent, NoAnswer]), [Pass, Pass, Pass]);
        assert_eq!(judge([Held, Refused, Held, Sent]), [Unknown, Pass, Pass]);
        assert_eq!(judge([Held, Held, Held, Held]), [Unknown; 3]);
        assert_eq!(judge([NoRoute, NoRoute, NoRoute, NoRoute]), [NotTested; 3]);
        let broken = || Outcome::NotMade("EPERM".to_owned());
        assert_eq!(
            judge([broken(), broken(), broken(), broken()]),
            [Unknown; 3]
        );
    }

    #[test]
    fn at_the_metadata_service_tcp_decides() {
        use Outcome::{Denied, NoAnswer, Refused, Sent};
        let other: Address = "192.0.2.1".parse().unwrap();
        let served = |address, datagram, connect| {
            statuses(address, &[Denied, Refused, datagram, connect])[2]
        };
        assert_eq!(served(IMDS_V4, Denied, Sent), Pass);
        assert_eq!(served(IMDS_V4, Sent, Refused), Fail);
        // The rule may drop both, and the service may be absent.
        assert_eq!(served(IMDS_V4, Denied, NoAnswer), Unknown);
        assert_eq!(served(other, Denied, Sent), Unknown);
        assert_eq!(served(other, Sent, Refused), Unknown);
        assert_eq!(served(other, Sent, NoAnswer), Pass);
        assert_eq!(served(other, Denied, Refused), Fail);
    }
}
