//! Results as journal entries, if standard output is the journal.

use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use nix::sys::stat::fstat;
use tracing::{debug, error, warn};

use super::findings::status_word;
use crate::verify::{Finding, Severity, Status};

/// Which streams are the journal.
#[derive(Clone, Copy, Default)]
struct Streams {
    errors: bool,
    results: bool,
}

static STREAMS: OnceLock<Streams> = OnceLock::new();

fn streams() -> Streams {
    STREAMS.get().copied().unwrap_or_default()
}

/// Whether standard error is the journal.
pub(super) fn gets_errors() -> bool {
    streams().errors
}

/// Whether results become entries with fields: standard output and standard error are the journal.
pub(super) fn gets_results() -> bool {
    streams().results
}

/// Determines once which streams are the journal. To be called before the environment is cleared.
pub(super) fn remember(errors: bool) -> bool {
    let results = errors && is_journal(io::stdout());
    STREAMS.get_or_init(|| Streams { errors, results }).results
}

/// Whether systemd connected the stream to the journal (systemd.exec(5), `$JOURNAL_STREAM`: device
/// and inode, in decimal).
pub(super) fn is_journal(stream: impl AsFd) -> bool {
    let Ok(wanted) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(stream).is_ok_and(|stat| wanted == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Logs a finding as an entry. The help is a field, and part of the message too: most readers see
/// only that.
pub(super) fn log(finding: &Finding) {
    let help = finding.help.as_ref();
    let help = help.map_or_else(String::new, |help| format!("\nhelp: {help}"));
    macro_rules! entry {
        ($level:ident) => {
            $level!(
                check = %finding.check,
                status = status_word(finding.status),
                address = finding.address.map(tracing::field::display),
                layer = finding.layer.map(tracing::field::display),
                help = finding.help,
                "{}: {}{help}", finding.check, finding.message
            )
        };
    }
    match (finding.status, finding.severity) {
        (Status::Pass | Status::NotTested, _) => entry!(debug),
        (_, Some(Severity::Degraded)) => entry!(warn),
        _ => entry!(error),
    }
}
