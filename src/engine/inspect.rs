//! Inspects lockdowns: rules, names, probes and host facts -> findings.

use tracing::info;

use crate::host::Host;
use crate::policy::resolve::look_up_again;
use crate::probe::{ProbeResult, sample};
use crate::ruleset::{Lockdown, Observation};
use crate::sys::accounts::Accounts;
use crate::sys::probe;
use crate::verify::{Finding, behaviour, names, not_probed, structure};

/// The result of an inspection.
#[derive(Debug, Default)]
pub(super) struct Inspection {
    pub(super) findings: Vec<Finding>,
    pub(super) probes: Vec<ProbeResult>,
}

/// Checks the observed rules of each lockdown and, when `probing`, sends probes.
pub(super) fn inspect(
    lockdowns: &[Lockdown],
    seen: &Observation,
    host: &Host,
    probing: bool,
) -> Inspection {
    let mut all = Inspection::default();
    for lockdown in lockdowns {
        inspect_one(lockdown, seen, host, probing, &mut all);
    }
    all
}

fn inspect_one(
    lockdown: &Lockdown,
    seen: &Observation,
    host: &Host,
    probing: bool,
    all: &mut Inspection,
) {
    let subjects = &lockdown.policy.subjects;
    all.findings.extend(structure(lockdown, seen, host));
    all.findings
        .push(names(&look_up_again(&Accounts::new(), subjects)));
    let addresses: Vec<_> = lockdown
        .policy
        .target
        .addresses()
        .iter()
        .copied()
        .filter(|address| seen.has(address.family()))
        .collect();
    if !probing {
        all.findings.extend(addresses.into_iter().map(not_probed));
        return;
    }
    let sample = sample(subjects);
    info!(
        "{}: sending probes as {} users",
        lockdown.policy.target,
        sample.identities.len()
    );
    let probes = probe::probe(&sample.identities, &addresses);
    for address in addresses {
        all.findings.extend(behaviour(address, &sample, &probes));
    }
    all.probes.extend(probes);
}
