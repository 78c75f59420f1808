//! Results for people.

use std::fmt::Write as _;

use super::view::{SubjectView, subjects};
use crate::engine::{
    Applied, Disabled, DryRun, Enabled, Removed, Status as Report, StatusOfLockdown,
};
use crate::host::BOOT_UNIT;
use crate::policy::{Address, Family, Forwarded};
use crate::probe::{Outcome, ProbeResult, Via};
use crate::ruleset::model::{Counters, Variant};
use crate::ruleset::plan::Transaction;
use crate::ruleset::{Counted, Layer, Layers, Lockdown};
use crate::verify::Check;

/// The maximum number of subjects in a line.
const SUBJECTS: usize = 10;

/// Writes a line to a `String`.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => {
        // Writing to a String cannot fail.
        let _ = writeln!($out, $($arg)*);
    };
}
pub(super) use line;

/// The lines as one text, each with a line break.
pub(super) fn joined(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut out, line| {
        line!(out, "{line}");
        out
    })
}

/// The allowed subjects as text, and their number.
fn who(lockdown: &Lockdown) -> (String, usize) {
    let all: Vec<String> = subjects(lockdown).iter().map(subject).collect();
    let text = match all.len() {
        0 => "nobody".to_owned(),
        count if count > SUBJECTS => {
            let shown = all.get(..SUBJECTS).unwrap_or_default().join(", ");
            format!("{shown} and {} more", count - SUBJECTS)
        }
        _ => all.join(", "),
    };
    (text, all.len())
}

/// Who is allowed, as a sentence.
pub(super) fn allowed(lockdown: &Lockdown) -> String {
    match who(lockdown) {
        (nobody, 0) => format!("{nobody} is allowed"),
        (one, 1) => format!("only {one} is allowed"),
        (all, _) => format!("only {all} are allowed"),
    }
}

fn subject(view: &SubjectView) -> String {
    let names: Vec<String> = view.names.iter().map(ToString::to_string).collect();
    let names = names.join(",");
    match (view.kind, view.names.is_empty()) {
        ("group", true) => format!("group {}", view.ids),
        ("group", false) => format!("group {names} ({})", view.ids),
        (_, true) => format!("uid {}", view.ids),
        (_, false) => format!("{names} ({})", view.ids),
    }
}

/// Who is allowed, one line for each lockdown.
pub(super) fn allowed_lines(lockdowns: &[Lockdown]) -> Vec<String> {
    let line = |lockdown: &Lockdown| format!("{}: {}", lockdown.policy.target, allowed(lockdown));
    lockdowns.iter().map(line).collect()
}

/// What `apply` locked: one line for each lockdown, if all of them hold.
pub(super) fn locked(report: &Applied) -> Vec<String> {
    if !report.holds {
        return Vec::new();
    }
    let unchanged = if report.changed { "" } else { " (unchanged)" };
    let line = |lockdown: &Lockdown| {
        let target = &lockdown.policy.target;
        let proof = proof(lockdown, &report.probes);
        format!(
            "{target}: locked{unchanged}, {}; {proof}",
            allowed(lockdown)
        )
    };
    let mut lines: Vec<String> = report.lockdowns.iter().map(line).collect();
    // Only then the finding has a help.
    let ends = report
        .findings
        .iter()
        .any(|finding| finding.check == Check::SurvivesReboot && finding.help.is_some());
    if ends {
        lines.push(
            "note: the lockdown ends at the next boot; to lock at every boot, run `ip-lockdown \
             enable` with the same arguments"
                .to_owned(),
        );
    }
    lines
}

/// What the probes of the lockdown confirm. A probe that met no rule confirms nothing.
fn proof(lockdown: &Lockdown, probes: &[ProbeResult]) -> String {
    let own = lockdown.policy.target.addresses();
    let probes = probes.iter().filter(|probe| own.contains(&probe.address));
    let (idle, made): (Vec<_>, Vec<_>) = probes.partition(|probe| probe.outcome.is_without_route());
    let made: Vec<_> = made
        .into_iter()
        .filter(|probe| !matches!(probe.outcome, Outcome::Held | Outcome::NotMade(_)))
        .collect();
    let through_lo = made.iter().filter(|probe| probe.via == Via::Lo).count();
    let made = match (made.len(), through_lo) {
        (0, _) => String::new(),
        (made, 0) => format!("confirmed by {made} probes"),
        (made, lo) if made == lo => format!("confirmed by {made} probes through lo"),
        (made, lo) => format!("confirmed by {made} probes, {lo} of them through lo"),
    };
    let mut addresses: Vec<String> = idle.iter().map(|probe| probe.address.to_string()).collect();
    addresses.sort();
    addresses.dedup();
    let idle = match addresses.as_slice() {
        [] => String::new(),
        addresses => format!("not tested: no route to {}", addresses.join(" and ")),
    };
    match (made.is_empty(), idle.is_empty()) {
        (true, true) => "not confirmed by any probe".to_owned(),
        (false, false) => format!("{made}; {idle}"),
        _ => made + &idle,
    }
}

pub(super) fn dry_run(report: &DryRun) -> String {
    let mut out = String::new();
    if report.transactions.is_empty() && report.failures.is_empty() {
        for policy in &report.policies {
            line!(out, "# {}: already installed, nothing to do", policy.target);
        }
    }
    for (command, transaction) in &report.transactions {
        let command = command.join(" ");
        let command = match transaction {
            Transaction::Iptables(..) => command,
            Transaction::Named(..) => "over netlink".to_owned(),
            Transaction::Nftables(_) => format!("over netlink, equivalent to {command}"),
        };
        line!(
            out,
            "# {}: {command}\n{}",
            transaction.place(),
            transaction.text()
        );
    }
    out
}

