//! Probes as data: who sends them, and their results.
//!
//! The text of a rule does not prove what the kernel does with a packet. So a child process takes
//! the identity of a user, allowed or not, and sends one UDP datagram to the address. The kernel
//! reports at once whether it was sent or denied (EPERM); no server is needed. Identities that are
//! not allowed also try a TCP connect, which must be refused at once.
#![forbid(unsafe_code)]

mod sample;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

pub use self::sample::{Expected, Identity, Sample, sample};
use crate::policy::Address;

/// The destination port of all probes, which is that of the metadata service.
pub const PORT: u16 = 80;

/// The source port of probes that must be refused, by which the rules count them apart.
///
/// It grants nothing: other packets from this port are refused as well, and counted as probes. It is
/// not privileged, and outside of the range that Linux takes ports from by default (32768 to 60999).
pub const SOURCE_PORT: u16 = 16925;

/// The transport protocol of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// The outcome of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The kernel sent the datagram, or the connect was answered.
    Sent,
    /// The kernel denied it (EPERM).
    Denied,
    /// The connect was refused at once.
    Refused,
    /// The connect was not answered within the time limit.
    NoAnswer,
    /// There is no route to the address, so nothing could be sent.
    NoRoute,
    /// The probe could not be sent, for this reason.
    NotMade(String),
}

impl Outcome {
    /// The outcome of a socket call that failed with this code of errno(3).
    #[must_use]
    pub fn of(errno: Errno) -> Self {
        match errno {
            Errno::EPERM => Self::Denied,
            Errno::ECONNREFUSED | Errno::ECONNRESET => Self::Refused,
            // Routing fails before the kernel checks any rule (ip-route(8)): no route, an
            // unreachable, prohibit or blackhole route, a link-local address without an interface,
            // no source address (net.ipv6 disable_ipv6).
            Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::EACCES
            | Errno::EINVAL
            | Errno::EADDRNOTAVAIL => Self::NoRoute,
            errno => Self::NotMade(errno.to_string()),
        }
    }

    /// Whether the outcome of a probe from [`SOURCE_PORT`] counts. If not, the probe is repeated from
    /// another port: this one may be in use, and conntrack may assign a packet to an earlier flow
    /// between the same ports that a NAT rule redirected.
    #[must_use]
    pub fn counts_from_source_port(&self) -> bool {
        matches!(self, Self::Denied | Self::Refused | Self::NoAnswer)
    }
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
    /// The outcome.
    pub outcome: Outcome,
}
