//! `remove`: removes our rules and chains from every layer, family and variant. Foreign rules are
//! unchanged.

use tracing::{debug, info, warn};

use super::change::{change, places, run};
use super::configuration;
use super::error::{EngineError, Failure, NotPermitted, exit_code};
use super::host::{locks_at_boot, open};
use super::options::Options;
use crate::exit_code::ExitCode;
use crate::host::{BOOT_UNIT, SETTLE_UNIT};
use crate::policy::{Address, Family, Target};
use crate::ruleset::plan::{self, Place, Wanted};
use crate::ruleset::{NotRead, Observation};
use crate::sys::firewall::Firewall;
use crate::sys::{lock, systemd};

/// How often a removal is planned. If another tool changes the rules meanwhile, it is planned
/// again.
const TRIES: usize = 3;

/// What `remove` did.
#[derive(Debug)]
pub struct Removed {
    /// The addresses whose rules were removed, and that are open now.
    pub addresses: Vec<Address>,
    /// The parts of the removal that failed.
    pub failures: Vec<Failure>,
    /// The result as an exit code.
    pub code: ExitCode,
}

/// Removes the lockdown of the target; without one, all lockdowns.
///
/// # Errors
/// The removal could not be tried. Nothing was changed.
pub fn remove(target: Option<&Target>, options: &Options) -> Result<Removed, EngineError> {
    let firewall = open(options, false)?;
    let with_systemd = systemd::is_running();
    if with_systemd {
        finish_boot_unit(options);
    }
    let _held = lock::exclusive(options.wait)?;
    if with_systemd {
        stop_settling(target, options);
    }
    let mut seen = firewall.observe(&[]);
    let mut addresses = seen.locked_addresses();
    addresses.retain(|address| target.is_none_or(|target| target.addresses().contains(address)));
    let mut failures = Vec::new();
    let layers = configuration::host_settings(options).layers;
    // First, the other half of the IMDS pair becomes a lockdown of its own, with the same list.
    if let Some(target) = target {
        let halves = Wanted::halves_without(target, layers, &seen).map_err(NotPermitted::new)?;
        if !halves.lockdowns.is_empty() {
            let kept = change(&halves, seen, layers, &firewall);
            failures.extend(kept.failures);
            seen = kept.seen;
        }
    }
    let (addresses, failed) = remove_rules(&firewall, seen, &addresses, target.is_none());
    failures.extend(failed);
    failures.sort_by_key(ToString::to_string);
    failures.dedup_by_key(|failure| failure.to_string());
    match locks_at_boot() {
        Ok(true) => warn!(
            "ip-lockdown.service is enabled: it locks the configured addresses again at the next \
             boot or reload; `ip-lockdown disable` prevents that"
        ),
        Ok(false) => {}
        Err(error) => {
            warn!(
                "{error}; if ip-lockdown.service is enabled, it locks the addresses again at boot"
            );
        }
    }
    Ok(Removed {
        addresses,
        code: exit_code(&failures),
        failures,
    })
}

/// Waits for a start or reload of the boot unit, which would install the removed rules again: `enable
/// --now` and `systemctl --no-block` return before the unit has started.
fn finish_boot_unit(options: &Options) {
    match systemd::finish(BOOT_UNIT, options.wait) {
        Ok(false) => {}
        Ok(true) => warn!(
            "stopped {BOOT_UNIT}, which had been starting for {:?} and would lock again; to start \
             it: `systemctl start ip-lockdown`",
            options.wait
        ),
        Err(error) => {
            warn!("if {BOOT_UNIT} is starting, it may install the removed rules again: {error}");
        }
    }
}

/// Stops the unit that would install the removed rules again, unless none of its addresses is
/// removed. The caller must hold the lock, so that the unit is not in the middle of a change.
fn stop_settling(target: Option<&Target>, options: &Options) {
    let mut others = false;
    // Without a usable configuration, the unit may lock the metadata service again.
    if let Some(target) = target
        && let Ok(configured) = configuration::read(options)
    {
        let (same, rest): (Vec<_>, Vec<_>) = configured
            .iter()
            .partition(|request| request.target.overlaps(target));
        if same.is_empty() {
            return;
        }
        others = !rest.is_empty();
    }
    match (systemd::stop_if_loaded(SETTLE_UNIT), target) {
        (Ok(true), Some(target)) if others => warn!(
            "stopped ip-lockdown-settle.service, which would lock {target} again; it no longer \
             waits for unresolved names. Remove {target} from the configuration, then start it \
             with `systemctl reload ip-lockdown`"
        ),
        (Ok(_), _) => {}
        (Err(error), _) => {
            warn!("ip-lockdown-settle.service may install the removed rules again: {error}");
        }
    }
}

/// Removes the rules for the addresses, repeatedly if another tool installs some again.
fn remove_rules(
    firewall: &Firewall,
    mut seen: Observation,
    addresses: &[Address],
    everything: bool,
) -> (Vec<Address>, Vec<Failure>) {
    let mut failures = Vec::new();
    // iptables-nft could not remove the rules of these families: they are removed by name.
    let mut refused_by: Vec<Family> = Vec::new();
    for attempt in 1..=TRIES {
        let plan = plan::remove(addresses, everything, &refused_by, &seen);
        failures.clear();
        if plan.is_empty() {
            break;
        }
        info!("removing rules from {}", places(&plan));
        debug!(attempt, ?plan, "removing");
        let refusals = run(firewall, &plan, &mut false);
        refused_by.extend(refusals.iter().filter_map(|(place, _)| match place {
            Place::Iptables(_, family) => Some(*family),
            Place::Nftables => None,
        }));
        failures.extend(refusals.into_iter().map(Failure::refused));
        seen = firewall.observe(&[]);
    }
    let mut left = seen.locked_addresses();
    left.retain(|address| addresses.contains(address));
    // What refused is no failure if nothing of ours is left.
    if left.is_empty() {
        failures.clear();
    } else if failures.is_empty() {
        failures.push(Failure::Reappeared(left.clone()));
    }
    // Layers that could not be read may still hold rules.
    let unread: Vec<NotRead> = seen
        .unread_that_may_hold()
        .chain(seen.unread_of_other())
        .cloned()
        .collect();
    failures.extend(unread.into_iter().map(Failure::NotRead));
    let is_unknown = |address: &Address| {
        let mut of_other = seen.other.iter();
        seen.unread_for(*address).is_some()
            || of_other.any(|(_, family, seen)| *family == address.family() && seen.is_err())
    };
    let (unknown, open): (Vec<Address>, Vec<Address>) = addresses
        .iter()
        .filter(|address| !left.contains(address))
        .partition(|address| is_unknown(address));
    if !left.is_empty() {
        failures.push(Failure::StillLocked(left));
    }
    if !unknown.is_empty() {
        failures.push(Failure::NotKnownToBeOpen(unknown));
    }
    (open, failures)
}
