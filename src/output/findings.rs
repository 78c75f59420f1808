//! Findings for people: each in full, and the result of `verify` as a summary.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Style;
use super::text::{allowed, line};
use crate::engine::Verified;
use crate::exit_code::ExitCode;
use crate::policy::{Address, Family};
use crate::verify::{Check, Finding, Group, Severity, Status};

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
        Group::Boot => "boot",
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
        Group::Boot => &[Check::SurvivesReboot],
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
    // A check that passed and has a help has nothing to boast of.
    let tested = findings
        .iter()
        .any(|finding| finding.status == Status::Pass && finding.help.is_none());
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
    // Whether the checks that decide on "locked" have this status.
    let decided = |status| {
        findings.iter().any(|finding| {
            let decides = matches!(
                finding.check,
                Check::SomethingLocked | Check::AddressLocked | Check::UnlistedRefused
            );
            decides && finding.status == status && finding.severity == Some(Severity::Broken)
        })
    };
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
        ExitCode::CheckFailed if decided(Status::Fail) => {
            format!("NOT locked: {failed} of {all} checks failed")
        }
        ExitCode::CheckFailed if decided(Status::Unknown) => format!(
            "not known whether locked: {failed} of {all} checks failed, {unknown} could not be made"
        ),
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
        let unread = [
            Finding::fail(Check::NoBypass, ""),
            Finding::unknown(Check::AddressLocked, ""),
        ];
        assert_eq!(
            verdict(ExitCode::CheckFailed, &unread),
            "not known whether locked: 1 of 2 checks failed, 1 could not be made"
        );
    }
}
