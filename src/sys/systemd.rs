//! Enables, starts and stops the units of ip-lockdown, with systemctl.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::program::{self, Output, ProgramError};
use crate::host::{Activity, activity};

/// The unit that installs the lockdown at boot. Enabling it enables the other units too (`Also=`).
pub const BOOT_UNIT: &str = "ip-lockdown.service";

/// The units to start and stop.
const UNITS: [&str; 3] = [BOOT_UNIT, SETTLE_UNIT, "ip-lockdown-verify.timer"];

/// The unit that reinstalls rules which other tools remove.
const SETTLE_UNIT: &str = "ip-lockdown-settle.service";

/// The time limit of systemctl. To stop a unit that is starting, systemctl waits until it has started.
const LIMIT: Duration = Duration::from_secs(90);

/// The pause between two looks at a unit that is starting.
const PAUSE: Duration = Duration::from_millis(50);

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

/// The service unit of this process, by the name of its control group (cgroups(7)); `None` if there is
/// none, or if the name cannot be read.
#[must_use]
pub fn own_unit() -> Option<String> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    groups
        .lines()
        .filter_map(|line| line.rsplit('/').next())
        .find(|name| name.ends_with(".service"))
        .map(str::to_owned)
}

/// Enables the units, also if systemd is not running. Returns what systemctl printed.
///
/// # Errors
/// systemctl failed.
pub fn enable() -> Result<String, SystemdError> {
    systemctl(&["enable", BOOT_UNIT])
}

/// Disables the units. Returns what systemctl printed.
///
/// # Errors
/// systemctl failed.
pub fn disable() -> Result<String, SystemdError> {
    systemctl(&["disable", BOOT_UNIT])
}

/// Starts the units without waiting for them: the caller may be a unit of the boot that runs before them.
///
/// # Errors
/// systemctl failed.
pub fn start() -> Result<(), SystemdError> {
    systemctl(&[&["--no-block", "start"], &UNITS[..]].concat()).map(drop)
}

/// Stops the units. The rules stay installed.
///
/// # Errors
/// systemctl failed.
pub fn stop() -> Result<(), SystemdError> {
    systemctl(&[&["stop"], &UNITS[..]].concat()).map(drop)
}

/// What systemd does with a unit at this moment.
///
/// # Errors
/// systemctl failed.
pub fn activity(unit: &str) -> Result<Activity, SystemdError> {
    let shown = call(&["show", activity::PROPERTIES, unit])?;
    Ok(Activity::parse(&shown.stdout))
}

/// Waits until systemd has finished what it does with the boot unit, or is going to do: `start` returns
/// before the unit has started. If that takes longer than `limit`, stops the unit. Returns whether it was
/// stopped.
///
/// The caller must not hold the lock: a unit that is starting waits for it.
///
/// # Errors
/// systemctl failed.
pub fn finish_boot_unit(limit: Duration) -> Result<bool, SystemdError> {
    let deadline = Instant::now() + limit;
    while activity(BOOT_UNIT)?.pending {
        if Instant::now() >= deadline {
            systemctl(&["stop", BOOT_UNIT])?;
            return Ok(true);
        }
        sleep(PAUSE);
    }
    Ok(false)
}

/// Stops the unit that would reinstall rules which are about to be removed, if that unit exists. Returns
/// whether it was active.
///
/// # Errors
/// systemctl failed.
pub fn stop_settling() -> Result<bool, SystemdError> {
    let active = match systemctl(&["--quiet", "is-active", SETTLE_UNIT]) {
        Err(SystemdError::Failed { .. }) => false,
        result => result.map(|_| true)?,
    };
    // A unit that is not active may be about to start.
    match systemctl(&["stop", SETTLE_UNIT]) {
        Err(SystemdError::Failed { stderr, .. }) if stderr.contains("not loaded") => Ok(false),
        result => result.map(|_| active),
    }
}

fn systemctl(args: &[&str]) -> Result<String, SystemdError> {
    call(args).map(|output| output.stderr)
}

fn call(args: &[&str]) -> Result<Output, SystemdError> {
    let program: PathBuf =
        program::find(&super::SEARCH_PATH, "systemctl").ok_or(SystemdError::Missing)?;
    let output = program::start(&program, args, "", LIMIT)?.finish()?;
    match output.code {
        0 => Ok(output),
        _ => Err(SystemdError::Failed {
            arguments: args.join(" "),
            stderr: output.stderr,
        }),
    }
}
