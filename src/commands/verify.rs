//! `verify`: looks whether what is in force holds, and changes nothing.

use std::time::Duration;

use serde::Serialize;

use super::config::ConfigFailure;
use super::inspect::inspect;
use super::report::{FindingsView, LockView, print_findings, print_json, who};
use super::{CommandError, config, open, words};
use crate::cli::{CommonArgs, Format, LayersChoice, VerifyArgs};
use crate::exit_code::ExitCode;
use crate::policy::{Policy, Unresolved};
use crate::ruleset::model::Variant;
use crate::sys::{lock, services};
use crate::verify::{
    Finding, Lock, Observation, Status, as_asked, config_unusable, config_usable, exit_code,
    in_force, laid_as_asked, names_resolved, nothing_locked, told_once,
};

pub(super) fn run(args: &VerifyArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let words = match &args.address {
        Some(address) => Some(words::parse(address, &args.policy)?),
        None => None,
    };
    let firewall = open(common, !args.no_probe)?;
    let asked = words.as_ref().map(words::resolve).transpose()?;
    let _held = lock::shared(Duration::from_secs(common.wait.into()))?;
    // Not before: while this waited, the configuration may have changed.
    let configured = words.is_none().then(|| config::read(common));
    let asked_addresses = asked.as_ref().map(|asked| asked.target.addresses());
    let seen = firewall.observe(asked_addresses.unwrap_or_default());
    let (locks, mut findings) = match &asked {
        Some(asked) => asked_for(asked, &seen),
        None => all_that_is_locked(&seen),
    };
    if let Some(configured) = configured {
        findings.extend(as_configured(configured, &seen, common)?);
    }
    if let LayersChoice::These(layers) = common.layers {
        findings.extend(
            locks
                .iter()
                .filter_map(|lock| laid_as_asked(lock, layers, &seen)),
        );
    }
    let mut probes = Vec::new();
    for lock in &locks {
        let mut inspection = inspect(lock, &seen, !args.no_probe);
        findings.append(&mut inspection.findings);
        probes.append(&mut inspection.probes);
    }
    told_once(&mut findings);
    findings.sort_by_key(|finding| finding.address);
    let code = exit_code(&findings);
    match common.output {
        Format::Json => {
            #[derive(Serialize)]
            struct Body<'a> {
                variant: Option<Variant>,
                locks: Vec<LockView>,
                #[serde(flatten)]
                findings: FindingsView<'a>,
            }
            let body = Body {
                variant: firewall.variant(),
                locks: locks.iter().map(LockView::from).collect(),
                findings: FindingsView {
                    findings: &findings,
                    probes: &probes,
                },
            };
            print_json("verify", code, body)?;
        }
        Format::Text => {
            let mut lines: Vec<String> = locks
                .iter()
                .map(|lock| format!("{}: {} may pass", lock.policy.target, who(lock)))
                .collect();
            lines.push(verdict(code, &findings));
            print_findings(&findings, true, &lines, code)?;
        }
    }
    Ok(code)
}

fn all_that_is_locked(seen: &Observation) -> (Vec<Lock>, Vec<Finding>) {
    let found = in_force(seen);
    let findings = nothing_locked(&found, seen);
    (found.locks, findings)
}

/// The locks that cover any address of what the caller asked for, and whether that is as asked.
fn asked_for(asked: &Policy, seen: &Observation) -> (Vec<Lock>, Vec<Finding>) {
    let mut locks = in_force(seen).locks;
    locks.retain(|lock| lock.policy.target.overlaps(&asked.target));
    let findings = vec![as_asked(asked, locks.first(), seen)];
    (locks, findings)
}

/// Whether what is in force is what the configuration says. Where there is none, and nobody says
/// that there should be, there is nothing to find.
fn as_configured(
    configured: Result<Vec<Unresolved>, ConfigFailure>,
    seen: &Observation,
    common: &CommonArgs,
) -> Result<Vec<Finding>, CommandError> {
    let all = match configured {
        Ok(all) => all,
        Err(error) => {
            let needed = common.config.is_some()
                || !error.is_missing()
                || services::lockdown_at_boot().map_err(CommandError::Units)?;
            return Ok(needed
                .then(|| config_unusable(&error.to_string()))
                .into_iter()
                .collect());
        }
    };
    let mut findings = vec![config_usable()];
    let locks = in_force(seen).locks;
    let (policies, unresolved) = config::resolve(&all, &locks);
    findings.push(names_resolved(&unresolved));
    for policy in &policies {
        let lock = locks
            .iter()
            .find(|lock| lock.policy.target.overlaps(&policy.target));
        let finding = as_asked(policy, lock, seen);
        findings.push(match finding.status {
            Status::Pass => finding,
            _ => finding.cure("`ip-lockdown apply` puts in force what the configuration says"),
        });
    }
    Ok(findings)
}

fn verdict(code: ExitCode, findings: &[Finding]) -> String {
    let count = |status| {
        findings
            .iter()
            .filter(|finding| finding.status == status)
            .count()
    };
    let (failed, unknown) = (count(Status::Fail), count(Status::Unknown));
    match code {
        ExitCode::Done => format!("holds: {} checks passed", findings.len()),
        ExitCode::Degraded => format!("holds, but degraded: {failed} failed, {unknown} unknown"),
        ExitCode::DoesNotHold => format!(
            "does not hold: {failed} of {} checks failed",
            findings.len()
        ),
        ExitCode::BadInput | ExitCode::CouldNot => {
            format!("not known: {unknown} checks could not be made")
        }
    }
}
