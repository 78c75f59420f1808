//! `remove`: takes our rules and chains, and nothing else, out of every table, family and variant.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tracing::{debug, error};

use super::report::{self, print_json};
use super::{CommandError, enforce, open, words};
use crate::cli::{CommonArgs, Format, RemoveArgs};
use crate::exit_code::ExitCode;
use crate::policy::{Address, Family};
use crate::ruleset::model::Ruleset;
use crate::ruleset::transaction;
use crate::sys::iptables::Iptables;
use crate::sys::lock;
use crate::verify::{Observation, Seen};

/// How often it looks again when another tool changed the rules under it.
const TRIES: usize = 3;

pub(super) fn run(args: &RemoveArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let target = match &args.address {
        None => None,
        Some(address) => Some(words::target(address, args.only)?),
    };
    let iptables = open(common, false)?;
    let _held = lock::exclusive(Duration::from_secs(common.wait.into()))?;
    let chosen = |address: &Address| match &target {
        None => true,
        Some(target) => target.addresses().contains(address),
    };
    let mut seen = iptables.observe();
    let mut removed: Vec<Address> = both(&seen)
        .filter_map(|(_, ruleset)| ruleset.as_ref().ok())
        .flat_map(Ruleset::locked_addresses)
        .filter(chosen)
        .collect();
    removed.sort_unstable();
    removed.dedup();
    let mut errors: Vec<String> = Vec::new();
    // The other half of the IMDS pair keeps its list, as a lock of its own, before this one goes.
    let halves: Vec<_> = target
        .iter()
        .flat_map(|target| enforce::cut_off(target, &seen))
        .collect();
    for half in halves {
        let kept = enforce::enforce(half, &iptables)?;
        errors.extend(
            kept.failures
                .iter()
                .map(|(family, failure)| format!("{family}: {failure}")),
        );
        seen = kept.seen;
    }
    errors.extend(take_away(&iptables, seen, &removed)?);
    errors.sort();
    errors.dedup();
    for failure in &errors {
        error!("{failure}");
    }
    let code = match errors.is_empty() {
        true => ExitCode::Done,
        false => ExitCode::CouldNot,
    };
    print(&removed, &errors, code, common.output)?;
    Ok(code)
}

/// Removes what is there for the addresses until nothing is left; says what could not be done.
fn take_away(
    iptables: &Iptables,
    mut seen: Observation,
    addresses: &[Address],
) -> Result<Vec<String>, CommandError> {
    let mut errors = Vec::new();
    for attempt in 1..=TRIES {
        let own = removals(&seen.families, addresses);
        let other = removals(&seen.other, addresses);
        if own.is_empty() && other.is_empty() {
            errors.clear();
            break;
        }
        debug!(attempt, ?own, ?other, "removing");
        let mut results = Vec::new();
        if !other.is_empty() {
            results.extend(iptables.other()?.restore(&other));
        }
        results.extend(iptables.restore(&own));
        errors = results
            .into_iter()
            .filter_map(|(family, result)| Some(format!("{family}: {}", result.err()?)))
            .collect();
        seen = iptables.observe();
    }
    // What could not be looked at may still hold something.
    errors
        .extend(both(&seen).filter_map(|(family, ruleset)| {
            Some(format!("{family}: {}", ruleset.as_ref().err()?))
        }));
    let left: Vec<String> = both(&seen)
        .filter_map(|(_, ruleset)| ruleset.as_ref().ok())
        .flat_map(Ruleset::locked_addresses)
        .filter(|address| addresses.contains(address))
        .map(|address| address.to_string())
        .collect();
    if errors.is_empty() && !left.is_empty() {
        errors.push(format!(
            "rules for {} came back while they were removed: run it again",
            left.join(" and ")
        ));
    }
    Ok(errors)
}

fn both(seen: &Observation) -> impl Iterator<Item = &(Family, Seen)> {
    seen.families.iter().chain(&seen.other)
}

fn removals(families: &[(Family, Seen)], addresses: &[Address]) -> Vec<(Family, String)> {
    families
        .iter()
        .filter_map(|(family, ruleset)| {
            let text = transaction::removing(addresses, ruleset.as_ref().ok()?);
            (!text.is_empty()).then_some((*family, text))
        })
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
