//! Reading from children without a thread for each.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe that is read as its bytes come, and another one that is read meanwhile.
///
/// Reading fails with `TimedOut` after the deadline, and with `FileTooLarge` when there is more in
/// a pipe than it may hold; once it has failed so, it fails again.
pub(super) struct Pipes {
    first: File,
    other: Option<File>,
    /// What was read of the other one.
    kept: Vec<u8>,
    deadline: Instant,
    at_most: usize,
    /// How much of the first was read.
    read: usize,
}

impl Pipes {
    /// At most `at_most` bytes of each.
    pub(super) fn new(first: File, other: Option<File>, deadline: Instant, at_most: usize) -> Self {
        Self {
            first,
            other,
            kept: Vec::new(),
            deadline,
            at_most,
            read: 0,
        }
    }

    /// Reads both to their ends; what was in the other one.
    pub(super) fn end(mut self) -> io::Result<Vec<u8>> {
        io::copy(&mut self, &mut io::sink())?;
        while self.other.is_some() {
            self.wait(false)?;
        }
        Ok(self.kept)
    }

    /// Waits for something in either, and takes it out of the other one. Whether there is something
    /// in the first.
    fn wait(&mut self, for_first: bool) -> io::Result<bool> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let first = for_first.then(|| PollFd::new(self.first.as_fd(), PollFlags::POLLIN));
        let other = self.other.as_ref();
        let other = other.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        let mut waiting: Vec<PollFd> = first.into_iter().chain(other).collect();
        match poll(&mut waiting, timeout) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = waiting.iter().map(|pipe| pipe.any().unwrap_or_default());
        let first_is_ready = for_first && ready.next() == Some(true);
        if ready.next() == Some(true) {
            self.keep()?;
        }
        Ok(first_is_ready)
    }

    /// Takes what is in the other one.
    fn keep(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let Some(pipe) = &mut self.other else {
            return Ok(());
        };
        match pipe.read(&mut buffer) {
            Ok(0) => self.other = None,
            Ok(count) => self.kept.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        match self.kept.len() > self.at_most {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(()),
        }
    }
}

impl Read for Pipes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read > self.at_most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        while !self.wait(true)? {}
        let count = self.first.read(buffer)?;
        self.read += count;
        Ok(count)
    }
}
