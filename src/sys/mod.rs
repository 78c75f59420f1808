//! Every effect on or look at the system: programs, files, accounts, sockets, privileges.
//!
//! No decisions here: each function does one thing and says truthfully how it went. "Could not
//! look" is always an error, never an empty answer.

pub mod accounts;
mod child;
pub mod config;
mod ffi;
pub mod firewall;
pub mod input;
mod iptables;
pub mod kernel;
pub mod lock;
mod netlink;
mod nftables;
mod pipe;
pub mod privileges;
pub mod probe;
mod program;
pub mod services;
pub mod systemd;

pub(crate) use ffi::{clear_environment, wait_for_children};
pub use program::ProgramError;

/// Where programs are looked for, and nowhere else.
pub const SEARCH_PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
