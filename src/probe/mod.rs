//! Probes as data: who sends them, and their results.
//!
//! The text of a rule does not prove what the kernel does with a packet. So a child process takes
//! the identity of a user, allowed or not, sends one UDP datagram to the address, and tries one TCP
//! connect. The kernel reports at once whether the datagram was sent or denied (EPERM), and whether
//! a rule refused the connect; no server is needed.
#![forbid(unsafe_code)]

mod outcome;
mod queues;
mod sample;

use serde::{Deserialize, Serialize};

pub use self::outcome::Outcome;
pub use self::queues::{QueueError, Queues, beside_queues};
pub use self::sample::{Expected, Identity, Listed, Sample, sample};
use crate::policy::Address;

/// The destination port of all probes, which is that of the metadata service.
pub const PORT: u16 = 80;

/// The source port of probes that must be refused, by which the rules count them apart.
///
/// It grants nothing: other packets from this port are refused as well, and counted as probes. It is
/// not privileged, and outside of the range that Linux takes ports from by default (32768 to 60999).
pub const SOURCE_PORT: u16 = 16925;

/// The transport protocol of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One datagram.
    Udp,
    /// One connect.
    Tcp,
}

impl Transport {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// Its name, as iptables and nft write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// The way on which a probe is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// The route to the address, as for every other packet.
    Route,
    /// The loopback interface `lo`, because there is no route. The rules of the output hooks apply as
    /// usual, unless they name an interface; then the kernel discards the packet. IPv4 only.
    Lo,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeResult {
    /// The identity that sent it.
    #[serde(rename = "witness")]
    pub identity: Identity,
    /// The address that it was sent to.
    pub address: Address,
    /// The transport protocol.
    pub transport: Transport,
    /// The way on which it was sent.
    pub via: Via,
    /// The outcome.
    pub outcome: Outcome,
}
