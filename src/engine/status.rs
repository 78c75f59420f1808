//! `status`: what is locked, for whom, by which layers, with counters.

use super::configuration::warn_if_unusable;
use super::error::{EngineError, Failure, exit_code};
use super::host::{host, open};
use super::options::Options;
use crate::exit_code::ExitCode;
use crate::policy::{Address, Family};
use crate::ruleset::model::Variant;
use crate::ruleset::{Counted, Lockdown, counted, installed};
use crate::sys::lock;
use crate::verify::{self, Check, Finding, structure};

/// What is locked.
#[derive(Debug)]
pub struct Status {
    /// The iptables variant in use.
    pub variant: Option<Variant>,
    /// The families that this kernel has.
    pub families: Vec<Family>,
    /// The installed lockdowns.
    pub lockdowns: Vec<StatusOfLockdown>,
    /// Addresses for which our chains exist, but no layer holds an intact copy.
    pub damaged: Vec<Address>,
    /// Addresses that the other variant locks.
    pub locked_by_other: Vec<(Variant, Address)>,
    /// Rules that could not be read.
    pub failures: Vec<Failure>,
    /// The result as an exit code.
    pub code: ExitCode,
}

/// One installed lockdown.
#[derive(Debug)]
pub struct StatusOfLockdown {
    /// The lockdown.
    pub lockdown: Lockdown,
    /// How many checks of its rules do not pass.
    pub drift: usize,
    /// Whether it is installed again at the next boot, by address.
    pub next_boot: Vec<Finding>,
    /// Its counters, by address and layer.
    pub counters: Vec<Counted>,
}

/// Reads what is locked. Changes nothing.
///
/// # Errors
/// The firewall could not be read at all.
pub fn status(options: &Options) -> Result<Status, EngineError> {
    let firewall = open(options, false)?;
    warn_if_unusable(options);
    let held = lock::shared(options.wait)?;
    let seen = firewall.observe(&[]);
    drop(held);
    let host = host(&seen);
    let found = installed(&seen);
    let unread = seen.unread_that_may_hold().cloned();
    let mut failures: Vec<Failure> = unread.map(Failure::NotRead).collect();
    if found.lockdowns.is_empty() {
        // Unread rules of the other variant may hold a lockdown.
        failures.extend(seen.unread_of_other().cloned().map(Failure::NotRead));
    }
    let lockdowns = found.lockdowns.into_iter().map(|lockdown| {
        let mut findings = structure(&lockdown, &seen, &host);
        StatusOfLockdown {
            drift: verify::broken(&findings),
            next_boot: findings
                .extract_if(.., |finding| finding.check == Check::SurvivesReboot)
                .collect(),
            counters: counted(&lockdown, &seen),
            lockdown,
        }
    });
    Ok(Status {
        variant: firewall.variant(),
        families: seen.known_families(),
        lockdowns: lockdowns.collect(),
        damaged: found.damaged,
        locked_by_other: seen.locked_by_other(),
        code: exit_code(&failures),
        failures,
    })
}
