//! The configuration: read, parsed and resolved.

use std::path::Path;

use thiserror::Error;
use tracing::warn;

use super::options::Options;
use crate::config::{self, ConfigError, HostSettings};
use crate::policy::resolve::{NotResolved, resolve_known};
use crate::policy::{Policy, Request};
use crate::ruleset::Lockdown;
use crate::sys;
use crate::sys::accounts::Accounts;
use crate::sys::config::ReadError;

/// Why the configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigFailure {
    /// A file cannot be read or is not trusted.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No file contains an entry.
    #[error("{0} and its drop-ins contain no [[lockdown]], so no address would be locked")]
    Empty(String),
}

impl ConfigFailure {
    /// Whether the configuration does not exist.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_missing())
    }

    /// Whether it is not known if the configuration is usable.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self, Self::Read(ReadError::Io { .. }))
    }

    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Read(error) => error.help(),
            Self::Config(error) => error.help(),
            Self::Empty(_) => Some("`ip-lockdown enable ADDRESS USER...` adds an entry".to_owned()),
        }
    }
}

/// The requests of the configuration, at least one.
///
/// # Errors
/// The configuration does not exist, cannot be read, is not trusted or not valid, or has no entry.
pub(super) fn read(options: &Options) -> Result<Vec<Request>, ConfigFailure> {
    read_from(&options.config_path())
}

/// The requests of the configuration in this file and its drop-ins, at least one.
///
/// # Errors
/// As for [`read`].
pub(super) fn read_from(path: &Path) -> Result<Vec<Request>, ConfigFailure> {
    let requests = config::parse(&sys::config::read(path)?)?;
    if requests.is_empty() {
        return Err(ConfigFailure::Empty(path.display().to_string()));
    }
    Ok(requests)
}

/// What holds for the host: the options of the command line, or else those of the configuration.
///
/// # Errors
/// The configuration exists and is needed, but cannot be used.
pub(super) fn try_host_settings(options: &Options) -> Result<HostSettings, ConfigFailure> {
    let configured = match (options.layers, options.variant) {
        (Some(_), Some(_)) => HostSettings::default(),
        _ => match sys::config::read(&options.config_path()) {
            Err(error) if error.is_missing() => HostSettings::default(),
            sources => config::host_settings(&sources?)?,
        },
    };
    Ok(HostSettings {
        layers: options.layers.unwrap_or(configured.layers),
        variant: options.variant.unwrap_or(configured.variant),
    })
}

/// [`try_host_settings`]; without a usable configuration, `auto`.
pub(super) fn host_settings(options: &Options) -> HostSettings {
    try_host_settings(options).unwrap_or_else(|_| HostSettings {
        layers: options.layers.unwrap_or_default(),
        variant: options.variant.unwrap_or_default(),
    })
}

/// Warns if `layers` and `variant` of the configuration are ignored: for commands that need nothing
/// else of the configuration.
pub(super) fn warn_if_unusable(options: &Options) {
    if let Err(error) = try_host_settings(options) {
        warn!("`layers` and `variant` of the configuration are not used: {error}");
    }
}

/// The policies of the requests, as far as their names can be resolved, and the names that cannot.
/// An unresolved name keeps the id that it has in the installed lockdowns.
pub(super) fn resolve(
    requests: &[Request],
    installed: &[Lockdown],
) -> (Vec<Policy>, Vec<NotResolved>) {
    let accounts = Accounts::new();
    let mut all_unresolved = Vec::new();
    let policies = requests
        .iter()
        .map(|request| {
            let installed = installed
                .iter()
                .find(|lockdown| lockdown.policy.target.overlaps(&request.target))
                .map(|lockdown| lockdown.policy.subjects.clone())
                .unwrap_or_default();
            let (subjects, unresolved) = resolve_known(&accounts, request, &installed);
            all_unresolved.extend(unresolved);
            request.with(subjects)
        })
        .collect();
    (policies, all_unresolved)
}
