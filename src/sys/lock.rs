//! One change at a time: every command that changes rules holds a lock file, and so does every
//! program that it starts. When the command is killed, a transaction that it started continues; the
//! next change must wait for it. A change of the configuration locks the file's directory instead.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use thiserror::Error;

/// The lock file. `/run` belongs to root and is emptied at boot, as the rules are.
pub const PATH: &str = "/run/ip-lockdown.lock";

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// A lock, held until dropped. The kernel releases it when the process ends, however that happens;
/// after [`exclusive`], when the programs that it started have ended as well.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "holds the lock")] Flock<File>);

/// The number of locks that this process holds.
static HELD: AtomicUsize = AtomicUsize::new(0);

impl Held {
    fn new(lock: Flock<File>) -> Self {
        HELD.fetch_add(1, Ordering::Relaxed);
        Self(lock)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether this process holds a lock, for which other runs may wait.
#[must_use]
pub fn is_held() -> bool {
    HELD.load(Ordering::Relaxed) > 0
}

/// Why the lock is not held.
#[derive(Debug, Error)]
pub enum LockError {
    /// The file cannot be opened.
    #[error("cannot open the lock file {PATH}: {0}")]
    Open(#[source] io::Error),
    /// Something else is in the place of the file.
    #[error("cannot open the lock file {PATH}: it is not a regular file")]
    NotAFile,
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
            Self::NotAFile => Some(format!("remove {PATH}, then run the command again")),
            Self::Open(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!("run `chmod 600 {PATH}` as root"))
            }
            Self::Open(_) | Self::Lock { .. } => None,
        }
    }

    /// Whether another run holds the lock. All other errors mean that the file cannot be used.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// Takes the lock for a change, waiting at most `limit`.
///
/// # Errors
/// The file cannot be opened or locked, or another run held the lock for all of `limit`.
pub fn exclusive(limit: Duration) -> Result<Held, LockError> {
    let file = open(OFlag::O_CREAT)?;
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
    match open(OFlag::empty()) {
        Ok(file) => take(file, Path::new(PATH), FlockArg::LockSharedNonblock, limit).map(Some),
        Err(LockError::Open(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the lock file for reading, which is sufficient for every lock (flock(2)). Never waits, also
/// if the file is a FIFO (fifo(7)).
fn open(flags: OFlag) -> Result<File, LockError> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::open(PATH, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    let file: File = match opened {
        Ok(file) => file.into(),
        // A link, a directory or a socket.
        Err(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO) => return Err(LockError::NotAFile),
        Err(errno) => return Err(LockError::Open(errno.into())),
    };
    match file.metadata() {
        Ok(found) if found.is_file() => Ok(file),
        Ok(_) => Err(LockError::NotAFile),
        Err(error) => Err(LockError::Open(error)),
    }
}

fn take(mut file: File, path: &Path, how: FlockArg, limit: Duration) -> Result<Held, LockError> {
    let deadline = Instant::now() + limit;
    loop {
        file = match Flock::lock(file, how) {
            Ok(lock) => return Ok(Held::new(lock)),
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
