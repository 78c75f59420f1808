//! Every effect on the system, and every look at it: programs, files, accounts, sockets, privileges.
//!
//! Nothing is decided here: a function does one thing and reports the result. "Could not look" is
//! always an error, never an empty answer.

pub mod accounts;
mod child;
pub mod config;
mod error;
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
pub mod systemd;
pub mod units;

pub use error::FirewallError;
pub(crate) use ffi::{clear_environment, wait_for_children};
pub use program::ProgramError;

/// Where programs are searched for, and nowhere else.
pub const SEARCH_PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
