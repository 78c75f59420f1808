//! Do the names still mean the ids that the rules admit?

use super::finding::{Check, Finding, Status};
use crate::policy::AccountName;

/// What a look-up of a name said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp {
    /// The id that the name has now.
    Id(u32),
    /// There is no such name any more.
    Gone,
    /// The look-up failed, with this reason.
    Failed(String),
}

/// Whether the names in the rules still belong to the ids that the rules admit.
///
/// `looked_up`: name, the id in the rules, and what a look-up says now.
#[must_use]
pub fn names(looked_up: &[(&AccountName, u32, LookedUp)]) -> Finding {
    let check = Check::NamesCurrent;
    let mut wrong = Vec::new();
    let mut failed = Vec::new();
    for (name, id, now) in looked_up {
        match now {
            LookedUp::Id(now) if now == id => {}
            LookedUp::Id(now) => wrong.push(format!("{name} was {id} and is {now} now")),
            LookedUp::Gone => wrong.push(format!("{name} ({id}) does not exist any more")),
            LookedUp::Failed(reason) => failed.push(format!("{name}: {reason}")),
        }
    }
    if !wrong.is_empty() {
        Finding::fail(check, wrong.join("; "))
            .cure("apply again with the names that are meant; the rules admit the old ids")
    } else if !failed.is_empty() {
        Finding::unknown(check, failed.join("; "))
    } else {
        match looked_up.len() {
            0 => Finding::pass(check, "no subject was given by name"),
            1 => Finding::pass(check, "the name still belongs to the id in the rules"),
            count => Finding::pass(check, format!("{count} names still belong to their ids")),
        }
    }
}

/// A name of the configuration without an id is told by that finding, once: that the id in the
/// rules is no more its own is then no worse.
pub fn told_once(findings: &mut [Finding]) {
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
