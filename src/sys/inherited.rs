//! What this process inherits from its caller, and must not depend on.

use nix::sys::stat::{Mode, umask};

use super::ffi;

/// Corrects signals and the umask. To be called first.
pub(crate) fn correct() {
    ffi::correct_signals();
    // The caller may keep new files from group and others, but not from their owner: without
    // CAP_DAC_OVERRIDE, which is dropped, later runs could not open them.
    let others = Mode::S_IRWXG | Mode::S_IRWXO;
    umask(umask(others) & others);
}
