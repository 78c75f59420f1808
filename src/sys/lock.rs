//! One change at a time: every command that changes rules holds a lock file, and so does every
//! program that it starts. When the command is killed, a transaction that it started continues; the
//! next change must wait for it. A change of the configuration locks the file's directory instead.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use thiserror::Error;

/// The lock file. `/run` belongs to root and is emptied at boot, as the rules are.
pub const PATH: &str = "/run/ip-lockdown.lock";

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// A lock, held until dropped. The kernel releases it when the process ends, however that happens;
/// after [`exclusive`], when the programs that it started have ended as well.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "holds the lock")] Flock<File>);

/// Why the lock is not held.
#[derive(Debug, Error)]
pub enum LockError {
    /// The file cannot be opened.
    #[error("cannot open the lock file {PATH}: {0}")]
    Open(#[source] io::Error),
    /// The file or directory cannot be locked.
    #[error("cannot lock {}: {source}", path.display())]
    Lock {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another run holds it.
    #[error(
        "another ip-lockdown has held {} for {limit:?}; this run changed nothing",
        path.display()
    )]
    Busy {
        /// The file or directory.
        path: PathBuf,
        /// How long this run waited.
        limit: Duration,
    },
}

impl LockError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Busy { .. } => Some("run it again, or wait longer with --wait".to_owned()),
            Self::Open(_) | Self::Lock { .. } => None,
        }
    }
}

/// Takes the lock for a change, waiting at most `limit`.
///
/// # Errors
/// The file cannot be opened or locked, or another run held the lock for all of `limit`.
pub fn exclusive(limit: Duration) -> Result<Held, LockError> {
    let file =
        open(OpenOptions::new().read(true).write(true).create(true)).map_err(LockError::Open)?;
    // The lock belongs to the open file (flock(2)), so that a program which inherits it holds it.
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))
        .map_err(|errno| failed(Path::new(PATH), errno))?;
    take(
        file,
        Path::new(PATH),
        FlockArg::LockExclusiveNonblock,
        limit,
    )
}

/// Locks a directory, to change a file in it. The lock of [`exclusive`] protects rules, and requires
/// `/run`, which an image may not have.
///
/// # Errors
/// As for [`exclusive`].
pub fn folder(path: &Path, limit: Duration) -> Result<Held, LockError> {
    let folder = File::open(path).map_err(|error| failed(path, error))?;
    take(folder, path, FlockArg::LockExclusiveNonblock, limit)
}

/// Takes the lock for reading, so that no other run changes rules meanwhile. Creates no file: before
/// the first change the file does not exist, and this returns `None`.
///
/// # Errors
/// As for [`exclusive`].
pub fn shared(limit: Duration) -> Result<Option<Held>, LockError> {
    match open(OpenOptions::new().read(true)) {
        Ok(file) => take(file, Path::new(PATH), FlockArg::LockSharedNonblock, limit).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LockError::Open(error)),
    }
}

fn open(options: &mut OpenOptions) -> io::Result<File> {
    options
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC)
        .open(Path::new(PATH))
}

fn take(mut file: File, path: &Path, how: FlockArg, limit: Duration) -> Result<Held, LockError> {
    let deadline = Instant::now() + limit;
    loop {
        file = match Flock::lock(file, how) {
            Ok(held) => return Ok(Held(held)),
            Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < deadline => file,
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                return Err(LockError::Busy {
                    path: path.to_owned(),
                    limit,
                });
            }
            Err((_, errno)) => return Err(failed(path, errno)),
        };
        std::thread::sleep(PAUSE);
    }
}

fn failed(path: &Path, source: impl Into<io::Error>) -> LockError {
    LockError::Lock {
        path: path.to_owned(),
        source: source.into(),
    }
}
