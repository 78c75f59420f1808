//! The firewall and the other tools of this host.

use super::error::EngineError;
use super::options::Options;
use super::privileges;
use crate::host::nftables_service::Known;
use crate::host::{BOOT_UNIT, FIREWALLD, Flush, Host, nftables_service};
use crate::policy::{Address, Family, Target};
use crate::ruleset::{NotRead, Readable};
use crate::sys::firewall::Firewall;
use crate::sys::units::{Units, read_optional};
use crate::sys::{kernel, systemd};

/// Drops the privileges that are not needed, then finds the firewall of the host.
pub(super) fn open(options: &Options, probing: bool) -> Result<Firewall, EngineError> {
    privileges::reduce(probing)?;
    let families = if kernel::has_ipv6().map_err(EngineError::Ipv6)? {
        &Family::ALL[..]
    } else {
        &[Family::V4]
    };
    let wait = u32::try_from(options.wait.as_secs()).unwrap_or(u32::MAX);
    Ok(Firewall::find(options.variant, families, wait)?)
}

/// The addresses of the targets.
pub(super) fn addresses<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Vec<Address> {
    let addresses = targets.into_iter().flat_map(Target::addresses);
    addresses.copied().collect()
}

/// Reads which units of this host would remove a lockdown.
pub(super) fn host() -> Host {
    Host {
        flush: flush(),
        firewalld_at_boot: starts_at_boot(FIREWALLD),
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
