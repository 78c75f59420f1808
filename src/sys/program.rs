//! The only place where a program is started.
//!
//! By absolute path, with an environment of two fixed variables, its own process group, a time
//! limit and a bound on its output. However it ends, the caller learns how.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use subprocess::{Exec, ExecExt as _, JobExt as _, Redirection};
use thiserror::Error;
use tracing::debug;

/// Enough for hundreds of thousands of rules; a program that prints more is not iptables.
const MAX_OUTPUT: usize = 256 << 20;

/// What a program that ended by itself left behind. Bytes that are not UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// Its exit code, 0 to 255.
    pub(super) code: u32,
    /// What it printed.
    pub(super) stdout: String,
    /// What it complained about, trimmed.
    pub(super) stderr: String,
}

/// Why a program gave no exit code.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// It could not be started, or talking with it failed.
    #[error("cannot run {call}: {source}")]
    CannotRun {
        /// Program and arguments.
        call: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// It was ended after its time limit.
    #[error("{call} did not end within {limit:?} and was killed")]
    TimedOut {
        /// Program and arguments.
        call: String,
        /// The time it had.
        limit: Duration,
    },
    /// A signal ended it.
    #[error("{call} was killed by signal {signal}")]
    Killed {
        /// Program and arguments.
        call: String,
        /// The signal's number.
        signal: i32,
    },
}

/// Runs `program` to its end, at most `limit` long, with `input` on its standard input.
///
/// # Errors
/// It could not be started, did not end in time (it and its process group are then killed), or
/// was ended by a signal. An exit code other than 0 is no error here.
pub(super) fn run(
    program: &Path,
    args: &[&str],
    input: &str,
    limit: Duration,
) -> Result<Output, ProgramError> {
    debug_assert!(program.is_absolute());
    let started = Instant::now();
    let call = call(program, args);
    let cannot_run = |source| ProgramError::CannotRun {
        call: call.clone(),
        source,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where programs are started"
    )]
    let exec = Exec::cmd(program);
    let mut job = exec
        .args(args)
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", super::iptables::SEARCH_PATH.join(":"))
        .cwd("/")
        .setpgid()
        .stdin(input.as_bytes().to_vec())
        .stdout(Redirection::Pipe)
        .stderr(Redirection::Pipe)
        .start()
        .map_err(cannot_run)?;
    let ended = job
        .communicate()
        .and_then(|talk| talk.limit_time(limit).limit_size(MAX_OUTPUT).read())
        .and_then(|output| {
            let left = limit.saturating_sub(started.elapsed());
            Ok((output, job.wait_timeout(left)?))
        });
    let timed_out = match &ended {
        Ok((_, status)) => status.is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::TimedOut,
    };
    if timed_out || ended.is_err() {
        // Both fail only if it has ended meanwhile.
        let _ = job.send_signal_group(nix::libc::SIGKILL);
        let _ = job.wait();
    }
    if timed_out {
        return Err(ProgramError::TimedOut { call, limit });
    }
    let ((stdout, stderr), status) = ended.map_err(cannot_run)?;
    debug!(program = %call, status = ?status, took = ?started.elapsed(), "ran");
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => Ok(Output {
            code,
            stdout: text(stdout),
            stderr: text(stderr).trim().to_owned(),
        }),
        Some((None, Some(signal))) => Err(ProgramError::Killed { call, signal }),
        _ => Err(ProgramError::CannotRun {
            call,
            source: std::io::Error::other("its exit status is not known"),
        }),
    }
}

fn call(program: &Path, args: &[&str]) -> String {
    let mut call = program.display().to_string();
    for arg in args {
        call.push(' ');
        call.push_str(arg);
    }
    call
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The first executable file of that name in `folders`.
pub(super) fn find(folders: &[&str], name: &str) -> Option<PathBuf> {
    folders
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok())
}
