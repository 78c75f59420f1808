//! The only place where a program is started, but for the questions that the crate `iptables` asks
//! ([`super::iptables`]).
//!
//! By absolute path, with an environment of two fixed variables, its own process group, a time
//! limit and a bound on its output. However it ends, the caller learns how.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thiserror::Error;
use tracing::debug;

use super::pipe::Pipes;

/// Enough for hundreds of thousands of rules; a program that prints more is not iptables.
const MAX_OUTPUT: usize = 256 << 20;

/// How long reading from a program that has ended may take.
const MOMENT: Duration = Duration::from_secs(2);

/// What a program that ended by itself left behind. Bytes that are not UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// Its exit code, 0 to 255.
    pub(super) code: i32,
    /// What it printed, as it was read.
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
    let mut command = Command::new(program);
    let child = file_of(input).and_then(|input| {
        command
            .args(args)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", super::SEARCH_PATH.join(":"))
            .current_dir("/")
            .process_group(0)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    });
    match child {
        Ok(child) => Ok(Running {
            call,
            started,
            limit,
            child,
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
    child: Child,
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
        let deadline = (self.started + self.limit).max(Instant::now() + MOMENT);
        let ended = output(&mut self.child, deadline).and_then(|mut output| {
            let mut printed = Vec::new();
            // A failure is met again at the end.
            let _ = output.read_to_end(&mut printed);
            let complaints = output.end()?;
            let status = wait(&mut self.child, deadline)?;
            Ok((text(printed), complaints, status))
        });
        if ended.is_err() {
            // It may have ended meanwhile.
            if let Ok(group) = i32::try_from(self.child.id()) {
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            let _ = self.child.wait();
        }
        let Self {
            call,
            started,
            limit,
            ..
        } = self;
        let (stdout, complaints, status) = match ended {
            Ok(ended) => ended,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(ProgramError::TimedOut { call, limit });
            }
            Err(source) => return Err(ProgramError::CannotRun { call, source }),
        };
        debug!(program = %call, ?status, took = ?started.elapsed(), "ran");
        match (status.code(), status.signal()) {
            (Some(code), _) => Ok(Output {
                code,
                stdout,
                stderr: one_line(&text(complaints)),
            }),
            (None, Some(signal)) => Err(ProgramError::Killed { call, signal }),
            (None, None) => Err(ProgramError::CannotRun {
                call,
                source: io::Error::other("its exit status is not known"),
            }),
        }
    }
}

/// What it prints, and what it complains about.
fn output(child: &mut Child, deadline: Instant) -> io::Result<Pipes> {
    let pipes: [Option<OwnedFd>; 2] = [
        child.stdout.take().map(OwnedFd::from),
        child.stderr.take().map(OwnedFd::from),
    ];
    match pipes {
        [Some(stdout), Some(stderr)] => Ok(Pipes::new(
            stdout.into(),
            Some(stderr.into()),
            deadline,
            MAX_OUTPUT,
        )),
        _ => Err(io::Error::other("it was not given pipes")),
    }
}

/// Waits for the end of a program that has closed its output, which is near.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
    let mut pause = Duration::from_micros(20);
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(status),
            None if Instant::now() > deadline => return Err(io::ErrorKind::TimedOut.into()),
            None => sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(5));
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

/// The lines joined.
fn one_line(complaint: &str) -> String {
    const SHOWN: usize = 400;
    let lines: Vec<&str> = complaint
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
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
