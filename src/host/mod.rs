//! What other tools and units of this host would do to a lockdown: pure decisions, based on files
//! that [`crate::sys`] read.
#![forbid(unsafe_code)]

pub mod distribution;
mod interfaces;
pub mod nftables_service;
mod unit;

pub use self::interfaces::Interfaces;
pub use self::nftables_service::Flush;
pub use self::unit::Unit;
use crate::ruleset::NotRead;

/// The unit of firewalld, which removes every iptables rule at each start and reload.
pub const FIREWALLD: &str = "firewalld.service";

/// What is known about this host and its other tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Whether nftables.service flushes the ruleset.
    pub flush: Result<Flush, NotRead>,
    /// Whether firewalld starts at boot.
    pub firewalld_at_boot: Result<bool, NotRead>,
    /// The addresses of this host itself.
    pub interfaces: Result<Interfaces, NotRead>,
}
