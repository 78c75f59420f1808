//! `verify`: checks what is installed. Changes nothing.

use super::apply;
use super::configuration::{self, ConfigFailure};
use super::error::EngineError;
use super::host::{host, locks_at_boot, observe, open};
use super::inspect::inspect;
use super::options::Options;
use crate::exit_code::ExitCode;
use crate::policy::{Policy, Request};
use crate::probe::ProbeResult;
use crate::ruleset::model::Variant;
use crate::ruleset::{LayerChoice, Lockdown, Observation, installed};
use crate::sys::lock;
use crate::verify::{
    Check, Finding, Status, as_asked, conclude, config_unusable, config_usable, layers_as_asked,
    names_resolved, nothing_locked,
};

/// What is expected to be locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// Exactly the lockdown of the request.
    Request(Request),
    /// The lockdowns that were applied, and those of the configuration, if there is one.
    AsApplied,
}

/// What `verify` found.
#[derive(Debug)]
pub struct Verified {
    /// The iptables variant in use.
    pub variant: Option<Variant>,
    /// The installed lockdowns.
    pub lockdowns: Vec<Lockdown>,
    /// All findings.
    pub findings: Vec<Finding>,
    /// The probes of the inspection.
    pub probes: Vec<ProbeResult>,
    /// The result as an exit code.
    pub code: ExitCode,
}

/// Checks the installed lockdowns; with `probing`, also with real packets.
///
/// # Errors
/// The input cannot be used, or the firewall could not be read at all.
pub fn verify(
    expected: &Expectation,
    probing: bool,
    options: &Options,
) -> Result<Verified, EngineError> {
    let firewall = open(options, probing)?;
    let requested = match expected {
        Expectation::Request(request) => {
            configuration::warn_if_unusable(options);
            Some(apply::resolve(request)?)
        }
        Expectation::AsApplied => None,
    };
    let held = lock::shared(options.wait)?;
    // The configuration may have changed while this run waited.
    let configured = requested.is_none().then(|| configuration::read(options));
    let choice = configuration::host_settings(options).layers;
    let targets = requested.iter().map(|policy| &policy.target);
    let seen = observe(&firewall, targets, choice);
    let (lockdowns, mut findings) = match &requested {
        Some(policy) => as_requested(policy, &seen),
        None => all_installed(&seen),
    };
    if let Some(configured) = configured {
        findings.extend(as_configured(configured, &seen, options));
    }
    if let LayerChoice::These(layers) = choice {
        let lockdowns = lockdowns.iter();
        findings.extend(lockdowns.filter_map(|lockdown| layers_as_asked(lockdown, layers, &seen)));
    }
    let inspection = inspect(&lockdowns, &seen, &host(&seen), probing);
    drop(held);
    findings.extend(inspection.findings);
    let (findings, code) = conclude(findings);
    Ok(Verified {
        variant: firewall.variant(),
        code,
        lockdowns,
        findings,
        probes: inspection.probes,
    })
}

fn all_installed(seen: &Observation) -> (Vec<Lockdown>, Vec<Finding>) {
    let found = installed(seen);
    let findings = nothing_locked(&found, seen);
    (found.lockdowns, findings)
}

/// The lockdowns that cover any address of the request, and whether the first is the requested one.
fn as_requested(policy: &Policy, seen: &Observation) -> (Vec<Lockdown>, Vec<Finding>) {
    let mut lockdowns = installed(seen).lockdowns;
    lockdowns.retain(|lockdown| lockdown.policy.target.overlaps(&policy.target));
    let findings = vec![as_asked(policy, lockdowns.first(), seen)];
    (lockdowns, findings)
}

/// Whether the configuration is installed. No finding if there is no configuration and none is
/// needed: neither `--config` nor an enabled boot unit requires one.
fn as_configured(
    configured: Result<Vec<Request>, ConfigFailure>,
    seen: &Observation,
    options: &Options,
) -> Vec<Finding> {
    let requests = match configured {
        Ok(requests) => requests,
        Err(error) => {
            let needed = options.config.is_some()
                || !error.is_missing()
                || match locks_at_boot() {
                    Ok(locks) => locks,
                    Err(reason) => {
                        let check = Check::ConfigUsable;
                        return vec![Finding::not_read(check, &reason)];
                    }
                };
            return Vec::from_iter(
                needed.then(|| config_unusable(&error.to_string(), error.help().as_deref())),
            );
        }
    };
    let mut findings = vec![config_usable()];
    let lockdowns = installed(seen).lockdowns;
    let (policies, unresolved) = configuration::resolve(&requests, &lockdowns);
    findings.push(names_resolved(&unresolved));
    for policy in &policies {
        let lockdown = lockdowns
            .iter()
            .find(|lockdown| lockdown.policy.target.overlaps(&policy.target));
        let finding = as_asked(policy, lockdown, seen);
        findings.push(match finding.status {
            Status::Pass => finding,
            _ => finding.help("`ip-lockdown apply` installs the configured lockdown"),
        });
    }
    findings
}
