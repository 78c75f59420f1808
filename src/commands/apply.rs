//! `apply`: puts a policy in force, reads it back, probes it.
//!
//! The change itself is made in [`super::enforce`].

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use tracing::{error, warn};

use super::enforce::{clearing, enforce, laying, unread, wanted};
use super::inspect::{Inspection, inspect};
use super::report::{FindingsView, LockView, print, print_findings, print_json, who};
use super::words::Unresolved;
use super::{CommandError, open};
use crate::cli::{ApplyArgs, CommonArgs, Format};
use crate::exit_code::ExitCode;
use crate::policy::{Family, Policy};
use crate::ruleset::model::Variant;
use crate::ruleset::transaction::Place;
use crate::sys::firewall::Firewall;
use crate::sys::lock;
use crate::verify::{Finding, Outcome, ProbeResult, Status, exit_code, in_force};

/// How often it looks again when what it laid does not hold, and how long it waits before: firewalld
/// drops everything for about a second while it reloads.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(400);

pub(super) fn run(args: &ApplyArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let words = Unresolved::parse(&args.address, &args.policy)?;
    let firewall = open(common, true)?;
    let policy = words.resolve()?;
    warn_about(&policy);
    if firewall.brings_legacy_to_nft_host() {
        warn!(
            "`iptables` on this host is iptables-nft: legacy tables beside it make it warn on \
             every call, and its users do not see them; --variant auto is meant for this host"
        );
    }
    if args.dry_run {
        return dry_run(&policy, &firewall, common);
    }
    let _held = lock::exclusive(Duration::from_secs(common.wait.into()))?;
    let seen = firewall.observe();
    let locks = wanted(&policy, common.layers, &firewall, &seen)?;
    let mut applied = enforce(locks, seen, common.layers, &firewall);
    // What could not be done is told; the findings are about what stands.
    let standing = in_force(&applied.seen).locks.into_iter().find(|lock| {
        let addresses = lock.policy.target.addresses();
        !applied.failures.is_empty()
            && policy
                .target
                .addresses()
                .iter()
                .any(|a| addresses.contains(a))
    });
    let judged = standing.unwrap_or_else(|| applied.lock.clone());
    let mut inspection = inspect(&judged, &applied.seen, true);
    for _ in 0..LOOKS {
        if !applied.failures.is_empty() || !only_behaviour_fails(&inspection.findings) {
            break;
        }
        // Another tool that is just being reloaded may refuse everybody for a moment.
        sleep(PAUSE);
        applied.seen = firewall.observe();
        inspection = inspect(&judged, &applied.seen, true);
    }
    let Inspection {
        mut findings,
        probes,
    } = inspection;
    findings.sort_by_key(|finding| finding.address);
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
                lock: LockView,
                variant: Option<Variant>,
                changed: bool,
                errors: &'a [String],
                #[serde(flatten)]
                findings: FindingsView<'a>,
            }
            let body = Body {
                lock: (&applied.lock).into(),
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

/// Whether the rules are as they should be, and packets meet something else.
fn only_behaviour_fails(findings: &[Finding]) -> bool {
    let failed: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.status == Status::Fail)
        .collect();
    !failed.is_empty() && failed.iter().all(|finding| finding.check.is_behaviour())
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
    firewall: &Firewall,
    common: &CommonArgs,
) -> Result<ExitCode, CommandError> {
    let seen = firewall.observe();
    let locks = wanted(policy, common.layers, firewall, &seen)?;
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
        planned.push((firewall.command_line(transaction.place)?, transaction));
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
                        family: match transaction.place {
                            Place::Iptables(_, family) => Some(family),
                            Place::Nftables => None,
                        },
                        command,
                        input: transaction.input,
                    })
                    .collect(),
                errors: failures,
            };
            print_json("apply", code, body)?;
        }
        Format::Text => {
            let mut out = Vec::new();
            if planned.is_empty() && failures.is_empty() {
                writeln!(out, "# {}: in force already, nothing to do", policy.target)?;
            }
            for (command, transaction) in planned {
                let command = command.join(" ");
                writeln!(
                    out,
                    "# {}: {command}\n{}",
                    transaction.place, transaction.input
                )?;
            }
            print(&out)?;
        }
    }
    Ok(code)
}
