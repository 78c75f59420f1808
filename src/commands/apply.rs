//! `apply`: puts a policy in force, reads it back, probes it.
//!
//! The change itself is made in [`super::enforce`].

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use tracing::{error, warn};

use super::enforce::{Applied, Wanted, clearing, enforce, laying, lock_of, unread};
use super::inspect::{Inspection, inspect};
use super::report::{FindingsView, LockView, print, print_findings, print_json, who};
use super::{CommandError, boot, config, open, words};
use crate::cli::{ApplyArgs, CommonArgs, Format};
use crate::exit_code::ExitCode;
use crate::policy::{Family, Policy};
use crate::ruleset::model::Variant;
use crate::ruleset::transaction::{Place, Transaction};
use crate::sys::firewall::Firewall;
use crate::sys::lock;
use crate::verify::{
    Finding, Lock, Observation, Outcome, ProbeResult, Status, exit_code, in_force, told_once,
};

/// How often it looks again when what it laid does not hold, and how long it waits before: firewalld
/// drops everything for about a second while it reloads.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(400);

pub(super) fn run(args: &ApplyArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    if args.boot {
        return boot::run(args.settle, common);
    }
    let words = match &args.address {
        Some(address) => Some(words::parse(address, &args.policy)?),
        None => None,
    };
    if words.is_none() {
        // Only to say early what is wrong with it.
        config::read(common)?;
    }
    let firewall = open(common, true)?;
    let asked = words.as_ref().map(words::resolve).transpose()?;
    match args.dry_run {
        true => dry_run(&policies(asked, common)?, &firewall, common),
        false => apply(asked, Vec::new(), &firewall, common),
    }
}

/// Puts the policy in force; without one, what the configuration says. The result says as well what
/// else could not be done.
pub(super) fn apply(
    asked: Option<Policy>,
    also: Vec<String>,
    firewall: &Firewall,
    common: &CommonArgs,
) -> Result<ExitCode, CommandError> {
    if firewall.brings_legacy_to_nft_host() {
        warn!(
            "`iptables` on this host is iptables-nft: legacy tables beside it make it warn on \
             every call, and its users do not see them; --variant auto is meant for this host"
        );
    }
    let _held = lock::exclusive(Duration::from_secs(common.wait.into()))?;
    // Not before: while this waited, the configuration may have changed.
    let policies = policies(asked, common)?;
    policies.iter().for_each(warn_about);
    let seen = firewall.observe(&[]);
    let wanted = wanted(&policies, firewall, common, &seen)?;
    let applied = enforce(&wanted, seen, common.layers, firewall);
    conclude(applied, Vec::new(), also, firewall, common)
}

fn policies(asked: Option<Policy>, common: &CommonArgs) -> Result<Vec<Policy>, CommandError> {
    match asked {
        Some(policy) => Ok(vec![policy]),
        None => config::read(common)?.iter().map(words::resolve).collect(),
    }
}

fn wanted(
    policies: &[Policy],
    firewall: &Firewall,
    common: &CommonArgs,
    seen: &Observation,
) -> Result<Wanted, CommandError> {
    let locks = policies
        .iter()
        .map(|policy| lock_of(policy, common.layers, firewall, seen));
    let locks = locks.collect::<Result<_, _>>()?;
    Wanted::new(locks, common.layers, firewall, seen)
}

