//! Chooses the identities to probe.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::policy::{Gid, Subjects, Uid};

/// The largest number of listed ids that are probed. If more are listed, a sample is probed, and the
/// output contains its size.
const MAX_LISTED: usize = 64;

/// The largest number of groups among them.
const MAX_GROUPS: usize = 16;

/// The overflow id (user_namespaces(7)). On nearly all systems it is the id of `nobody` and of its group.
const NOBODY: u32 = 65534;

/// The expected outcome of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// The probe gets through, because the identity is listed.
    Served,
    /// The probe is refused, because the identity is not listed.
    Refused,
}

/// A listed subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listed {
    /// A user.
    User(Uid),
    /// A group.
    Group(Gid),
}

/// A probe identity: the ids that a probe takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The uid.
    pub uid: Uid,
    /// The primary group.
    pub gid: Gid,
    /// The supplementary groups.
    pub groups: Vec<Gid>,
    /// The expected outcome of its probes.
    pub expected: Expected,
    /// The subject because of which it is allowed.
    #[serde(skip)]
    pub listed: Option<Listed>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        match self.listed {
            Some(Listed::Group(group)) => write!(f, " in group {group}"),
            _ => Ok(()),
        }
    }
}

/// The identities to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The identities.
    pub identities: Vec<Identity>,
    /// How many ids and groups are listed.
    pub listed: u64,
    /// How many of the listed ids and groups are probed.
    pub probed: u64,
}

/// Chooses up to 64 listed ids (groups first, then the ends of uid ranges, then uids between them), and
/// some ids that are not listed.
#[must_use]
pub fn sample(subjects: &Subjects) -> Sample {
    let (unlisted, gid) = unlisted(subjects);
    let identity = |uid, gid, groups, listed: Option<Listed>| Identity {
        uid,
        gid,
        groups,
        expected: match listed {
            Some(_) => Expected::Served,
            None => Expected::Refused,
        },
        listed,
    };
    let mut identities: Vec<Identity> = unlisted
        .iter()
        .map(|&uid| identity(uid, gid, Vec::new(), None))
        .collect();
    // With an unlisted uid, so that a probe gets through only because of the group.
    let mut groups = 0;
    if let Some(&uid) = unlisted.first() {
        for &listed in spread(&subjects.groups().keys().collect::<Vec<_>>(), MAX_GROUPS) {
            groups += 1;
            let group = Some(Listed::Group(*listed));
            identities.push(identity(uid, *listed, Vec::new(), group));
            identities.push(identity(uid, gid, vec![*listed], group));
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
            .map(|&uid| identity(uid, gid, Vec::new(), Some(Listed::User(uid)))),
    );
    let all_uids: u64 = ranges.iter().map(|range| range.count()).sum();
    Sample {
        identities,
        listed: all_uids + subjects.groups().len() as u64,
        probed: (uids.len() + groups) as u64,
    }
}

/// Uids that are not listed, and a gid that is not listed.
///
/// The uids are `nobody`, a uid that no account has (systemd, "Users, Groups, UIDs and GIDs"), and the
/// uids before and after the first two ranges with more than one uid. Uids of 16 bits come first,
/// because the user namespace of a container may have no others.
fn unlisted(subjects: &Subjects) -> (Vec<Uid>, Gid) {
    let ranges = subjects.uid_ranges();
    let listed = |uid: &Uid| ranges.iter().any(|range| range.contains(*uid));
    let no_account = (65520..=65533)
        .chain(60578..=61183)
        .chain(4_100_000_000..4_100_001_000)
        .filter_map(Uid::new)
        .find(|uid| !listed(uid));
    let wide = ranges.iter().filter(|range| range.count() > 1);
    let adjacent = wide.take(2).flat_map(|range| {
        let (first, last) = (range.first().get(), range.last().get());
        [first.checked_sub(1), last.checked_add(1)]
    });
    let mut uids: Vec<Uid> = Vec::new();
    let candidates = Uid::new(NOBODY)
        .into_iter()
        .chain(no_account)
        .chain(adjacent.flatten().filter_map(Uid::new));
    for uid in candidates.filter(|uid| !listed(uid)) {
        if !uids.contains(&uid) {
            uids.push(uid);
        }
    }
    // A policy cannot list so many groups, so one of these is not listed.
    let gid = [NOBODY]
        .into_iter()
        .chain(65520..=65533)
        .chain(4_100_000_000..u32::MAX)
        .filter_map(Gid::new)
        .find(|gid| !subjects.groups().contains_key(gid))
        .unwrap_or_default();
    (uids, gid)
}

/// At most `most` of the items, evenly spread, with the first and the last item.
fn spread<T>(items: &[T], most: usize) -> impl Iterator<Item = &T> {
    let count = items.len().min(most);
    (0..count).filter_map(move |nth| {
        let index = match count {
            0 | 1 => 0,
            _ => nth * (items.len() - 1) / (count - 1),
        };
        items.get(index)
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
    fn the_ends_of_ranges_come_first() {
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
            listed: Some(Listed::Group(Gid::new(7).unwrap())),
        };
        assert!(sample.identities.contains(&identity(gid(7), vec![])));
        assert!(
            sample
                .identities
                .contains(&identity(gid(65534), vec![gid(7)]))
        );
    }

    #[test]
    fn the_whole_id_space_is_sampled_without_iterating_over_it() {
        let sample = sample(&ranges(&[(0, u32::MAX - 1)]));
        assert_eq!(sample.probed, 64);
        assert_eq!(sample.listed, u64::from(u32::MAX));
    }

    #[test]
    fn unlisted_ids_are_not_listed() {
        let subjects = Subjects::new(
            [],
            [(65534, 65534), (1000, 1999)]
                .map(|(first, last)| UidRange::new(uid(first), uid(last)).unwrap()),
            [(gid(65534), None)],
        );
        let (uids, gid) = unlisted(&subjects);
        let ids: Vec<u32> = uids.iter().map(|uid| uid.get()).collect();
        assert_eq!(ids, [65520, 999, 2000]);
        assert_eq!(gid.get(), 65520);
        assert!(unlisted(&ranges(&[(0, u32::MAX - 1)])).0.is_empty());
    }
}
