//! The capabilities of this process and of the programs that it starts (capabilities(7)).

use caps::{CapSet, Capability, CapsHashSet};
use thiserror::Error;
use tracing::{debug, warn};

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
    if !nix::unistd::geteuid().is_root() {
        return Err(PrivilegeError::NotRoot);
    }
    Ok(())
}

/// The effective capabilities of this process.
///
/// # Errors
/// The kernel refuses.
pub fn effective() -> Result<CapsHashSet, PrivilegeError> {
    caps::read(None, CapSet::Effective).map_err(failed("read the"))
}

/// Drops all capabilities but those in `keep`; programs started by this process can get only those
/// in `programs`. Both are subsets of the effective set.
///
/// # Errors
/// The kernel refuses.
pub fn reduce(
    keep: &CapsHashSet,
    programs: &CapsHashSet,
    effective: &CapsHashSet,
) -> Result<(), PrivilegeError> {
    narrow_bounding_set(programs, effective).map_err(failed("limit the bounding"))?;
    caps::clear(None, CapSet::Ambient).map_err(failed("clear the ambient"))?;
    // A program that root starts gets its capabilities because it runs as root. Programs of other users
    // need the ambient set.
    let inherit = if nix::unistd::geteuid().is_root() {
        CapsHashSet::new()
    } else {
        programs.clone()
    };
    // The effective set must shrink before the permitted set.
    caps::set(None, CapSet::Effective, keep).map_err(failed("drop effective"))?;
    caps::set(None, CapSet::Permitted, keep).map_err(failed("drop permitted"))?;
    caps::set(None, CapSet::Inheritable, &inherit).map_err(failed("set inheritable"))?;
    caps::set(None, CapSet::Ambient, &inherit).map_err(failed("set ambient"))?;
    debug!(kept = ?keep, "dropped all other capabilities");
    Ok(())
}

fn failed(doing: &'static str) -> impl Fn(caps::errors::CapsError) -> PrivilegeError {
    move |source| PrivilegeError::Caps { doing, source }
}

fn narrow_bounding_set(
    keep: &CapsHashSet,
    effective: &CapsHashSet,
) -> Result<(), caps::errors::CapsError> {
    let bounding = caps::read(None, CapSet::Bounding)?;
    let surplus: Vec<Capability> = bounding.difference(keep).copied().collect();
    if surplus.is_empty() {
        return Ok(());
    }
    if !effective.contains(&Capability::CAP_SETPCAP) {
        warn!("CAP_SETPCAP is missing: iptables runs with an unchanged bounding set");
        return Ok(());
    }
    for capability in surplus {
        caps::drop(None, CapSet::Bounding, capability)?;
    }
    Ok(())
}
