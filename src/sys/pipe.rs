//! Reading from children without a thread for each.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe that is read as its bytes come, and another one that is read meanwhile.
///
/// Reading fails with `TimedOut` when there is nothing to read at the deadline, and with
/// `FileTooLarge` when there is more in a pipe than it may hold. Once it has failed, it fails again:
/// what broke off is never taken for whole.
pub(super) struct Pipes {
    first: File,
    other: Option<File>,
    /// What was read of the other one.
    kept: Vec<u8>,
    deadline: Instant,
    at_most: usize,
    /// How much of the first was read.
    read: usize,
    failed: Option<io::ErrorKind>,
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
            failed: None,
        }
    }

    /// Reads both to their ends; what was in the other one.
    pub(super) fn end(mut self) -> io::Result<Vec<u8>> {
        io::copy(&mut self, &mut io::sink())?;
        // Nothing has failed so far.
        while self.other.is_some() {
            self.wait(false)?;
        }
        Ok(self.kept)
    }

    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let failed = result.as_ref().err().map(io::Error::kind);
        self.failed = failed.filter(|&kind| kind != io::ErrorKind::Interrupted);
        result
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
        if let Some(kind) = self.failed {
            return Err(kind.into());
        }
        let mut read = || {
            while !self.wait(true)? {}
            let count = self.first.read(buffer)?;
            self.read += count;
            match self.read > self.at_most {
                true => Err(io::ErrorKind::FileTooLarge.into()),
                false => Ok(count),
            }
        };
        let result = read();
        self.noted(result)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;

    fn pipe() -> (File, File) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        (reader.into(), writer.into())
    }

    #[test]
    fn what_broke_off_is_never_whole() {
        let (reader, mut writer) = pipe();
        let deadline = Instant::now() + Duration::from_millis(10);
        let mut pipes = Pipes::new(reader, None, deadline, 100);
        writer.write_all(b"first").unwrap();
        let mut read = Vec::new();
        let error = pipes.read_to_end(&mut read).unwrap_err();
        assert_eq!(
            (error.kind(), &*read),
            (io::ErrorKind::TimedOut, &b"first"[..])
        );
        // All the rest comes, too late.
        writer.write_all(b"second").unwrap();
        drop(writer);
        let error = pipes.end().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn both_pipes_are_read_to_their_ends_and_no_further_than_they_may_hold() {
        for (held, fits) in [(10, true), (9, false)] {
            let ((first, mut to_first), (other, mut to_other)) = (pipe(), pipe());
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut pipes = Pipes::new(first, Some(other), deadline, held);
            to_first.write_all(&[b'a'; 10]).unwrap();
            to_other.write_all(&[b'b'; 10]).unwrap();
            drop((to_first, to_other));
            let mut read = Vec::new();
            let end = pipes.read_to_end(&mut read).and_then(|_| pipes.end());
            match fits {
                true => assert_eq!((read, end.unwrap()), (vec![b'a'; 10], vec![b'b'; 10])),
                false => assert_eq!(end.unwrap_err().kind(), io::ErrorKind::FileTooLarge),
            }
        }
    }
}
