//! Results for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Style;
use super::view::{SubjectView, subjects};
use crate::engine::{Applied, Disabled, DryRun, Enabled, Removed, Status as Report, Verified};
use crate::exit_code::ExitCode;
use crate::policy::{Address, Family, Forwarded};
use crate::probe::{Outcome, ProbeResult};
use crate::ruleset::model::{Counters, Variant};
use crate::ruleset::plan::Transaction;
use crate::ruleset::{Counted, Layer, Layers, Lockdown};
use crate::sys::systemd::BOOT_UNIT;
use crate::verify::{Check, Finding, Group, Severity, Status};

/// The maximum number of subjects in a line.
const SUBJECTS: usize = 10;

macro_rules! line {
    ($out:expr, $($arg:tt)*) => {
        // Writing to a String cannot fail.
        let _ = writeln!($out, $($arg)*);
    };
}

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
fn allowed(lockdown: &Lockdown) -> String {
    match who(lockdown) {
        (nobody, 0) => format!("{nobody} is allowed"),
        (one, 1) => format!("only {one} is allowed"),
        (all, _) => format!("only {all} are allowed"),
    }
}

fn subject(view: &SubjectView) -> String {
    let names = view.names.join(",");
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

/// The word for a status.
pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Fail => "FAIL",
        Status::Unknown => "unknown",
        Status::NotTested => "not tested",
    }
}

/// Whether the check failed or could not be made.
pub(super) fn is_problem(finding: &Finding) -> bool {
    matches!(finding.status, Status::Fail | Status::Unknown)
}

/// One finding in full.
pub(super) fn finding(out: &mut String, finding: &Finding, style: Style) {
    let word = format!("{:<10}", status_word(finding.status));
    let word = match finding.status {
        Status::Pass => style.good(word),
        Status::Fail => style.bad(word),
        Status::Unknown | Status::NotTested => style.doubtful(word),
    };
    let _ = write!(out, "{word} {:<19}", finding.check);
    if let Some(address) = finding.address {
        let _ = write!(out, " {address}");
    }
    if let Some(layer) = finding.layer {
        let _ = write!(out, " {layer}");
    }
    let about = finding.address.is_some() || finding.layer.is_some();
    line!(
        out,
        "{} {}",
        if about { ":" } else { "" },
        printable(&finding.message)
    );
    if let Some(help) = &finding.help {
        line!(out, "{:11}{}: {}", "", style.hint("help"), printable(help));
    }
}

/// The text with control characters escaped: messages quote rules and programs, which may contain
/// anything.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
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
    report.lockdowns.iter().map(line).collect()
}

