//! `verify`: looks whether what is in force holds, and changes nothing.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::inspect::inspect;
use super::report::{FindingsView, LockView, print, print_findings, print_json, who};
use super::words::Unresolved;
use super::{CommandError, open};
use crate::cli::{CommonArgs, Format, LayersChoice, VerifyArgs};
use crate::exit_code::ExitCode;
use crate::policy::Policy;
use crate::ruleset::model::Variant;
use crate::sys::lock;
use crate::verify::{
    Finding, Lock, Observation, Status, as_asked, exit_code, in_force, laid_as_asked,
    nothing_locked,
};

pub(super) fn run(args: &VerifyArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let words = match &args.address {
        Some(address) => Some(Unresolved::parse(address, &args.policy)?),
        None => None,
    };
    let firewall = open(common, !args.no_probe)?;
    let expected = words.map(Unresolved::resolve).transpose()?;
    let _held = lock::shared(Duration::from_secs(common.wait.into()))?;
    let seen = firewall.observe();
    let (locks, mut findings) = match &expected {
        Some(asked) => asked_for(asked, &seen),
        None => all_that_is_locked(&seen),
    };
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
            let mut out = Vec::new();
            print_findings(&mut out, &findings, true)?;
            for lock in &locks {
                writeln!(out, "{}: {} may pass", lock.policy.target, who(lock))?;
            }
            writeln!(out, "{}", verdict(code, &findings))?;
            print(&out)?;
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
    let wanted = asked.target.addresses();
    let mut locks = in_force(seen).locks;
    locks.retain(|lock| {
        lock.policy
            .target
            .addresses()
            .iter()
            .any(|a| wanted.contains(a))
    });
    let findings = vec![as_asked(asked, locks.first(), seen)];
    (locks, findings)
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