pub(super) fn status(report: &Report) -> String {
    let mut out = String::new();
    for one in &report.lockdowns {
        status_of(&mut out, report.variant, one);
    }
    for address in &report.damaged {
        line!(out, "{address}");
        line!(
            out,
            "  damaged     no layer holds an intact copy; apply the lockdown again"
        );
    }
    let nothing = report.lockdowns.is_empty()
        && report.damaged.is_empty()
        && report.locked_by_other.is_empty();
    if nothing && report.failures.is_empty() {
        line!(out, "no address is locked");
    }
    for (other, address) in &report.locked_by_other {
        line!(out, "{address}");
        line!(out, "  locked by   iptables-{other}: see --variant {other}");
    }
    out
}

fn status_of(out: &mut String, variant: Option<Variant>, status: &StatusOfLockdown) {
    let StatusOfLockdown {
        lockdown,
        drift,
        next_boot,
        counters,
    } = status;
    let policy = &lockdown.policy;
    let only = if policy.target.only() { " only" } else { "" };
    line!(out, "{}{only}", policy.target);
    line!(out, "  allowed     {}", who(lockdown).0);
    let mut layers: Vec<&str> = counters.iter().map(|one| one.layer.name()).collect();
    layers.sort_unstable();
    layers.dedup();
    let mut families: Vec<String> = counters.iter().map(|one| one.family.to_string()).collect();
    families.sort();
    families.dedup();
    let variant = variant.filter(|_| lockdown.layers.of(Family::V4).need_iptables());
    let variant = variant.map_or_else(String::new, |variant| format!(" (iptables-{variant})"));
    let (layers, families) = (layers.join(" and "), families.join(" and "));
    line!(out, "  layers      {layers}{variant}, {families}");
    let of = |family| {
        backstop(
            lockdown.layers.of(family),
            !policy.subjects.groups().is_empty(),
        )
    };
    let (ipv4, ipv6) = (of(Family::V4), of(Family::V6));
    if ipv4 == ipv6 {
        line!(out, "  backstop    {ipv4}");
    } else {
        line!(out, "  backstop    IPv4: {ipv4}; IPv6: {ipv6}");
    }
    let forwarded = match policy.forwarded {
        Forwarded::Refuse => "refused",
        Forwarded::Allow => "allowed",
    };
    line!(out, "  forwarded   {forwarded}");
    let mut next_boot: Vec<&str> = next_boot.iter().map(|one| &*one.message).collect();
    next_boot.dedup();
    line!(out, "  boot        {}", next_boot.join("; "));
    if *drift > 0 {
        line!(
            out,
            "  drift       {drift} checks of the rules fail: run `ip-lockdown verify`"
        );
    }
    for &address in policy.target.addresses() {
        packets(out, address, counters);
    }
}

/// The counters of an address, over all layers.
fn packets(out: &mut String, address: Address, counters: &[Counted]) {
    let of_address = || counters.iter().filter(|one| one.address == address);
    // A packet that a layer allows is counted again by the next one, so take the first.
    let Some(first) = of_address().next() else {
        return;
    };
    let sum = |part: fn(&Counted) -> Counters| {
        let mut sum = Counters::default();
        of_address().for_each(|one| sum += part(one));
        sum.packets
    };
    line!(
        out,
        "  {address}: packets passed {}, refused {}, forwarded and refused {}",
        first.passed.packets,
        sum(|one| one.refused),
        sum(|one| one.forwarded_refused)
    );
}

/// The layers behind `filter`.
fn backstop(layers: Layers, has_groups: bool) -> String {
    let behind: Vec<&str> = layers
        .iter()
        .filter(|&layer| layer != Layer::Filter)
        .map(Layer::name)
        .collect();
    if layers == Layers::NFTABLES {
        "none needed: our own nftables table".to_owned()
    } else if layers.iter().count() == 1 {
        "none".to_owned()
    } else if layers == Layers::FILTER_AND_SECURITY && has_groups {
        "security (nftables cannot match supplementary groups)".to_owned()
    } else {
        behind.join(" and ")
    }
}

pub(super) fn removed(report: &Removed) -> String {
    let mut out = String::new();
    if report.addresses.is_empty() && report.failures.is_empty() {
        line!(out, "nothing to remove: no address was locked");
    }
    for address in &report.addresses {
        line!(out, "{address} is open to all users again");
    }
    out
}

pub(super) fn enabled(report: &Enabled) -> Vec<String> {
    let path = report.path.display();
    let mut lines = vec![if report.written {
        format!("{path}: written")
    } else {
        format!("{path}: unchanged")
    }];
    lines.extend(report.links.as_ref().map(|links| {
        if links.is_empty() {
            format!("{BOOT_UNIT}: already enabled")
        } else {
            format!("{BOOT_UNIT}: enabled ({links})")
        }
    }));
    if report.started {
        lines.push(format!("{BOOT_UNIT}: started"));
    }
    if report.applied.is_none() {
        lines.push("applied at the next boot, or by `ip-lockdown apply` now".to_owned());
    }
    lines
}

pub(super) fn disabled(report: &Disabled) -> Vec<String> {
    let mut lines = vec![
        if report.links.is_empty() {
            format!("{BOOT_UNIT}: already disabled")
        } else {
            format!("{BOOT_UNIT}: disabled ({})", report.links)
        },
        format!("{}: unchanged", report.path.display()),
    ];
    if report.stopped {
        lines.push(format!("{BOOT_UNIT}: stopped"));
    }
    if report.removed.is_none() {
        lines.push(
            "locked addresses stay locked until the next boot, or `ip-lockdown remove`".to_owned(),
        );
    }
    lines
}
