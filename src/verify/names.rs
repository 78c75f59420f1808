//! Whether the names still belong to the ids in the rules.

use super::finding::{Check, Finding, Status};
use crate::policy::resolve::Current;

/// Whether the names in the rules still belong to the ids that the rules allow.
#[must_use]
pub fn names(current: &[Current<'_>]) -> Finding {
    let check = Check::NamesCurrent;
    let mut wrong = Vec::new();
    let mut failed = Vec::new();
    for Current { name, id, now } in current {
        match now {
            Ok(Some(now)) if now == id => {}
            Ok(Some(now)) => wrong.push(format!("{name} had id {id} and now has {now}")),
            Ok(None) => wrong.push(format!("{name} ({id}) no longer exists")),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    if !wrong.is_empty() {
        return Finding::fail(check, wrong.join("; "))
            .help("the rules allow the old ids; apply the lockdown again");
    }
    if !failed.is_empty() {
        return Finding::unknown(check, failed.join("; "));
    }
    match current.len() {
        0 => Finding::pass(check, "no subject was given by name"),
        1 => Finding::pass(check, "the name still belongs to the id in the rules"),
        count => Finding::pass(check, format!("{count} names still belong to their ids")),
    }
}

/// If a configured name has no id, [`Check::NamesResolved`] reports this as degraded. The failure
/// of [`Check::NamesCurrent`] for the id in the rules is a consequence, and becomes degraded too.
pub(super) fn degrade_reported_names(findings: &mut [Finding]) {
    let failed =
        |finding: &Finding, check| finding.check == check && finding.status == Status::Fail;
    if findings
        .iter()
        .any(|finding| failed(finding, Check::NamesResolved))
    {
        for finding in findings {
            if failed(finding, Check::NamesCurrent) {
                *finding = finding.clone().degraded();
            }
        }
    }
}
