//! The diagnostics of `trust-policy check`.

use serde::Serialize;
use trust_policy::{Code, Diagnostic, Severity};

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
