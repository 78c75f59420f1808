//! Decides which id a name gets. The caller provides the lookups.

use std::fmt;
use std::io;

use thiserror::Error;

use super::{AccountName, Gid, GroupRef, Request, SubjectError, Subjects, Uid, UidRange, UserRef};

/// How similar a name must be to be suggested, 0 to 1 (Jaro-Winkler).
const NEAR: f64 = 0.8;

/// How many names are suggested at most.
const SUGGESTIONS: usize = 3;

/// User or group.
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

/// The name service of a host.
pub trait Names {
    /// The id of the name; `None` if the name does not exist.
    ///
    /// # Errors
    /// The lookup failed: the name may exist or not.
    fn id(&self, kind: Kind, name: &AccountName) -> io::Result<Option<u32>>;

    /// The name of the id; `None` if there is none, or if the lookup failed.
    fn name(&self, kind: Kind, id: u32) -> Option<String>;
}

/// Why a name has no id.
#[derive(Debug, Error)]
pub enum NotResolved {
    /// The name does not exist.
    #[error("there is no {kind} \"{name}\" on this host")]
    Unknown {
        /// User or group.
        kind: Kind,
        /// The name.
        name: AccountName,
        /// Similar names that exist.
        near: Vec<String>,
    },
    /// The lookup failed: the name may exist or not.
    #[error("the lookup of {kind} \"{name}\" failed: {source}")]
    LookupFailed {
        /// User or group.
        kind: Kind,
        /// The name.
        name: AccountName,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The id is (uid_t) -1, which is reserved.
    #[error("{kind} \"{name}\" has no usable id: {source}")]
    BadId {
        /// User or group.
        kind: Kind,
        /// The name.
        name: AccountName,
        /// The reason.
        #[source]
        source: SubjectError,
    },
}

impl NotResolved {
    /// With similar names of those that `known` lists.
    #[must_use]
    pub fn with_similar(self, known: impl FnOnce(Kind) -> Vec<String>) -> Self {
        match self {
            Self::Unknown { kind, name, .. } => Self::Unknown {
                near: near_names(&name, known(kind)),
                kind,
                name,
            },
            other => other,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unknown { near, .. } if !near.is_empty() => {
                let near = near.iter().filter_map(|near| near.parse().ok());
                let near: Vec<String> = near.map(|name: AccountName| name.to_string()).collect();
                Some(format!("similar names exist: {}", near.join(", ")))
            }
            Self::Unknown { kind, name, .. } if name.as_str().contains([',', ' ']) => {
                Some(format!("give each {kind} as an argument of its own"))
            }
            Self::BadId { source, .. } => source.help(),
            Self::Unknown { .. } | Self::LookupFailed { .. } => None,
        }
    }

