//! What the command line or the configuration asks for: a policy whose names are not resolved yet.

use std::collections::BTreeSet;

use super::address::Target;
use super::id::Uid;
use super::subject::{AccountName, GroupWord, MAX_WORDS, SubjectError, UserWord};
use super::subjects::Subjects;
use super::{Forwarded, Policy};

/// The name of uid 0. It is not looked up.
const ROOT: &str = "root";

/// A policy whose names are not resolved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The address, or the pair of addresses, to lock.
    pub target: Target,
    /// The allowed users.
    pub users: Vec<UserWord>,
    /// The allowed groups.
    pub groups: Vec<GroupWord>,
    /// The rule for forwarded packets.
    pub forwarded: Forwarded,
}

impl Request {
    /// # Errors
    /// There are more users and groups than one lockdown takes.
    pub fn check_size(&self) -> Result<(), SubjectError> {
        match self.users.len() + self.groups.len() {
            count if count > MAX_WORDS => Err(SubjectError::TooMany(count)),
            _ => Ok(()),
        }
    }

    /// The policy for these subjects.
    #[must_use]
    pub fn with(&self, subjects: Subjects) -> Policy {
        Policy {
            target: self.target.clone(),
            subjects,
            forwarded: self.forwarded,
        }
    }

    /// Whether some name needs a lookup.
    #[must_use]
    pub fn needs_lookups(&self) -> bool {
        let user = |word: &UserWord| matches!(word, UserWord::Name(name) if name.as_str() != ROOT);
        let group = |word: &GroupWord| matches!(word, GroupWord::Name(_));
        self.users.iter().any(user) || self.groups.iter().any(group)
    }

    /// Whether both name the same users and groups, regardless of order and repetition.
    #[must_use]
    pub fn names_the_same(&self, other: &Self) -> bool {
        self.names() == other.names() && self.floor().subjects == other.floor().subjects
    }

    fn names(&self) -> (BTreeSet<&AccountName>, BTreeSet<&AccountName>) {
        let users = self.users.iter().filter_map(|word| match word {
            UserWord::Name(name) => Some(name),
            UserWord::Uids(_) => None,
        });
        let groups = self.groups.iter().filter_map(|word| match word {
            GroupWord::Name(name) => Some(name),
            GroupWord::Gid(_) => None,
        });
        (users.collect(), groups.collect())
    }

    /// The part that needs no lookup: subjects given by number, and root, which is always uid 0.
    #[must_use]
    pub fn floor(&self) -> Policy {
        let (mut named, mut uids, mut gids) = (Vec::new(), Vec::new(), Vec::new());
        for word in &self.users {
            match word {
                UserWord::Uids(range) => uids.push(*range),
                UserWord::Name(name) if name.as_str() == ROOT => {
                    named.push((Uid::ROOT, name.clone()));
                }
                UserWord::Name(_) => {}
            }
        }
        for word in &self.groups {
            if let GroupWord::Gid(gid) = word {
                gids.push((*gid, None));
            }
        }
        self.with(Subjects::new(named, uids, gids))
    }
}
