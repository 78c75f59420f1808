//! Enables, starts and stops units, with systemctl.

use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use super::program::{self, ProgramError};

/// The time limit of systemctl. To stop a unit that is starting, systemctl waits until it has started.
const LIMIT: Duration = Duration::from_secs(90);

/// Why systemctl failed.
#[derive(Debug, Error)]
pub enum SystemdError {
    /// systemctl is missing.
    #[error("systemctl is missing; without systemd, nothing installs the lockdown at boot")]
    Missing,
    /// systemctl returned no exit code.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// systemctl failed.
    #[error("`systemctl {arguments}` failed: {stderr}")]
    Failed {
        /// The arguments.
        arguments: String,
        /// What systemctl printed to standard error.
        stderr: String,
    },
}

impl SystemdError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Failed { stderr, .. } if stderr.contains("does not exist") => {
                Some("install the units with the package or with `make install`".to_owned())
            }
            _ => None,
        }
    }
}

/// Whether systemd is the init process of this system (sd_booted(3)). It is not in a chroot, or while an
/// image is built.
#[must_use]
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The control groups of this process (cgroups(7)); `None` if they cannot be read.
#[must_use]
pub fn own_cgroup() -> Option<String> {
    std::fs::read_to_string("/proc/self/cgroup").ok()
}

/// Enables the unit, also if systemd is not running. Returns what systemctl printed.
///
/// # Errors
/// systemctl failed.
pub fn enable(unit: &str) -> Result<String, SystemdError> {
    systemctl(&["enable", unit])
}

/// Disables the unit. Returns what systemctl printed.
///
/// # Errors
/// systemctl failed.
pub fn disable(unit: &str) -> Result<String, SystemdError> {
    systemctl(&["disable", unit])
}

/// Starts the units without waiting for them: the caller may be a unit of the boot that runs before them.
///
/// # Errors
/// systemctl failed.
pub fn start(units: &[&str]) -> Result<(), SystemdError> {
    systemctl(&[&["--no-block", "start"], units].concat()).map(drop)
}

/// Stops the units.
///
/// # Errors
/// systemctl failed.
pub fn stop(units: &[&str]) -> Result<(), SystemdError> {
    systemctl(&[&["stop"], units].concat()).map(drop)
}

/// Stops the unit, if it exists. Returns whether it was active. (A unit that is not active may be about
/// to start, so it is stopped too.)
///
/// # Errors
/// systemctl failed.
pub fn stop_if_loaded(unit: &str) -> Result<bool, SystemdError> {
    let active = match systemctl(&["--quiet", "is-active", unit]) {
        Err(SystemdError::Failed { .. }) => false,
        result => result.map(|_| true)?,
    };
    match stop(&[unit]) {
        Err(SystemdError::Failed { stderr, .. }) if stderr.contains("not loaded") => Ok(false),
        result => result.map(|()| active),
    }
}

fn systemctl(args: &[&str]) -> Result<String, SystemdError> {
    let program = program::find("systemctl")?.ok_or(SystemdError::Missing)?;
    let output = program::start(&program, args, "", LIMIT)?.finish()?;
    match output.code {
        0 => Ok(output.stderr),
        _ => Err(SystemdError::Failed {
            arguments: args.join(" "),
            stderr: output.stderr,
        }),
    }
}
