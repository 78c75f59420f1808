//! Changes the observed rules to the wanted lockdowns.
//!
//! Fails closed: each table changes at one instant, and nothing is removed before its replacement
//! is installed. If the wanted lockdowns are installed already, nothing changes.

use tracing::{debug, info, warn};

use super::error::Failure;
use super::host::observe_again;
use crate::policy::Policy;
use crate::ruleset::plan::{self, Attempts, Place, Plan, Refused, Wanted};
use crate::ruleset::{Layer, LayerChoice, Lockdown, Observation, Unusable};
use crate::sys::FirewallError;
use crate::sys::firewall::Firewall;

/// The outcome of a change.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The requested lockdowns, in the layers that they got.
    pub(super) lockdowns: Vec<Lockdown>,
    /// The chosen layers.
    pub(super) choice: LayerChoice,
    /// The firewall afterwards.
    pub(super) seen: Observation,
    /// Whether any rule changed.
    pub(super) changed: bool,
    /// The parts of the change that failed.
    pub(super) failures: Vec<Failure>,
}

impl Outcome {
    /// The outcome after an earlier step, which may have changed rules too.
    pub(super) fn after(mut self, changed: bool) -> Self {
        self.changed |= changed;
        self
    }
}

/// Installs the lockdowns, then removes what is stale.
pub(super) fn change(
    wanted: &Wanted,
    seen: Observation,
    choice: LayerChoice,
    firewall: &Firewall,
) -> Outcome {
    let mut state = Outcome {
        lockdowns: wanted.all(),
        choice,
        seen,
        changed: false,
        failures: Vec::new(),
    };
    // Stale rules are removed only if their replacement is installed.
    if install(&mut state, choice, firewall) && state.failures.is_empty() {
        clear(&mut state, firewall);
    }
    state.lockdowns.truncate(wanted.lockdowns.len());
    state
}

/// Installs the lockdowns. Returns whether they are installed afterwards, as far as rules could be
/// read.
fn install(state: &mut Outcome, choice: LayerChoice, firewall: &Firewall) -> bool {
    let mut attempts = Attempts::new(&state.lockdowns, &state.seen);
    let mut refusals: Vec<(Place, FirewallError)> = Vec::new();
    for attempt in 1..=Attempts::MAX {
        let plan = plan::install(&state.lockdowns, &state.seen);
        if plan.is_empty() {
            refusals.clear();
            attempts.record(&[]);
            break;
        }
        info!("installing rules in {}", places(&plan));
        debug!(attempt, ?plan, "installing");
        refusals = run(firewall, &plan, &mut state.changed);
        firewall.observe_again(&mut state.seen);
        state.seen.disregard_others(choice);
        let failed = refusals.iter();
        let failed: Vec<_> = failed
            .map(|(place, error)| (*place, error.is_refusal()))
            .collect();
        if !attempts.record(&failed) {
            break;
        }
        for (place, error) in &refusals {
            fall_back(state, *place, error, &attempts, choice, firewall);
        }
    }
    if let Some(plan) = attempts.last_resort(&state.lockdowns, &state.seen) {
        // Its refusals repeat those above.
        let _ = run(firewall, &plan, &mut state.changed);
        firewall.observe_again(&mut state.seen);
        state.seen.disregard_others(choice);
    }
    state
        .failures
        .extend(refusals.into_iter().map(Failure::refused));
    let obstacles = plan::obstacles(&state.lockdowns, &state.seen);
    let obstacles: Vec<Failure> = obstacles
        .into_iter()
        .cloned()
        .map(Failure::NotRead)
        .collect();
    state.failures.extend(obstacles);
    plan::install(&state.lockdowns, &state.seen).is_empty()
}

/// Replaces a layer that the host does not support, after a refusal by the place.
fn fall_back(
    state: &mut Outcome,
    place: Place,
    error: &FirewallError,
    attempts: &Attempts,
    choice: LayerChoice,
    firewall: &Firewall,
) {
    let family = plan::may_lack_security(&state.lockdowns, place);
    let answer = family.map(|family| firewall.has_table(family, Layer::Security.name()));
    let has_security = match answer {
        None => None,
        Some(Ok(answer)) => Some(answer),
        // Without an answer, there is no fallback, and the refusal is reported.
        Some(Err(error)) => {
            warn!("cannot determine whether this kernel has the table security: {error}");
            None
        }
    };
    let refused = Refused {
        place,
        times: attempts.times(place),
        has_security,
    };
    if let Some(fallback) = plan::fallback(&state.lockdowns, choice, refused, &state.seen) {
        if let Some(family) = fallback.gave_up {
            // A finding contains the error.
            let unusable = Unusable::refused(family, &error.to_string());
            state.seen.unusable.push(unusable);
        } else {
            warn!("{place}: {}: {error}", fallback.reason);
        }
        state.lockdowns = fallback.lockdowns;
    }
}

/// Removes stale rules.
fn clear(state: &mut Outcome, firewall: &Firewall) {
    let plan = plan::clear(&state.lockdowns, &state.seen);
    if plan.is_empty() {
        return;
    }
    info!("removing stale rules from {}", places(&plan));
    debug!(?plan, "clearing");
    let refusals = run(firewall, &plan, &mut state.changed);
    state
        .failures
        .extend(refusals.into_iter().map(Failure::refused));
    let targets = state
        .lockdowns
        .iter()
        .map(|lockdown| &lockdown.policy.target);
    observe_again(firewall, targets, state.choice, &mut state.seen);
}

/// Installs the lockdowns of the policies in our own nftables table, if it holds nothing for their
/// addresses: no other program is needed for that, and nothing slow is read before. A failure repeats,
/// and is reported, when the lockdowns are installed in all layers. Returns whether anything changed.
pub(super) fn install_first(policies: &[Policy], choice: LayerChoice, firewall: &Firewall) -> bool {
    let has_iptables = firewall.variant().is_some();
    let lockdowns: Vec<Lockdown> = policies
        .iter()
        .filter_map(|policy| {
            plan::first_lockdown(policy, choice, has_iptables, firewall.families())
        })
        .collect();
    let Ok(own) = firewall.own_table() else {
        return false;
    };
    let Some(first) = plan::install_first(&lockdowns, own.as_ref()) else {
        return false;
    };
    info!("installing rules in nftables first");
    debug!(?first, "installing");
    firewall
        .run(&[first])
        .iter()
        .all(|(_, result)| result.is_ok())
}

/// Runs the plan up to the first step that fails, and returns the refusals of that step.
pub(super) fn run(
    firewall: &Firewall,
    plan: &Plan,
    changed: &mut bool,
) -> Vec<(Place, FirewallError)> {
    let mut refusals = Vec::new();
    for step in &plan.steps {
        for transaction in step {
            log(firewall, transaction.place());
        }
        for (place, result) in firewall.run(step) {
            match result {
                Ok(()) => *changed = true,
                Err(error) => refusals.push((place, error)),
            }
        }
        if !refusals.is_empty() {
            break;
        }
    }
    refusals
}

fn log(firewall: &Firewall, place: Place) {
    match (place, firewall.command_line(place)) {
        (Place::Nftables, _) => info!("nftables: changing our table over netlink"),
        (_, Ok(command)) => info!("{place}: running {}", command.join(" ")),
        // The error is reported when the transaction runs.
        (_, Err(_)) => {}
    }
}

/// The places that the plan changes, for the log.
pub(super) fn places(plan: &Plan) -> String {
    let places: Vec<String> = plan
        .transactions()
        .map(|transaction| transaction.place().to_string())
        .collect();
    places.join(", ")
}
