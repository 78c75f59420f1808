//! A policy whose names are not looked up yet: what the command line and the configuration say.

use std::collections::BTreeSet;

use super::address::Target;
use super::id::Uid;
use super::subject::{AccountName, GroupWord, MAX_WORDS, SubjectError, UserWord};
use super::subjects::Subjects;
use super::{Forwarded, Policy};

/// The superuser's name, which is the same everywhere.
const ROOT: &str = "root";

/// A policy whose names are not looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The address, or the pair of addresses, to lock.
    pub target: Target,
    /// Which users may pass.
    pub users: Vec<UserWord>,
    /// Which groups may pass.
    pub groups: Vec<GroupWord>,
    /// What becomes of forwarded packets.
    pub forwarded: Forwarded,
}

impl Unresolved {
    /// # Errors
    /// There are more words than one lockdown takes.
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

    /// Whether some name needs a look-up.
    #[must_use]
    pub fn needs_look_ups(&self) -> bool {
        let user = |word: &UserWord| matches!(word, UserWord::Name(name) if name.as_str() != ROOT);
        let group = |word: &GroupWord| matches!(word, GroupWord::Name(_));
        self.users.iter().any(user) || self.groups.iter().any(group)
    }

    /// Whether it names the same users and groups as the other, in whatever order and how often.
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

    /// The part that needs no look-up: whoever is given by number, and root, who is uid 0
    /// everywhere.
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
