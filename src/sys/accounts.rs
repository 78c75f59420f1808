//! Names to ids and back, by the host's name service (NSS).

use std::fmt;

use nix::errno::Errno;
use thiserror::Error;
use users::{Groups, Users};

use crate::policy::{
    AccountName, Gid, GroupWord, SubjectError, Subjects, Uid, UidRange, Unresolved, UserWord,
};
use crate::verify::LookedUp;

/// The most names that are searched for near ones.
const MAX_NAMES: usize = 10_000;

/// How alike a name must be to be suggested, 0 to 1 (Jaro-Winkler).
const NEAR: f64 = 0.8;

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A user.
    User,
    /// A group.
    Group,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
        })
    }
}

/// Why a word could not be resolved.
#[derive(Debug, Error)]
pub enum AccountError {
    /// There is no such name.
    #[error("there is no {kind} \"{name}\" on this host{}", nearest(near))]
    Unknown {
        /// What was looked for.
        kind: Kind,
        /// The name.
        name: AccountName,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// The name service did not answer.
    #[error("looking up the {kind} \"{name}\" failed: {source}")]
    LookUp {
        /// What was looked for.
        kind: Kind,
        /// The name.
        name: AccountName,
        /// The system's reason.
        #[source]
        source: Errno,
    },
    /// The id is (uid_t) -1.
    #[error("the {kind} \"{name}\" has no usable id: {source}")]
    BadId {
        /// What was looked for.
        kind: Kind,
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
    words: &Unresolved,
) -> Result<Subjects, AccountError> {
    resolve_or(accounts, words, |error| Err(error.with_near_names()))
}

/// Resolves what can be resolved. A name that cannot keeps the id that it has in `standing`, if it
/// has one there and nobody else is known to have that id now: while accounts cannot be looked at,
/// what stands stands. It is told in any case.
pub fn resolve_known<A: Users + Groups>(
    accounts: &A,
    words: &Unresolved,
    standing: &Subjects,
) -> (Subjects, Vec<AccountError>) {
    let mut unresolved = Vec::new();
    let resolved = resolve_or(accounts, words, |error| {
        let id = error.id_in(standing);
        let id = id.filter(|&id| !error.belongs_to_another(accounts, id));
        unresolved.push(error);
        Ok(id)
    });
    // No look-up ends it here.
    (resolved.unwrap_or_default(), unresolved)
}

/// `otherwise` says what becomes of a name without an id: another id, none, or the end.
fn resolve_or<A: Users + Groups>(
    accounts: &A,
    words: &Unresolved,
    mut otherwise: impl FnMut(AccountError) -> Result<Option<u32>, AccountError>,
) -> Result<Subjects, AccountError> {
    let mut named: Vec<(Uid, AccountName)> = Vec::new();
    let mut uids: Vec<UidRange> = Vec::new();
    for word in &words.users {
        match word {
            UserWord::Uids(range) => uids.push(*range),
            UserWord::Name(name) => {
                let found =
                    id(Kind::User, name, user_id(accounts, name)).or_else(&mut otherwise)?;
                named.extend(found.and_then(Uid::new).map(|uid| (uid, name.clone())));
            }
        }
    }
    let mut gids: Vec<(Gid, Option<AccountName>)> = Vec::new();
    for word in &words.groups {
        match word {
            GroupWord::Gid(gid) => gids.push((*gid, None)),
            GroupWord::Name(name) => {
                let found =
                    id(Kind::Group, name, group_id(accounts, name)).or_else(&mut otherwise)?;
                gids.extend(
                    found
                        .and_then(Gid::new)
                        .map(|gid| (gid, Some(name.clone()))),
                );
            }
        }
    }
    Ok(Subjects::new(named, uids, gids))
}

fn id(
    kind: Kind,
    name: &AccountName,
    found: Result<Option<u32>, Errno>,
) -> Result<Option<u32>, AccountError> {
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
            near: Vec::new(),
        }),
        // The same bound holds for uids and gids.
        Ok(Some(id)) if Uid::new(id).is_none() => Err(AccountError::BadId {
            kind,
            name: name(),
            source: SubjectError::Overflow(id.to_string()),
        }),
        Ok(id) => Ok(id),
    }
}

impl AccountError {
    /// With names that the host does have.
    fn with_near_names(mut self) -> Self {
        if let Self::Unknown { kind, name, near } = &mut self {
            let known = match kind {
                Kind::User => super::ffi::user_names(MAX_NAMES),
                Kind::Group => super::ffi::group_names(MAX_NAMES),
            };
            *near = near_names(name.as_str(), known);
        }
        self
    }

