//! Which capabilities a command needs; all others are dropped (capabilities(7)).

use caps::{Capability, CapsHashSet};
use tracing::warn;

use crate::policy::Family;
use crate::sys::kernel::{LegacyTables, legacy_tables};
use crate::sys::privileges::{self, PrivilegeError, Reduction};

/// Reading and changing rules needs these capabilities.
const FOR_RULES: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];

/// A probe needs these capabilities to take another identity.
const FOR_PROBES: [Capability; 2] = [Capability::CAP_SETUID, Capability::CAP_SETGID];

/// Killing a probe that does not end by itself needs this capability. It is kept, but not required.
const FOR_LATE_PROBES: Capability = Capability::CAP_KILL;

/// Checks that the needed capabilities are effective, and drops all others. This process keeps the
/// capabilities for rules and probes. Programs that it starts get only those for rules.
///
/// # Errors
/// A needed capability is missing, or the kernel refuses to drop the others.
pub(super) fn reduce(probing: bool) -> Result<(), PrivilegeError> {
    let effective = privileges::effective()?;
    let (keep, programs) = needed(probing, &effective, legacy_may_load_modules());
    let mut missing: Vec<String> = keep
        .difference(&effective)
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        missing.sort();
        return Err(PrivilegeError::Missing(missing.join(", ")));
    }
    let surplus = surplus(&privileges::bounding()?, &programs, &effective);
    if surplus.is_none() {
        warn!("CAP_SETPCAP is missing: iptables runs with an unchanged bounding set");
    }
    privileges::reduce(&Reduction {
        keep,
        inherit: inherited(programs, privileges::is_root()),
        surplus: surplus.unwrap_or_default(),
    })
}

/// What the bounding set should lose; `None` if this process may not change that set.
fn surplus(
    bounding: &CapsHashSet,
    programs: &CapsHashSet,
    effective: &CapsHashSet,
) -> Option<CapsHashSet> {
    let surplus: CapsHashSet = bounding.difference(programs).copied().collect();
    let may_change = effective.contains(&Capability::CAP_SETPCAP);
    (surplus.is_empty() || may_change).then_some(surplus)
}

/// The capabilities that programs get by inheritance. A program that root starts gets its capabilities
/// because it runs as root. Programs of other users need the ambient set.
fn inherited(programs: CapsHashSet, is_root: bool) -> CapsHashSet {
    if is_root {
        CapsHashSet::new()
    } else {
        programs
    }
}

/// The capabilities that this process keeps, and those that its programs get.
fn needed(
    probing: bool,
    effective: &CapsHashSet,
    loads_modules: bool,
) -> (CapsHashSet, CapsHashSet) {
    let mut keep: CapsHashSet = FOR_RULES.into();
    let mut programs = keep.clone();
    if probing {
        keep.extend(FOR_PROBES);
        if effective.contains(&FOR_LATE_PROBES) {
            keep.insert(FOR_LATE_PROBES);
        }
    }
    if loads_modules && effective.contains(&Capability::CAP_SYS_MODULE) {
        keep.insert(Capability::CAP_SYS_MODULE);
        programs.insert(Capability::CAP_SYS_MODULE);
    }
    (keep, programs)
}

/// iptables-legacy runs modprobe itself where `ip_tables` is a module that is not loaded yet. The
/// kernel loads all other modules (xt_owner, iptable_security, nf_tables) on demand.
fn legacy_may_load_modules() -> bool {
    Family::ALL
        .into_iter()
        .any(|family| matches!(legacy_tables(family), Ok(LegacyTables::NotLoaded)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_capabilities_are_kept_only_if_they_are_there_and_of_use() {
        let all: CapsHashSet = caps::all();
        let none = CapsHashSet::new();
        let (keep, programs) = needed(false, &all, false);
        assert_eq!((keep.len(), programs.len()), (2, 2));
        let (keep, programs) = needed(true, &all, true);
        assert!(keep.contains(&Capability::CAP_KILL));
        assert!(programs.contains(&Capability::CAP_SYS_MODULE));
        assert!(!programs.contains(&Capability::CAP_SETUID));
        let (keep, programs) = needed(true, &none, true);
        assert_eq!((keep.len(), programs.len()), (4, 2));
    }

    #[test]
    fn the_bounding_set_is_narrowed_only_with_the_capability_to_do_so() {
        let all: CapsHashSet = caps::all();
        let programs: CapsHashSet = FOR_RULES.into();
        let surplus_of_all = surplus(&all, &programs, &all).unwrap();
        assert_eq!(surplus_of_all.len(), all.len() - FOR_RULES.len());
        assert_eq!(surplus(&all, &programs, &programs), None);
        assert_eq!(
            surplus(&programs, &programs, &programs),
            Some(CapsHashSet::new())
        );
        assert_eq!(inherited(programs.clone(), true), CapsHashSet::new());
        assert_eq!(inherited(programs.clone(), false), programs);
    }
}
