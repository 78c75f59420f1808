//! Words of the command line -> a policy.

use std::ffi::OsStr;
use std::str::FromStr;

use users::UsersCache;

use super::CommandError;
use crate::cli::{ForwardedChoice, PolicyArgs};
use crate::policy::{Address, Forwarded, Policy, Target, Unresolved};
use crate::sys::accounts;

/// Checks every word by itself.
pub(super) fn parse(address: &OsStr, args: &PolicyArgs) -> Result<Unresolved, CommandError> {
    let unresolved = Unresolved {
        target: target(address, args.only)?,
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
    };
    unresolved.check_size()?;
    Ok(unresolved)
}

/// Looks the names up.
pub(super) fn resolve(unresolved: &Unresolved) -> Result<Policy, CommandError> {
    let subjects = accounts::resolve(&UsersCache::new(), unresolved)?;
    Ok(unresolved.with(subjects))
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
