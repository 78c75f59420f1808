//! What the configuration asks for.

use std::path::{Path, PathBuf};

use thiserror::Error;
use users::UsersCache;

use crate::cli::CommonArgs;
use crate::config::{self, ConfigError};
use crate::policy::{Policy, Unresolved};
use crate::ruleset::Lock;
use crate::sys::config::{PATH, ReadError};
use crate::sys::{self, accounts};

/// Why it asks for nothing.
#[derive(Debug, Error)]
pub(super) enum ConfigFailure {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0} locks no address: there is no [[lockdown]] in it, nor in conf.d beside it")]
    Empty(String),
}

impl ConfigFailure {
    /// Whether there is none at all.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_missing())
    }
}

/// The policies of the configuration, at least one.
///
/// # Errors
/// It is not there, cannot be read or trusted, or locks nothing.
pub(super) fn read(common: &CommonArgs) -> Result<Vec<Unresolved>, ConfigFailure> {
    let path = path(common);
    let policies = config::parse(&sys::config::read(&path)?)?;
    match policies.is_empty() {
        true => Err(ConfigFailure::Empty(path.display().to_string())),
        false => Ok(policies),
    }
}

/// Where it is. A relative path is one from the working directory.
pub(super) fn path(common: &CommonArgs) -> PathBuf {
    match &common.config {
        // Where there is no working directory, opening it says so.
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
        None => Path::new(PATH).to_owned(),
    }
}

/// The policies as far as their names can be resolved, and why the others cannot. A name that
/// cannot be resolved keeps the id that it has in what stands.
pub(super) fn resolve(all: &[Unresolved], standing: &[Lock]) -> (Vec<Policy>, Vec<String>) {
    let accounts = UsersCache::new();
    let mut reasons = Vec::new();
    let policies = all
        .iter()
        .map(|words| {
            let standing = standing
                .iter()
                .find(|lock| lock.policy.target.overlaps(&words.target))
                .map(|lock| lock.policy.subjects.clone())
                .unwrap_or_default();
            let (subjects, unresolved) = accounts::resolve_known(&accounts, words, &standing);
            reasons.extend(unresolved.iter().map(ToString::to_string));
            words.with(subjects)
        })
        .collect();
    (policies, reasons)
}
