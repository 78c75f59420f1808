//! `apply`: puts a policy in force, reads it back, probes it.
//!
//! Fails closed: each table is swapped whole, the backstop is laid first, and nothing that stands
//! is taken away before what replaces it stands. Applying what is in force changes nothing.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tracing::{debug, error, info, warn};

use super::inspect::{Inspection, inspect};
use super::report::{FindingsView, LockView, print_findings, print_json, who};
use super::words::Unresolved;
use super::{CommandError, open};
use crate::cli::{ApplyArgs, CommonArgs, Format};
use crate::exit_code::ExitCode;
use crate::policy::{Family, Policy};
use crate::ruleset::desired::{desired, layers};
use crate::ruleset::model::{Layer, Ruleset};
use crate::ruleset::{Backstop, plan, render};
use crate::sys::iptables::{Iptables, IptablesError};
use crate::sys::lock;
use crate::verify::{Lock, Observation, exit_code, in_force};

/// How often a transaction is tried. Another tool may change the rules between our look and our
/// change; then nothing is changed, and we look again.
const TRIES: usize = 3;

pub(super) fn run(args: &ApplyArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let words = Unresolved::parse(&args.address, &args.policy)?;
    let iptables = open(common, true)?;
    let policy = words.resolve()?;
    warn_about(&policy);
    if args.dry_run {
        return dry_run(&policy, &iptables, common);
    }
    let _held = lock::exclusive(Duration::from_secs(common.wait.into()))?;
    let applied = enforce(policy, &iptables)?;
    let Inspection {
        mut findings,
        probes,
    } = inspect(&applied.lock, &applied.seen, true);
    findings.sort_by_key(|finding| finding.address);
    for (family, failure) in &applied.failures {
        error!("{family}: {failure}");
    }
    let code = match applied.failures.is_empty() {
        true => exit_code(&findings),
        false => ExitCode::CouldNot,
    };
    match common.output {
        Format::Json => {
            #[derive(Serialize)]
            struct Body<'a> {
                lock: LockView,
                variant: crate::ruleset::model::Variant,
                changed: bool,
                errors: Vec<String>,
                #[serde(flatten)]
                findings: FindingsView<'a>,
            }
            let body = Body {
                lock: (&applied.lock).into(),
                variant: iptables.variant(),
                changed: applied.changed,
                errors: applied
                    .failures
                    .iter()
                    .map(|(family, failure)| format!("{family}: {failure}"))
                    .collect(),
                findings: FindingsView {
                    findings: &findings,
                    probes: &probes,
                },
            };
            print_json("apply", code, body)?;
        }
        Format::Text => {
            let mut out = io::stdout().lock();
            print_findings(&mut out, &findings, false)?;
            if matches!(code, ExitCode::Done | ExitCode::Degraded) {
                let how = if applied.changed { "" } else { " (as it was)" };
                writeln!(
                    out,
                    "{} locked{how}: {} may pass; {} probes agree",
                    applied.lock.policy.target,
                    who(&applied.lock),
                    probes.len()
                )?;
            }
        }
    }
    Ok(code)
}

fn warn_about(policy: &Policy) {
    if policy.subjects.is_empty() {
        warn!(
            "nobody may pass: root's own agents (cloud-init, the SSM agent, ...) lose {} too",
            policy.target
        );
    }
    for address in policy.target.addresses() {
        if address.is_loopback() {
            warn!("{address} is this host itself: services that talk over it may stop working");
        }
    }
}

/// A policy in force, as far as each family went.
struct Applied {
    lock: Lock,
    seen: Observation,
    changed: bool,
    failures: Vec<(Family, String)>,
}

/// What was wanted of one try: the lock itself, and the other half of the IMDS pair if `--only`
/// has just cut it off.
fn wanted(policy: &Policy, seen: &Observation) -> Vec<Policy> {
    let cut_off = in_force(seen)
        .locks
        .into_iter()
        .filter(|lock| lock.policy.target != policy.target)
        .filter_map(|lock| {
            let left = lock.policy.without(&policy.target)?;
            (left != lock.policy).then_some(left)
        });
    std::iter::once(policy.clone()).chain(cut_off).collect()
}

fn enforce(policy: Policy, iptables: &Iptables) -> Result<Applied, CommandError> {
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
        seen = iptables.observe();
        // Only a transaction that was refused may fare better after a new look.
        let refused = |error: &IptablesError| matches!(error, IptablesError::Failed { .. });
        if failures.is_empty() || !failures.iter().all(|(_, error)| refused(error)) {
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
fn unread(seen: &Observation) -> Vec<(Family, String)> {
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
fn transactions(
    policies: &[Policy],
    backstop: Backstop,
    seen: &Observation,
) -> Vec<(Family, String)> {
    seen.read()
        .map(|ruleset| (ruleset.family, transaction(policies, backstop, ruleset)))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

fn transaction(policies: &[Policy], backstop: Backstop, ruleset: &Ruleset) -> String {
    let family = ruleset.family;
    let laid = layers(backstop);
    // The backstop is laid first; a layer that is not wanted any more is taken away last.
    let lay = laid.iter().rev().map(|&layer| {
        let wanted: Vec<_> = policies
            .iter()
            .flat_map(|policy| desired(policy, backstop, layer, family))
            .collect();
        (
            layer.table(),
            plan::plan(&wanted, ruleset.table(layer.table())),
        )
    });
    let clear = Layer::ALL
        .into_iter()
        .filter(|layer| !laid.contains(layer))
        .filter_map(|layer| {
            let table = ruleset.table(layer.table())?;
            let addresses: Vec<_> = policies
                .iter()
                .flat_map(|policy| policy.target.addresses().to_vec())
                .collect();
            Some((layer.table(), plan::removal(&addresses, table)))
        });
    render::transaction(family, &lay.chain(clear).collect::<Vec<_>>())
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
            let text = super::remove::removal(policy.target.addresses(), ruleset);
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

fn dry_run(
    policy: &Policy,
    iptables: &Iptables,
    common: &CommonArgs,
) -> Result<ExitCode, CommandError> {
    let seen = iptables.observe();
    let failures = unread(&seen);
    for (family, failure) in &failures {
        error!("{family}: {failure}");
    }
    let code = match failures.is_empty() {
        true => ExitCode::Done,
        false => ExitCode::CouldNot,
    };
    let transactions = transactions(&wanted(policy, &seen), Backstop::Security, &seen);
    match common.output {
        Format::Json => {
            #[derive(Serialize)]
            struct Transaction {
                family: Family,
                command: Vec<String>,
                input: String,
            }
            #[derive(Serialize)]
            struct Body {
                dry_run: bool,
                transactions: Vec<Transaction>,
                errors: Vec<String>,
            }
            let body = Body {
                dry_run: true,
                transactions: transactions
                    .into_iter()
                    .map(|(family, input)| Transaction {
                        family,
                        command: iptables.restore_command(family),
                        input,
                    })
                    .collect(),
                errors: failures
                    .iter()
                    .map(|(family, failure)| format!("{family}: {failure}"))
                    .collect(),
            };
            print_json("apply", code, body)?;
        }
        Format::Text => {
            let mut out = io::stdout().lock();
            if transactions.is_empty() && failures.is_empty() {
                writeln!(out, "# {}: in force already, nothing to do", policy.target)?;
            }
            for (family, input) in transactions {
                let command = iptables.restore_command(family).join(" ");
                writeln!(out, "# {family}: {command}\n{input}")?;
            }
        }
    }
    Ok(code)
}
