//! All `unsafe` code.
#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid};

/// Clears the environment of this process, so that variables change neither programs nor the name
/// service modules of the C library.
pub(crate) fn clear_environment() {
    // SAFETY: this program has one thread, so nothing reads the environment at the same time
    // (clearenv(3), "MT-Unsafe const:env").
    let cleared = unsafe { nix::libc::clearenv() };
    debug_assert_eq!(cleared, 0, "clearenv does not fail");
}

/// Restores the default action of SIGCHLD: if the calling process ignored the signal, the kernel would
/// discard the exit codes of children (wait(2), "ERRORS"). Ignores SIGXFSZ: a file beyond its limit
/// then is an error (setrlimit(2)), not the end of this process in the middle of a change.
pub(super) fn correct_signals() {
    // SAFETY: neither action is a handler function, so no code runs when a signal arrives.
    let corrected = unsafe {
        signal(Signal::SIGCHLD, SigHandler::SigDfl)
            .and_then(|_| signal(Signal::SIGXFSZ, SigHandler::SigIgn))
    };
    debug_assert!(corrected.is_ok(), "the actions can be set");
}

/// Forks. The child calls `run` and exits.
///
/// The caller must not hold locks that `run` takes.
pub(super) fn fork(run: impl FnOnce()) -> nix::Result<Pid> {
    // SAFETY: this process has one thread (see above), so the child inherits no lock that another
    // thread holds and may allocate and call the C library (fork(2), POSIX
    // "fork", signal-safety(7)). It leaves by `_exit`, which runs none of the parent's handlers.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // If `run` panics, the child must not unwind into the code of the parent.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            // SAFETY: `_exit(2)` has no preconditions.
            unsafe { nix::libc::_exit(0) }
        }
    }
}

/// The names of the users that the name service lists, at most `most`.
pub(super) fn user_names(most: usize) -> Vec<String> {
    // SAFETY: `getpwent(3)` has one cursor for the whole process, so only one iterator may exist at a
    // time. This is the only call, and the iterator does not leave this function.
    unsafe { users::all_users() }
        .take(most)
        .filter_map(|user| user.name().to_str().map(str::to_owned))
        .collect()
}

/// The names of the groups that the name service lists, at most `most`.
pub(super) fn group_names(most: usize) -> Vec<String> {
    // SAFETY: as for `user_names`, with `getgrent(3)`.
    unsafe { users::all_groups() }
        .take(most)
        .filter_map(|group| group.name().to_str().map(str::to_owned))
        .collect()
}
