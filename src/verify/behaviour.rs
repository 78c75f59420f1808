//! Who is probed, and what the probes say.
//!
//! The rules' text is one thing, what the kernel does another: for listed and unlisted users a
//! child that has become that user sends one UDP datagram to the address. The kernel says at once
//! whether it was sent or denied (EPERM), with no server in reach. Unlisted ones also try a TCP
//! connect, which must be refused at once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::finding::{Check, Finding};
use crate::policy::{Address, Gid, Subjects, Uid};

/// The most listed ids that are probed; beyond it, a stated sample.
const MAX_LISTED: usize = 64;

/// The most groups among them.
const MAX_GROUPS: usize = 16;

/// What ought to become of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// The witness is listed.
    Served,
    /// The witness is not listed.
    Refused,
}

/// A user that a probe becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// Its uid.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
    /// Its supplementary groups.
    pub groups: Vec<Gid>,
    /// What ought to become of its probes.
    pub expected: Expected,
}

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

/// Whom to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The witnesses.
    pub witnesses: Vec<Witness>,
    /// How many ids and groups are listed.
    pub listed: u64,
    /// How many of them are among the witnesses.
    pub probed: u64,
}

/// Chooses witnesses: up to 64 of the listed (groups, ends of uid ranges, then uids between), and
/// the `strangers`, which the caller has made sure are not listed. `gid` is in no listed group.
#[must_use]
pub fn sample(subjects: &Subjects, strangers: &[Uid], gid: Gid) -> Sample {
    let witness = |uid, gid, groups, expected| Witness {
        uid,
        gid,
        groups,
        expected,
    };
    let mut witnesses: Vec<Witness> = strangers
        .iter()
        .map(|&uid| witness(uid, gid, Vec::new(), Expected::Refused))
        .collect();
    // A member of a listed group is known by the group only if its uid is not listed.
    let mut groups = 0;
    if let Some(&stranger) = strangers.first() {
        for &listed in spread(&subjects.groups().keys().collect::<Vec<_>>(), MAX_GROUPS) {
            groups += 1;
            witnesses.push(witness(stranger, *listed, Vec::new(), Expected::Served));
            witnesses.push(witness(stranger, gid, vec![*listed], Expected::Served));
        }
    }
    let ranges = subjects.uid_ranges();
    let mut ends: Vec<Uid> = ranges
        .iter()
        .flat_map(|range| [range.first(), range.last()])
        .collect();
    ends.dedup();
    let room = MAX_LISTED - groups;
    let mut uids: BTreeSet<Uid> = spread(&ends, room).copied().collect();
    for range in &ranges {
        let between = (range.first().get()..range.last().get()).skip(1);
        uids.extend(between.filter_map(Uid::new).take(room - uids.len()));
    }
    witnesses.extend(
        uids.iter()
            .map(|&uid| witness(uid, gid, Vec::new(), Expected::Served)),
    );
    let all_uids: u64 = ranges.iter().map(|range| range.count()).sum();
    Sample {
        witnesses,
        listed: all_uids + subjects.groups().len() as u64,
        probed: (uids.len() + groups) as u64,
    }
}

/// At most `most` of the items, evenly spread, first and last among them.
fn spread<T>(items: &[T], most: usize) -> impl Iterator<Item = &T> {
    let count = items.len().min(most);
    (0..count).filter_map(move |nth| {
        let at = match count {
            0 | 1 => 0,
            _ => nth * (items.len() - 1) / (count - 1),
        };
        items.get(at)
    })
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
    use super::*;
    use crate::policy::{IMDS_V4, UidRange};

    fn uid(id: u32) -> Uid {
        Uid::new(id).unwrap()
    }

    fn gid(id: u32) -> Gid {
        Gid::new(id).unwrap()
    }

    fn ranges(ranges: &[(u32, u32)]) -> Subjects {
        let ranges = ranges
            .iter()
            .map(|&(first, last)| UidRange::new(uid(first), uid(last)).unwrap());
        Subjects::new([], ranges, [])
    }

    fn served(sample: &Sample) -> Vec<u32> {
        sample
            .witnesses
            .iter()
            .filter(|witness| witness.expected == Expected::Served)
            .map(|witness| witness.uid.get())
            .collect()
    }

    #[test]
    fn few_ids_are_all_probed() {
        let sample = sample(&ranges(&[(0, 0), (1000, 1004)]), &[uid(65534)], gid(65534));
        assert_eq!(served(&sample), [0, 1000, 1001, 1002, 1003, 1004]);
        assert_eq!((sample.listed, sample.probed), (6, 6));
    }

    #[test]
    fn of_many_ids_the_ends_of_ranges_come_first() {
        let wide = sample(&ranges(&[(5, 5), (1000, 9999)]), &[uid(65534)], gid(65534));
        let uids = served(&wide);
        assert_eq!(uids.len(), 64);
        assert!([5, 1000, 9999].iter().all(|id| uids.contains(id)));
        let single: Vec<(u32, u32)> = (0..1000).map(|n| (n * 2, n * 2)).collect();
        let many = sample(&ranges(&single), &[uid(65534)], gid(65534));
        assert_eq!((many.listed, many.probed), (1000, 64));
        assert!(served(&many).contains(&0) && served(&many).contains(&1998));
    }

    #[test]
    fn a_group_is_probed_as_primary_and_as_supplementary() {
        let subjects = Subjects::new([], [], [(gid(7), None)]);
        let sample = sample(&subjects, &[uid(65534)], gid(65533));
        let witness = |gid, groups| Witness {
            uid: uid(65534),
            gid,
            groups,
            expected: Expected::Served,
        };
        assert!(sample.witnesses.contains(&witness(gid(7), vec![])));
        assert!(
            sample
                .witnesses
                .contains(&witness(gid(65533), vec![gid(7)]))
        );
    }

    #[test]
    fn the_whole_id_space_is_sampled_without_counting_it_out() {
        let sample = sample(&ranges(&[(0, u32::MAX - 1)]), &[], gid(1));
        assert_eq!(sample.probed, 64);
        assert_eq!(sample.listed, u64::from(u32::MAX));
    }

    #[test]
    fn outcomes_become_findings() {
        let subjects = ranges(&[(0, 0)]);
        let sample = sample(&subjects, &[uid(65534)], gid(65534));
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
