//! Inspects lockdowns: rules, names, probes and host facts -> findings.

use tracing::info;

use crate::host::{self, FIREWALLD, Flush, Host, nftables_service};
use crate::policy::resolve::look_up_again;
use crate::probe::{ProbeResult, sample};
use crate::ruleset::{Lockdown, NotRead, Observation, Readable};
use crate::sys::accounts::Accounts;
use crate::sys::probe;
use crate::sys::systemd::BOOT_UNIT;
use crate::sys::units::{Units, read_optional};
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

/// Reads which units of this host would remove a lockdown.
pub(super) fn host() -> Host {
    let flush = || -> std::io::Result<Flush> {
        let units = Units::list()?;
        let unit = units.read(nftables_service::UNIT)?;
        let boot_unit = units.read(BOOT_UNIT)?;
        let mut configurations = Vec::new();
        for file in nftables_service::CONFIGURATIONS {
            let text = read_optional(file.as_ref())?;
            configurations.extend(text.map(|text| (file.into(), text)));
        }
        Ok(nftables_service::flush(
            &unit,
            boot_unit.starts_at_boot(),
            &configurations,
        ))
    };
    host::Host {
        flush: flush().map_err(|e| NotRead::new(Readable::Unit(nftables_service::UNIT), e)),
        firewalld_at_boot: starts_at_boot(FIREWALLD),
    }
}

/// Whether the configuration is applied at boot.
///
/// # Errors
/// The links of systemd cannot be read.
pub(super) fn locks_at_boot() -> Result<bool, NotRead> {
    starts_at_boot(BOOT_UNIT)
}

fn starts_at_boot(unit: &'static str) -> Result<bool, NotRead> {
    let read = Units::list().and_then(|units| units.read(unit));
    match read {
        Ok(unit) => Ok(unit.starts_at_boot()),
        Err(error) => Err(NotRead::new(Readable::Unit(unit), error)),
    }
}
