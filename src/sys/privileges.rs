//! The capabilities of this process and of the programs that it starts (capabilities(7)).

use caps::{CapSet, CapsHashSet};
use thiserror::Error;
use tracing::debug;

/// Why the privileges of this process are not sufficient, or could not be reduced.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// Capabilities are missing from the effective set.
    #[error("not privileged: missing capabilities: {0}")]
    Missing(String),
    /// The command changes /etc and the units of systemd.
    #[error("not privileged: this command changes /etc and systemd units")]
    NotRoot,
    /// The kernel refused.
    #[error("cannot {doing} capabilities: {source}")]
    Caps {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: caps::errors::CapsError,
    },
}

/// Checks that this process runs as root.
///
/// # Errors
/// The process has another effective user.
pub fn need_root() -> Result<(), PrivilegeError> {
    if is_root() {
        Ok(())
    } else {
        Err(PrivilegeError::NotRoot)
    }
}

/// The effective capabilities of this process.
///
/// # Errors
/// The kernel refuses.
pub fn effective() -> Result<CapsHashSet, PrivilegeError> {
    caps::read(None, CapSet::Effective).map_err(failed("read the"))
}

/// The bounding set of this process.
///
/// # Errors
/// The kernel refuses.
pub fn bounding() -> Result<CapsHashSet, PrivilegeError> {
    caps::read(None, CapSet::Bounding).map_err(failed("read the bounding"))
}

/// Whether the effective user of this process is root.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The capabilities that this process should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduction {
    /// The effective and permitted set.
    pub keep: CapsHashSet,
    /// The inheritable and ambient set.
    pub inherit: CapsHashSet,
    /// What the bounding set loses.
    pub surplus: CapsHashSet,
}

/// Drops all other capabilities.
///
/// # Errors
/// The kernel refuses.
pub fn reduce(to: &Reduction) -> Result<(), PrivilegeError> {
    for &capability in &to.surplus {
        caps::drop(None, CapSet::Bounding, capability).map_err(failed("limit the bounding"))?;
    }
    caps::clear(None, CapSet::Ambient).map_err(failed("clear the ambient"))?;
    // The effective set must shrink before the permitted set.
    caps::set(None, CapSet::Effective, &to.keep).map_err(failed("drop effective"))?;
    caps::set(None, CapSet::Permitted, &to.keep).map_err(failed("drop permitted"))?;
    caps::set(None, CapSet::Inheritable, &to.inherit).map_err(failed("set inheritable"))?;
    caps::set(None, CapSet::Ambient, &to.inherit).map_err(failed("set ambient"))?;
    debug!(kept = ?to.keep, "dropped all other capabilities");
    Ok(())
}

fn failed(doing: &'static str) -> impl Fn(caps::errors::CapsError) -> PrivilegeError {
    move |source| PrivilegeError::Caps { doing, source }
}
