//! Log lines: for people on standard error, or with fields in the journal.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::OnceLock;

use nix::sys::stat::fstat;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::sys::systemd;

/// Before the names of our fields in the journal: `IP_LOCKDOWN_CHECK`.
const FIELD_PREFIX: &str = "IP_LOCKDOWN";

static RESULTS_TO_JOURNAL: OnceLock<bool> = OnceLock::new();

/// Whether standard output is the journal, so that results are better told as log entries.
pub(crate) fn results_to_journal() -> bool {
    RESULTS_TO_JOURNAL
        .get()
        .is_some_and(|to_journal| *to_journal)
}

/// Starts logging: warnings and errors; with one `-v` what is done, with two everything. In the
/// journal what is done is told without `-v`.
/// `RUST_LOG` goes before (a level, or `target=level` pairs; tracing-subscriber, `Targets`).
pub(crate) fn start(verbose: u8) {
    let journal = is_journal(io::stderr())
        .then(tracing_journald::layer)
        .and_then(Result::ok)
        .map(|journal| {
            // The journal cannot tell the unit of a process that has ended before it looks: this one often has.
            // journalctl and systemctl take root's word for it (systemd.journal-fields(7)).
            let unit = systemd::own_unit().map(|unit| ("OBJECT_SYSTEMD_UNIT", unit));
            journal
                .with_field_prefix(Some(FIELD_PREFIX.to_owned()))
                .with_custom_fields(unit)
        });
    let results = journal.is_some() && is_journal(io::stdout());
    let _ = RESULTS_TO_JOURNAL.set(results);
    let by_flag = Targets::new().with_default(match (verbose, results) {
        (0, false) => Level::WARN,
        (0, true) | (1, _) => Level::INFO,
        _ => Level::DEBUG,
    });
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let (filter, bad) = match wanted.map(|text| (Targets::from_str(&text), text)) {
        None => (by_flag, None),
        // What it does not name keeps its errors and warnings: a failure never goes unsaid
        // because somebody wanted to hear more of something else.
        Some((Ok(filter), _)) if filter.default_level().is_none() => {
            (filter.with_default(Level::WARN), None)
        }
        Some((Ok(filter), _)) => (filter, None),
        Some((Err(_), text)) => (by_flag, Some(text)),
    };
    let lines = journal.is_none().then(|| {
        fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .without_time()
    });
    tracing_subscriber::registry()
        .with(lines)
        .with(journal)
        .with(filter)
        .init();
    if let Some(text) = bad {
        tracing::warn!("RUST_LOG={text:?} is not understood, so it is not used");
    }
}

/// Whether this stream is the one that systemd connected to the journal (systemd.exec(5),
/// `$JOURNAL_STREAM`: device and inode, in decimal).
fn is_journal(stream: impl AsFd) -> bool {
    let Ok(wanted) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(stream).is_ok_and(|stat| wanted == format!("{}:{}", stat.st_dev, stat.st_ino))
}
