//! Structure and behaviour of a lock: what `apply` and `verify` look at alike.

use users::UsersCache;

use crate::sys::{accounts, probe};
use crate::verify::{
    Finding, Lock, Observation, ProbeResult, behaviour, names, not_probed, sample, structure,
};

/// What the look at one lock gave.
pub(super) struct Inspection {
    pub(super) findings: Vec<Finding>,
    pub(super) probes: Vec<ProbeResult>,
}

/// Judges the rules as observed and, when `probing`, sends real packets.
pub(super) fn inspect(lock: &Lock, seen: &Observation, probing: bool) -> Inspection {
    let accounts = UsersCache::new();
    let subjects = &lock.policy.subjects;
    let mut findings = structure(lock, seen);
    findings.push(names(&accounts::look_up_names(&accounts, subjects)));
    let addresses: Vec<_> = lock
        .policy
        .target
        .addresses()
        .iter()
        .copied()
        .filter(|address| seen.has(address.family()))
        .collect();
    if !probing {
        findings.extend(addresses.into_iter().map(not_probed));
        return Inspection {
            findings,
            probes: Vec::new(),
        };
    }
    let sample = sample(subjects);
    let probes = probe::probe(&sample.witnesses, &addresses);
    for address in addresses {
        findings.extend(behaviour(address, &sample, &probes));
    }
    Inspection { findings, probes }
}
