//! The only home of `unsafe`.
#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid};

/// Empties this process's environment, so that neither programs nor the C library's name service
/// modules are led by it.
pub(crate) fn clear_environment() {
    // SAFETY: `commands::main` calls this before any other thread exists (this program starts
    // none), so nobody reads the environment at the same time (clearenv(3), "MT-Unsafe const:env").
    let cleared = unsafe { nix::libc::clearenv() };
    debug_assert_eq!(cleared, 0, "the environment of a C program can be cleared");
}

/// Lets children be waited for, whatever the caller left behind: with SIGCHLD ignored the kernel
/// would throw their exit codes away (sigaction(2), "ERRORS" of wait(2)).
pub(crate) fn wait_for_children() {
    // SAFETY: the default action is no function of ours, so nothing can be called at a bad moment.
    let reset = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    debug_assert!(
        reset.is_ok(),
        "SIGCHLD can always be given its default action"
    );
}

/// Forks; `run` is what the child does, and it never returns.
///
/// The caller must not hold locks that `run` takes. This program starts no threads.
pub(super) fn fork(run: impl FnOnce()) -> nix::Result<Pid> {
    // SAFETY: this process has one thread (see above), so the child inherits no lock that another
    // thread holds and may allocate and call the C library (fork(2), POSIX
    // "fork", signal-safety(7)). It leaves by `_exit`, which runs none of the parent's handlers.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // A panic that unwinds ends here: the child must never run the parent's code.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            // SAFETY: `_exit(2)` has no preconditions.
            unsafe { nix::libc::_exit(0) }
        }
    }
}

/// The names of all users that the name service lists, at most `most`.
pub(super) fn user_names(most: usize) -> Vec<String> {
    // SAFETY: `getpwent(3)` keeps one cursor for the whole process, so only one iterator may
    // live at a time: this is the only call, and the iterator ends here.
    unsafe { users::all_users() }
        .take(most)
        .filter_map(|user| user.name().to_str().map(str::to_owned))
        .collect()
}

/// The names of all groups that the name service lists, at most `most`.
pub(super) fn group_names(most: usize) -> Vec<String> {
    // SAFETY: as for `user_names`, with `getgrent(3)`.
    unsafe { users::all_groups() }
        .take(most)
        .filter_map(|group| group.name().to_str().map(str::to_owned))
        .collect()
}
