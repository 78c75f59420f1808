//! A policy whose names are not looked up yet: what the command line and the configuration say.

use super::address::Target;
use super::id::Uid;
use super::subject::{GroupWord, MAX_WORDS, SubjectError, UserWord};
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
