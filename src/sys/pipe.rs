//! Reads the output of children, without a thread for each of them.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe that is read through [`Read`], and a second pipe that is emptied into memory meanwhile.
///
/// A read fails with `TimedOut` if no bytes have arrived at the deadline, and with `FileTooLarge` if one
/// pipe contains more than the limit. After a failure, all later reads fail too, so that incomplete
/// output is never taken for complete output.
pub(super) struct Pipes {
    first: File,
    /// The second pipe, until its end.
    second: Option<File>,
    /// The bytes read from the second pipe.
    second_bytes: Vec<u8>,
    deadline: Instant,
    at_most: usize,
    /// The number of bytes read from the first pipe.
    first_count: usize,
    failed: Option<io::ErrorKind>,
}

impl Pipes {
    /// Each pipe may contain `at_most` bytes.
    pub(super) fn new(
        first: File,
        second: Option<File>,
        deadline: Instant,
        at_most: usize,
    ) -> Self {
        Self {
            first,
            second,
            second_bytes: Vec::new(),
            deadline,
            at_most,
            first_count: 0,
            failed: None,
        }
    }

    /// Reads both pipes to their ends, and returns the bytes of the second pipe.
    pub(super) fn end(mut self) -> io::Result<Vec<u8>> {
        io::copy(&mut self, &mut io::sink())?;
        while self.second.is_some() {
            self.wait(false)?;
        }
        Ok(self.second_bytes)
    }

    /// Stores the failure, if it is one, for later reads.
    fn remember<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let failed = result.as_ref().err().map(io::Error::kind);
        self.failed = failed.filter(|&kind| kind != io::ErrorKind::Interrupted);
        result
    }

    /// Waits for bytes: from the second pipe, and from the first one if `for_first` is set. Reads those
    /// of the second pipe. Returns whether the first pipe has bytes, or is at its end.
    fn wait(&mut self, for_first: bool) -> io::Result<bool> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let first = for_first.then(|| PollFd::new(self.first.as_fd(), PollFlags::POLLIN));
        let second = self.second.as_ref();
        let second = second.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        let mut waiting: Vec<PollFd> = first.into_iter().chain(second).collect();
        match poll(&mut waiting, timeout) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = waiting.iter().map(|pipe| pipe.any().unwrap_or_default());
        let first_is_ready = for_first && ready.next() == Some(true);
        if ready.next() == Some(true) {
            self.read_second()?;
        }
        Ok(first_is_ready)
    }

    /// Reads some bytes of the second pipe.
    fn read_second(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let Some(pipe) = &mut self.second else {
            return Ok(());
        };
        match pipe.read(&mut buffer) {
            Ok(0) => self.second = None,
            Ok(count) => self.second_bytes.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if self.second_bytes.len() > self.at_most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(())
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
            self.first_count += count;
            if self.first_count > self.at_most {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            Ok(count)
        };
        let result = read();
        self.remember(result)
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
    fn reads_after_a_timeout_fail() {
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
        // The rest arrives too late.
        writer.write_all(b"second").unwrap();
        drop(writer);
        let error = pipes.end().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn both_pipes_are_read_to_their_ends_within_the_limit() {
        for (limit, fits) in [(10, true), (9, false)] {
            let ((first, mut to_first), (second, mut to_second)) = (pipe(), pipe());
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut pipes = Pipes::new(first, Some(second), deadline, limit);
            to_first.write_all(&[b'a'; 10]).unwrap();
            to_second.write_all(&[b'b'; 10]).unwrap();
            drop((to_first, to_second));
            let mut read = Vec::new();
            let end = pipes.read_to_end(&mut read).and_then(|_| pipes.end());
            if fits {
                assert_eq!((read, end.unwrap()), (vec![b'a'; 10], vec![b'b'; 10]));
            } else {
                assert_eq!(end.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
            }
        }
    }
}
