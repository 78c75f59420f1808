//! Log lines: `error: ...` and `help: ...` on standard error, or entries with fields in the
//! journal.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use super::{Style, journal};
use crate::host::service_of;
use crate::sys::{lock, systemd};

/// The prefix of our field names in the journal: `IP_LOCKDOWN_CHECK`.
const FIELD_PREFIX: &str = "IP_LOCKDOWN";

/// Which messages are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors.
    Quiet,
    /// Errors and warnings; in the journal, actions as well.
    Normal,
    /// Actions as well.
    Verbose,
    /// Everything.
    Debug,
}

/// Starts logging. `RUST_LOG` overrides `verbosity` (a level, or `target=level` pairs:
/// tracing-subscriber, `Targets`).
pub fn start(verbosity: Verbosity) {
    let to_journal = journal::is_journal(io::stderr())
        .then(tracing_journald::layer)
        .and_then(Result::ok)
        .map(|layer| {
            // The journal reads the unit from /proc, where a short-lived process is often gone. It
            // accepts this field from root instead (systemd.journal-fields(7)).
            let cgroup = systemd::own_cgroup().unwrap_or_default();
            let unit = service_of(&cgroup).map(|unit| ("OBJECT_SYSTEMD_UNIT", unit));
            layer
                .with_field_prefix(Some(FIELD_PREFIX.to_owned()))
                .with_custom_fields(unit)
        });
    let results = journal::remember(to_journal.is_some());
    let by_flag = Targets::new().with_default(match verbosity {
        Verbosity::Quiet => Level::ERROR,
        Verbosity::Normal if !results => Level::WARN,
        Verbosity::Normal | Verbosity::Verbose => Level::INFO,
        Verbosity::Debug => Level::DEBUG,
    });
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let (filter, invalid) = match wanted.map(|text| (Targets::from_str(&text), text)) {
        None => (by_flag, None),
        // Targets that RUST_LOG does not name keep their errors and warnings.
        Some((Ok(filter), _)) if filter.default_level().is_none() => {
            (filter.with_default(Level::WARN), None)
        }
        Some((Ok(filter), _)) => (filter, None),
        Some((Err(_), text)) => (by_flag, Some(text)),
    };
    let lines = to_journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(|| Stderr)
            .event_format(Lines(Style::of(&io::stderr())))
    });
    tracing_subscriber::registry()
        .with(lines)
        .with(to_journal)
        .with(filter)
        .init();
    if let Some(text) = invalid {
        tracing::warn!("ignoring RUST_LOG={text:?}, which is not a valid filter");
    }
}

/// Logs an error. In the journal the help is part of the message: most readers see only that.
pub fn error(error: &dyn fmt::Display, help: Option<&str>) {
    if let Some(help) = help.filter(|_| journal::gets_errors()) {
        tracing::error!("{error}\nhelp: {help}");
    } else {
        tracing::error!(help, "{error}");
    }
}

/// Standard error. While this process holds a lock, lines that the reader of the stream does not read
/// wait in memory, so that other runs do not wait for that reader.
struct Stderr;

/// What waits in memory.
static WAITING: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn waiting() -> MutexGuard<'static, Vec<u8>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut waiting = waiting();
        waiting.extend_from_slice(bytes);
        while !waiting.is_empty() && (!lock::is_held() || is_writable()) {
            // A pipe that is writable takes so many bytes at once (pipe(7), PIPE_BUF).
            let length = waiting.len().min(nix::libc::PIPE_BUF);
            let written = io::stderr().write_all(waiting.get(..length).unwrap_or_default());
            waiting.drain(..length);
            written?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write(&[]).map(drop)
    }
}

/// Whether a write to standard error would not wait.
fn is_writable() -> bool {
    let stderr = io::stderr();
    let mut stream = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    // A closed or broken stream fails at once.
    poll(&mut stream, PollTimeout::ZERO) != Ok(0)
}

/// Writes the lines that wait in memory. To be called at the end.
pub fn flush() {
    // If standard error cannot be written, nobody can be told.
    let _ = Stderr.flush();
}

/// `error: MESSAGE`, and `help: HELP` on a line of its own.
struct Lines(Style);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => self.0.bad("error"),
            Level::WARN => self.0.doubtful("warning"),
            Level::INFO => self.0.hint("info"),
            _ => "debug".to_owned(),
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(writer, "{level}: {}{}", fields.message, fields.others)?;
        if fields.help.is_empty() {
            return Ok(());
        }
        writeln!(writer, "{}: {}", self.0.hint("help"), fields.help)
    }
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    help: String,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "help" => write!(self.help, "{value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        };
    }
}
