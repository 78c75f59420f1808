//! Reports as the objects that docs/json.md describes.

use serde::Serialize;

use crate::engine::{Applied, DryRun, Failure, Removed, Status, Verified};
use crate::policy::{AccountName, Address, Family, Forwarded};
use crate::probe::ProbeResult;
use crate::ruleset::model::Variant;
use crate::ruleset::plan::Place;
use crate::ruleset::{Counted, LayersByFamily, Lockdown};
use crate::verify::Finding;

/// A subject.
#[derive(Debug, Serialize)]
pub(super) struct SubjectView {
    /// `user` or `group`.
    pub(super) kind: &'static str,
    /// An id, or a range of ids.
    pub(super) ids: String,
    /// The names by which the policy lists it.
    pub(super) names: Vec<AccountName>,
}

/// The allowed subjects: users in the order of their ids, then groups.
pub(super) fn subjects(lockdown: &Lockdown) -> Vec<SubjectView> {
    let subjects = &lockdown.policy.subjects;
    let list = |names: &std::collections::BTreeSet<_>| names.iter().cloned().collect();
    let named = subjects
        .named()
        .iter()
        .map(|(uid, names)| (uid.get(), uid.to_string(), list(names)));
    let unnamed = subjects
        .unnamed()
        .iter()
        .map(|uids| (uids.first().get(), uids.to_string(), Vec::new()));
    let mut users: Vec<(u32, String, Vec<AccountName>)> = named.chain(unnamed).collect();
    users.sort_by_key(|(first, ..)| *first);
    let users = users.into_iter().map(|(_, ids, names)| SubjectView {
        kind: "user",
        ids,
        names,
    });
    let groups = subjects.groups().iter().map(|(gid, names)| SubjectView {
        kind: "group",
        ids: gid.to_string(),
        names: list(names),
    });
    users.chain(groups).collect()
}

/// A lockdown.
#[derive(Serialize)]
struct LockdownView {
    addresses: Vec<String>,
    only: bool,
    subjects: Vec<SubjectView>,
    forwarded: &'static str,
    layers: LayersByFamily,
}

impl From<&Lockdown> for LockdownView {
    fn from(lockdown: &Lockdown) -> Self {
        let policy = &lockdown.policy;
        let addresses = policy.target.addresses().iter();
        Self {
            addresses: addresses.map(ToString::to_string).collect(),
            only: policy.target.only(),
            subjects: subjects(lockdown),
            forwarded: match policy.forwarded {
                Forwarded::Refuse => "refuse",
                Forwarded::Allow => "allow",
            },
            layers: lockdown.layers,
        }
    }
}

/// What failed, and what to do about it.
#[derive(Serialize)]
struct ErrorsView {
    errors: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    help: Vec<String>,
}

impl ErrorsView {
    fn new(failures: &[Failure]) -> Self {
        let mut help: Vec<String> = Vec::new();
        for text in failures.iter().filter_map(Failure::help) {
            if !help.contains(&text) {
                help.push(text);
            }
        }
        Self {
            errors: failures.iter().map(ToString::to_string).collect(),
            help,
        }
    }
}

#[derive(Serialize)]
struct FindingsView<'a> {
    findings: &'a [Finding],
    probes: &'a [ProbeResult],
}

pub(super) fn applied(report: &Applied) -> impl Serialize {
    #[derive(Serialize)]
    struct View<'a> {
        locks: Vec<LockdownView>,
        variant: Option<Variant>,
        changed: bool,
        #[serde(flatten)]
        errors: ErrorsView,
        #[serde(flatten)]
        findings: FindingsView<'a>,
    }
    View {
        locks: report.lockdowns.iter().map(LockdownView::from).collect(),
        variant: report.variant,
        changed: report.changed,
        errors: ErrorsView::new(&report.failures),
        findings: FindingsView {
            findings: &report.findings,
            probes: &report.probes,
        },
    }
}

pub(super) fn dry_run(report: &DryRun) -> impl Serialize {
    #[derive(Serialize)]
    struct TransactionView<'a> {
        family: Option<Family>,
        command: &'a [String],
        input: String,
    }
    #[derive(Serialize)]
    struct View<'a> {
        dry_run: bool,
        transactions: Vec<TransactionView<'a>>,
        #[serde(flatten)]
        errors: ErrorsView,
    }
    let transactions = report.transactions.iter();
    View {
        dry_run: true,
        transactions: transactions
            .map(|(command, transaction)| TransactionView {
                family: match transaction.place() {
                    Place::Iptables(_, family) => Some(family),
                    Place::Nftables => None,
                },
                command,
                input: transaction.text(),
            })
            .collect(),
        errors: ErrorsView::new(&report.failures),
    }
}

pub(super) fn verified(report: &Verified) -> impl Serialize {
    #[derive(Serialize)]
    struct View<'a> {
        variant: Option<Variant>,
        locks: Vec<LockdownView>,
        #[serde(flatten)]
        findings: FindingsView<'a>,
    }
    View {
        variant: report.variant,
        locks: report.lockdowns.iter().map(LockdownView::from).collect(),
        findings: FindingsView {
            findings: &report.findings,
            probes: &report.probes,
        },
    }
}

pub(super) fn status(report: &Status) -> impl Serialize {
    #[derive(Serialize)]
    struct Locked<'a> {
        #[serde(flatten)]
        lockdown: LockdownView,
        drift: usize,
        counters: &'a [Counted],
    }
    #[derive(Serialize)]
    struct View<'a> {
        variant: Option<Variant>,
        families: &'a [Family],
        locks: Vec<Locked<'a>>,
        damaged: &'a [Address],
        locked_by_other_variant: Vec<Address>,
        #[serde(flatten)]
        errors: ErrorsView,
    }
    let lockdowns = report.lockdowns.iter();
    let elsewhere = report.locked_by_other.iter();
    View {
        variant: report.variant,
        families: &report.families,
        locks: lockdowns
            .map(|one| Locked {
                lockdown: LockdownView::from(&one.lockdown),
                drift: one.drift,
                counters: &one.counters,
            })
            .collect(),
        damaged: &report.damaged,
        locked_by_other_variant: elsewhere.map(|(_, address)| *address).collect(),
        errors: ErrorsView::new(&report.failures),
    }
}

pub(super) fn removed(report: &Removed) -> impl Serialize {
    #[derive(Serialize)]
    struct View<'a> {
        removed: &'a [Address],
        #[serde(flatten)]
        errors: ErrorsView,
    }
    View {
        removed: &report.addresses,
        errors: ErrorsView::new(&report.failures),
    }
}

pub(super) fn done(lines: &[String]) -> impl Serialize {
    #[derive(Serialize)]
    struct View<'a> {
        done: &'a [String],
    }
    View { done: lines }
}
