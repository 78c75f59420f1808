//! `apply`: installs lockdowns, reads them back and probes them.

use std::thread::sleep;
use std::time::Duration;

use tracing::warn;

use super::change::{Outcome, change, install_first};
use super::configuration;
use super::error::{EngineError, Failure, NotPermitted, exit_code};
use super::host::{host, observe, observe_again, open, refuse_own_addresses};
use super::inspect::{Inspection, inspect};
use super::options::Options;
use crate::exit_code::ExitCode;
use crate::host::Host;
use crate::policy::resolve::resolve as resolve_names;
use crate::policy::{Policy, Request};
use crate::probe::ProbeResult;
use crate::ruleset::model::Variant;
use crate::ruleset::plan::{self, Transaction, Wanted};
use crate::ruleset::{LayerChoice, Lockdown, Observation, installed_for};
use crate::sys::accounts::{self, Accounts};
use crate::sys::firewall::Firewall;
use crate::sys::lock;
use crate::verify::{self, Finding};

/// How often a lockdown is inspected again if only its probes fail, and the pause before each
/// inspection: firewalld drops all packets for about a second while it reloads.
const INSPECTIONS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(400);

/// What `apply` did and found.
#[derive(Debug)]
pub struct Applied {
    /// The requested lockdowns, in the layers that they got.
    pub lockdowns: Vec<Lockdown>,
    /// The iptables variant in use.
    pub variant: Option<Variant>,
    /// Whether any rule changed.
    pub changed: bool,
    /// Whether everything was installed and holds, possibly degraded.
    pub holds: bool,
    /// The parts of the change that failed.
    pub failures: Vec<Failure>,
    /// The findings of the inspection.
    pub findings: Vec<Finding>,
    /// The probes of the inspection.
    pub probes: Vec<ProbeResult>,
    /// The result as an exit code.
    pub code: ExitCode,
}

/// Installs the lockdown of the request; without one, those of the configuration.
///
/// # Errors
/// The input cannot be used, or the change could not be tried. Nothing was changed.
pub fn apply(request: Option<&Request>, options: &Options) -> Result<Applied, EngineError> {
    if request.is_none() {
        // Reports a bad configuration before privileges are checked.
        configuration::read(options)?;
    } else {
        configuration::warn_if_unusable(options);
    }
    let firewall = open(options, true)?;
    let policy = request.map(resolve).transpose()?;
    apply_policy(policy, Vec::new(), &firewall, options)
}

/// Looks up the names of a request.
///
/// # Errors
/// A name has no id.
pub fn resolve(request: &Request) -> Result<Policy, EngineError> {
    let subjects = resolve_names(&Accounts::new(), request)
        .map_err(|error| error.with_similar(accounts::list))?;
    Ok(request.with(subjects))
}

/// Installs the lockdown of the policy; without one, those of the configuration. `known` failures
/// become part of the result.
pub(super) fn apply_policy(
    policy: Option<Policy>,
    known: Vec<Failure>,
    firewall: &Firewall,
    options: &Options,
) -> Result<Applied, EngineError> {
    warn_about_variant(firewall);
    let _held = lock::exclusive(options.wait)?;
    // The configuration may have changed while this run waited.
    let policies = policies(policy, options)?;
    policies.iter().for_each(warn_about);
    let layers = configuration::host_settings(options).layers;
    let first = install_first(&policies, layers, firewall);
    let targets = policies.iter().map(|policy| &policy.target);
    let seen = observe(firewall, targets, layers);
    let wanted = wanted(&policies, layers, &seen)?;
    let changed = change(&wanted, seen, layers, firewall).after(first);
    Ok(conclude(changed, Vec::new(), known, firewall))
}

fn policies(policy: Option<Policy>, options: &Options) -> Result<Vec<Policy>, EngineError> {
    let policies = if let Some(policy) = policy {
        vec![policy]
    } else {
        let requests = configuration::read(options)?;
        let policies = requests.iter().map(resolve);
        policies.collect::<Result<_, EngineError>>()?
    };
    refuse_own_addresses(policies.iter().map(|policy| &policy.target))?;
    Ok(policies)
}

fn wanted(
    policies: &[Policy],
    layers: LayerChoice,
    seen: &Observation,
) -> Result<Wanted, EngineError> {
    let (wanted, rejected) = Wanted::new(policies, layers, seen);
    match rejected.into_iter().next() {
        None => Ok(wanted),
        Some(rejected) => Err(NotPermitted::new(rejected.reason()).into()),
    }
}