/// What the probes of the lockdown confirm. A probe without a route confirms nothing.
fn proof(lockdown: &Lockdown, probes: &[ProbeResult]) -> String {
    let own = lockdown.policy.target.addresses();
    let (idle, made): (Vec<_>, Vec<_>) = probes
        .iter()
        .filter(|probe| own.contains(&probe.address))
        .partition(|probe| probe.outcome == Outcome::NoRoute);
    let mut addresses: Vec<String> = idle.iter().map(|probe| probe.address.to_string()).collect();
    addresses.sort();
    addresses.dedup();
    match (made.len(), addresses.is_empty()) {
        (made, true) => format!("confirmed by {made} probes"),
        (0, false) => format!("not tested: no route to {}", addresses.join(" and ")),
        (made, false) => format!(
            "confirmed by {made} probes; not tested: no route to {}",
            addresses.join(" and ")
        ),
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

/// The result of `verify`: a block for each lockdown, with a line for each group of checks,
/// problems first; then each help once; then the verdict.
pub(super) fn verified(report: &Verified, style: Style) -> String {
    let mut out = String::new();
    let findings: Vec<&Finding> = report.findings.iter().collect();
    let (of_lockdowns, rest): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| {
            let covers = |address| {
                let mut lockdowns = report.lockdowns.iter();
                lockdowns.any(|lockdown| lockdown.policy.target.addresses().contains(address))
            };
            finding.address.as_ref().is_some_and(covers)
        });
    // With a single lockdown, findings on the whole host belong to it.
    let single = report.lockdowns.len() == 1;
    for lockdown in &report.lockdowns {
        line!(out, "{}: {}", lockdown.policy.target, allowed(lockdown));
        let own = lockdown.policy.target.addresses();
        let of_lockdown = of_lockdowns.iter().filter(|finding| {
            finding
                .address
                .is_some_and(|address| own.contains(&address))
        });
        let of_host = rest.iter().filter(|_| single);
        let findings: Vec<&Finding> = of_lockdown.chain(of_host).copied().collect();
        groups(&mut out, &findings, style);
    }
    if !single && !rest.is_empty() {
        line!(out, "this host:");
        groups(&mut out, &rest, style);
    }
    let mut helps: Vec<&str> = Vec::new();
    let problems = findings.iter().filter(|finding| is_problem(finding));
    for help in problems.filter_map(|finding| finding.help.as_deref()) {
        if !helps.contains(&help) {
            helps.push(help);
        }
    }
    for help in helps {
        line!(out, "{}: {}", style.hint("help"), printable(help));
    }
    let verdict = verdict(report.code, &report.findings);
    let verdict = match report.code {
        ExitCode::Success => style.good(verdict),
        ExitCode::CheckFailed => style.bad(verdict),
        _ => style.doubtful(verdict),
    };
    let details = if report.findings.iter().any(is_problem) {
        " (details: ip-lockdown verify -v)"
    } else {
        ""
    };
    line!(out, "{verdict}{details}");
    out
}

/// The findings by group: groups with problems first, then groups with details, then the others in
/// one line.
fn groups(out: &mut String, findings: &[&Finding], style: Style) {
    let mut by_group: BTreeMap<Group, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_group
            .entry(finding.check.group())
            .or_default()
            .push(finding);
    }
    let has_problem = |findings: &[&Finding]| findings.iter().any(|finding| is_problem(finding));
    let (wrong, right): (Vec<_>, Vec<_>) = by_group
        .iter()
        .partition(|(_, findings)| has_problem(findings));
    for (group, findings) in wrong {
        problems(out, *group, findings, style);
    }
    let mut quiet: Vec<&str> = Vec::new();
    for (group, findings) in right {
        match summary(*group, findings) {
            Some((word, text)) => {
                let word = if word == "ok" {
                    style.good(format!("{word:<8}"))
                } else {
                    style.doubtful(format!("{word:<8}"))
                };
                line!(out, "  {:<11} {word} {text}", name(*group));
            }
            None => quiet.push(name(*group)),
        }
    }
    if !quiet.is_empty() {
        line!(out, "  {}: {}", quiet.join(", "), style.good("ok"));
    }
}

fn name(group: Group) -> &'static str {
    match group {
        Group::Lockdown => "lockdown",
        Group::Rules => "rules",
        Group::Backstop => "backstop",
        Group::Packets => "packets",
        Group::Nat => "nat",
        Group::OtherTools => "other tools",
        Group::Names => "names",
    }
}

/// The problems of a group. A problem of both families is printed once.
fn problems(out: &mut String, group: Group, findings: &[&Finding], style: Style) {
    let mut lines: Vec<(String, &Finding, Vec<Family>)> = Vec::new();
    for &finding in findings.iter().filter(|finding| is_problem(finding)) {
        let family = finding.address.map(Address::family);
        let text = printable(&finding.message);
        let same = lines.iter_mut().find(|(known, first, _)| {
            *known == text && first.layer == finding.layer && first.status == finding.status
        });
        match same {
            Some((.., families)) => families.extend(family),
            None => lines.push((text, finding, Vec::from_iter(family))),
        }
    }
    let mut label = name(group);
    for (text, finding, families) in lines {
        let word = match (finding.status, finding.severity) {
            (Status::Unknown, _) => style.doubtful("unknown "),
            (_, Some(Severity::Degraded)) => style.doubtful("degraded"),
            _ => style.bad("FAIL    "),
        };
        let layer = finding.layer.map(|layer| layer.to_string());
        let families = families.iter().map(ToString::to_string);
        let place: Vec<String> = layer.into_iter().chain(families).collect();
        let colon = if place.is_empty() { "" } else { ": " };
        line!(
            out,
            "  {label:<11} {word} {}{colon}{text}",
            place.join(", ")
        );
        label = "";
    }
}

