//! The allowed subjects, by id, in a canonical form.

use std::collections::{BTreeMap, BTreeSet};

use super::id::{Gid, Uid, UidRange};
use super::subject::AccountName;

/// The allowed subjects, by id, in a canonical form: the same users and groups give equal values,
/// regardless of their order, repetition and overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subjects {
    named: BTreeMap<Uid, BTreeSet<AccountName>>,
    /// Uids given by number: sorted, disjoint, not adjacent, without the uids in `named`.
    unnamed: Vec<UidRange>,
    groups: BTreeMap<Gid, BTreeSet<AccountName>>,
}

impl Subjects {
    /// Builds the canonical form. A group that is given by number has no name.
    #[must_use]
    pub fn new(
        named: impl IntoIterator<Item = (Uid, AccountName)>,
        uids: impl IntoIterator<Item = UidRange>,
        groups: impl IntoIterator<Item = (Gid, Option<AccountName>)>,
    ) -> Self {
        let mut users_by_id: BTreeMap<Uid, BTreeSet<AccountName>> = BTreeMap::new();
        for (uid, name) in named {
            users_by_id.entry(uid).or_default().insert(name);
        }
        let mut groups_by_id: BTreeMap<Gid, BTreeSet<AccountName>> = BTreeMap::new();
        for (gid, name) in groups {
            groups_by_id.entry(gid).or_default().extend(name);
        }
        let unnamed = cut_out(
            merged(uids.into_iter().collect()),
            users_by_id.keys().copied(),
        );
        Self {
            named: users_by_id,
            unnamed,
            groups: groups_by_id,
        }
    }

    /// Uids that are given by name, with the names. Accounts that share a uid give several names.
    #[must_use]
    pub fn named(&self) -> &BTreeMap<Uid, BTreeSet<AccountName>> {
        &self.named
    }

    /// Uids that are given by number only: sorted, disjoint, not adjacent.
    #[must_use]
    pub fn unnamed(&self) -> &[UidRange] {
        &self.unnamed
    }

    /// Gids, with the names by which they are given, if any.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<Gid, BTreeSet<AccountName>> {
        &self.groups
    }

    /// All listed uids in as few ranges as possible: sorted, disjoint, not adjacent.
    #[must_use]
    pub fn uid_ranges(&self) -> Vec<UidRange> {
        let named = self.named.keys().map(|&uid| UidRange::from(uid));
        merged(named.chain(self.unnamed.iter().copied()).collect())
    }

    /// Whether both contain the same ids. Names do not matter.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        self.uid_ranges() == other.uid_ranges() && self.groups.keys().eq(other.groups.keys())
    }

    /// Whether processes of root are allowed: by uid 0, or by gid 0, the primary group of root.
    #[must_use]
    pub fn allow_root(&self) -> bool {
        let first = self.uid_ranges().first().map(|range| range.first);
        first == Some(Uid::ROOT) || self.groups.keys().any(|gid| gid.get() == 0)
    }

    /// Whether nobody is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.unnamed.is_empty() && self.groups.is_empty()
    }
}

fn merged(mut ranges: Vec<UidRange>) -> Vec<UidRange> {
    ranges.sort_unstable();
    let mut out: Vec<UidRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            // The largest id is u32::MAX - 1, so the sum cannot overflow.
            Some(last) if range.first.0 <= last.last.0 + 1 => last.last = last.last.max(range.last),
            _ => out.push(range),
        }
    }
    out
}

/// `ranges` without the uids in `holes`. Both are sorted.
fn cut_out(ranges: Vec<UidRange>, holes: impl Iterator<Item = Uid>) -> Vec<UidRange> {
    let mut holes = holes.peekable();
    let mut out = Vec::with_capacity(ranges.len());
    for range in ranges {
        // u64, so that the last id plus one does not overflow.
        let mut start = u64::from(range.first.0);
        while holes.next_if(|&hole| hole < range.first).is_some() {}
        while let Some(hole) = holes.next_if(|&hole| hole <= range.last) {
            push_span(&mut out, start, u64::from(hole.0));
            start = u64::from(hole.0) + 1;
        }
        push_span(&mut out, start, u64::from(range.last.0) + 1);
    }
    out
}

/// Appends the range of uids from `start` to `end`, without `end`. An empty range is not appended.
fn push_span(out: &mut Vec<UidRange>, start: u64, end: u64) {
    if start < end
        && let (Ok(first), Ok(last)) = (u32::try_from(start), u32::try_from(end - 1))
    {
        out.push(UidRange {
            first: Uid(first),
            last: Uid(last),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::MAX_ID;
    use super::*;

    fn range(first: u32, last: u32) -> UidRange {
        UidRange::new(Uid(first), Uid(last)).unwrap()
    }

    #[test]
    fn order_and_overlap_do_not_matter() {
        let name = |text: &str| text.parse::<AccountName>().unwrap();
        let one = Subjects::new(
            [(Uid(5), name("e")), (Uid(0), name("root"))],
            [range(4, 9), range(1, 3), range(9, 12)],
            [],
        );
        let two = Subjects::new(
            [
                (Uid(0), name("root")),
                (Uid(5), name("e")),
                (Uid(5), name("e")),
            ],
            [range(1, 12)],
            [],
        );
        assert_eq!(one, two);
        assert_eq!(one.unnamed(), [range(1, 4), range(6, 12)]);
        assert_eq!(one.uid_ranges(), [range(0, 12)]);
    }

    #[test]
    fn root_is_allowed_by_uid_or_by_primary_group() {
        let users = |ids| Subjects::new([], [ids], []);
        let group = |gid| Subjects::new([], [], [(Gid(gid), None)]);
        assert!(users(range(0, 5)).allow_root() && group(0).allow_root());
        assert!(!users(range(1, 5)).allow_root() && !group(1).allow_root());
        assert!(!Subjects::default().allow_root());
    }

    #[test]
    fn the_whole_id_space_is_one_range() {
        let all = Subjects::new([], [range(0, MAX_ID)], []);
        assert_eq!(all.uid_ranges(), [range(0, MAX_ID)]);
        assert_eq!(range(0, MAX_ID).count(), u64::from(u32::MAX));
    }
}
