//! `apply --boot`: the configuration in force at boot, where nobody is there to mend what is wrong.
//!
//! Fails closed, and does not fail: before any name is looked up, every address is locked, to the
//! part of its policy that needs no look-up if it was not locked yet; a name without an id is left
//! out, or keeps the id that stands; without a configuration that can be used, what stands is kept,
//! and the metadata service is locked to root.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tracing::warn;

use super::apply::{conclude, warn_about};
use super::enforce::{Applied, Wanted, enforce, lock_of};
use super::{CommandError, config, open};
use crate::cli::CommonArgs;
use crate::exit_code::ExitCode;
use crate::policy::{Forwarded, IMDS_V4, Policy, Target, Unresolved};
use crate::sys::firewall::Firewall;
use crate::sys::lock::{self, Held};
use crate::verify::{
    Finding, Lock, Observation, config_unusable, in_force, in_force_elsewhere, names_resolved,
};

/// How long other firewalls may take until their rules are as they will be: firewalld flushes about
/// a second after it reports ready.
const SETTLING: Duration = Duration::from_secs(30);

/// How long it waits between two looks while others settle, and while names are missing.
const SETTLING_PAUSE: Duration = Duration::from_secs(1);
const NAMES_PAUSE: Duration = Duration::from_secs(10);

/// How often names are looked up while others may change the configuration or the rules; the last
/// time, they may not.
const TRIES: u32 = 5;

pub(super) fn run(settle: bool, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let firewall = open(common, true)?;
    if settle {
        wait_until_settled(&firewall, common);
    }
    let pass = pass(&firewall, common)?;
    for lock in &pass.applied.locks {
        warn_about(&lock.policy);
    }
    conclude(pass.applied, pass.known, Vec::new(), &firewall, common)
}

/// Applies again and again, without probes, until nothing is left to wait for.
fn wait_until_settled(firewall: &Firewall, common: &CommonArgs) {
    let settled = Instant::now() + SETTLING;
    loop {
        let waiting = match pass(firewall, common) {
            Ok(pass) => {
                if pass.applied.changed {
                    warn!(
                        "applied again: another tool had changed the rules, or a name has an id now"
                    );
                }
                pass.waiting
            }
            Err(error) => {
                warn!("{error}; trying again");
                true
            }
        };
        let settling = Instant::now() < settled;
        if !settling && !waiting {
            return;
        }
        sleep(match settling {
            true => SETTLING_PAUSE,
            false => NAMES_PAUSE,
        });
    }
}

/// The configuration once put in force.
struct Pass {
    applied: Applied,
    known: Vec<Finding>,
    /// Whether some name has no id yet.
    waiting: bool,
    _held: Held,
}

fn pass(firewall: &Firewall, common: &CommonArgs) -> Result<Pass, CommandError> {
    let mut looked_up: Option<LookedUp> = None;
    let mut tries = 0;
    loop {
        let held = lock::exclusive(Duration::from_secs(common.wait.into()))?;
        // Not before: while this waited, the configuration may have changed.
        let configured = config::read(common);
        let mut seen = firewall.observe(&[]);
        let all = match configured {
            Ok(all) => all,
            Err(error) => {
                let mut policies: Vec<Policy> = standing(&seen).collect();
                policies.extend(not_locked(floor(), &seen));
                return Ok(Pass {
                    applied: put_in_force(&policies, seen, firewall, common),
                    known: vec![config_unusable(&error.to_string())],
                    waiting: false,
                    _held: held,
                });
            }
        };
        let current = looked_up.take().filter(|known| known.is_for(&all, &seen));
        let known = if let Some(known) = current {
            known
        } else {
            let floors: Vec<Policy> = all
                .iter()
                .filter_map(|words| match words.needs_look_ups() {
                    true => not_locked(words.floor(), &seen),
                    false => Some(words.floor()),
                })
                .collect();
            let names = all.iter().any(Unresolved::needs_look_ups);
            if names && !floors.is_empty() {
                // What fails here fails again below, and is told there.
                seen = put_in_force(&floors, seen, firewall, common).seen;
            }
            // A directory may not answer for long: others have their turn meanwhile.
            tries += 1;
            if names && tries < TRIES {
                drop(held);
                looked_up = Some(LookedUp::now(all, &seen));
                continue;
            }
            LookedUp::now(all, &seen)
        };
        return Ok(Pass {
            applied: put_in_force(&known.policies, seen, firewall, common),
            known: vec![names_resolved(&known.unresolved)],
            waiting: !known.unresolved.is_empty(),
            _held: held,
        });
    }
}

/// A configuration with its names looked up, beside what was in force then.
struct LookedUp {
    all: Vec<Unresolved>,
    standing: Vec<Lock>,
    policies: Vec<Policy>,
    unresolved: Vec<String>,
}

impl LookedUp {
    fn now(all: Vec<Unresolved>, seen: &Observation) -> Self {
        let standing = in_force(seen).locks;
        let (policies, unresolved) = config::resolve(&all, &standing);
        Self {
            all,
            standing,
            policies,
            unresolved,
        }
    }

    fn is_for(&self, all: &[Unresolved], seen: &Observation) -> bool {
        self.all == all && self.standing == in_force(seen).locks
    }
}

/// The policies in force, and what could not be done: one that this host cannot have does not keep
/// the others from being laid.
fn put_in_force(
    policies: &[Policy],
    seen: Observation,
    firewall: &Firewall,
    common: &CommonArgs,
) -> Applied {
    let mut failures = Vec::new();
    let mut locks = Vec::new();
    for policy in policies {
        match lock_of(policy, common.layers, firewall, &seen) {
            Ok(lock) => locks.push(lock),
            Err(error) => failures.push(format!("{}: {error}", policy.target)),
        }
    }
    let wanted = match Wanted::new(locks.clone(), common.layers, firewall, &seen) {
        Ok(wanted) => wanted,
        Err(error) => {
            failures.push(error.to_string());
            Wanted::just(locks)
        }
    };
    let mut applied = enforce(&wanted, seen, common.layers, firewall);
    applied.failures.append(&mut failures);
    applied
}

/// What is locked, of whatever variant.
fn standing(seen: &Observation) -> impl Iterator<Item = Policy> {
    let elsewhere = in_force_elsewhere(seen).locks;
    let all = in_force(seen).locks.into_iter().chain(elsewhere);
    all.map(|lock| lock.policy)
}

/// The policy for those of its addresses that are not locked.
fn not_locked(policy: Policy, seen: &Observation) -> Option<Policy> {
    let mut standing = standing(seen);
    standing.try_fold(policy, |left, standing| left.without(&standing.target))
}

/// What is in force when nobody says what should be: the metadata service, for root only.
fn floor() -> Policy {
    let words = Unresolved {
        target: Target::new(IMDS_V4, false),
        users: "root".parse().into_iter().collect(),
        groups: Vec::new(),
        forwarded: Forwarded::Refuse,
    };
    words.floor()
}