    fn name(&self) -> (Kind, &AccountName) {
        match self {
            Self::Unknown { kind, name, .. }
            | Self::LookupFailed { kind, name, .. }
            | Self::BadId { kind, name, .. } => (*kind, name),
        }
    }
}

/// Resolves all names, each by one lookup.
///
/// # Errors
/// The first name without an id.
pub fn resolve(names: &impl Names, request: &Request) -> Result<Subjects, NotResolved> {
    resolve_or(names, request, Err)
}

/// Resolves all names that have an id, and returns the errors for the others.
///
/// A name without an id keeps the id that it has in `installed`, unless another name has that id now.
/// So the installed rules stay unchanged while the name service does not answer.
pub fn resolve_known(
    names: &impl Names,
    request: &Request,
    installed: &Subjects,
) -> (Subjects, Vec<NotResolved>) {
    let mut unresolved = Vec::new();
    let resolved = resolve_or(names, request, |failed| {
        let (kind, name) = failed.name();
        let id = id_in(installed, kind, name).filter(|&id| {
            let owner = names.name(kind, id);
            owner.is_none_or(|owner| owner == name.as_str())
        });
        unresolved.push(failed);
        Ok(id)
    });
    // The closure returns no error, so this is always `Ok`.
    (resolved.unwrap_or_default(), unresolved)
}

/// Resolves all names. For a name without an id, `otherwise` returns another id, none, or an error.
fn resolve_or(
    names: &impl Names,
    request: &Request,
    mut otherwise: impl FnMut(NotResolved) -> Result<Option<u32>, NotResolved>,
) -> Result<Subjects, NotResolved> {
    let mut id = |kind, name: &AccountName| id_of(names, kind, name).or_else(&mut otherwise);
    let mut with_names: Vec<(Uid, AccountName)> = Vec::new();
    let mut uids: Vec<UidRange> = Vec::new();
    for user in &request.users {
        match user {
            UserRef::Uids(range) => uids.push(*range),
            UserRef::Name(name) => {
                let uid = id(Kind::User, name)?.and_then(Uid::new);
                with_names.extend(uid.map(|uid| (uid, name.clone())));
            }
        }
    }
    let mut gids: Vec<(Gid, Option<AccountName>)> = Vec::new();
    for group in &request.groups {
        match group {
            GroupRef::Gid(gid) => gids.push((*gid, None)),
            GroupRef::Name(name) => {
                let gid = id(Kind::Group, name)?.and_then(Gid::new);
                gids.extend(gid.map(|gid| (gid, Some(name.clone()))));
            }
        }
    }
    Ok(Subjects::new(with_names, uids, gids))
}

fn id_of(names: &impl Names, kind: Kind, name: &AccountName) -> Result<Option<u32>, NotResolved> {
    let name = || name.clone();
    match names.id(kind, &name()) {
        Err(source) => Err(NotResolved::LookupFailed {
            kind,
            name: name(),
            source,
        }),
        Ok(None) => Err(NotResolved::Unknown {
            kind,
            name: name(),
            near: Vec::new(),
        }),
        // The reserved id is the same for users and groups.
        Ok(Some(id)) if Uid::new(id).is_none() => Err(NotResolved::BadId {
            kind,
            name: name(),
            source: SubjectError::Overflow(id.to_string()),
        }),
        Ok(id) => Ok(id),
    }
}

/// The id that the name has in `subjects`.
fn id_in(subjects: &Subjects, kind: Kind, name: &AccountName) -> Option<u32> {
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

/// A name in the rules, and the id that it has now.
#[derive(Debug)]
pub struct Current<'a> {
    /// The name.
    pub name: &'a AccountName,
    /// The id in the rules.
    pub id: u32,
    /// The id that a lookup returns now; `None` if the name does not exist any more.
    pub now: io::Result<Option<u32>>,
}

/// Looks up every name in `subjects`: users first, then groups.
pub fn look_up_again<'a>(names: &impl Names, subjects: &'a Subjects) -> Vec<Current<'a>> {
    let current = |kind, id, name| Current {
        name,
        id,
        now: names.id(kind, name),
    };
    let users = subjects.named().iter().flat_map(|(uid, names)| {
        names
            .iter()
            .map(move |name| current(Kind::User, uid.get(), name))
    });
    let groups = subjects.groups().iter().flat_map(|(gid, names)| {
        names
            .iter()
            .map(move |name| current(Kind::Group, gid.get(), name))
    });
    users.chain(groups).collect()
}

