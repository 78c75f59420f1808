//! What the rules of a lockdown counted.

use serde::Serialize;

use super::model::{ChainName, Counters, Hook, ObservedRule, Rule, Table};
use super::{Layer, Lockdown, Observation};
use crate::policy::{Address, Family};

/// What one layer counted for one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The address.
    pub address: Address,
    /// Its family.
    pub family: Family,
    /// The layer.
    pub layer: Layer,
    /// Packets of allowed users.
    pub passed: Counters,
    /// TCP packets of orphaned sockets: those that their process has closed.
    pub closing: Counters,
    /// Refused packets of processes on this host, without those of probes.
    pub refused: Counters,
    /// Refused packets from the source port of probes.
    pub probes: Counters,
    /// Refused packets that this host forwards.
    pub forwarded_refused: Counters,
}

/// The counters of every address of the lockdown, in every layer that holds its output chain.
#[must_use]
pub fn counted(lockdown: &Lockdown, seen: &Observation) -> Vec<Counted> {
    let mut all = Vec::new();
    for &address in lockdown.policy.target.addresses() {
        for layer in Layer::ALL {
            let table = seen.table(layer, address.family()).ok().flatten();
            all.extend(table.and_then(|table| in_table(address, layer, table)));
        }
    }
    all
}

fn in_table(address: Address, layer: Layer, table: &Table) -> Option<Counted> {
    table.chain(&ChainName::root(Hook::Output, address).to_string())?;
    let mut counted = Counted {
        address,
        family: address.family(),
        layer,
        passed: Counters::default(),
        closing: Counters::default(),
        refused: Counters::default(),
        probes: Counters::default(),
        forwarded_refused: Counters::default(),
    };
    for rule in rules(table, Hook::Output, address) {
        let sum = match rule.own() {
            Some(Rule::AllowUids { .. } | Rule::AllowGroup { .. }) => &mut counted.passed,
            Some(Rule::AllowClosing) => &mut counted.closing,
            Some(Rule::CountProbes(_)) => &mut counted.probes,
            Some(
                Rule::RefuseOwnedTcp | Rule::RefuseOwned | Rule::RefuseTcp | Rule::Refuse { .. },
            ) => &mut counted.refused,
            // The target chain counts the same packets.
            Some(Rule::Jump(_) | Rule::Goto { .. }) | None => continue,
        };
        *sum += rule.counters.unwrap_or_default();
    }
    // Each packet that `CountProbes` counts is counted again by the rule that refuses it.
    counted.refused = counted.refused.without(counted.probes);
    for rule in rules(table, Hook::Forward, address) {
        counted.forwarded_refused += rule.counters.unwrap_or_default();
    }
    Some(counted)
}

/// The rules of all our chains at the hook for the address.
fn rules(table: &Table, hook: Hook, address: Address) -> impl Iterator<Item = &ObservedRule> {
    table
        .own_chains()
        .filter(move |(name, _)| name.hook == hook && name.address == address)
        .flat_map(|(_, chain)| &chain.rules)
}
