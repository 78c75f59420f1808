//! Our units, by systemctl.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::program::{self, ProgramError};

/// What applies the configuration at boot. Enabling it enables the others with it (`Also=`).
pub const BOOT_UNIT: &str = "ip-lockdown.service";

/// What is started and stopped with it.
const UNITS: [&str; 3] = [BOOT_UNIT, SETTLE_UNIT, "ip-lockdown-verify.timer"];

/// What applies again what is taken away.
const SETTLE_UNIT: &str = "ip-lockdown-settle.service";

/// Stopping waits for a unit that is just starting.
const LIMIT: Duration = Duration::from_secs(90);

/// Why systemd did not do it.
#[derive(Debug, Error)]
pub enum SystemdError {
    /// There is no systemctl.
    #[error("systemctl is missing: without systemd, nothing applies the lockdown at boot")]
    Missing,
    /// It gave no answer.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// It refused.
    #[error("`systemctl {call}` failed: {complaint}")]
    Refused {
        /// What it was asked.
        call: String,
        /// What it said.
        complaint: String,
    },
}

impl SystemdError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Refused { complaint, .. } if complaint.contains("does not exist") => Some(
                "install the units: they are part of the package and of `make install`".to_owned(),
            ),
            _ => None,
        }
    }
}

/// Whether systemd runs here as the first process (sd_booted(3)); not in a chroot, nor while an
/// image is built.
#[must_use]
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The unit that this process belongs to, by the name of its control group (cgroups(7)), if that can be told.
#[must_use]
pub fn own_unit() -> Option<String> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    groups
        .lines()
        .filter_map(|line| line.rsplit('/').next())
        .find(|name| name.ends_with(".service"))
        .map(str::to_owned)
}

/// Makes the links that start our units at boot, systemd running or not; what systemctl said.
///
/// # Errors
/// They cannot be made.
pub fn enable() -> Result<String, SystemdError> {
    systemctl(&["enable", BOOT_UNIT])
}

/// Takes the links away; what systemctl said.
///
/// # Errors
/// They cannot be taken away.
pub fn disable() -> Result<String, SystemdError> {
    systemctl(&["disable", BOOT_UNIT])
}

/// Has our units started, without waiting for it: at boot this may be called by what they wait for.
///
/// # Errors
/// systemd refuses.
pub fn start() -> Result<(), SystemdError> {
    systemctl(&[&["--no-block", "start"], &UNITS[..]].concat()).map(drop)
}

/// Stops our units. That opens nothing.
///
/// # Errors
/// systemd refuses.
pub fn stop() -> Result<(), SystemdError> {
    systemctl(&[&["stop"], &UNITS[..]].concat()).map(drop)
}

/// Stops the unit that would lay again what is about to be removed; it may not be there. Whether
/// it was at work.
///
/// # Errors
/// systemd refuses.
pub fn stop_settling() -> Result<bool, SystemdError> {
    let active = match systemctl(&["--quiet", "is-active", SETTLE_UNIT]) {
        Err(SystemdError::Refused { .. }) => false,
        answer => answer.map(|_| true)?,
    };
    // It may be about to start.
    match systemctl(&["stop", SETTLE_UNIT]) {
        Err(SystemdError::Refused { complaint, .. }) if complaint.contains("not loaded") => {
            Ok(false)
        }
        stopped => stopped.map(|_| active),
    }
}

fn systemctl(args: &[&str]) -> Result<String, SystemdError> {
    let program: PathBuf =
        program::find(&super::SEARCH_PATH, "systemctl").ok_or(SystemdError::Missing)?;
    let output = program::start(&program, args, "", LIMIT)?.finish()?;
    match output.code {
        0 => Ok(output.stderr),
        _ => Err(SystemdError::Refused {
            call: args.join(" "),
            complaint: output.stderr,
        }),
    }
}