/// Up to three known names similar to the given one, the most similar first.
fn near_names(name: &AccountName, known: Vec<String>) -> Vec<String> {
    let mut scored: Vec<(f64, String)> = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name.as_str(), &candidate), candidate))
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    let near = scored.into_iter().take(SUGGESTIONS);
    near.map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Forwarded, IMDS_V4, Target};

    struct Host(Vec<(Kind, &'static str, u32)>);

    impl Names for Host {
        fn id(&self, kind: Kind, name: &AccountName) -> io::Result<Option<u32>> {
            if name.as_str() == "unreachable" {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            let mut all = self.0.iter();
            Ok(all.find_map(|(of, known, id)| {
                (*of == kind && *known == name.as_str()).then_some(*id)
            }))
        }

        fn name(&self, kind: Kind, id: u32) -> Option<String> {
            let mut all = self.0.iter();
            all.find_map(|(of, name, known)| {
                (*of == kind && *known == id).then(|| (*name).to_owned())
            })
        }
    }

    fn host() -> Host {
        Host(vec![
            (Kind::User, "root", 0),
            (Kind::User, "alice", 1001),
            (Kind::Group, "metadata", 500),
        ])
    }

    fn request(users: &[&str], groups: &[&str]) -> Request {
        Request {
            target: Target::new(IMDS_V4, false),
            users: users.iter().map(|text| text.parse().unwrap()).collect(),
            groups: groups.iter().map(|text| text.parse().unwrap()).collect(),
            forwarded: Forwarded::Refuse,
        }
    }

    fn name(text: &str) -> AccountName {
        text.parse().unwrap()
    }

    #[test]
    fn an_unresolved_name_keeps_its_installed_id() {
        let installed = Subjects::new(
            [
                (Uid::new(1500).unwrap(), name("bob")),
                // Now the id of alice.
                (Uid::new(1001).unwrap(), name("carol")),
                (Uid::new(1600).unwrap(), name("unreachable")),
            ],
            [],
            [(Gid::new(600).unwrap(), Some(name("ops")))],
        );
        let request = request(
            &["alice", "bob", "carol", "unreachable"],
            &["ops", "staff-of-nobody"],
        );
        let (subjects, unresolved) = resolve_known(&host(), &request, &installed);
        let ids: Vec<u32> = subjects.named().keys().map(|uid| uid.get()).collect();
        assert_eq!(ids, [1001, 1500, 1600]);
        let ids: Vec<u32> = subjects.groups().keys().map(|gid| gid.get()).collect();
        assert_eq!(ids, [600]);
        assert_eq!(unresolved.len(), 5, "{unresolved:?}");
    }

    #[test]
    fn names_become_ids() {
        let request = request(&["root", "alice", "2000-2001"], &["metadata", "7"]);
        let subjects = resolve(&host(), &request).unwrap();
        let ids: Vec<u32> = subjects.named().keys().map(|uid| uid.get()).collect();
        assert_eq!(ids, [0, 1001]);
        assert_eq!(subjects.unnamed().len(), 1);
        assert_eq!(subjects.groups().len(), 2);
    }

    #[test]
    fn a_name_without_an_id_is_an_error_that_names_it() {
        for (request, kind) in [
            (request(&["alcie"], &[]), Kind::User),
            (request(&[], &["metdata"]), Kind::Group),
        ] {
            let error = resolve(&host(), &request).unwrap_err();
            assert!(
                matches!(&error, NotResolved::Unknown { kind: of, .. } if *of == kind),
                "{error}"
            );
        }
        let error = resolve(&host(), &request(&["unreachable"], &[])).unwrap_err();
        assert!(matches!(error, NotResolved::LookupFailed { .. }), "{error}");
    }

    #[test]
    fn the_nearest_names_come_first() {
        let known = ["alice", "root", "alice2"].map(str::to_owned).to_vec();
        assert_eq!(near_names(&name("alcie"), known), ["alice", "alice2"]);
    }

    #[test]
    fn a_changed_id_and_a_removed_name_are_reported() {
        let subjects = resolve(&host(), &request(&["alice", "root"], &[])).unwrap();
        let later = Host(vec![(Kind::User, "alice", 2001)]);
        let current = look_up_again(&later, &subjects);
        let now: Vec<Option<u32>> = current.into_iter().map(|name| name.now.unwrap()).collect();
        assert_eq!(now, [None, Some(2001)]);
    }
}
