//! Starts programs. Only the queries of the crate `iptables` ([`super::iptables`]) start programs
//! elsewhere.
//!
//! A program is started by its absolute path, with an environment of a few fixed variables, in its own
//! process group, with a time limit and a limit for its output. The caller learns how it ended.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{AccessFlags, Pid, access};
use thiserror::Error;
use tracing::debug;

use super::pipe::Pipes;

/// Variables that keep name service modules from asking their directory: those of SSSD, Samba's winbind
/// and systemd. No program that is started here needs a directory, but iptables looks up every id of an
/// owner match as a name first. Modules without such a variable are asked.
const WITHOUT_DIRECTORIES: [(&str, &str); 3] = [
    ("_SSS_LOOPS", "NO"),
    ("_NO_WINBINDD", "1"),
    ("SYSTEMD_NSS_DYNAMIC_BYPASS", "1"),
];

/// The limit for the output, in bytes: enough for hundreds of thousands of rules.
const MAX_OUTPUT: usize = 256 << 20;

/// The time to read the output of a program that has ended.
const READ_TIME: Duration = Duration::from_secs(2);

/// The result of a program that exited. Bytes that are not UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// The exit code, 0 to 255.
    pub(super) code: i32,
    /// What the program printed to standard output.
    pub(super) stdout: String,
    /// What the program printed to standard error, in one line.
    pub(super) stderr: String,
}

/// Why a program returned no exit code.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// The program could not be started, or its output could not be read.
    #[error("cannot run {call}: {source}")]
    CannotRun {
        /// Program and arguments.
        call: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The program was killed after its time limit.
    #[error("{call} did not end within {limit:?} and was killed")]
    TimedOut {
        /// Program and arguments.
        call: String,
        /// The time limit.
        limit: Duration,
    },
    /// A signal killed the program.
    #[error("{call} was killed by signal {signal}")]
    Killed {
        /// Program and arguments.
        call: String,
        /// The number of the signal.
        signal: i32,
    },
}

impl ProgramError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            // The input of the program is a file in memory.
            Self::CannotRun { source, .. }
                if source.raw_os_error() == Some(Errno::EFBIG as i32) =>
            {
                Some("raise the limit for the size of files: `ulimit -f unlimited`".to_owned())
            }
            _ => None,
        }
    }
}

/// Starts `program` with `input` as its standard input. The time limit begins now.
///
/// # Errors
/// The program cannot be started.
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
            .envs(WITHOUT_DIRECTORIES)
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

/// A file in memory with this text. Unlike a pipe, no thread has to write to it while the program runs.
fn file_of(text: &str) -> std::io::Result<File> {
    let mut file: File = memfd_create(c"input", MFdFlags::MFD_CLOEXEC)?.into();
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// A program that has been started.
pub(super) struct Running {
    call: String,
    started: Instant,
    limit: Duration,
    child: Child,
}

impl Running {
    /// Waits for the end of the program, within its time limit.
    ///
    /// # Errors
    /// The program did not end in time, and its process group was killed; or a signal killed it. An
    /// exit code other than 0 is not an error here.
    pub(super) fn finish(mut self) -> Result<Output, ProgramError> {
        // Several programs run at the same time, and are finished one after the other. If one of them
        // used up its time, there must be time to read the output of the next, which may have ended.
        let deadline = (self.started + self.limit).max(Instant::now() + READ_TIME);
        let ended = output(&mut self.child, deadline).and_then(|mut output| {
            let mut stdout = Vec::new();
            // `Pipes::end` returns a failure again.
            let _ = output.read_to_end(&mut stdout);
            let stderr = output.end()?;
            let status = wait(&mut self.child, deadline)?;
            Ok((text(stdout), stderr, status))
        });
        if ended.is_err() {
            // This fails if the program has ended meanwhile.
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
        let (stdout, stderr, status) = match ended {
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
                stderr: one_line(&text(stderr)),
            }),
            (None, Some(signal)) => Err(ProgramError::Killed { call, signal }),
            (None, None) => Err(ProgramError::CannotRun {
                call,
                source: io::Error::other("the exit status is unknown"),
            }),
        }
    }
}

/// The pipes from standard output and standard error.
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
        _ => Err(io::Error::other(
            "standard output or standard error is not a pipe",
        )),
    }
}

/// Waits for the end of a program that has closed its output, and so ends soon.
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

/// The lines of the text joined, at most 400 characters.
fn one_line(stderr: &str) -> String {
    const MAX_LENGTH: usize = 400;
    let lines: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let joined = lines.join("; ");
    match joined.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{}...", joined.get(..end).unwrap_or(&joined)),
        None => joined,
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The first executable file with this name in the search path; `None` if no folder contains one.
///
/// # Errors
/// As for execvp(3), a file that cannot be run is an error only if no later folder contains another one.
pub(super) fn find(name: &str) -> Result<Option<PathBuf>, ProgramError> {
    let mut unusable = None;
    for folder in super::SEARCH_PATH {
        let path = Path::new(folder).join(name);
        match access(&path, AccessFlags::X_OK) {
            Ok(()) => return Ok(Some(path)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => {
                unusable.get_or_insert(ProgramError::CannotRun {
                    call: call(&path, &[]),
                    source: errno.into(),
                });
            }
        }
    }
    unusable.map_or(Ok(None), Err)
}
