//! `apply`: puts a policy in force, reads it back, probes it.
//!
//! The change itself is made in [`super::enforce`].

use std::io::Write;
use std::time::Duration;

use serde::Serialize;
use tracing::{error, warn};

use super::enforce::{enforce, other_removals, transactions, unread, wanted};
use super::inspect::{Inspection, inspect};
use super::report::{FindingsView, LockView, print, print_findings, print_json, who};
use super::words::Unresolved;
use super::{CommandError, open};
use crate::cli::{ApplyArgs, CommonArgs, Format};
use crate::exit_code::ExitCode;
use crate::policy::{Family, Policy};
use crate::ruleset::{Backstop, Backstops};
use crate::sys::iptables::Iptables;
use crate::sys::lock;
use crate::verify::{Outcome, ProbeResult, exit_code};

pub(super) fn run(args: &ApplyArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let words = Unresolved::parse(&args.address, &args.policy)?;
    let iptables = open(common, true)?;
    let policy = words.resolve()?;
    warn_about(&policy);
    if iptables.brings_legacy_to_nft_host() {
        warn!(
            "`iptables` on this host is iptables-nft: legacy tables beside it make it warn on \
             every call, and its users do not see them; --variant auto is meant for this host"
        );
    }
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
            let mut out = Vec::new();
            print_findings(&mut out, &findings, false)?;
            if matches!(code, ExitCode::Done | ExitCode::Degraded) {
                let how = if applied.changed { "" } else { " (as it was)" };
                writeln!(
                    out,
                    "{} locked{how}: {} may pass; {}",
                    applied.lock.policy.target,
                    who(&applied.lock),
                    proven(&probes)
                )?;
            }
            print(&out)?;
        }
    }
    Ok(code)
}

/// How much the probes showed: those to an address without a route show nothing.
fn proven(probes: &[ProbeResult]) -> String {
    let (idle, made): (Vec<_>, Vec<_>) = probes
        .iter()
        .partition(|probe| probe.outcome == Outcome::NoRoute);
    let mut addresses: Vec<String> = idle.iter().map(|probe| probe.address.to_string()).collect();
    addresses.sort();
    addresses.dedup();
    match (made.len(), addresses.is_empty()) {
        (made, true) => format!("{made} probes agree"),
        (0, false) => "no probe could show it, there is no route from here".to_owned(),
        (made, false) => format!(
            "{made} probes agree, there is no route to {} from here",
            addresses.join(" and ")
        ),
    }
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
    let policies = wanted(policy, &seen)?;
    let backstop = Backstops::both(Backstop::Security);
    let mut planned: Vec<(Family, Vec<String>, String)> = transactions(&policies, backstop, &seen)
        .into_iter()
        .map(|(family, input)| (family, iptables.restore_command(family), input))
        .collect();
    let elsewhere = other_removals(&policies, &seen);
    if !elsewhere.is_empty() {
        let other = iptables.other()?;
        planned.extend(
            elsewhere
                .into_iter()
                .map(|(family, input)| (family, other.restore_command(family), input)),
        );
    }
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
                transactions: planned
                    .into_iter()
                    .map(|(family, command, input)| Transaction {
                        family,
                        command,
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
            let mut out = Vec::new();
            if planned.is_empty() && failures.is_empty() {
                writeln!(out, "# {}: in force already, nothing to do", policy.target)?;
            }
            for (family, command, input) in planned {
                writeln!(out, "# {family}: {}\n{input}", command.join(" "))?;
            }
            print(&out)?;
        }
    }
    Ok(code)
}
