//! What the firewall itself says is locked: the policies, read back from their stamped chains.

use super::Observation;
use crate::policy::{Address, Policy, Target};
use crate::ruleset::desired::subjects_of;
use crate::ruleset::model::{ChainName, Hook, Layer, Rule, Ruleset, Table};
use crate::ruleset::{Backstop, Backstops, Stamp};

/// A policy as it was laid down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The policy.
    pub policy: Policy,
    /// The second layer that was laid, in each family.
    pub backstop: Backstops,
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
    read_back(observation.read())
}

/// The same for what the other variant holds, as far as it could be read.
#[must_use]
pub fn in_force_elsewhere(observation: &Observation) -> InForce {
    read_back(
        observation
            .other
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().ok()),
    )
}

fn read_back<'a>(rulesets: impl Iterator<Item = &'a Ruleset>) -> InForce {
    let mut found = InForce::default();
    let mut addresses = Vec::new();
    for ruleset in rulesets {
        for address in ruleset.locked_addresses() {
            addresses.push(address);
            let copies = Layer::ALL
                .into_iter()
                .filter_map(|layer| lock_of(ruleset.table(layer.table())?, address));
            for (policy, backstop) in copies {
                let known = found
                    .locks
                    .iter_mut()
                    .find(|known| known.policy.target == policy.target);
                match known {
                    None => found.locks.push(Lock {
                        policy,
                        backstop: Backstops::both(backstop),
                    }),
                    Some(known) if known.policy == policy => {
                        known.backstop.set(ruleset.family, backstop);
                    }
                    Some(_) => {}
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

/// The policy and the backstop that the chain of `address` describes, if it stands as it was written.
fn lock_of(table: &Table, address: Address) -> Option<(Policy, Backstop)> {
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
    stamp.fits(&subjects).then(|| {
        let policy = Policy {
            target: Target::new(address, stamp.only),
            subjects,
            forwarded: stamp.forwarded,
        };
        (policy, stamp.backstop)
    })
}
