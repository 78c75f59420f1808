//! What other tools and units of this host would do to a lockdown: pure decisions, based on files
//! that [`crate::sys`] read.
#![forbid(unsafe_code)]

pub mod distribution;
pub mod iptables;
mod next_boot;
pub mod nftables_service;
mod unit;

pub use self::next_boot::{NextBoot, configuration};
pub use self::nftables_service::Flush;
pub use self::unit::{Unit, service_of};
use crate::ruleset::NotRead;

/// The unit that installs the lockdown at boot. Enabling it enables the other units too (`Also=`).
pub const BOOT_UNIT: &str = "ip-lockdown.service";

/// The unit that reinstalls rules which other tools remove.
pub const SETTLE_UNIT: &str = "ip-lockdown-settle.service";

/// The units of ip-lockdown, to start and stop.
pub const UNITS: [&str; 3] = [BOOT_UNIT, SETTLE_UNIT, "ip-lockdown-verify.timer"];

/// The unit of firewalld, which removes every iptables rule at each start and reload.
pub const FIREWALLD: &str = "firewalld.service";

/// A unit of cloud-init, which all its versions have.
pub const CLOUD_INIT: &str = "cloud-init-local.service";

/// What is known about other tools on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Whether nftables.service flushes the ruleset.
    pub flush: Result<Flush, NotRead>,
    /// Whether firewalld starts at boot.
    pub firewalld_at_boot: Result<bool, NotRead>,
    /// What our boot unit locks at the next boot.
    pub next_boot: Result<NextBoot, NotRead>,
}
