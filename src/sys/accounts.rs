//! Names to ids and back, by the host's name service (NSS).

use nix::errno::Errno;
use thiserror::Error;
use users::{Groups, Users};

use crate::policy::{AccountName, Gid, GroupWord, SubjectError, Subjects, Uid, UidRange, UserWord};
use crate::verify::LookedUp;

/// The most names that are searched for near ones.
const MAX_NAMES: usize = 10_000;

/// How alike a name must be to be suggested, 0 to 1 (Jaro-Winkler).
const NEAR: f64 = 0.8;

/// Why a word could not be resolved.
#[derive(Debug, Error)]
pub enum AccountError {
    /// There is no such name.
    #[error("there is no {kind} \"{name}\" on this host{}", nearest(near))]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: AccountName,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// The name service did not answer.
    #[error("looking up the {kind} \"{name}\" failed: {source}")]
    LookUp {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: AccountName,
        /// The system's reason.
        #[source]
        source: Errno,
    },
    /// The id is (uid_t) -1.
    #[error("the {kind} \"{name}\" has no usable id: {source}")]
    BadId {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: AccountName,
        /// Why.
        #[source]
        source: SubjectError,
    },
}

fn nearest(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; near it: {}", near.join(", ")),
    }
}

/// Resolves all words, each name by one look-up.
///
/// # Errors
/// The first name that does not exist, or whose look-up failed.
pub fn resolve<A: Users + Groups>(
    accounts: &A,
    users: &[UserWord],
    groups: &[GroupWord],
) -> Result<Subjects, AccountError> {
    let mut named: Vec<(Uid, AccountName)> = Vec::new();
    let mut uids: Vec<UidRange> = Vec::new();
    for word in users {
        match word {
            UserWord::Uids(range) => uids.push(*range),
            UserWord::Name(name) => {
                let uid = id(
                    "user",
                    name,
                    user_id(accounts, name),
                    Uid::new,
                    super::ffi::user_names,
                )?;
                named.push((uid, name.clone()));
            }
        }
    }
    let mut gids: Vec<(Gid, Option<AccountName>)> = Vec::new();
    for word in groups {
        match word {
            GroupWord::Gid(gid) => gids.push((*gid, None)),
            GroupWord::Name(name) => {
                let gid = id(
                    "group",
                    name,
                    group_id(accounts, name),
                    Gid::new,
                    super::ffi::group_names,
                )?;
                gids.push((gid, Some(name.clone())));
            }
        }
    }
    Ok(Subjects::new(named, uids, gids))
}

fn id<T>(
    kind: &'static str,
    name: &AccountName,
    found: Result<Option<u32>, Errno>,
    new: fn(u32) -> Option<T>,
    known: fn(usize) -> Vec<String>,
) -> Result<T, AccountError> {
    let name = || name.clone();
    match found {
        Err(source) => Err(AccountError::LookUp {
            kind,
            name: name(),
            source,
        }),
        Ok(None) => Err(AccountError::Unknown {
            kind,
            name: name(),
            near: near(name().as_str(), known(MAX_NAMES)),
        }),
        Ok(Some(id)) => new(id).ok_or_else(|| AccountError::BadId {
            kind,
            name: name(),
            source: SubjectError::Overflow(id.to_string()),
        }),
    }
}

/// Up to three known names like the given one, the likest first.
fn near(name: &str, known: Vec<String>) -> Vec<String> {
    let mut scored: Vec<(f64, String)> = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, &candidate), candidate))
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// What a look-up of each user name of `subjects`, then of each group name, says now.
pub fn look_up_names<'a, A: Users + Groups>(
    accounts: &A,
    subjects: &'a Subjects,
) -> Vec<(&'a AccountName, u32, LookedUp)> {
    let users = subjects.named().iter().flat_map(|(uid, names)| {
        names
            .iter()
            .map(|name| (name, uid.get(), looked_up(user_id(accounts, name))))
    });
    let groups = subjects.groups().iter().flat_map(|(gid, names)| {
        names
            .iter()
            .map(|name| (name, gid.get(), looked_up(group_id(accounts, name))))
    });
    users.chain(groups).collect()
}

fn looked_up(found: Result<Option<u32>, Errno>) -> LookedUp {
    match found {
        Ok(Some(id)) => LookedUp::Id(id),
        Ok(None) => LookedUp::Gone,
        Err(errno) => LookedUp::Failed(errno.to_string()),
    }
}

fn user_id<A: Users>(accounts: &A, name: &AccountName) -> Result<Option<u32>, Errno> {
    if let Some(user) = accounts.get_user_by_name(name.as_str()) {
        return Ok(Some(user.uid()));
    }
    // The crate says "none" for a failed look-up too; the C library tells them apart.
    let found = nix::unistd::User::from_name(name.as_str());
    absent_or_failed(found.map(|user| user.map(|user| user.uid.as_raw())))
}

fn group_id<A: Groups>(accounts: &A, name: &AccountName) -> Result<Option<u32>, Errno> {
    if let Some(group) = accounts.get_group_by_name(name.as_str()) {
        return Ok(Some(group.gid()));
    }
    let found = nix::unistd::Group::from_name(name.as_str());
    absent_or_failed(found.map(|group| group.map(|group| group.gid.as_raw())))
}

