//! Is anything locked at all, and is it what was asked for?

use super::finding::{Check, Finding, Status};
use super::{InForce, Lock, Observation};
use crate::policy::Policy;
use crate::ruleset::{Layer, Layers};

/// The findings on a host on which no address is locked, or some chain of ours is damaged.
#[must_use]
pub fn nothing_locked(in_force: &InForce, seen: &Observation) -> Vec<Finding> {
    let mut findings: Vec<Finding> = in_force
        .damaged
        .iter()
        .map(|&address| {
            Finding::fail(
                Check::RulesMatch,
                "no layer holds an intact copy of this lockdown, or another version wrote it, so who \
                 may pass is not known",
            )
            .about(address)
            .cure("apply it again with its users, or `ip-lockdown remove` it")
        })
        .collect();
    let check = Check::SomethingLocked;
    // With something unread, "nothing is locked" is more than we know.
    let unread = seen
        .unread()
        .chain(seen.unread_of_other().filter(|_| in_force.locks.is_empty()));
    findings.extend(unread.map(|reason| Finding::unknown(check, reason.clone())));
    if findings.is_empty() && in_force.locks.is_empty() {
        let elsewhere = seen.locked_by_other();
        findings.push(if elsewhere.is_empty() {
            Finding::fail(check, "no address is locked")
                .cure("`ip-lockdown 169.254.169.254 root`, or whoever needs the address")
        } else {
            let listed: Vec<String> = elsewhere
                .iter()
                .map(|(other, address)| format!("iptables-{other} holds a lockdown of {address}"))
                .collect();
            Finding::fail(
                check,
                format!(
                    "no layer in use locks an address, but {}",
                    listed.join(" and ")
                ),
            )
            .cure("verify it with the --variant that holds it, or apply it again to move it here")
        });
    }
    findings
}

/// Whether what is in force is what the caller asked for; `in_force` is the lock of the first
/// address that was asked for, if there is one.
#[must_use]
pub fn as_asked(asked: &Policy, in_force: Option<&Lock>, seen: &Observation) -> Finding {
    let check = Check::AsAsked;
    // An address of which every layer was read, and that none locks, is enough to know.
    let unread = || {
        let unread = |family| {
            Layer::ALL
                .into_iter()
                .find_map(|layer| seen.table(layer, family).err())
        };
        let mut reasons = Vec::new();
        for address in asked.target.addresses() {
            reasons.push(unread(address.family())?);
        }
        reasons.into_iter().next()
    };
    let finding = match in_force {
        None => match unread() {
            Some(reason) => Finding::unknown(check, reason.clone()),
            None => Finding::fail(check, "no intact lockdown of it is in force"),
        },
        Some(lock) if lock.policy.means(asked) => {
            Finding::pass(check, "what is in force is what was asked for")
        }
        Some(lock) if !lock.policy.subjects.means(&asked.subjects) => {
            Finding::fail(check, "it is locked, but others may pass than was asked")
        }
        Some(lock) if lock.policy.target != asked.target => Finding::fail(
            check,
            format!(
                "the lockdown covers {}, asked was {}",
                lock.policy.target, asked.target
            ),
        ),
        Some(_) => Finding::fail(
            check,
            "it is locked for those who were asked, but not as asked for forwarded packets",
        ),
    };
    let finding = match asked.target.addresses() {
        [address, ..] => finding.about(*address),
        [] => finding,
    };
    match finding.status {
        Status::Pass => finding,
        _ => finding.cure("apply it with what was asked, or ask for what is meant"),
    }
}

/// That the lock is laid in other layers than were asked for, if it is.
#[must_use]
pub fn laid_as_asked(lock: &Lock, asked: Layers, seen: &Observation) -> Option<Finding> {
    let address = lock.policy.target.addresses().iter().find(|address| {
        let family = address.family();
        seen.has(family) && lock.layers.of(family) != asked
    })?;
    let laid = lock.layers.of(address.family());
    Some(
        Finding::fail(
            Check::AsAsked,
            format!("it is laid in {laid}, asked was {asked}"),
        )
        .about(*address)
        .cure(format!("apply it again with --layers {asked}")),
    )
}

/// That the configuration can be used.
#[must_use]
pub fn config_usable() -> Finding {
    Finding::pass(Check::ConfigUsable, "the configuration can be used")
}

/// That the configuration cannot be used, and why.
#[must_use]
pub fn config_unusable(reason: &str) -> Finding {
    Finding::fail(Check::ConfigUsable, reason)
        .degraded()
        .cure("mend it, then `systemctl reload ip-lockdown`, or `ip-lockdown apply`")
}

/// Whether every name of the configuration has an id, or why it has none.
#[must_use]
pub fn names_resolved(unresolved: &[String]) -> Finding {
    let check = Check::NamesResolved;
    match unresolved {
        [] => Finding::pass(check, "every name of the configuration has an id"),
        reasons => Finding::fail(check, reasons.join("; ")).degraded().cure(
            "nothing, if ip-lockdown-settle.service runs: it waits for them; else create them, \
                 or take them out of the configuration, and apply it again",
        ),
    }
}
