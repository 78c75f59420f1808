//! Reading from children without a thread for each.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Reads all the pipes to their ends, at most `at_most` bytes of each.
///
/// # Errors
/// `TimedOut` when they do not end before the deadline, `FileTooLarge` when there is more, and
/// what reading itself says.
pub(super) fn read_all<const N: usize>(
    mut pipes: [File; N],
    deadline: Instant,
    at_most: usize,
) -> io::Result<[Vec<u8>; N]> {
    let mut read = [const { Vec::new() }; N];
    let mut open: Vec<usize> = (0..N).collect();
    let mut buffer = vec![0; 1 << 16];
    while !open.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut waiting: Vec<PollFd> = open
            .iter()
            .filter_map(|&nth| Some(PollFd::new(pipes.get(nth)?.as_fd(), PollFlags::POLLIN)))
            .collect();
        match poll(&mut waiting, timeout) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = waiting
            .iter()
            .map(|pipe| pipe.any().unwrap_or_default())
            .collect();
        let mut ready = ready.into_iter();
        let mut ended = Vec::new();
        for &nth in &open {
            let (Some(true), Some(pipe), Some(bytes)) =
                (ready.next(), pipes.get_mut(nth), read.get_mut(nth))
            else {
                continue;
            };
            match pipe.read(&mut buffer) {
                Ok(0) => ended.push(nth),
                Ok(count) => bytes.extend(buffer.iter().take(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if bytes.len() > at_most {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        open.retain(|nth| !ended.contains(nth));
    }
    Ok(read)
}
