//! What the firewall itself says is locked: the policies, read back from their stamped chains.

use std::collections::BTreeSet;

use super::Observation;
use crate::policy::{Address, Family, Policy, Target};
use crate::ruleset::desired::subjects_of;
use crate::ruleset::model::{ChainName, Hook, Rule, Table};
use crate::ruleset::{LaidLayers, Layer, Layers, Lock, Stamp};

/// What is locked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InForce {
    /// One lock a target, from an intact copy of its chain.
    pub locks: Vec<Lock>,
    /// Addresses with chains of ours of which no layer holds an intact copy.
    pub damaged: Vec<Address>,
}

/// Reads the policies back. Every layer and family holds the whole policy; the first intact copy
/// speaks for the target, and whatever differs from it is drift.
#[must_use]
pub fn in_force(observation: &Observation) -> InForce {
    read_back(observation.own_tables())
}

/// The same for what the variants not used hold, as far as they could be read.
#[must_use]
pub fn in_force_elsewhere(observation: &Observation) -> InForce {
    read_back(observation.read_of_other().flat_map(|(_, ruleset)| {
        Layer::OF_IPTABLES
            .into_iter()
            .filter_map(|layer| Some((ruleset.family, ruleset.table(layer.name())?)))
    }))
}

fn read_back<'a>(tables: impl Iterator<Item = (Family, &'a Table)>) -> InForce {
    let mut found = InForce::default();
    let mut addresses = Vec::new();
    // The first copy in a family says in which layers that family's rules are.
    let mut heard: Vec<(Target, Family)> = Vec::new();
    for (family, table) in tables {
        let of_family = table.locked_addresses().into_iter();
        for address in of_family.filter(|address| address.family() == family) {
            addresses.push(address);
            let Some((policy, layers)) = lock_of(table, address) else {
                continue;
            };
            let known = found
                .locks
                .iter_mut()
                .find(|known| known.policy.target == policy.target);
            let first = !heard.contains(&(policy.target.clone(), family));
            heard.push((policy.target.clone(), family));
            match known {
                None => found.locks.push(Lock {
                    policy,
                    layers: LaidLayers::both(layers),
                }),
                Some(known) if known.policy == policy && first => known.layers.set(family, layers),
                Some(_) => {}
            }
        }
    }
    let covered = |address: &Address| {
        found
            .locks
            .iter()
            .any(|lock| lock.policy.target.addresses().contains(address))
    };
    addresses.retain(|address| !covered(address));
    addresses.sort_unstable();
    addresses.dedup();
    found.damaged = addresses;
    found
}

/// The policy and the layers that the chains of `address` describe, if they stand as they were
/// written.
fn lock_of(table: &Table, address: Address) -> Option<(Policy, Layers)> {
    let name = ChainName::root(Hook::Output, address);
    let rules = table.chain(&name.to_string())?.own_rules()?;
    let stamp: Stamp = match rules.last()? {
        Rule::Refuse { stamp, .. } => (*stamp)?,
        _ => return None,
    };
    let subjects = subjects_of(with_sub_chains(table, rules)?);
    stamp.fits(&subjects).then(|| {
        let policy = Policy {
            target: Target::new(address, stamp.only),
            subjects,
            forwarded: stamp.forwarded,
        };
        (policy, stamp.layers)
    })
}

/// The rules and those of the sub-chains that they lead to; `None` when one of these is missing, or
/// holds a rule that is none of ours.
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