    /// Whether the host is known to give the id to another name: it was handed out again.
    fn belongs_to_another<A: Users + Groups>(&self, accounts: &A, id: u32) -> bool {
        let (Self::Unknown { kind, name, .. }
        | Self::LookUp { kind, name, .. }
        | Self::BadId { kind, name, .. }) = self;
        match kind {
            Kind::User => {
                let owner = accounts.get_user_by_uid(id);
                owner.is_some_and(|owner| owner.name() != name.as_str())
            }
            Kind::Group => {
                let owner = accounts.get_group_by_gid(id);
                owner.is_some_and(|owner| owner.name() != name.as_str())
            }
        }
    }

    /// The id that the name has among the subjects.
    fn id_in(&self, subjects: &Subjects) -> Option<u32> {
        let (Self::Unknown { kind, name, .. }
        | Self::LookUp { kind, name, .. }
        | Self::BadId { kind, name, .. }) = self;
        match kind {
            Kind::User => {
                let mut users = subjects.named().iter();
                users.find_map(|(uid, names)| names.contains(name).then_some(uid.get()))
            }
            Kind::Group => {
                let mut groups = subjects.groups().iter();
                groups.find_map(|(gid, names)| names.contains(name).then_some(gid.get()))
            }
        }
    }
}

/// Up to three known names like the given one, the likest first.
fn near_names(name: &str, known: Vec<String>) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Forwarded, IMDS_V4, Target};
    use std::sync::Arc;
    use users::{Group, User, mock::MockUsers};

    fn accounts() -> MockUsers {
        let mut accounts = MockUsers::with_current_uid(0);
        accounts.add_user(User::new(0, "root", 0));
        accounts.add_user(User::new(1001, "alice", 1001));
        accounts.add_group(Group::new(500, "metadata"));
        accounts
    }

    fn unresolved(users: &[&str], groups: &[&str]) -> Unresolved {
        Unresolved {
            target: Target::new(IMDS_V4, false),
            users: users.iter().map(|word| word.parse().unwrap()).collect(),
            groups: groups.iter().map(|word| word.parse().unwrap()).collect(),
            forwarded: Forwarded::Refuse,
        }
    }

    #[test]
    fn a_name_that_cannot_be_resolved_keeps_the_id_that_stands() {
        let name = |text: &str| text.parse::<AccountName>().unwrap();
        let standing = Subjects::new(
            [
                (Uid::new(1500).unwrap(), name("bob")),
                // Alice's now.
                (Uid::new(1001).unwrap(), name("carol")),
            ],
            [],
            [(Gid::new(600).unwrap(), Some(name("ops")))],
        );
        let words = unresolved(&["alice", "bob", "carol"], &["ops", "staff-of-nobody"]);
        let (subjects, unresolved) = resolve_known(&accounts(), &words, &standing);
        let ids: Vec<u32> = subjects.named().keys().map(|uid| uid.get()).collect();
        assert_eq!(ids, [1001, 1500]);
        let ids: Vec<u32> = subjects.groups().keys().map(|gid| gid.get()).collect();
        assert_eq!(ids, [600]);
        assert_eq!(unresolved.len(), 4, "{unresolved:?}");
    }

    #[test]
    fn names_become_ids() {
        let words = unresolved(&["root", "alice", "2000-2001"], &["metadata", "7"]);
        let subjects = resolve(&accounts(), &words).unwrap();
        let ids: Vec<u32> = subjects.named().keys().map(|uid| uid.get()).collect();
        assert_eq!(ids, [0, 1001]);
        assert_eq!(subjects.unnamed().len(), 1);
        assert_eq!(subjects.groups().len(), 2);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_shows_near_ones() {
        let near = near_names(
            "alcie",
            vec!["alice".into(), "root".into(), "alice2".into()],
        );
        assert_eq!(near.first().map(String::as_str), Some("alice"));
        let error = resolve(&accounts(), &unresolved(&["no-such-user-here"], &[])).unwrap_err();
        assert!(matches!(
            error,
            AccountError::Unknown {
                kind: Kind::User,
                ..
            }
        ));
        let error = resolve(&accounts(), &unresolved(&[], &["no-such-group-here"])).unwrap_err();
        assert!(matches!(
            error,
            AccountError::Unknown {
                kind: Kind::Group,
                ..
            }
        ));
    }

    #[test]
    fn a_name_that_moved_or_went_is_noticed() {
        let subjects = resolve(&accounts(), &unresolved(&["alice", "root"], &[])).unwrap();
        let mut later = MockUsers::with_current_uid(0);
        later.add_user(Arc::unwrap_or_clone(Arc::new(User::new(2001, "alice", 1))));
        later.add_user(User::new(0, "root", 0));
        let seen = look_up_names(&later, &subjects);
        assert_eq!(seen[0].2, LookedUp::Id(0));
        assert_eq!(seen[1].2, LookedUp::Id(2001));
    }
}
