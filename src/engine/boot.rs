//! `apply --boot`: installs the configuration at boot, where nobody can react to an error.
//!
//! Fails closed and continues after errors. Before any name is looked up, every configured address
//! is locked, at least for the subjects that need no lookup. A name without an id is left out, or
//! keeps the id that the installed rules have for it. Without a usable configuration, installed
//! lockdowns are unchanged, and each address of the metadata service that is not locked yet is
//! locked for root only. Without a usable lock file, it locks all the same.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tracing::warn;

use super::apply::{Applied, conclude, warn_about};
use super::change::{Outcome, change, install_first};
use super::configuration::{self, ConfigFailure};
use super::error::{EngineError, Failure};
use super::host::{observe, open};
use super::options::Options;
use crate::policy::floor::{before_lookups, metadata_for_root, without_configuration};
use crate::policy::resolve::NotResolved;
use crate::policy::{Policy, Request};
use crate::ruleset::plan::Wanted;
use crate::ruleset::{LayerChoice, Lockdown, Observation, installed, installed_policies};
use crate::sys::firewall::Firewall;
use crate::sys::lock::{self, Held, LockError};
use crate::verify::{Finding, config_unusable, names_resolved};

/// How long other firewalls may change their rules after boot: firewalld flushes the rules about a
/// second after it reports that it is ready.
const SETTLING: Duration = Duration::from_secs(30);

/// The pause between two passes while other firewalls settle.
const SETTLING_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two passes while names are unresolved.
const NAMES_PAUSE: Duration = Duration::from_secs(10);

/// How often names are looked up. All lookups but the last release the lock, so that the
/// configuration or the rules may change meanwhile.
const TRIES: u32 = 5;

/// Installs the configuration once.
///
/// # Errors
/// The change could not be tried.
pub fn boot(options: &Options) -> Result<Applied, EngineError> {
    let firewall = open(options, true)?;
    finish(&firewall, options)
}

/// Installs the configuration again and again, until other firewalls have settled and every name is
/// resolved; then probes it.
///
/// # Errors
/// The last change could not be tried. Before that, errors are logged, and it is tried again.
pub fn settle(options: &Options) -> Result<Applied, EngineError> {
    let firewall = open(options, true)?;
    let settled = Instant::now() + SETTLING;
    loop {
        let unresolved = match pass(&firewall, options) {
            Ok(pass) => {
                if pass.done.changed {
                    warn!("reapplied: another tool changed the rules, or a user now exists");
                }
                pass.unresolved
            }
            Err(error) => {
                warn!("{error}; trying again");
                true
            }
        };
        if Instant::now() < settled {
            sleep(SETTLING_PAUSE);
        } else if unresolved {
            sleep(NAMES_PAUSE);
        } else {
            return finish(&firewall, options);
        }
    }
}

fn finish(firewall: &Firewall, options: &Options) -> Result<Applied, EngineError> {
    let pass = pass(firewall, options)?;
    if let Err(error) = &pass.lock {
        warn!(
            help = error.help(),
            "{error}; locking without it: this run and others may change rules at the same time"
        );
    }
    for lockdown in &pass.done.lockdowns {
        warn_about(&lockdown.policy);
    }
    Ok(conclude(
        pass.done,
        vec![pass.finding],
        Vec::new(),
        firewall,
    ))
}

/// One installation of the configuration.
struct Pass {
    done: Outcome,
    /// The finding on the configuration.
    finding: Finding,
    /// Whether some name has no id yet.
    unresolved: bool,
    /// The lock, or why it cannot be had.
    lock: Result<Held, LockError>,
}

/// The state of a pass.
enum State {
    /// The configuration cannot be used.
    Unusable(ConfigFailure),
    /// The names of these requests have to be looked up.
    Unresolved(Vec<Request>),
    /// Every name was looked up.
    Resolved(Names),
}

impl State {
    /// The state for the current configuration. `names` were looked up for an earlier read of it.
    fn new(
        configured: Result<Vec<Request>, ConfigFailure>,
        names: Option<Names>,
        seen: &Observation,
    ) -> Self {
        match configured {
            Err(error) => Self::Unusable(error),
            Ok(requests) => match names.filter(|names| names.is_for(&requests, seen)) {
                Some(names) => Self::Resolved(names),
                None if requests.iter().any(Request::needs_lookups) => Self::Unresolved(requests),
                None => Self::Resolved(Names::look_up(requests, seen)),
            },
        }
    }
}

