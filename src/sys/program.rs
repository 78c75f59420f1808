//! The only place where a program is started.
//!
//! By absolute path, with an environment of two fixed variables, its own process group, a time
//! limit and a bound on its output. However it ends, the caller learns how.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use subprocess::{Exec, ExecExt as _, Job, JobExt as _, Redirection};
use thiserror::Error;
use tracing::debug;

/// Enough for hundreds of thousands of rules; a program that prints more is not iptables.
const MAX_OUTPUT: usize = 256 << 20;

/// How long reading from a program that has ended may take.
const MOMENT: Duration = Duration::from_secs(2);

/// What a program that ended by itself left behind. Bytes that are not UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// Its exit code, 0 to 255.
    pub(super) code: u32,
    /// What it printed.
    pub(super) stdout: String,
    /// What it complained about, in one line.
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

/// Starts `program` with `input` on its standard input; it may take `limit` from now on.
///
/// # Errors
/// It could not be started.
pub(super) fn start(
    program: &Path,
    args: &[&str],
    input: &str,
    limit: Duration,
) -> Result<Running, ProgramError> {
    debug_assert!(program.is_absolute());
    let call = call(program, args);
    let started = Instant::now();
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where programs are started"
    )]
    let exec = Exec::cmd(program);
    let job = file_of(input).and_then(|input| {
        exec.args(args)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", super::SEARCH_PATH.join(":"))
            .cwd("/")
            .setpgid()
            .stdin(input)
            .stdout(Redirection::Pipe)
            .stderr(Redirection::Pipe)
            .start()
    });
    match job {
        Ok(job) => Ok(Running {
            call,
            started,
            limit,
            job,
        }),
        Err(source) => Err(ProgramError::CannotRun { call, source }),
    }
}

/// A file in memory to read from: nobody has to feed it, so programs run at the same time without
/// a thread for each.
fn file_of(text: &str) -> std::io::Result<File> {
    let mut file: File = memfd_create(c"input", MFdFlags::MFD_CLOEXEC)?.into();
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// A program that was started.
pub(super) struct Running {
    call: String,
    started: Instant,
    limit: Duration,
    job: Job,
}

impl Running {
    /// Waits for its end, as long as its time is not over.
    ///
    /// # Errors
    /// It did not end in time (it and its process group are then killed), or was ended by a
    /// signal. An exit code other than 0 is no error here.
    pub(super) fn finish(mut self) -> Result<Output, ProgramError> {
        // The programs are finished one after the other: one that ended long ago needs a moment
        // to be read, even if the one before it has used up the time.
        let left = |started: Instant| self.limit.saturating_sub(started.elapsed()).max(MOMENT);
        let ended = self
            .job
            .communicate()
            .and_then(|talk| {
                talk.limit_time(left(self.started))
                    .limit_size(MAX_OUTPUT)
                    .read()
            })
            .and_then(|output| Ok((output, self.job.wait_timeout(left(self.started))?)));
        let timed_out = match &ended {
            Ok((_, status)) => status.is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::TimedOut,
        };
        if timed_out || ended.is_err() {
            // Both fail only if it has ended meanwhile.
            let _ = self.job.send_signal_group(nix::libc::SIGKILL);
            let _ = self.job.wait();
        }
        let Self {
            call,
            started,
            limit,
            ..
        } = self;
        if timed_out {
            return Err(ProgramError::TimedOut { call, limit });
        }
        let ((stdout, stderr), status) = match ended {
            Ok(ended) => ended,
            Err(source) => return Err(ProgramError::CannotRun { call, source }),
        };
        debug!(program = %call, ?status, took = ?started.elapsed(), "ran");
        match status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => Ok(Output {
                code,
                stdout: text(stdout),
                stderr: one_line(&text(stderr)),
            }),
            Some((None, Some(signal))) => Err(ProgramError::Killed { call, signal }),
            _ => Err(ProgramError::CannotRun {
                call,
                source: std::io::Error::other("its exit status is not known"),
            }),
        }
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

/// The lines joined, without those that only point at something above them, as nft's do.
fn one_line(complaint: &str) -> String {
    const SHOWN: usize = 400;
    let says_something = |line: &&str| line.contains(|letter| !matches!(letter, '^' | '~' | ' '));
    let lines: Vec<&str> = complaint
        .lines()
        .map(str::trim)
        .filter(says_something)
        .collect();
    let joined = lines.join("; ");
    match joined.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", joined.get(..end).unwrap_or(&joined)),
        None => joined,
    }
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
