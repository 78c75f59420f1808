//! The change from what is in force to a policy, on the system.
//!
//! Fails closed: each table is swapped whole, the backstop is laid first, and nothing that stands
//! is taken away before what replaces it stands. Enforcing what is in force changes nothing.

use tracing::{debug, info, warn};

use super::CommandError;
use crate::policy::{Address, Family, Policy, Target};
use crate::ruleset::model::{Layer, Ruleset};
use crate::ruleset::{Backstop, Backstops, transaction};
use crate::sys::iptables::{Iptables, IptablesError};
use crate::verify::{Lock, Observation, in_force, in_force_elsewhere};

/// How often a transaction is tried. Another tool may change the rules between our look and our
/// change; then nothing is changed, and we look again.
const TRIES: usize = 3;

/// A policy in force, as far as each family went.
pub(super) struct Applied {
    pub(super) lock: Lock,
    pub(super) seen: Observation,
    pub(super) changed: bool,
    pub(super) failures: Vec<(Family, String)>,
}

/// All that is to be in force afterwards as far as `policy` changes it: the policy itself, and
/// the half of the IMDS pair that its `--only` cuts off.
///
/// # Errors
/// This kernel does not have the family of the only address.
pub(super) fn wanted(policy: &Policy, seen: &Observation) -> Result<Vec<Policy>, CommandError> {
    if let [address] = policy.target.addresses()
        && seen.family(address.family()).is_none()
    {
        let target = policy.target.clone();
        return Err(CommandError::NoFamily(address.family(), target));
    }
    let mut policies = vec![policy.clone()];
    policies.extend(cut_off(&policy.target, seen));
    Ok(policies)
}

/// The locks that lose an address to `target`, as they are without it: with `--only`, the other
/// half of the IMDS pair keeps its list. What the other variant holds moves to this one.
pub(super) fn cut_off(target: &Target, seen: &Observation) -> Vec<Policy> {
    let own = in_force(seen).locks;
    let covered = |address: &Address| {
        own.iter()
            .any(|lock| lock.policy.target.addresses().contains(address))
    };
    let elsewhere = in_force_elsewhere(seen).locks;
    let elsewhere = elsewhere.iter().filter_map(|lock| {
        let left = lock.policy.without(target)?;
        let free = !left.target.addresses().iter().any(covered);
        (free && left != lock.policy).then_some(left)
    });
    own.iter()
        .filter(|lock| lock.policy.target != *target)
        .filter_map(|lock| {
            let left = lock.policy.without(target)?;
            (left != lock.policy).then_some(left)
        })
        .chain(elsewhere)
        .collect()
}

pub(super) fn enforce(policy: Policy, iptables: &Iptables) -> Result<Applied, CommandError> {
    let mut backstop = Backstops::both(Backstop::Security);
    let mut seen = iptables.observe();
    let policies = wanted(&policy, &seen)?;
    let mut changed = false;
    let mut failures: Vec<(Family, IptablesError)> = Vec::new();
    for attempt in 1..=TRIES {
        let transactions = transactions(&policies, backstop, &seen);
        if transactions.is_empty() {
            failures.clear();
            break;
        }
        debug!(attempt, ?transactions, "restoring");
        let results = iptables.restore(&transactions);
        changed |= results.iter().any(|(_, result)| result.is_ok());
        failures = results
            .into_iter()
            .filter_map(|(family, result)| Some((family, result.err()?)))
            .collect();
        seen = iptables.observe_again(seen);
        // Only a transaction that was refused may fare better after a new look. One that went
        // through may have been undone since.
        if !failures.iter().all(|(_, error)| refused(error)) {
            break;
        }
        for (family, _) in &failures {
            if backstop.of(*family) == Backstop::None {
                continue;
            }
            match iptables.has_table(*family, Layer::Security.table()) {
                Ok(true) => {}
                Ok(false) => {
                    info!("{family}: this kernel has no table `security`: no backstop");
                    backstop.set(*family, Backstop::None);
                }
                // Nobody knows: what was refused stays refused, and what stands stands.
                Err(error) => warn!("{family}: cannot tell whether there is a backstop: {error}"),
            }
        }
    }
    if failures.iter().any(|(_, error)| refused(error)) {
        // Whatever stops one layer need not stop the other: better locked by one than by none.
        let rest = each_family(&seen, |ruleset| {
            let laid = backstop.of(ruleset.family);
            transaction::enforcing_layer(&policies, laid, Layer::Filter, ruleset)
        });
        let results = iptables.restore(&rest);
        changed |= results.iter().any(|(_, result)| result.is_ok());
        seen = iptables.observe_again(seen);
    }
    let mut failures: Vec<(Family, String)> = failures
        .into_iter()
        .map(|(family, error)| (family, error.to_string()))
        .chain(unread(&seen))
        .collect();
    // Only what stands takes the place of what the other variant holds.
    if failures.is_empty() && transactions(&policies, backstop, &seen).is_empty() {
        match clear_other_variant(&policies, iptables, &seen) {
            Ok(false) => {}
            Ok(true) => {
                changed = true;
                seen = iptables.observe();
            }
            Err(error) => failures.push((Family::V4, error.to_string())),
        }
    }
    Ok(Applied {
        lock: Lock { policy, backstop },
        seen,
        changed,
        failures,
    })
}

fn refused(error: &IptablesError) -> bool {
    matches!(error, IptablesError::Failed { .. })
}

/// Families that could not be read, so that nothing could be done there.
pub(super) fn unread(seen: &Observation) -> Vec<(Family, String)> {
    seen.families
        .iter()
        .filter_map(|(family, ruleset)| Some((*family, ruleset.as_ref().err()?.clone())))
        .collect()
}

/// What has to be sent, a family each; a family with nothing to do, or that could not be read,
/// has none.
pub(super) fn transactions(
    policies: &[Policy],
    backstop: Backstops,
    seen: &Observation,
) -> Vec<(Family, String)> {
    each_family(seen, |ruleset| {
        transaction::enforcing(policies, backstop.of(ruleset.family), ruleset)
    })
}

fn each_family(seen: &Observation, text: impl Fn(&Ruleset) -> String) -> Vec<(Family, String)> {
    seen.read()
        .map(|ruleset| (ruleset.family, text(ruleset)))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

/// Takes away what the other variant holds of the same addresses, now that these stand: two lists
/// would both have to be passed. Whether there was anything.
fn clear_other_variant(
    policies: &[Policy],
    iptables: &Iptables,
    seen: &Observation,
) -> Result<bool, IptablesError> {
    let removals = other_removals(policies, seen);
    if removals.is_empty() {
        return Ok(false);
    }
    let other = iptables.other()?;
    info!(variant = %other.variant(), "taking away the lockdown of the other variant");
    other
        .restore(&removals)
        .into_iter()
        .try_for_each(|(_, result)| result)
        .map(|()| true)
}

/// What has to be sent to the other variant once the policies stand, a family each.
pub(super) fn other_removals(policies: &[Policy], seen: &Observation) -> Vec<(Family, String)> {
    let addresses: Vec<Address> = policies
        .iter()
        .flat_map(|policy| policy.target.addresses().to_vec())
        .collect();
    seen.other
        .iter()
        .filter_map(|(family, ruleset)| {
            let text = transaction::removing(&addresses, ruleset.as_ref().ok()?);
            (!text.is_empty()).then_some((*family, text))
        })
        .collect()
}
