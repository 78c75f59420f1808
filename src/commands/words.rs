//! Words of the command line -> a policy.

use std::ffi::OsStr;
use std::str::FromStr;

use users::UsersCache;

use super::CommandError;
use crate::cli::{ForwardedChoice, PolicyArgs};
use crate::policy::{
    Address, Forwarded, GroupWord, MAX_WORDS, Policy, SubjectError, Target, UserWord,
};
use crate::sys::accounts;

/// A policy whose names are not looked up yet.
#[derive(Debug)]
pub(super) struct Unresolved {
    target: Target,
    users: Vec<UserWord>,
    groups: Vec<GroupWord>,
    forwarded: Forwarded,
}

impl Unresolved {
    /// Checks every word by itself.
    pub(super) fn parse(address: &OsStr, args: &PolicyArgs) -> Result<Self, CommandError> {
        let target = Target::new(word::<Address>(address)?, args.only);
        let count = args.users.len() + args.groups.len();
        if count > MAX_WORDS {
            return Err(SubjectError::TooMany(count).into());
        }
        Ok(Self {
            target,
            users: args
                .users
                .iter()
                .map(|user| word(user))
                .collect::<Result<_, _>>()?,
            groups: args
                .groups
                .iter()
                .map(|group| word(group))
                .collect::<Result<_, _>>()?,
            forwarded: match args.forwarded {
                ForwardedChoice::Refuse => Forwarded::Refuse,
                ForwardedChoice::Allow => Forwarded::Allow,
            },
        })
    }

    /// Looks the names up.
    pub(super) fn resolve(self) -> Result<Policy, CommandError> {
        let subjects = accounts::resolve(&UsersCache::new(), &self.users, &self.groups)?;
        Ok(Policy {
            target: self.target,
            subjects,
            forwarded: self.forwarded,
        })
    }
}

/// The target of a command that takes an address alone.
pub(super) fn target(address: &OsStr, only: bool) -> Result<Target, CommandError> {
    Ok(Target::new(word::<Address>(address)?, only))
}

fn word<T>(text: &OsStr) -> Result<T, CommandError>
where
    T: FromStr,
    CommandError: From<T::Err>,
{
    let text = text.to_str().ok_or_else(|| {
        CommandError::NotUtf8(text.display().to_string().escape_debug().to_string())
    })?;
    Ok(text.parse()?)
}
