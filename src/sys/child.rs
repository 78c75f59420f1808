//! Forked children that do a small thing and report it through a pipe, within a deadline.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, setpgid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::pipe::Pipes;

/// A child reports a few outcomes for each of a hundred probes, or what iptables printed of a chain.
const MAX_REPORT: usize = 1 << 24;

/// A child whose report is not read yet. It leads a process group of its own.
pub(super) struct Child {
    pid: Pid,
    pipe: File,
}

impl Child {
    /// Forks a child that does `work` and reports its result.
    pub(super) fn start<T: Serialize>(work: impl FnOnce() -> T) -> nix::Result<Self> {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let pid = super::ffi::fork(|| {
            let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
            // A report that cannot be written is a missing one: the parent says so.
            if let Ok(report) = serde_json::to_vec(&work()) {
                let _ = File::from(writer).write_all(&report);
            }
        })?;
        // Both sides set it, so that it is set whoever comes first; one of them finds it done.
        let _ = setpgid(pid, pid);
        Ok(Self {
            pid,
            pipe: reader.into(),
        })
    }
}

/// Why a child did not report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoReport {
    #[error("cannot fork: {0}")]
    NoChild(Errno),
    #[error("it did not end in time")]
    TimedOut,
    #[error("it ended without a report")]
    Nothing,
}

/// The reports of all children, in their order. At the deadline those that are not done, and
/// whatever they started, are killed; none is left behind.
pub(super) fn reports<T: DeserializeOwned>(
    children: Vec<Child>,
    limit: Duration,
) -> Vec<Result<T, NoReport>> {
    let deadline = Instant::now() + limit;
    children
        .into_iter()
        .map(|child| {
            let mut report = Vec::new();
            let read = Pipes::new(child.pipe, None, deadline, MAX_REPORT).read_to_end(&mut report);
            // After its report a child has only to end; without one it must.
            let _ = killpg(child.pid, Signal::SIGKILL);
            while waitpid(child.pid, None) == Err(Errno::EINTR) {}
            match read {
                Ok(_) => serde_json::from_slice(&report).map_err(|_| NoReport::Nothing),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(NoReport::TimedOut),
                Err(_) => Err(NoReport::Nothing),
            }
        })
        .collect()
}
