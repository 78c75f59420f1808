//! Reports and findings -> text, JSON and journal entries.
//!
//! This module decides the layout of every result. docs/json.md describes the JSON objects.

mod findings;
pub mod journal;
pub mod json;
pub mod log;
mod style;
mod text;
pub mod trust_policy;
mod view;

use std::io::{self, Write};

pub use self::style::Style;
use crate::engine::{Applied, Disabled, DryRun, Enabled, Failure, Removed, Status, Verified};
use ::trust_policy::Diagnostic;

use crate::exit_code::ExitCode;

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Output {
    /// The format.
    pub format: Format,
    /// Print every finding instead of a summary.
    pub verbose: bool,
    /// Print only errors and failed checks.
    pub quiet: bool,
    /// The colours of text.
    pub style: Style,
}

impl Output {
    /// Prints the result of `apply`, and logs its failures.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn applied(self, report: &Applied) -> io::Result<ExitCode> {
        log_failures(&report.failures);
        match self.format {
            Format::Json => self.print_json("apply", report.code, view::applied(report))?,
            Format::Text => {
                let lines = text::locked(report);
                self.print_findings(report.findings.iter(), &lines, report.code)?;
            }
        }
        Ok(report.code)
    }

    /// Prints the transactions of `apply --dry-run`, and logs its failures.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn dry_run(self, report: &DryRun) -> io::Result<ExitCode> {
        log_failures(&report.failures);
        match self.format {
            Format::Json => self.print_json("apply", report.code, view::dry_run(report))?,
            Format::Text => print(text::dry_run(report).as_bytes())?,
        }
        Ok(report.code)
    }

    /// Prints the result of `verify`.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn verified(self, report: &Verified) -> io::Result<ExitCode> {
        let code = report.code;
        match self.format {
            Format::Json => self.print_json("verify", code, view::verified(report))?,
            Format::Text if self.verbose || self.quiet || journal::gets_results() => {
                let mut lines = text::allowed_lines(&report.lockdowns);
                lines.push(findings::verdict(code, &report.findings));
                self.print_findings(report.findings.iter(), &lines, code)?;
            }
            Format::Text => print(findings::verified(report, self.style).as_bytes())?,
        }
        Ok(code)
    }

    /// Prints the result of `status`, and logs its failures.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn status(self, report: &Status) -> io::Result<ExitCode> {
        log_failures(&report.failures);
        match self.format {
            Format::Json => self.print_json("status", report.code, view::status(report))?,
            Format::Text => self.print(&text::status(report))?,
        }
        Ok(report.code)
    }

    /// Prints the result of `remove`, and logs its failures.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn removed(self, report: &Removed) -> io::Result<ExitCode> {
        log_failures(&report.failures);
        match self.format {
            Format::Json => self.print_json("remove", report.code, view::removed(report))?,
            Format::Text => self.print(&text::removed(report))?,
        }
        Ok(report.code)
    }

    /// Prints what `enable` did before it applied the configuration. With `follows`, the result of
    /// `apply` follows: JSON output contains only that one, and these lines are logged.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn enabled(self, report: &Enabled, follows: bool) -> io::Result<()> {
        self.done("enable", &text::enabled(report), follows)
    }

    /// Prints what `disable` did before it removed the rules. With `follows`, the result of
    /// `remove` follows: JSON output contains only that one, and these lines are logged.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn disabled(self, report: &Disabled, follows: bool) -> io::Result<()> {
        self.done("disable", &text::disabled(report), follows)
    }

    fn done(self, command: &str, lines: &[String], follows: bool) -> io::Result<()> {
        match self.format {
            Format::Text => self.print(&text::joined(lines)),
            Format::Json if follows => {
                for line in lines {
                    tracing::info!("{line}");
                }
                Ok(())
            }
            Format::Json => self.print_json(command, ExitCode::Success, view::done(lines)),
        }
    }

    /// Prints the diagnostics of `trust-policy check` on a file.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn diagnostics(self, file: &str, found: &[Diagnostic]) -> io::Result<ExitCode> {
        let code = trust_policy::exit_code(found);
        match self.format {
            Format::Json => self.print_json(
                "trust-policy",
                code,
                trust_policy::CheckView::new(file, found),
            )?,
            Format::Text => {
                print(trust_policy::listing(&findings::printable(file), found).as_bytes())?;
            }
        }
        Ok(code)
    }

    /// Prints text, unless only errors are printed.
    fn print(self, text: &str) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        print(text.as_bytes())
    }

    fn print_json(
        self,
        command: &str,
        code: ExitCode,
        body: impl serde::Serialize,
    ) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        json::print(command, code, body)
    }

    /// Prints one line for each problem (with `verbose`, for each finding), then `lines`. If
    /// standard output is the journal, each becomes an entry with fields.
    fn print_findings<'a>(
        self,
        findings: impl Iterator<Item = &'a crate::verify::Finding>,
        lines: &[String],
        code: ExitCode,
    ) -> io::Result<()> {
        let shown = findings.filter(|finding| self.verbose || findings::is_problem(finding));
        let lines = if self.quiet { &[] } else { lines };
        if journal::gets_results() {
            shown.for_each(journal::log);
            for line in lines {
                tracing::info!(exit_code = code.number(), "{line}");
            }
            return Ok(());
        }
        let mut out = String::new();
        shown.for_each(|finding| findings::finding(&mut out, finding, self.style));
        out.push_str(&text::joined(lines));
        print(out.as_bytes())
    }
}

fn log_failures(failures: &[Failure]) {
    for failure in failures {
        log::error(failure, failure.help().as_deref());
    }
}

/// Writes text to standard output and flushes it.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}
