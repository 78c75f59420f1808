//! A policy as the command line or the configuration states it: names are not resolved yet.

use std::collections::BTreeSet;

use super::address::Target;
use super::id::Uid;
use super::subject::{AccountName, GroupRef, MAX_SUBJECTS, SubjectError, UserRef};
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
    pub users: Vec<UserRef>,
    /// The allowed groups.
    pub groups: Vec<GroupRef>,
    /// The rule for forwarded packets.
    pub forwarded: Forwarded,
}

impl Request {
    /// Checks that one lockdown can have so many users and groups.
    ///
    /// # Errors
    /// There are more than [`MAX_SUBJECTS`].
    pub fn check_size(&self) -> Result<(), SubjectError> {
        let count = self.users.len() + self.groups.len();
        if count > MAX_SUBJECTS {
            return Err(SubjectError::TooMany(count));
        }
        Ok(())
    }

    /// The policy of this request with the given subjects.
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
        let user = |user: &UserRef| matches!(user, UserRef::Name(name) if name.as_str() != ROOT);
        let group = |group: &GroupRef| matches!(group, GroupRef::Name(_));
        self.users.iter().any(user) || self.groups.iter().any(group)
    }

    /// Whether both requests list the same users and groups, regardless of order and repetition.
    #[must_use]
    pub fn names_the_same(&self, other: &Self) -> bool {
        self.names() == other.names() && self.floor().subjects == other.floor().subjects
    }

    fn names(&self) -> (BTreeSet<&AccountName>, BTreeSet<&AccountName>) {
        let users = self.users.iter().filter_map(|user| match user {
            UserRef::Name(name) => Some(name),
            UserRef::Uids(_) => None,
        });
        let groups = self.groups.iter().filter_map(|group| match group {
            GroupRef::Name(name) => Some(name),
            GroupRef::Gid(_) => None,
        });
        (users.collect(), groups.collect())
    }

    /// The policy without the names that need a lookup: it has the subjects that are given by number,
    /// and root, which is always uid 0.
    #[must_use]
    pub fn floor(&self) -> Policy {
        let (mut named, mut uids, mut gids) = (Vec::new(), Vec::new(), Vec::new());
        for user in &self.users {
            match user {
                UserRef::Uids(range) => uids.push(*range),
                UserRef::Name(name) if name.as_str() == ROOT => {
                    named.push((Uid::ROOT, name.clone()));
                }
                UserRef::Name(_) => {}
            }
        }
        for group in &self.groups {
            if let GroupRef::Gid(gid) = group {
                gids.push((*gid, None));
            }
        }
        self.with(Subjects::new(named, uids, gids))
    }
}
