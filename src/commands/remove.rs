//! `remove`: takes our rules and chains, and nothing else, out of every layer, family and variant.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tracing::{debug, error, warn};

use super::report::{self, print_json};
use super::{CommandError, config, enforce, open, words};
use crate::cli::{CommonArgs, Format, RemoveArgs};
use crate::exit_code::ExitCode;
use crate::policy::{Address, Target};
use crate::ruleset::model::{Ruleset, Variant};
use crate::ruleset::nftables::plan::Command;
use crate::ruleset::transaction::{self, Place, Transaction};
use crate::sys::firewall::Firewall;
use crate::sys::{lock, services, systemd};
use crate::verify::Observation;

/// How often it looks again when another tool changed the rules under it.
const TRIES: usize = 3;

pub(super) fn run(args: &RemoveArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let target = match &args.address {
        None => None,
        Some(address) => Some(words::target(address, args.only)?),
    };
    let firewall = open(common, false)?;
    let _held = lock::exclusive(Duration::from_secs(common.wait.into()))?;
    if systemd::is_running() {
        stop_settling(target.as_ref(), common);
    }
    let chosen = |address: &Address| match &target {
        None => true,
        Some(target) => target.addresses().contains(address),
    };
    let mut seen = firewall.observe(&[]);
    let mut removed = locked(&seen);
    removed.retain(chosen);
    let mut errors: Vec<String> = Vec::new();
    // The other half of the IMDS pair keeps its list, as a lock of its own, before this one goes.
    if let Some(target) = &target {
        let halves = enforce::cut_off(&[target], common.layers, &firewall, &seen)?;
        if !halves.is_empty() {
            let halves = enforce::Wanted::just(halves);
            let kept = enforce::enforce(&halves, seen, common.layers, &firewall);
            errors.extend(kept.failures);
            seen = kept.seen;
        }
    }
    let all = target.is_none();
    errors.extend(take_away(&firewall, seen, &removed, all));
    errors.sort();
    errors.dedup();
    for failure in &errors {
        error!("{failure}");
    }
    let code = match errors.is_empty() {
        true => ExitCode::Done,
        false => ExitCode::CouldNot,
    };
    match services::lockdown_at_boot() {
        Ok(true) => warn!(
            "ip-lockdown.service is enabled: what the configuration says is locked again at the \
             next boot, or reload; `ip-lockdown disable` ends that"
        ),
        Ok(false) => {}
        // What is removed is removed.
        Err(error) => warn!(
            "cannot tell which units start at boot: {error}; ip-lockdown.service may lock again \
             at the next boot"
        ),
    }
    print(&removed, &errors, code, common.output)?;
    Ok(code)
}

/// Stops the unit that would lay again what is removed, once it is not in the middle of a change:
/// then it holds the lock. It goes on where what is removed is not its business.
fn stop_settling(target: Option<&Target>, common: &CommonArgs) {
    let mut others = false;
    // Without a configuration that can be used, it may lay the metadata service again.
    if let Some(target) = target
        && let Ok(configured) = config::read(common)
    {
        let (same, rest): (Vec<_>, Vec<_>) = configured
            .iter()
            .partition(|words| words.target.overlaps(target));
        if same.is_empty() {
            return;
        }
        others = !rest.is_empty();
    }
    match (systemd::stop_settling(), target) {
        (Ok(true), Some(target)) if others => warn!(
            "ip-lockdown-settle.service is stopped, as it would lock {target} again: names without \
             an id are not waited for any more; take {target} out of the configuration, then \
             `systemctl reload ip-lockdown` starts it"
        ),
        (Ok(_), _) => {}
        (Err(error), _) => {
            warn!("ip-lockdown-settle.service may lay again what is removed now: {error}");
        }
    }
}

/// Removes what is there for the addresses until nothing is left; says what could not be done.
fn take_away(
    firewall: &Firewall,
    mut seen: Observation,
    addresses: &[Address],
    all: bool,
) -> Vec<String> {
    let mut errors = Vec::new();
    for attempt in 1..=TRIES {
        let mut removals = removals(&seen, addresses);
        if all && seen.nftables.is_err() {
            // Nobody has to understand it to take all of it away.
            removals.push(Transaction::Nftables(vec![Command::DeleteTable]));
        }
        if removals.is_empty() {
            errors.clear();
            break;
        }
        debug!(attempt, ?removals, "removing");
        // What is not removed from iptables keeps its backstop.
        let (of_nftables, of_iptables): (Vec<_>, Vec<_>) = removals
            .into_iter()
            .partition(|transaction| transaction.place() == Place::Nftables);
        errors.clear();
        for transactions in [of_iptables, of_nftables] {
            if errors.is_empty() {
                errors.extend(
                    firewall
                        .run(&transactions)
                        .into_iter()
                        .filter_map(|(place, result)| Some(format!("{place}: {}", result.err()?))),
                );
            }
        }
        seen = firewall.observe(&[]);
    }
    // What could not be looked at may still hold something.
    errors.extend(seen.unread().chain(seen.unread_of_other()).cloned());
    let left: Vec<String> = locked(&seen)
        .into_iter()
        .filter(|address| addresses.contains(address))
        .map(|address| address.to_string())
        .collect();
    if errors.is_empty() && !left.is_empty() {
        errors.push(format!(
            "rules for {} came back while they were removed: run it again",
            left.join(" and ")
        ));
    }
    errors
}

/// Every address for which any layer of any variant holds a chain of ours.
fn locked(seen: &Observation) -> Vec<Address> {
    let of_nftables = seen.nftables.iter().flatten();
    let addresses: BTreeSet<Address> = rulesets(seen)
        .flat_map(|(_, ruleset)| ruleset.locked_addresses())
        .chain(of_nftables.flat_map(|own| own.table.locked_addresses()))
        .collect();
    addresses.into_iter().collect()
}

fn rulesets(seen: &Observation) -> impl Iterator<Item = (Variant, &Ruleset)> {
    let own = seen
        .variant
        .into_iter()
        .flat_map(|variant| seen.read().map(move |ruleset| (variant, ruleset)));
    own.chain(seen.read_of_other())
}

fn removals(seen: &Observation, addresses: &[Address]) -> Vec<Transaction> {
    let of_iptables = rulesets(seen).filter_map(|(variant, ruleset)| {
        let input = transaction::removing(addresses, ruleset);
        Transaction::of_iptables(variant, ruleset.family, input)
    });
    // Beside what could not be read, and so cannot be removed, it stays.
    let all_read = seen.unread().next().is_none();
    let table = seen.nftables.as_ref().ok().filter(|_| all_read);
    let table = table.and_then(Option::as_ref);
    let of_nftables = transaction::removing_nftables(addresses, table);
    of_iptables
        .chain(Transaction::of_nftables(of_nftables))
        .collect()
}

fn print(removed: &[Address], errors: &[String], code: ExitCode, format: Format) -> io::Result<()> {
    match format {
        Format::Json => {
            #[derive(Serialize)]
            struct Body<'a> {
                removed: &'a [Address],
                errors: &'a [String],
            }
            print_json("remove", code, Body { removed, errors })
        }
        Format::Text if !errors.is_empty() => Ok(()),
        Format::Text => {
            let mut out = Vec::new();
            if removed.is_empty() {
                writeln!(out, "nothing was locked: nothing to remove")?;
            }
            for address in removed {
                writeln!(out, "{address} is open to every user again")?;
            }
            report::print(&out)
        }
    }
}
