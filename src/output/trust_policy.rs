//! The results of `trust-policy`.

use std::io::{self, Write};

use serde::Serialize;
use tracing::warn;
use trust_policy::value::Partition;
use trust_policy::{Code, Diagnostic, Format, Guardrail, Role, Severity, render};

use super::print;
use crate::exit_code::ExitCode;

/// Prints the role, logs the warnings about it, and says what to attach.
///
/// # Errors
/// Standard output or standard error cannot be written.
pub fn built(role: &Role, warnings: &[Diagnostic], format: Format) -> io::Result<ExitCode> {
    for (found, is_only) in first_of_each_code(warnings) {
        let more = if is_only { "" } else { " (and more of these)" };
        warn!("{}: {}{more}; {}", found.code, found.message, found.help);
    }
    if role.guardrail.is_some() && !role.instance_profile {
        warn!(
            "--with-guard has no effect on this role: the policy (guardrail) imdsv2 applies only to \
             credentials of EC2 instances"
        );
    }
    print(render(role, format).as_bytes())?;
    if matches!(format, Format::Json | Format::CompactJson) {
        if role.permissions.is_some() {
            note(
                "the document after the trust policy contains the permissions; attach it to the role",
            )?;
        }
        if role.guardrail.is_some() {
            let attach = Guardrail::Imdsv2.note();
            note(&format!(
                "the last document is the policy (guardrail) imdsv2; {attach}"
            ))?;
        }
    }
    Ok(ExitCode::Success)
}

/// Prints the guardrail, and says what to attach it to.
///
/// # Errors
/// Standard output or standard error cannot be written.
pub fn guardrail(
    guardrail: Guardrail,
    partition: Partition,
    compact: bool,
) -> io::Result<ExitCode> {
    let policy = guardrail.document(partition).tree();
    let text = if compact {
        policy.compact()
    } else {
        policy.pretty()
    };
    print(text.as_bytes())?;
    note(guardrail.note())?;
    Ok(ExitCode::Success)
}

/// The first diagnostic of each code, and whether it is the only one.
fn first_of_each_code(found: &[Diagnostic]) -> Vec<(&Diagnostic, bool)> {
    let mut firsts: Vec<(&Diagnostic, bool)> = Vec::new();
    for found in found {
        match firsts
            .iter_mut()
            .find(|(first, _)| first.code == found.code)
        {
            Some((_, is_only)) => *is_only = false,
            None => firsts.push((found, true)),
        }
    }
    firsts
}

/// Prints a note to standard error, so that standard output contains only the policy.
fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "note: {text}")
}

/// The exit code of a check with these diagnostics: 1 if one is an error.
pub(super) fn exit_code(found: &[Diagnostic]) -> ExitCode {
    let is_error = |found: &Diagnostic| found.severity() == Severity::Error;
    if found.iter().any(is_error) {
        ExitCode::CheckFailed
    } else {
        ExitCode::Success
    }
}

/// The diagnostics as text, with a summary line.
pub(super) fn listing(file: &str, found: &[Diagnostic]) -> String {
    let mut text = String::new();
    for found in found {
        text.extend([
            format!("{file}:{}:{}: ", found.line, found.column),
            format!("{} {} {}\n", found.severity(), found.code, found.path),
            format!("    {}\n    help: {}\n", found.message, found.help),
        ]);
    }
    let count = |severity| {
        let of_it = found.iter().filter(|found| found.severity() == severity);
        match of_it.count() {
            0 => format!("no {severity}s"),
            1 => format!("1 {severity}"),
            count => format!("{count} {severity}s"),
        }
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    text + &format!("{file}: {errors}, {warnings}\n")
}

/// The result of a check, as JSON.
#[derive(Serialize)]
pub(super) struct CheckView<'a> {
    file: &'a str,
    findings: Vec<DiagnosticView<'a>>,
}

impl<'a> CheckView<'a> {
    pub(super) fn new(file: &'a str, found: &'a [Diagnostic]) -> Self {
        Self {
            file,
            findings: found.iter().map(DiagnosticView::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct DiagnosticView<'a> {
    code: Code,
    severity: Severity,
    path: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
    cure: &'a str,
}

impl<'a> From<&'a Diagnostic> for DiagnosticView<'a> {
    fn from(found: &'a Diagnostic) -> Self {
        Self {
            code: found.code,
            severity: found.severity(),
            path: &found.path,
            line: found.line,
            column: found.column,
            message: &found.message,
            cure: &found.help,
        }
    }
}