/// getpwnam(3), "RETURN VALUE": these codes also mean that the name was not found.
fn absent_or_failed(found: nix::Result<Option<u32>>) -> Result<Option<u32>, Errno> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        found => found,
    }
}

/// Uids that are not listed, for probes: `nobody`, one that belongs to no account, and the uids
/// next to the first two ranges of more than one uid; and a gid that is in no listed group.
pub fn strangers<A: Users + Groups>(accounts: &A, subjects: &Subjects) -> (Vec<Uid>, Gid) {
    let ranges = subjects.uid_ranges();
    let listed = |uid: &Uid| ranges.iter().any(|range| range.contains(*uid));
    let nobody = accounts
        .get_user_by_name("nobody")
        .map_or(65534, |user| user.uid());
    // From regions that nobody hands out (systemd, "Users, Groups, UIDs and GIDs"); 16 bits
    // first, since the user namespace of a container may have no others.
    let no_account = (65520..=65533)
        .chain(60578..=61183)
        .chain(4_100_000_000..4_100_001_000)
        .filter_map(Uid::new)
        .find(|uid| !listed(uid) && accounts.get_user_by_uid(uid.get()).is_none());
    let wide = ranges.iter().filter(|range| range.count() > 1);
    let beside = wide.take(2).flat_map(|range| {
        let (first, last) = (range.first().get(), range.last().get());
        [first.checked_sub(1), last.checked_add(1)]
    });
    let mut uids: Vec<Uid> = Vec::new();
    let candidates = Uid::new(nobody)
        .into_iter()
        .chain(no_account)
        .chain(beside.flatten().filter_map(Uid::new));
    for uid in candidates.filter(|uid| !listed(uid)) {
        if !uids.contains(&uid) {
            uids.push(uid);
        }
    }
    // There are more of these than a policy can list.
    let gid = [65534]
        .into_iter()
        .chain(65520..=65533)
        .chain(4_100_000_000..u32::MAX)
        .filter_map(Gid::new)
        .find(|gid| !subjects.groups().contains_key(gid))
        .unwrap_or_default();
    (uids, gid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use users::{Group, User, mock::MockUsers};

    fn accounts() -> MockUsers {
        let mut accounts = MockUsers::with_current_uid(0);
        accounts.add_user(User::new(0, "root", 0));
        accounts.add_user(User::new(1001, "alice", 1001));
        accounts.add_group(Group::new(500, "metadata"));
        accounts
    }

    fn words<T: std::str::FromStr<Err = SubjectError>>(words: &[&str]) -> Vec<T> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn names_become_ids() {
        let subjects = resolve(
            &accounts(),
            &words(&["root", "alice", "2000-2001"]),
            &words(&["metadata", "7"]),
        )
        .unwrap();
        let ids: Vec<u32> = subjects.named().keys().map(|uid| uid.get()).collect();
        assert_eq!(ids, [0, 1001]);
        assert_eq!(subjects.unnamed().len(), 1);
        assert_eq!(subjects.groups().len(), 2);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_shows_near_ones() {
        let near = near(
            "alcie",
            vec!["alice".into(), "root".into(), "alice2".into()],
        );
        assert_eq!(near.first().map(String::as_str), Some("alice"));
        let error = resolve(&accounts(), &words(&["no-such-user-here"]), &[]).unwrap_err();
        assert!(matches!(error, AccountError::Unknown { kind: "user", .. }));
        let error = resolve(&accounts(), &[], &words(&["no-such-group-here"])).unwrap_err();
        assert!(matches!(error, AccountError::Unknown { kind: "group", .. }));
    }

    #[test]
    fn strangers_are_never_listed() {
        let subjects = Subjects::new(
            [],
            ["65534", "1000-1999"].map(|word| match word.parse().unwrap() {
                UserWord::Uids(range) => range,
                UserWord::Name(_) => unreachable!(),
            }),
            [(Gid::new(65534).unwrap(), None)],
        );
        let (uids, gid) = strangers(&accounts(), &subjects);
        let ids: Vec<u32> = uids.iter().map(|uid| uid.get()).collect();
        assert_eq!(ids, [65520, 999, 2000]);
        assert_eq!(gid.get(), 65520);
        let everyone = Subjects::new(
            [],
            [UidRange::new(Uid::new(0).unwrap(), Uid::new(u32::MAX - 1).unwrap()).unwrap()],
            [],
        );
        assert!(strangers(&accounts(), &everyone).0.is_empty());
    }

    #[test]
    fn a_name_that_moved_or_went_is_noticed() {
        let subjects = resolve(&accounts(), &words(&["alice", "root"]), &[]).unwrap();
        let mut later = MockUsers::with_current_uid(0);
        later.add_user(Arc::unwrap_or_clone(Arc::new(User::new(2001, "alice", 1))));
        later.add_user(User::new(0, "root", 0));
        let seen = look_up_names(&later, &subjects);
        assert_eq!(seen[0].2, LookedUp::Id(0));
        assert_eq!(seen[1].2, LookedUp::Id(2001));
    }
}
