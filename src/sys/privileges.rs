//! Capabilities: what must be there, and everything else given up (`capabilities(7)`).

use caps::{CapSet, Capability, CapsHashSet};
use thiserror::Error;
use tracing::{debug, warn};

use super::kernel::{LegacyTables, legacy_tables};
use crate::policy::Family;

/// What iptables needs.
const FOR_RULES: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];

/// What becoming another user needs.
const FOR_PROBES: [Capability; 2] = [Capability::CAP_SETUID, Capability::CAP_SETGID];

/// What ending a child that has become another user needs. Such a child ends by itself; this is
/// for one that does not.
const FOR_LATE_PROBES: Capability = Capability::CAP_KILL;

/// Why the privileges are not as they must be.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// Some capability is missing.
    #[error("not privileged: {missing} {} missing from the effective capabilities; run it as root",
        if *.count == 1 { "is" } else { "are" })]
    Missing {
        /// Their names.
        missing: String,
        /// How many.
        count: usize,
    },
    /// Only root writes to /etc and talks to systemd.
    #[error("not privileged: this changes /etc and systemd's units; run it as root")]
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

/// # Errors
/// This process is not root's.
pub fn need_root() -> Result<(), PrivilegeError> {
    match nix::unistd::geteuid().is_root() {
        true => Ok(()),
        false => Err(PrivilegeError::NotRoot),
    }
}

/// Makes sure that what the command needs is in the effective set, and gives up all the rest:
/// this process keeps what rules and probes need, programs it starts can get what rules need.
///
/// # Errors
/// A needed capability is missing, or the kernel refuses to drop the others.
pub fn keep_only_needed(probing: bool) -> Result<(), PrivilegeError> {
    let failed = |doing| move |source| PrivilegeError::Caps { doing, source };
    let effective = caps::read(None, CapSet::Effective).map_err(failed("read the"))?;
    let mut keep: CapsHashSet = FOR_RULES.into();
    if probing {
        keep.extend(FOR_PROBES);
    }
    let mut missing: Vec<String> = keep
        .difference(&effective)
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        missing.sort();
        return Err(PrivilegeError::Missing {
            count: missing.len(),
            missing: missing.join(", "),
        });
    }
    if probing && effective.contains(&FOR_LATE_PROBES) {
        keep.insert(FOR_LATE_PROBES);
    }
    let mut programs: CapsHashSet = FOR_RULES.into();
    if legacy_may_load_modules() && effective.contains(&Capability::CAP_SYS_MODULE) {
        keep.insert(Capability::CAP_SYS_MODULE);
        programs.insert(Capability::CAP_SYS_MODULE);
    }
    narrow_bounding_set(&programs, &effective).map_err(failed("limit the bounding"))?;
    caps::clear(None, CapSet::Ambient).map_err(failed("clear the ambient"))?;
    let as_root = nix::unistd::geteuid().is_root();
    let inherit = if as_root {
        CapsHashSet::new()
    } else {
        programs
    };
    // Within the permitted set at this point; the effective set must shrink before it.
    caps::set(None, CapSet::Effective, &keep).map_err(failed("drop effective"))?;
    caps::set(None, CapSet::Permitted, &keep).map_err(failed("drop permitted"))?;
    caps::set(None, CapSet::Inheritable, &inherit).map_err(failed("set inheritable"))?;
    // A program started by root gets its capabilities by being root's; others need the ambient set.
    caps::set(None, CapSet::Ambient, &inherit).map_err(failed("set ambient"))?;
    debug!(kept = ?keep, "gave up all other capabilities");
    Ok(())
}

/// iptables-legacy runs modprobe itself where `ip_tables` is a module that is not loaded yet; all
/// other modules (xt_owner, iptable_security, nf_tables) the kernel loads on demand by itself.
fn legacy_may_load_modules() -> bool {
    Family::ALL
        .into_iter()
        .any(|family| matches!(legacy_tables(family), Ok(LegacyTables::NotLoaded)))
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
        warn!("CAP_SETPCAP is missing, so iptables runs with the bounding set as it is");
        return Ok(());
    }
    for capability in surplus {
        caps::drop(None, CapSet::Bounding, capability)?;
    }
    Ok(())
}
