//! `remove`: removes our rules and chains from every layer, family and variant. Foreign rules are
//! unchanged.

use tracing::{debug, info, warn};

use super::change::{change, places, run};
use super::configuration;
use super::error::{EngineError, Failure, NotPermitted, exit_code};
use super::host::{locks_at_boot, open};
use super::options::Options;
use crate::exit_code::ExitCode;
use crate::host::SETTLE_UNIT;
use crate::policy::{Address, Target};
use crate::ruleset::Observation;
use crate::ruleset::plan::{self, Wanted};
use crate::sys::firewall::Firewall;
use crate::sys::{lock, systemd};

/// How often a removal is planned. If another tool changes the rules meanwhile, it is planned
/// again.
const TRIES: usize = 3;

/// What `remove` did.
#[derive(Debug)]
pub struct Removed {
    /// The addresses whose rules were removed.
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
    let _held = lock::exclusive(options.wait)?;
    if systemd::is_running() {
        stop_settling(target, options);
    }
    let mut seen = firewall.observe(&[]);
    let mut addresses = seen.locked_addresses();
    addresses.retain(|address| target.is_none_or(|target| target.addresses().contains(address)));
    let mut failures = Vec::new();
    // First, the other half of the IMDS pair becomes a lockdown of its own, with the same list.
    if let Some(target) = target {
        let halves =
            Wanted::halves_without(target, options.layers, &seen).map_err(NotPermitted::new)?;
        if !halves.lockdowns.is_empty() {
            let kept = change(&halves, seen, options.layers, &firewall);
            failures.extend(kept.failures);
            seen = kept.seen;
        }
    }
    failures.extend(remove_rules(&firewall, seen, &addresses, target.is_none()));
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
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for attempt in 1..=TRIES {
        let plan = plan::remove(addresses, everything, &seen);
        failures.clear();
        if plan.is_empty() {
            break;
        }
        info!("removing rules from {}", places(&plan));
        debug!(attempt, ?plan, "removing");
        let refusals = run(firewall, &plan, &mut false);
        failures.extend(refusals.into_iter().map(Failure::refused));
        seen = firewall.observe(&[]);
    }
    // Layers that could not be read may still hold rules.
    let unread = seen.unread().chain(seen.unread_of_other());
    failures.extend(unread.cloned().map(Failure::NotRead));
    let mut left = seen.locked_addresses();
    left.retain(|address| addresses.contains(address));
    if failures.is_empty() && !left.is_empty() {
        failures.push(Failure::Reappeared(left));
    }
    failures
}
