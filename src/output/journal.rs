//! Results as journal entries, if standard output is the journal.

use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use nix::sys::stat::fstat;
use tracing::{debug, error, warn};

use super::text::status_word;
use crate::verify::{Finding, Severity, Status};

static GETS_RESULTS: OnceLock<bool> = OnceLock::new();

/// Whether standard output is the journal, so that results become entries with fields.
pub(super) fn gets_results() -> bool {
    GETS_RESULTS.get().is_some_and(|gets_results| *gets_results)
}

/// Determines once whether results go to the journal: standard output and standard error must both
/// be connected to it. To be called before the environment is cleared.
pub(super) fn remember(errors_go_to_journal: bool) -> bool {
    *GETS_RESULTS.get_or_init(|| errors_go_to_journal && is_journal(io::stdout()))
}

/// Whether systemd connected the stream to the journal (systemd.exec(5), `$JOURNAL_STREAM`: device
/// and inode, in decimal).
pub(super) fn is_journal(stream: impl AsFd) -> bool {
    let Ok(wanted) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(stream).is_ok_and(|stat| wanted == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Logs a finding as an entry.
pub(super) fn log(finding: &Finding) {
    macro_rules! entry {
        ($level:ident) => {
            $level!(
                check = %finding.check,
                status = status_word(finding.status),
                address = finding.address.map(tracing::field::display),
                layer = finding.layer.map(tracing::field::display),
                help = finding.help,
                "{}: {}", finding.check, finding.message
            )
        };
    }
    match (finding.status, finding.severity) {
        (Status::Pass | Status::NotTested, _) => entry!(debug),
        (_, Some(Severity::Degraded)) => entry!(warn),
        _ => entry!(error),
    }
}
