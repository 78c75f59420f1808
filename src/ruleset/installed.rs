//! The installed lockdowns, read back from the chains that have a marker comment.

use std::collections::BTreeSet;

use super::desired::subjects_of;
use super::model::{ChainName, Hook, Rule, Table};
use super::{Layer, Layers, LayersByFamily, Lockdown, Marker, Observation};
use crate::policy::{Address, Family, Policy, Target};

/// The lockdowns that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    /// One for each target, read from an intact copy of its chain.
    pub lockdowns: Vec<Lockdown>,
    /// Addresses for which our chains exist, but no layer holds an intact copy.
    pub damaged: Vec<Address>,
}

/// The lockdowns in the layers in use. Every layer and family holds the whole policy; the first
/// intact copy defines the lockdown, and every difference from that copy is drift.
#[must_use]
pub fn installed(seen: &Observation) -> Installed {
    read_back(seen.own_tables())
}

/// The lockdowns that the other iptables variant holds, as far as its rules could be read.
#[must_use]
pub fn installed_elsewhere(seen: &Observation) -> Installed {
    read_back(seen.read_of_other().flat_map(|(_, ruleset)| {
        Layer::OF_IPTABLES
            .into_iter()
            .filter_map(|layer| Some((ruleset.family, ruleset.table(layer.name())?)))
    }))
}

/// The policies that the layers in use or the other variant hold.
#[must_use]
pub fn installed_policies(seen: &Observation) -> Vec<Policy> {
    let elsewhere = installed_elsewhere(seen).lockdowns;
    let all = installed(seen).lockdowns.into_iter().chain(elsewhere);
    all.map(|lockdown| lockdown.policy).collect()
}

/// The first installed lockdown that covers an address of the target.
#[must_use]
pub fn installed_for(target: &Target, seen: &Observation) -> Option<Lockdown> {
    let mut lockdowns = installed(seen).lockdowns.into_iter();
    lockdowns.find(|lockdown| lockdown.policy.target.overlaps(target))
}

fn read_back<'a>(tables: impl Iterator<Item = (Family, &'a Table)>) -> Installed {
    let mut found = Installed::default();
    let mut addresses = Vec::new();
    // The first copy in a family defines that family's layers.
    let mut defined: Vec<(Target, Family)> = Vec::new();
    for (family, table) in tables {
        let of_family = table.locked_addresses().into_iter();
        for address in of_family.filter(|address| address.family() == family) {
            addresses.push(address);
            let Some((policy, layers)) = intact_copy(table, address) else {
                continue;
            };
            let known = found
                .lockdowns
                .iter_mut()
                .find(|known| known.policy.target == policy.target);
            let first = !defined.contains(&(policy.target.clone(), family));
            defined.push((policy.target.clone(), family));
            match known {
                None => found.lockdowns.push(Lockdown {
                    policy,
                    layers: LayersByFamily::both(layers),
                }),
                Some(known) if known.policy == policy && first => known.layers.set(family, layers),
                Some(_) => {}
            }
        }
    }
    let covered = |address: &Address| {
        found
            .lockdowns
            .iter()
            .any(|lockdown| lockdown.policy.target.addresses().contains(address))
    };
    addresses.retain(|address| !covered(address));
    addresses.sort_unstable();
    addresses.dedup();
    found.damaged = addresses;
    found
}

/// The policy and layers that the chains of `address` describe; `None` if the chains are incomplete
/// or do not match their marker.
fn intact_copy(table: &Table, address: Address) -> Option<(Policy, Layers)> {
    let name = ChainName::root(Hook::Output, address);
    let rules = table.chain(&name.to_string())?.own_rules()?;
    let marker: Marker = match rules.last()? {
        Rule::Refuse { marker, .. } => (*marker)?,
        _ => return None,
    };
    let subjects = subjects_of(with_sub_chains(table, rules)?);
    if !marker.fits(&subjects) {
        return None;
    }
    let policy = Policy {
        target: Target::new(address, marker.only),
        subjects,
        forwarded: marker.forwarded,
    };
    Some((policy, marker.layers))
}

/// `rules`, and the rules of the sub-chains that they lead to; `None` if a sub-chain is missing or
/// holds a foreign rule.
fn with_sub_chains<'a>(table: &'a Table, mut rules: Vec<&'a Rule>) -> Option<Vec<&'a Rule>> {
    let mut entered = BTreeSet::new();
    let mut at = 0;
    while let Some(rule) = rules.get(at) {
        if let Rule::Goto { chain, .. } = rule
            && entered.insert(*chain)
        {
            rules.extend(table.chain(&chain.to_string())?.own_rules()?);
        }
        at += 1;
    }
    Some(rules)
}