/// Inspects the result of a change and reports it. The known findings and failures become part of
/// the report.
pub(super) fn conclude(
    mut done: Outcome,
    known_findings: Vec<Finding>,
    known_failures: Vec<Failure>,
    firewall: &Firewall,
) -> Applied {
    let complete = done.failures.is_empty();
    let judged = installed_instead(&done.lockdowns, complete, &done.seen);
    let host = host(&done.seen);
    let choice = done.choice;
    let seen = &mut done.seen;
    let inspection = inspect_patiently(&judged, seen, choice, &host, complete, firewall);
    let mut findings = known_findings;
    findings.extend(inspection.findings);
    let (findings, found) = verify::conclude(findings);
    done.failures.extend(known_failures);
    Applied {
        lockdowns: done.lockdowns,
        variant: firewall.variant(),
        changed: done.changed,
        holds: complete && matches!(found, ExitCode::Success | ExitCode::Degraded),
        code: match exit_code(&done.failures) {
            ExitCode::Success => found,
            code => code,
        },
        failures: done.failures,
        findings,
        probes: inspection.probes,
    }
}

/// The lockdowns to inspect. If the change is not `complete`, its failures report what was not done, and
/// the findings describe what is installed.
fn installed_instead(lockdowns: &[Lockdown], complete: bool, seen: &Observation) -> Vec<Lockdown> {
    let installed = |lockdown: &Lockdown| {
        let installed = installed_for(&lockdown.policy.target, seen).filter(|_| !complete);
        installed.unwrap_or_else(|| lockdown.clone())
    };
    lockdowns.iter().map(installed).collect()
}

/// Inspects again as long as the rules are right and only probes fail: another tool may refuse all
/// packets for a moment while it reloads.
fn inspect_patiently(
    lockdowns: &[Lockdown],
    seen: &mut Observation,
    choice: LayerChoice,
    host: &Host,
    complete: bool,
    firewall: &Firewall,
) -> Inspection {
    let mut inspection = inspect(lockdowns, seen, host, true);
    for _ in 0..INSPECTIONS {
        if !complete || !verify::only_behaviour_fails(&inspection.findings) {
            break;
        }
        sleep(PAUSE);
        let targets = lockdowns.iter().map(|lockdown| &lockdown.policy.target);
        observe_again(firewall, targets, choice, seen);
        inspection = inspect(lockdowns, seen, host, true);
    }
    inspection
}

fn warn_about_variant(firewall: &Firewall) {
    let first_legacy_tables = firewall.variant() == Some(Variant::Legacy)
        && matches!(firewall.has_legacy_tables(), Ok(false))
        && matches!(firewall.host_variant(), Ok(Some(Variant::Nft)));
    if first_legacy_tables {
        warn!(
            "`iptables` on this host is iptables-nft, which does not show the rules of \
             --variant legacy and warns about them on every call; --variant auto fits this host"
        );
    }
}

pub(super) fn warn_about(policy: &Policy) {
    if policy.subjects.is_empty() {
        warn!(
            "no user is allowed: agents that run as root (cloud-init, the SSM agent, ...) lose \
             access to {} too",
            policy.target
        );
    }
}

/// The transactions that `apply` would run.
#[derive(Debug)]
pub struct DryRun {
    /// The policies.
    pub policies: Vec<Policy>,
    /// Each transaction with its command line; for nftables, an equivalent command line.
    pub transactions: Vec<(Vec<String>, Transaction)>,
    /// Rules that could not be read, for which nothing is planned.
    pub failures: Vec<Failure>,
    /// The result as an exit code.
    pub code: ExitCode,
}

/// Plans what [`apply`] would do, and changes nothing.
///
/// # Errors
/// The input cannot be used, or the change could not be planned.
pub fn dry_run(request: Option<&Request>, options: &Options) -> Result<DryRun, EngineError> {
    if request.is_none() {
        configuration::read(options)?;
    } else {
        configuration::warn_if_unusable(options);
    }
    let firewall = open(options, true)?;
    let policy = request.map(resolve).transpose()?;
    let policies = policies(policy, options)?;
    let targets = policies.iter().map(|policy| &policy.target);
    let layers = configuration::host_settings(options).layers;
    let seen = observe(&firewall, targets, layers);
    let lockdowns = wanted(&policies, layers, &seen)?.all();
    let obstacles = plan::obstacles(&lockdowns, &seen).into_iter();
    let failures: Vec<Failure> = obstacles.cloned().map(Failure::NotRead).collect();
    let plans = [
        plan::install(&lockdowns, &seen),
        plan::clear(&lockdowns, &seen),
    ];
    let mut transactions = Vec::new();
    for transaction in plans.iter().flat_map(plan::Plan::transactions) {
        let command = firewall.command_line(transaction.place())?;
        transactions.push((command, transaction.clone()));
    }
    Ok(DryRun {
        policies,
        transactions,
        code: exit_code(&failures),
        failures,
    })
}