/// The status and the details of a group without problems; `None` if it has no details.
fn summary(group: Group, findings: &[&Finding]) -> Option<(&'static str, String)> {
    let checks = match group {
        Group::Rules => &[Check::AddressLocked][..],
        Group::Backstop => &[Check::BackstopPresent],
        Group::Packets => &[Check::UnlistedRefused, Check::ListedServed],
        Group::Lockdown | Group::Nat | Group::OtherTools | Group::Names => return None,
    };
    let mut texts: Vec<String> = Vec::new();
    for finding in findings
        .iter()
        .filter(|finding| checks.contains(&finding.check))
    {
        let text = match finding.status {
            Status::NotTested => format!("not tested: {}", finding.message),
            _ => finding.message.clone(),
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let tested = findings
        .iter()
        .any(|finding| finding.status == Status::Pass);
    let word = if tested { "ok" } else { "-" };
    Some((word, texts.join("; ")))
}

/// The result in one line, with counts.
pub(super) fn verdict(code: ExitCode, findings: &[Finding]) -> String {
    let count = |status| {
        let of_status = findings.iter().filter(|finding| finding.status == status);
        of_status.count()
    };
    let (failed, unknown) = (count(Status::Fail), count(Status::Unknown));
    let all = findings.len();
    let open = findings.iter().any(|finding| {
        let decides = matches!(
            finding.check,
            Check::SomethingLocked | Check::AddressLocked | Check::UnlistedRefused
        );
        decides && finding.status == Status::Fail
    });
    match code {
        ExitCode::Success => format!(
            "locked: {} passed{}",
            count(Status::Pass),
            not_tested(findings)
        ),
        ExitCode::Degraded => {
            let counts = [(failed, "failed"), (unknown, "unknown")];
            let counts = counts.into_iter().filter(|(count, _)| *count > 0);
            let counts: Vec<String> = counts.map(|(n, word)| format!("{n} {word}")).collect();
            format!(
                "locked, but degraded: {} of {all} checks",
                counts.join(", ")
            )
        }
        ExitCode::CheckFailed if open => format!("NOT locked: {failed} of {all} checks failed"),
        ExitCode::CheckFailed => format!("locked, but {failed} of {all} checks failed"),
        ExitCode::BadInput | ExitCode::Incomplete => {
            format!("not known: {unknown} of {all} checks could not be made")
        }
    }
}

/// How many checks had nothing to test, and why.
fn not_tested(findings: &[Finding]) -> String {
    let not_tested: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.status == Status::NotTested)
        .collect();
    let mut reasons: Vec<&str> = not_tested.iter().map(|finding| &*finding.message).collect();
    reasons.sort_unstable();
    reasons.dedup();
    match not_tested.len() {
        0 => String::new(),
        count => format!(", {count} not tested: {}", reasons.join("; ")),
    }
}

pub(super) fn status(report: &Report) -> String {
    let mut out = String::new();
    for one in &report.lockdowns {
        status_of(
            &mut out,
            report.variant,
            &one.lockdown,
            one.drift,
            &one.counters,
        );
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

fn status_of(
    out: &mut String,
    variant: Option<Variant>,
    lockdown: &Lockdown,
    drift: usize,
    counters: &[Counted],
) {
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
    if drift > 0 {
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
    if report.addresses.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_never_gets_control_characters() {
        let problem = Finding::fail(Check::NoBypass, "\u{1b}[31mred\u{7}\n").help("\u{9b}x");
        let mut text = String::new();
        finding(&mut text, &problem, Style::default());
        // The two line ends.
        assert_eq!(text.matches(char::is_control).count(), 2, "{text:?}");
        let report = Verified {
            variant: None,
            lockdowns: Vec::new(),
            findings: vec![problem],
            probes: Vec::new(),
            code: ExitCode::CheckFailed,
        };
        let text = verified(&report, Style::default());
        assert_eq!(
            text.matches(|c: char| c.is_control() && c != '\n').count(),
            0,
            "{text:?}"
        );
    }

    #[test]
    fn a_verdict_counts_what_was_not_tested() {
        let passed = Finding::pass(Check::RulesMatch, "");
        let not_tested = Finding::not_tested(Check::ListedServed, "no route to the address");
        let findings = [passed.clone(), passed, not_tested];
        assert_eq!(
            verdict(ExitCode::Success, &findings),
            "locked: 2 passed, 1 not tested: no route to the address"
        );
        let open = [Finding::fail(Check::AddressLocked, "")];
        assert_eq!(
            verdict(ExitCode::CheckFailed, &open),
            "NOT locked: 1 of 1 checks failed"
        );
    }
}
