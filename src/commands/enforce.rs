//! The change from what is in force to a policy, on the system.
//!
//! Fails closed: each table is swapped whole, the backstop is laid first, and nothing that stands
//! is taken away before what replaces it stands. Enforcing what is in force changes nothing.

use tracing::{debug, info};

use super::CommandError;
use crate::policy::{Family, Policy, Target};
use crate::ruleset::model::Layer;
use crate::ruleset::{Backstop, transaction};
use crate::sys::iptables::{Iptables, IptablesError};
use crate::verify::{Lock, Observation, in_force};

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
pub(super) fn wanted(policy: &Policy, seen: &Observation) -> Vec<Policy> {
    std::iter::once(policy.clone())
        .chain(cut_off(&policy.target, seen))
        .collect()
}

/// The locks that lose an address to `target`, as they are without it: with `--only`, the other
/// half of the IMDS pair keeps its list.
pub(super) fn cut_off(target: &Target, seen: &Observation) -> Vec<Policy> {
    in_force(seen)
        .locks
        .into_iter()
        .filter(|lock| lock.policy.target != *target)
        .filter_map(|lock| {
            let left = lock.policy.without(target)?;
            (left != lock.policy).then_some(left)
        })
        .collect()
}

pub(super) fn enforce(policy: Policy, iptables: &Iptables) -> Result<Applied, CommandError> {
    let mut backstop = Backstop::Security;
    let mut seen = iptables.observe();
    let has_family = |family| seen.family(family).is_some();
    if let [address] = policy.target.addresses()
        && !has_family(address.family())
    {
        return Err(CommandError::NoFamily(
            address.family(),
            policy.target.clone(),
        ));
    }
    let policies = wanted(&policy, &seen);
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
        let refused = |error: &IptablesError| matches!(error, IptablesError::Failed { .. });
        if !failures.iter().all(|(_, error)| refused(error)) {
            break;
        }
        if backstop == Backstop::Security && lacks_backstop(&failures, iptables)? {
            info!("this kernel has no table `security`: locking without a backstop");
            backstop = Backstop::None;
        }
    }
    let mut failures: Vec<(Family, String)> = failures
        .into_iter()
        .map(|(family, error)| (family, error.to_string()))
        .chain(unread(&seen))
        .collect();
    let lock = Lock { policy, backstop };
    if failures.is_empty() {
        match clear_other_variant(&lock.policy, iptables, &seen) {
            Ok(false) => {}
            Ok(true) => {
                changed = true;
                seen = iptables.observe();
            }
            Err(error) => failures.push((Family::V4, error.to_string())),
        }
    }
    Ok(Applied {
        lock,
        seen,
        changed,
        failures,
    })
}

/// Families that could not be read, so that nothing could be done there.
pub(super) fn unread(seen: &Observation) -> Vec<(Family, String)> {
    seen.families
        .iter()
        .filter_map(|(family, ruleset)| Some((*family, ruleset.as_ref().err()?.clone())))
        .collect()
}

fn lacks_backstop(
    failures: &[(Family, IptablesError)],
    iptables: &Iptables,
) -> Result<bool, IptablesError> {
    for (family, _) in failures {
        if !iptables.has_table(*family, Layer::Security.table())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What has to be sent, a family each; a family with nothing to do, or that could not be read,
/// has none.
pub(super) fn transactions(
    policies: &[Policy],
    backstop: Backstop,
    seen: &Observation,
) -> Vec<(Family, String)> {
    seen.read()
        .map(|ruleset| {
            let text = transaction::enforcing(policies, backstop, ruleset);
            (ruleset.family, text)
        })
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

/// Takes away what the other variant holds for the same target, now that this one stands: two
/// lists would both have to be passed. Whether there was anything.
fn clear_other_variant(
    policy: &Policy,
    iptables: &Iptables,
    seen: &Observation,
) -> Result<bool, IptablesError> {
    let removals: Vec<(Family, String)> = seen
        .other
        .iter()
        .filter_map(|(family, ruleset)| {
            let ruleset = ruleset.as_ref().ok()?;
            let text = transaction::removing(policy.target.addresses(), ruleset);
            (!text.is_empty()).then_some((*family, text))
        })
        .collect();
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
