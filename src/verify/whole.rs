//! Whether anything is locked, and whether the expected lockdown is installed.

use super::finding::{Check, Finding, Status};
use crate::policy::resolve::NotResolved;
use crate::policy::{Policy, Target};
use crate::ruleset::{Installed, Layers, Lockdown, NotRead, Observation, Reason, Unusable};

/// The findings on damaged chains, on unread rules, and on a host on which no address is locked.
#[must_use]
pub fn nothing_locked(installed: &Installed, seen: &Observation) -> Vec<Finding> {
    let damaged = installed.damaged.iter().map(|&address| {
        let message = "no layer holds an intact copy of this lockdown, or another version wrote \
                       it, so it is not known who is allowed";
        Finding::fail(Check::RulesMatch, message)
            .about(address)
            .help("apply the lockdown again with its users, or `ip-lockdown remove` it")
    });
    let mut findings: Vec<Finding> = damaged.collect();
    let check = Check::SomethingLocked;
    // An unread layer may hold a lockdown.
    let nothing_found = installed.lockdowns.is_empty();
    // With a lockdown, an unread layer that may hold its addresses is judged with that lockdown.
    let covered = |one: &Unusable| {
        let lockdowns = &installed.lockdowns;
        let ours = one.ours.as_deref();
        !nothing_found
            && ours.unwrap_or_default().iter().all(|own| {
                let address = own.chain.address;
                let targets = lockdowns.iter().map(|lockdown| &lockdown.policy.target);
                targets
                    .flat_map(Target::addresses)
                    .any(|one| *one == address)
            })
    };
    let covered: Vec<&Reason> = seen
        .unusable
        .iter()
        .filter(|one| covered(one))
        .map(|one| &one.reason)
        .collect();
    let is_covered = |reason: &NotRead| {
        let mut covered = covered.iter();
        covered.any(|one| matches!(one, Reason::NotRead(known) if known == reason))
    };
    let unread = seen
        .unread_that_may_hold()
        .filter(|reason| !is_covered(reason))
        .chain(seen.unread_of_other().filter(|_| nothing_found));
    findings.extend(unread.map(|reason| Finding::not_read(check, reason)));
    if findings.is_empty() && nothing_found {
        findings.push(nothing_in_use(seen));
    }
    findings
}

fn nothing_in_use(seen: &Observation) -> Finding {
    let check = Check::SomethingLocked;
    let elsewhere = seen.locked_by_other();
    if elsewhere.is_empty() {
        return Finding::fail(check, "no address is locked")
            .help("run `ip-lockdown 169.254.169.254 root`, with every user who needs the address");
    }
    let listed: Vec<String> = elsewhere
        .iter()
        .map(|(other, address)| format!("iptables-{other} holds a lockdown of {address}"))
        .collect();
    let message = format!(
        "no layer in use locks an address, but {}",
        listed.join(" and ")
    );
    Finding::fail(check, message).help(
        "run `ip-lockdown verify` with this --variant, or apply the lockdown again to move it to \
         the variant in use",
    )
}

/// Whether the installed lockdown is the expected one.
#[must_use]
pub fn as_asked(expected: &Policy, installed: Option<&Lockdown>, seen: &Observation) -> Finding {
    let check = Check::AsAsked;
    let finding = match installed {
        None => match not_known_to_be_open(expected, seen) {
            Some(reason) => Finding::not_read(check, reason),
            None => Finding::fail(check, "no intact lockdown of the address is installed"),
        },
        Some(lockdown) if lockdown.policy.means(expected) => {
            Finding::pass(check, "the installed lockdown is the expected one")
        }
        Some(lockdown) if !lockdown.policy.subjects.means(&expected.subjects) => {
            Finding::fail(check, "locked for different users than expected")
        }
        Some(lockdown) if lockdown.policy.target != expected.target => {
            let (covered, wanted) = (&lockdown.policy.target, &expected.target);
            Finding::fail(
                check,
                format!("the lockdown covers {covered}, expected {wanted}"),
            )
        }
        Some(_) => Finding::fail(
            check,
            "forwarded packets are treated differently than expected",
        ),
    };
    let finding = match expected.target.addresses() {
        [address, ..] => finding.about(*address),
        [] => finding,
    };
    match finding.status {
        Status::Pass => finding,
        _ => finding.help("apply the expected lockdown, or correct the expectation"),
    }
}

/// Why it is not known whether the target is locked: every address has a layer that could not be
/// read. `None` if all layers of an address were read, because then this address is open.
fn not_known_to_be_open<'a>(expected: &Policy, seen: &'a Observation) -> Option<&'a NotRead> {
    let mut first = None;
    for address in expected.target.addresses() {
        let unread = seen.unread_for(*address)?;
        first.get_or_insert(unread);
    }
    first
}

/// The finding on a lockdown whose layers are not the expected ones; `None` if they are.
#[must_use]
pub fn layers_as_asked(
    lockdown: &Lockdown,
    expected: Layers,
    seen: &Observation,
) -> Option<Finding> {
    let address = lockdown.policy.target.addresses().iter().find(|address| {
        let family = address.family();
        seen.has(family) && lockdown.layers.of(family) != expected
    })?;
    let layers = lockdown.layers.of(address.family());
    let message = format!("installed in layers {layers}, expected {expected}");
    Some(
        Finding::fail(Check::AsAsked, message)
            .about(*address)
            .help(format!("apply the lockdown again with --layers {expected}")),
    )
}

/// The finding on a configuration that can be used.
#[must_use]
pub fn config_usable() -> Finding {
    Finding::pass(Check::ConfigUsable, "the configuration can be used")
}

/// The finding on a configuration that cannot be used.
#[must_use]
pub fn config_unusable(reason: &str, help: Option<&str>) -> Finding {
    let apply = "run `systemctl reload ip-lockdown` or `ip-lockdown apply`";
    let help = match help {
        Some(help) => format!("{help}; after the fix, {apply}"),
        None => format!("fix it, then {apply}"),
    };
    Finding::fail(Check::ConfigUsable, reason)
        .degraded()
        .help(help)
}

/// Whether every name of the configuration has an id.
#[must_use]
pub fn names_resolved(unresolved: &[NotResolved]) -> Finding {
    let check = Check::NamesResolved;
    if unresolved.is_empty() {
        return Finding::pass(check, "every name of the configuration has an id");
    }
    let reasons: Vec<String> = unresolved.iter().map(ToString::to_string).collect();
    Finding::fail(check, reasons.join("; ")).degraded().help(
        "create the users or groups, or remove them from the configuration; then apply it again \
         (ip-lockdown-settle.service, if it runs, does so by itself)",
    )
}
