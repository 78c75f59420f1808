//! Carries out the commands, without parsing arguments or printing: the engine reads the system, calls the pure
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
mod host;
mod inspect;
mod options;
mod privileges;
mod remove;
mod status;
mod verify;

pub use self::apply::{Applied, DryRun, apply, dry_run, resolve};
pub use self::boot::{boot, settle};
pub use self::configuration::ConfigFailure;
pub use self::configure::{Disabled, Enabled, disable, enable};
pub use self::error::{EngineError, Failure};
pub use self::options::Options;
pub use self::remove::{Removed, remove};
pub use self::status::{Status, StatusOfLockdown, status};
pub use self::verify::{Expectation, Verified, verify};
