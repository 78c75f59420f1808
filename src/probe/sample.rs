//! Which identities to probe.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::policy::{Gid, Subjects, Uid};

/// The most listed ids that are probed; beyond it, a stated sample.
const MAX_LISTED: usize = 64;

/// The most groups among them.
const MAX_GROUPS: usize = 16;

/// The overflow id, which is `nobody`'s, and its group's, nearly everywhere (user_namespaces(7)).
const NOBODY: u32 = 65534;

/// What ought to become of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// The identity is listed.
    Served,
    /// The identity is not listed.
    Refused,
}

/// A user that a probe becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Its uid.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
    /// Its supplementary groups.
    pub groups: Vec<Gid>,
    /// What ought to become of its probes.
    pub expected: Expected,
}

/// Whom to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The identities.
    pub identities: Vec<Identity>,
    /// How many ids and groups are listed.
    pub listed: u64,
    /// How many of them are among the identities.
    pub probed: u64,
}

/// Chooses identities: up to 64 of the listed (groups, ends of uid ranges, then uids between), and
/// some who are not listed.
#[must_use]
pub fn sample(subjects: &Subjects) -> Sample {
    let (strangers, gid) = strangers(subjects);
    let identity = |uid, gid, groups, expected| Identity {
        uid,
        gid,
        groups,
        expected,
    };
    let mut identities: Vec<Identity> = strangers
        .iter()
        .map(|&uid| identity(uid, gid, Vec::new(), Expected::Refused))
        .collect();
    // A member of a listed group is known by the group only if its uid is not listed.
    let mut groups = 0;
    if let Some(&stranger) = strangers.first() {
        for &listed in spread(&subjects.groups().keys().collect::<Vec<_>>(), MAX_GROUPS) {
            groups += 1;
            identities.push(identity(stranger, *listed, Vec::new(), Expected::Served));
            identities.push(identity(stranger, gid, vec![*listed], Expected::Served));
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
    identities.extend(
        uids.iter()
            .map(|&uid| identity(uid, gid, Vec::new(), Expected::Served)),
    );
    let all_uids: u64 = ranges.iter().map(|range| range.count()).sum();
    Sample {
        identities,
        listed: all_uids + subjects.groups().len() as u64,
        probed: (uids.len() + groups) as u64,
    }
}

/// Uids that are not listed: `nobody`, one from regions that belong to no account (systemd, "Users,
/// Groups, UIDs and GIDs"; 16 bits first, since the user namespace of a container may have no
/// others), and the uids next to the first two ranges of more than one uid. And a gid that is in no
/// listed group.
fn strangers(subjects: &Subjects) -> (Vec<Uid>, Gid) {
    let ranges = subjects.uid_ranges();
    let listed = |uid: &Uid| ranges.iter().any(|range| range.contains(*uid));
    let no_account = (65520..=65533)
        .chain(60578..=61183)
        .chain(4_100_000_000..4_100_001_000)
        .filter_map(Uid::new)
        .find(|uid| !listed(uid));
    let wide = ranges.iter().filter(|range| range.count() > 1);
    let beside = wide.take(2).flat_map(|range| {
        let (first, last) = (range.first().get(), range.last().get());
        [first.checked_sub(1), last.checked_add(1)]
    });
    let mut uids: Vec<Uid> = Vec::new();
    let candidates = Uid::new(NOBODY)
        .into_iter()
        .chain(no_account)
        .chain(beside.flatten().filter_map(Uid::new));
    for uid in candidates.filter(|uid| !listed(uid)) {
        if !uids.contains(&uid) {
            uids.push(uid);
        }
    }
    // There are more of these than a policy can list.
    let gid = [NOBODY]
        .into_iter()
        .chain(65520..=65533)
        .chain(4_100_000_000..u32::MAX)
        .filter_map(Gid::new)
        .find(|gid| !subjects.groups().contains_key(gid))
        .unwrap_or_default();
    (uids, gid)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::UidRange;

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
            .identities
            .iter()
            .filter(|identity| identity.expected == Expected::Served)
            .map(|identity| identity.uid.get())
            .collect()
    }

    #[test]
    fn few_ids_are_all_probed() {
        let sample = sample(&ranges(&[(0, 0), (1000, 1004)]));
        assert_eq!(served(&sample), [0, 1000, 1001, 1002, 1003, 1004]);
        assert_eq!((sample.listed, sample.probed), (6, 6));
    }

    #[test]
    fn of_many_ids_the_ends_of_ranges_come_first() {
        let wide = sample(&ranges(&[(5, 5), (1000, 9999)]));
        let uids = served(&wide);
        assert_eq!(uids.len(), 64);
        assert!([5, 1000, 9999].iter().all(|id| uids.contains(id)));
        let single: Vec<(u32, u32)> = (0..1000).map(|n| (n * 2, n * 2)).collect();
        let many = sample(&ranges(&single));
        assert_eq!((many.listed, many.probed), (1000, 64));
        assert!(served(&many).contains(&0) && served(&many).contains(&1998));
    }

    #[test]
    fn a_group_is_probed_as_primary_and_as_supplementary() {
        let subjects = Subjects::new([], [], [(gid(7), None)]);
        let sample = sample(&subjects);
        let identity = |gid, groups| Identity {
            uid: uid(65534),
            gid,
            groups,
            expected: Expected::Served,
        };
        assert!(sample.identities.contains(&identity(gid(7), vec![])));
        assert!(
            sample
                .identities
                .contains(&identity(gid(65534), vec![gid(7)]))
        );
    }

    #[test]
    fn the_whole_id_space_is_sampled_without_counting_it_out() {
        let sample = sample(&ranges(&[(0, u32::MAX - 1)]));
        assert_eq!(sample.probed, 64);
        assert_eq!(sample.listed, u64::from(u32::MAX));
    }

    #[test]
    fn strangers_are_never_listed() {
        let subjects = Subjects::new(
            [],
            [(65534, 65534), (1000, 1999)]
                .map(|(first, last)| UidRange::new(uid(first), uid(last)).unwrap()),
            [(gid(65534), None)],
        );
        let (uids, free) = strangers(&subjects);
        let ids: Vec<u32> = uids.iter().map(|uid| uid.get()).collect();
        assert_eq!(ids, [65520, 999, 2000]);
        assert_eq!(free.get(), 65520);
        assert!(strangers(&ranges(&[(0, u32::MAX - 1)])).0.is_empty());
    }
}
