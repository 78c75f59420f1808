//! The firewall and the other tools of this host.

use super::configuration::host_settings;
use super::error::EngineError;
use super::options::Options;
use super::privileges;
use crate::host::{BOOT_UNIT, FIREWALLD, Flush, Host, nftables_service};
use crate::policy::{Address, Family, Target};
use crate::ruleset::{LayerChoice, NotRead, Observation, Readable};
use crate::sys::firewall::Firewall;
use crate::sys::kernel;
use crate::sys::units::{Units, read_optional};

/// Drops the privileges that are not needed, then finds the firewall of the host.
pub(super) fn open(options: &Options, probing: bool) -> Result<Firewall, EngineError> {
    privileges::reduce(probing)?;
    let families = if kernel::has_ipv6().map_err(EngineError::Ipv6)? {
        &Family::ALL[..]
    } else {
        &[Family::V4]
    };
    let wait = u32::try_from(options.wait.as_secs()).unwrap_or(u32::MAX);
    let variant = host_settings(options).variant.variant();
    Ok(Firewall::find(variant, families, wait)?)
}

/// Reads the firewall, for lockdowns of the targets in these layers.
pub(super) fn observe<'a>(
    firewall: &Firewall,
    targets: impl IntoIterator<Item = &'a Target>,
    choice: LayerChoice,
) -> Observation {
    let mut seen = firewall.observe(&addresses(targets));
    seen.disregard_others(choice);
    seen
}

/// Reads the firewall again. What refused our rules before is kept.
pub(super) fn observe_again<'a>(
    firewall: &Firewall,
    targets: impl IntoIterator<Item = &'a Target>,
    choice: LayerChoice,
    seen: &mut Observation,
) {
    let before = std::mem::take(&mut seen.unusable);
    *seen = observe(firewall, targets, choice);
    let now = std::mem::replace(&mut seen.unusable, before);
    seen.read_again(now);
}

/// The addresses of the targets.
pub(super) fn addresses<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Vec<Address> {
    let addresses = targets.into_iter().flat_map(Target::addresses);
    addresses.copied().collect()
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
    Host {
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
