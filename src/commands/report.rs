//! Results, for people and for programs. docs/json.md describes the JSON.

use std::io::{self, Write};

use serde::Serialize;
use tracing::{debug, error, info, warn};

use crate::exit_code::ExitCode;
use crate::logging;
use crate::ruleset::LaidLayers;
use crate::verify::{Finding, Lock, ProbeResult, Severity, Status};

/// The version of the JSON schema; it changes only when something is taken away or means
/// something else.
const SCHEMA: u32 = 1;

/// What every JSON result begins with.
#[derive(Serialize)]
struct Envelope<'a, T: Serialize> {
    schema: u32,
    command: &'a str,
    exit_code: u8,
    #[serde(flatten)]
    body: T,
}

/// Prints a result, in one go.
pub(super) fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// Prints one JSON object.
pub(super) fn print_json<T: Serialize>(command: &str, code: ExitCode, body: T) -> io::Result<()> {
    let envelope = Envelope {
        schema: SCHEMA,
        command,
        exit_code: code.number(),
        body,
    };
    let mut text = serde_json::to_vec_pretty(&envelope)?;
    text.push(b'\n');
    print(&text)
}

/// Prints why there is no result.
pub(super) fn print_error(command: &str, code: ExitCode, error: &str) -> io::Result<()> {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'a str,
    }
    print_json(command, code, Failure { error })
}

/// Prints the findings, all or those that did not pass, and then the lines. Where standard output
/// is the journal, they are entries with fields of their own.
pub(super) fn print_findings(
    findings: &[Finding],
    all: bool,
    lines: &[String],
    code: ExitCode,
) -> io::Result<()> {
    let shown = findings
        .iter()
        .filter(|finding| all || finding.status != Status::Pass);
    if logging::results_to_journal() {
        shown.for_each(log);
        for line in lines {
            info!(exit_code = code.number(), "{line}");
        }
        return Ok(());
    }
    let mut out = Vec::new();
    for finding in shown {
        writeln!(out, "{finding}")?;
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    print(&out)
}

fn log(finding: &Finding) {
    macro_rules! entry {
        ($level:ident) => {
            $level!(
                check = %finding.check,
                status = %finding.status,
                address = finding.address.map(tracing::field::display),
                layer = finding.layer.map(tracing::field::display),
                cure = finding.cure,
                "{}: {}", finding.check, finding.message
            )
        };
    }
    match (finding.status, finding.severity) {
        (Status::Pass, _) => entry!(debug),
        (_, Some(Severity::Degraded)) => entry!(warn),
        _ => entry!(error),
    }
}

/// A subject, for people and programs.
#[derive(Serialize)]
pub(super) struct SubjectView {
    /// `user` or `group`.
    kind: &'static str,
    /// An id, or a range of ids.
    ids: String,
    /// The names it was given by.
    names: Vec<String>,
}

/// Who may pass, users first, in the order of their ids.
pub(super) fn subjects(lock: &Lock) -> Vec<SubjectView> {
    let subjects = &lock.policy.subjects;
    let strings =
        |names: &std::collections::BTreeSet<_>| names.iter().map(ToString::to_string).collect();
    let mut users: Vec<(u32, SubjectView)> = subjects
        .named()
        .iter()
        .map(|(uid, names)| (uid.get(), uid.to_string(), strings(names)))
        .chain(
            subjects
                .unnamed()
                .iter()
                .map(|uids| (uids.first().get(), uids.to_string(), Vec::new())),
        )
        .map(|(first, ids, names)| {
            (
                first,
                SubjectView {
                    kind: "user",
                    ids,
                    names,
                },
            )
        })
        .collect();
    users.sort_by_key(|(first, _)| *first);
    let groups = subjects.groups().iter().map(|(gid, names)| SubjectView {
        kind: "group",
        ids: gid.to_string(),
        names: strings(names),
    });
    users
        .into_iter()
        .map(|(_, view)| view)
        .chain(groups)
        .collect()
}

/// Who may pass, in one line: at most ten of them by name.
pub(super) fn who(lock: &Lock) -> String {
    const SHOWN: usize = 10;
    let all: Vec<String> = subjects(lock)
        .iter()
        .map(|view| {
            let group = if view.kind == "group" { "group " } else { "" };
            match view.names.as_slice() {
                [] if group.is_empty() => format!("uid {}", view.ids),
                [] => format!("{group}{}", view.ids),
                names => format!("{group}{} ({})", names.join(","), view.ids),
            }
        })
        .collect();
    match all.len() {
        0 => "nobody".to_owned(),
        count if count > SHOWN => {
            format!(
                "{} and {} more",
                all.iter()
                    .take(SHOWN)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", "),
                count - SHOWN
            )
        }
        _ => all.join(", "),
    }
}

/// Who may pass and what is locked, in JSON.
#[derive(Serialize)]
pub(super) struct LockView {
    addresses: Vec<String>,
    only: bool,
    subjects: Vec<SubjectView>,
    forwarded: &'static str,
    layers: LaidLayers,
}

impl From<&Lock> for LockView {
    fn from(lock: &Lock) -> Self {
        let policy = &lock.policy;
        Self {
            addresses: policy
                .target
                .addresses()
                .iter()
                .map(ToString::to_string)
                .collect(),
            only: policy.target.only(),
            subjects: subjects(lock),
            forwarded: match policy.forwarded {
                crate::policy::Forwarded::Refuse => "refuse",
                crate::policy::Forwarded::Allow => "allow",
            },
            layers: lock.layers,
        }
    }
}

/// Findings and the probes behind them, in JSON.
#[derive(Serialize)]
pub(super) struct FindingsView<'a> {
    pub(super) findings: &'a [Finding],
    pub(super) probes: &'a [ProbeResult],
}
