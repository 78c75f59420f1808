//! Forked children that do a small task and report the result through a pipe, within a time limit.

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

/// The limit for one report, in bytes. A report contains the results of some probes, or a chain as
/// iptables prints it.
const MAX_REPORT: usize = 1 << 24;

/// A child whose report has not been read yet. It is the leader of its own process group.
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
            // If the report cannot be written, the parent returns `NoReport::Nothing`.
            if let Ok(report) = serde_json::to_vec(&work()) {
                let _ = File::from(writer).write_all(&report);
            }
        })?;
        // Parent and child both set the group, so that it is set whichever runs first. One call may fail.
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
    #[error("the process did not end in time")]
    TimedOut,
    #[error("the process ended without a report")]
    Nothing,
}

/// The reports of all children, in the same order. Children that have not reported within `limit` are
/// killed, together with the processes that they started. No child outlives this function.
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
            // A child that has reported has nothing left to do, and one that has not is late.
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
