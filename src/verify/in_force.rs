//! What the firewall itself says is locked: the policies, read back from their stamped chains.

use super::Observation;
use crate::policy::{Address, Policy, Target};
use crate::ruleset::desired::subjects_of;
use crate::ruleset::model::{ChainName, Hook, Layer, Rule, Table};
use crate::ruleset::{Backstop, Stamp};

/// A policy as it was laid down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The policy.
    pub policy: Policy,
    /// The second layer that was laid.
    pub backstop: Backstop,
}

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
    let mut found = InForce::default();
    let mut addresses = Vec::new();
    for ruleset in observation.read() {
        for address in ruleset.locked_addresses() {
            addresses.push(address);
            let copies = Layer::ALL
                .into_iter()
                .filter_map(|layer| lock_of(ruleset.table(layer.table())?, address));
            for lock in copies {
                if !found
                    .locks
                    .iter()
                    .any(|known| known.policy.target == lock.policy.target)
                {
                    found.locks.push(lock);
                }
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
    found.damaged = addresses;
    found
}

/// The lock that the chain of `address` describes, if it stands as it was written.
fn lock_of(table: &Table, address: Address) -> Option<Lock> {
    let name = ChainName {
        hook: Hook::Output,
        address,
    };
    let rules = table.chain(&name.to_string())?.own_rules()?;
    let stamp: Stamp = match rules.last()? {
        Rule::Refuse { stamp, .. } => (*stamp)?,
        _ => return None,
    };
    let subjects = subjects_of(rules);
    stamp.fits(&subjects).then(|| Lock {
        policy: Policy {
            target: Target::new(address, stamp.only),
            subjects,
            forwarded: stamp.forwarded,
        },
        backstop: stamp.backstop,
    })
}
