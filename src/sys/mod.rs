//! Every effect on or look at the system: programs, files, accounts, sockets, privileges.
//!
//! No decisions here: each function does one thing and says truthfully how it went. "Could not
//! look" is always an error, never an empty answer.

pub mod accounts;
mod child;
mod ffi;
pub mod iptables;
pub mod kernel;
pub mod lock;
mod nftables;
pub mod privileges;
pub mod probe;
mod program;

pub(crate) use ffi::{clear_environment, wait_for_children};
pub use program::ProgramError;
