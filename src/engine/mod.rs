//! The commands without command line and output: the engine reads the system, calls the pure
//! modules to decide, runs the plan, and returns a report as data.
//!
//! ```text
//! request -> policy -> lockdowns --+
//!                                  +-> plan -> transactions -> read back -> probes -> findings
//! observation, host facts ---------+
//! ```
//! Input is checked before the system is read, and privileges before anything is changed.

mod apply;
mod boot;
mod change;
mod configuration;
mod configure;
mod error;
mod inspect;
mod privileges;
mod remove;
mod status;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

pub use self::apply::{Applied, DryRun, apply, dry_run, resolve};
pub use self::boot::{boot, settle};
pub use self::configuration::ConfigFailure;
pub use self::configure::{Disabled, Enabled, disable, enable};
pub use self::error::{EngineError, Failure};
pub use self::remove::{Removed, remove};
pub use self::status::{Status, StatusOfLockdown, status};
pub use self::verify::{Expectation, Verified, verify};
use crate::exit_code::ExitCode;
use crate::policy::{Address, Family, Target};
use crate::ruleset::LayerChoice;
use crate::ruleset::model::Variant;
use crate::sys::firewall::Firewall;
use crate::sys::{self, kernel};

/// The options of the command line that the engine uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which iptables variant to use; `None` for the variant of `iptables` on this host.
    pub variant: Option<Variant>,
    /// Which layers a lockdown should get.
    pub layers: LayerChoice,
    /// The configuration file, if it is not the default one.
    pub config: Option<PathBuf>,
    /// How long to wait for another run, and for the xtables lock, in full seconds.
    pub wait: Duration,
}

impl Options {
    /// The absolute path of the configuration.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        match &self.config {
            // Without a working directory, opening the relative path fails with the reason.
            Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            None => PathBuf::from(sys::config::PATH),
        }
    }
}

/// Drops the privileges that are not needed, then finds the firewall of the host.
fn open(options: &Options, probing: bool) -> Result<Firewall, EngineError> {
    privileges::reduce(probing)?;
    let families = if kernel::has_ipv6().map_err(EngineError::Ipv6)? {
        &Family::ALL[..]
    } else {
        &[Family::V4]
    };
    let wait = u32::try_from(options.wait.as_secs()).unwrap_or(u32::MAX);
    Ok(Firewall::find(options.variant, families, wait)?)
}

/// The addresses of the targets.
fn addresses<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Vec<Address> {
    let addresses = targets.into_iter().flat_map(Target::addresses);
    addresses.copied().collect()
}

/// The exit code of a change with these failures.
fn exit_code(failures: &[Failure]) -> ExitCode {
    if failures.is_empty() {
        ExitCode::Success
    } else {
        ExitCode::Incomplete
    }
}
