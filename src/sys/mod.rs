//! All effects on the system, and all reads from it: programs, files, accounts, sockets, privileges.
//!
//! These modules decide nothing: a function does one thing and returns the result. A failed read is
//! always an error, never an empty result.

pub mod accounts;
mod child;
pub mod config;
mod error;
mod ffi;
pub mod firewall;
mod inherited;
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
pub(crate) use ffi::clear_environment;
pub(crate) use inherited::correct as correct_inherited;
pub use program::ProgramError;

/// The only directories in which programs are searched for.
pub const SEARCH_PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
