//! The firewall and the other tools of this host.

use super::configuration::{self, host_settings};
use super::error::EngineError;
use super::options::Options;
use super::privileges;
use crate::host::nftables_service::Known;
use crate::host::{
    self, BOOT_UNIT, CLOUD_INIT, FIREWALLD, Flush, Host, Interfaces, NextBoot, Unit,
    nftables_service,
};
use crate::policy::{Address, Family, Target};
use crate::ruleset::{LayerChoice, NotRead, Observation, Readable};
use crate::sys::firewall::Firewall;
use crate::sys::units::{Units, read_optional};
use crate::sys::{self, kernel, network, systemd};

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

/// Reads which units of this host would remove a lockdown, and what leads packets past its rules.
pub(super) fn host(seen: &Observation) -> Host {
    Host {
        flush: flush(),
        firewalld_at_boot: starts_at_boot(FIREWALLD),
        next_boot: next_boot(),
        interfaces: interfaces(),
        network: network::read(&seen.locked_addresses())
            .map_err(|e| NotRead::new(Readable::Network, e)),
    }
}

/// What our boot unit locks at the next boot.
fn next_boot() -> Result<NextBoot, NotRead> {
    let unit = unit(BOOT_UNIT)?;
    if !unit.starts_at_boot() {
        return Ok(NextBoot::NotEnabled);
    }
    let path = host::configuration(&unit).unwrap_or(sys::config::PATH.as_ref());
    match configuration::read_from(path) {
        Ok(requests) => {
            let targets = requests.into_iter().map(|request| request.target);
            Ok(NextBoot::Configured(targets.collect()))
        }
        Err(error) if error.is_unread() => Err(NotRead::new(Readable::Unit(BOOT_UNIT), error)),
        Err(_) => Ok(NextBoot::MetadataForRoot),
    }
}

fn flush() -> Result<Flush, NotRead> {
    let units = Units::list().map_err(unread(nftables_service::UNIT))?;
    let service = known(&units, nftables_service::UNIT)?;
    let ours = known(&units, BOOT_UNIT)?;
    let mut configurations = Vec::new();
    for file in nftables_service::CONFIGURATIONS {
        let text = read_optional(file.as_ref()).map_err(unread(nftables_service::UNIT))?;
        configurations.extend(text.map(|text| (file.into(), text)));
    }
    Ok(nftables_service::flush(&service, &ours, &configurations))
}

/// The unit, and what systemd does with it, unless it does not exist or systemd is not running.
fn known(units: &Units, name: &'static str) -> Result<Known, NotRead> {
    let unit = units.read(name).map_err(unread(name))?;
    let activity = if unit.files.is_empty() || !systemd::is_running() {
        None
    } else {
        Some(systemd::activity(name).map_err(unread(name))?)
    };
    Ok(Known { unit, activity })
}

fn unread<E>(name: &'static str) -> impl Fn(E) -> NotRead
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |error| NotRead::new(Readable::Unit(name), error)
}

fn interfaces() -> Result<Interfaces, NotRead> {
    let addresses = kernel::interface_addresses();
    addresses
        .map(Interfaces::new)
        .map_err(|error| NotRead::new(Readable::Interfaces, error))
}

/// Refuses a target that this host itself has. If its addresses cannot be read, nothing is refused:
/// `address-remote` reports it.
///
/// # Errors
/// An interface has an address of the target.
pub(super) fn refuse_own_addresses<'a>(
    targets: impl IntoIterator<Item = &'a Target>,
) -> Result<(), EngineError> {
    let Ok(interfaces) = interfaces() else {
        return Ok(());
    };
    for address in addresses(targets) {
        if let Some(interface) = interfaces.having(address.ip()) {
            return Err(EngineError::OwnAddress {
                address,
                interface: interface.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether the configuration is applied at boot.
///
/// # Errors
/// The links of systemd cannot be read.
pub(super) fn locks_at_boot() -> Result<bool, NotRead> {
    starts_at_boot(BOOT_UNIT)
}

fn starts_at_boot(unit: &'static str) -> Result<bool, NotRead> {
    Ok(self::unit(unit)?.starts_at_boot())
}

/// Whether cloud-init is installed and can start.
///
/// # Errors
/// Its unit cannot be read.
pub(super) fn has_cloud_init() -> Result<bool, NotRead> {
    let unit = unit(CLOUD_INIT)?;
    Ok(!unit.files.is_empty() && !unit.masked)
}

fn unit(name: &'static str) -> Result<Unit, NotRead> {
    Units::list()
        .and_then(|units| units.read(name))
        .map_err(|error| NotRead::new(Readable::Unit(name), error))
}