/// Looks at what was put in force, probes it, and prints what came out, with what is known already,
/// and what else could not be done.
pub(super) fn conclude(
    mut applied: Applied,
    known: Vec<Finding>,
    also: Vec<String>,
    firewall: &Firewall,
    common: &CommonArgs,
) -> Result<ExitCode, CommandError> {
    let judged: Vec<Lock> = applied
        .locks
        .iter()
        .map(|lock| match applied.failures.is_empty() {
            true => lock.clone(),
            // What could not be done is told; the findings are about what stands.
            false => standing(lock, &applied.seen).unwrap_or_else(|| lock.clone()),
        })
        .collect();
    let mut inspections = inspect_all(&judged, &applied.seen);
    for _ in 0..LOOKS {
        let failing = |inspection: &Inspection| only_behaviour_fails(&inspection.findings);
        if !applied.failures.is_empty() || !inspections.iter().any(failing) {
            break;
        }
        // Another tool that is just being reloaded may refuse everybody for a moment.
        sleep(PAUSE);
        applied.seen = firewall.observe(&[]);
        inspections = inspect_all(&judged, &applied.seen);
    }
    let mut findings = known;
    let mut probes = Vec::new();
    for inspection in &mut inspections {
        findings.append(&mut inspection.findings);
        probes.append(&mut inspection.probes);
    }
    told_once(&mut findings);
    findings.sort_by_key(|finding| finding.address);
    let holds = applied.failures.is_empty()
        && matches!(exit_code(&findings), ExitCode::Done | ExitCode::Degraded);
    applied.failures.extend(also);
    for failure in &applied.failures {
        error!("{failure}");
    }
    let code = match applied.failures.is_empty() {
        true => exit_code(&findings),
        false => ExitCode::CouldNot,
    };
    match common.output {
        Format::Json => {
            #[derive(Serialize)]
            struct Body<'a> {
                locks: Vec<LockView>,
                variant: Option<Variant>,
                changed: bool,
                errors: &'a [String],
                #[serde(flatten)]
                findings: FindingsView<'a>,
            }
            let body = Body {
                locks: applied.locks.iter().map(LockView::from).collect(),
                variant: firewall.variant(),
                changed: applied.changed,
                errors: &applied.failures,
                findings: FindingsView {
                    findings: &findings,
                    probes: &probes,
                },
            };
            print_json("apply", code, body)?;
        }
        Format::Text => {
            let how = if applied.changed { "" } else { " (as it was)" };
            let locks = applied.locks.iter().filter(|_| holds);
            let lines = locks.map(|lock| {
                format!(
                    "{} locked{how}: {} may pass; {}",
                    lock.policy.target,
                    who(lock),
                    proven(lock, &probes)
                )
            });
            print_findings(&findings, false, &lines.collect::<Vec<_>>(), code)?;
        }
    }
    Ok(code)
}

fn inspect_all(locks: &[Lock], seen: &Observation) -> Vec<Inspection> {
    locks.iter().map(|lock| inspect(lock, seen, true)).collect()
}

/// What stands for an address of the lock.
fn standing(lock: &Lock, seen: &Observation) -> Option<Lock> {
    let mut locks = in_force(seen).locks.into_iter();
    locks.find(|standing| standing.policy.target.overlaps(&lock.policy.target))
}

/// Whether the rules are as they should be, and packets meet something else.
fn only_behaviour_fails(findings: &[Finding]) -> bool {
    let failed: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.status == Status::Fail)
        .collect();
    !failed.is_empty() && failed.iter().all(|finding| finding.check.is_behaviour())
}

/// How much the probes of the lock showed: those to an address without a route show nothing.
fn proven(lock: &Lock, probes: &[ProbeResult]) -> String {
    let own = lock.policy.target.addresses();
    let (idle, made): (Vec<_>, Vec<_>) = probes
        .iter()
        .filter(|probe| own.contains(&probe.address))
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

pub(super) fn warn_about(policy: &Policy) {
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
    policies: &[Policy],
    firewall: &Firewall,
    common: &CommonArgs,
) -> Result<ExitCode, CommandError> {
    let seen = firewall.observe(&[]);
    let locks = wanted(policies, firewall, common, &seen)?.all();
    let failures = unread(&seen);
    for failure in &failures {
        error!("{failure}");
    }
    let code = match failures.is_empty() {
        true => ExitCode::Done,
        false => ExitCode::CouldNot,
    };
    let mut planned = Vec::new();
    for transaction in laying(&locks, &seen)
        .into_iter()
        .chain(clearing(&locks, &seen))
    {
        planned.push((firewall.command_line(transaction.place())?, transaction));
    }
    match common.output {
        Format::Json => {
            #[derive(Serialize)]
            struct View {
                family: Option<Family>,
                command: Vec<String>,
                input: String,
            }
            #[derive(Serialize)]
            struct Body {
                dry_run: bool,
                transactions: Vec<View>,
                errors: Vec<String>,
            }
            let body = Body {
                dry_run: true,
                transactions: planned
                    .into_iter()
                    .map(|(command, transaction)| View {
                        family: match transaction.place() {
                            Place::Iptables(_, family) => Some(family),
                            Place::Nftables => None,
                        },
                        command,
                        input: transaction.text(),
                    })
                    .collect(),
                errors: failures,
            };
            print_json("apply", code, body)?;
        }
        Format::Text => {
            let mut out = Vec::new();
            if planned.is_empty() && failures.is_empty() {
                for policy in policies {
                    writeln!(out, "# {}: in force already, nothing to do", policy.target)?;
                }
            }
            for (command, transaction) in planned {
                let command = match &transaction {
                    Transaction::Iptables(..) => command.join(" "),
                    Transaction::Nftables(_) => format!("over netlink, as {}", command.join(" ")),
                };
                writeln!(
                    out,
                    "# {}: {command}\n{}",
                    transaction.place(),
                    transaction.text()
                )?;
            }
            print(&out)?;
        }
    }
    Ok(code)
}