fn pass(firewall: &Firewall, options: &Options) -> Result<Pass, EngineError> {
    let mut names = None;
    let mut lookups = 0;
    loop {
        let lock = match lock::exclusive(options.wait) {
            Err(error) if error.is_busy() => return Err(error.into()),
            // An address that stays open is worse than two runs at the same time: transactions are
            // atomic.
            lock => lock,
        };
        // The configuration may have changed while this run waited.
        let configured = configuration::read(options);
        let layers = configuration::host_settings(options).layers;
        let first = install_floors_first(configured.as_deref().ok(), firewall, layers);
        let targets = configured.iter().flatten().map(|request| &request.target);
        let seen = observe(firewall, targets, layers);
        let (names, seen) = match State::new(configured, names.take(), &seen) {
            State::Unusable(error) => {
                let finding = config_unusable(&error.to_string(), error.help().as_deref());
                let policies = without_configuration(&installed_policies(&seen));
                return Ok(Pass {
                    done: install(&policies, seen, firewall, layers).after(first),
                    finding,
                    unresolved: false,
                    lock,
                });
            }
            State::Unresolved(requests) => {
                let seen = install_floors(&requests, seen, firewall, layers);
                lookups += 1;
                if lookups < TRIES {
                    // A lookup over the network can take long, and other runs must not wait.
                    drop(lock);
                    names = Some(Names::look_up(requests, &seen));
                    continue;
                }
                (Names::look_up(requests, &seen), seen)
            }
            State::Resolved(names) => (names, seen),
        };
        return Ok(Pass {
            done: install(&names.policies, seen, firewall, layers).after(first),
            finding: names_resolved(&names.unresolved),
            unresolved: !names.unresolved.is_empty(),
            lock,
        });
    }
}

/// Resolved requests, and the lockdowns that were installed when their names were looked up.
struct Names {
    requests: Vec<Request>,
    installed: Vec<Lockdown>,
    policies: Vec<Policy>,
    unresolved: Vec<NotResolved>,
}

impl Names {
    fn look_up(requests: Vec<Request>, seen: &Observation) -> Self {
        let installed = installed(seen).lockdowns;
        let (policies, unresolved) = configuration::resolve(&requests, &installed);
        Self {
            requests,
            installed,
            policies,
            unresolved,
        }
    }

    /// Whether configuration and rules are unchanged since the lookup.
    fn is_for(&self, requests: &[Request], seen: &Observation) -> bool {
        self.requests == requests && self.installed == installed(seen).lockdowns
    }
}

/// On a host on which nothing is locked, locks every configured address in our own nftables table,
/// for the subjects that need no lookup; without a usable configuration, the metadata service for root.
/// Nothing slow is read or run before. Returns whether anything changed.
fn install_floors_first(
    requests: Option<&[Request]>,
    firewall: &Firewall,
    layers: LayerChoice,
) -> bool {
    // An installed list with names would refuse those whom the floor does not list.
    if !firewall.holds_nothing() {
        return false;
    }
    let floors = match requests {
        Some(requests) => requests.iter().map(Request::floor).collect(),
        None => vec![metadata_for_root()],
    };
    install_first(&floors, layers, firewall)
}

/// Locks every address that is not locked yet, for the subjects that need no lookup.
fn install_floors(
    requests: &[Request],
    seen: Observation,
    firewall: &Firewall,
    layers: LayerChoice,
) -> Observation {
    let floors = before_lookups(requests, &installed_policies(&seen));
    if floors.is_empty() {
        return seen;
    }
    // A failure repeats, and is reported, when the resolved policies are installed.
    install(&floors, seen, firewall, layers).seen
}

/// Installs the policies that this host permits; the others are failures.
fn install(
    policies: &[Policy],
    seen: Observation,
    firewall: &Firewall,
    layers: LayerChoice,
) -> Outcome {
    let (mut wanted, rejected) = Wanted::new(policies, layers, &seen);
    // An address must not stay open because the chosen layers cannot be had.
    for policy in policies {
        if wanted.covers(policy) {
            continue;
        }
        let (auto, _) = Wanted::new(std::slice::from_ref(policy), LayerChoice::Auto, &seen);
        wanted.lockdowns.extend(auto.lockdowns);
    }
    let mut done = change(&wanted, seen, layers, firewall);
    done.failures
        .extend(rejected.into_iter().map(Failure::from));
    done
}
