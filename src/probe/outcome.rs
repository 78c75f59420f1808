//! What became of a probe.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::Transport;

/// The outcome of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The kernel sent the datagram, or the service answered the connect.
    Sent,
    /// The kernel denied it (EPERM).
    Denied,
    /// A rule of this host refused the connect at once.
    Refused,
    /// No rule of this host refused the connect, and the service did not accept it in time. A service
    /// that answers with a reset, because its port is closed, counts as one that does not answer.
    NoAnswer,
    /// There is no route to the address, so nothing could be sent.
    NoRoute,
    /// A route of the type `prohibit`, or a security module, denied it before any rule (EACCES).
    Prohibited,
    /// A program that reads packets from a queue (NFQUEUE) may have held the packet, so that it was
    /// neither refused nor sent.
    Held,
    /// The probe could not be sent, for this reason.
    NotMade(String),
}

impl Outcome {
    /// The outcome of a sendto(2) or connect(2) that failed with this code. It is no result of other
    /// calls, such as socket(2): their errors mean [`Outcome::NotMade`].
    #[must_use]
    pub fn of_send(errno: Errno) -> Self {
        match errno {
            Errno::EPERM => Self::Denied,
            Errno::ECONNREFUSED | Errno::ECONNRESET => Self::Refused,
            Errno::EACCES => Self::Prohibited,
            // Routing fails before the kernel checks any rule (ip-route(8)): no route, an
            // unreachable or blackhole route, a link-local address without an interface, no source
            // address (net.ipv6 disable_ipv6).
            Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL | Errno::EADDRNOTAVAIL => {
                Self::NoRoute
            }
            errno => Self::NotMade(format!("cannot send: {errno}")),
        }
    }

    /// Whether the outcome of a probe from [`super::SOURCE_PORT`] counts. If not, the probe is repeated
    /// from another port: this one may be in use, and conntrack may assign a packet to an earlier flow
    /// between the same ports that a NAT rule redirected.
    #[must_use]
    pub fn counts_from_source_port(&self) -> bool {
        matches!(self, Self::Denied | Self::Refused | Self::NoAnswer)
    }

    /// Whether a rule refused the probe.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Denied | Self::Refused)
    }

    /// Whether the probe never met a rule.
    #[must_use]
    pub fn is_without_route(&self) -> bool {
        matches!(self, Self::NoRoute | Self::Prohibited)
    }

    /// Whether a packet that a queue held would have the same outcome. The kernel reports a queued
    /// datagram as sent, whatever becomes of it, and a queued SYN gets no answer. An answered connect
    /// and a refusal are the same with a queue.
    #[must_use]
    pub fn may_be_queued(&self, transport: Transport) -> bool {
        matches!(
            (transport, self),
            (Transport::Udp, Self::Sent) | (Transport::Tcp, Self::NoAnswer)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answered_connect_and_a_refusal_are_certain_beside_a_queue() {
        for certain in [Outcome::Sent, Outcome::Refused, Outcome::Denied] {
            assert!(!certain.may_be_queued(Transport::Tcp), "{certain:?}");
        }
        assert!(Outcome::NoAnswer.may_be_queued(Transport::Tcp));
        assert!(Outcome::Sent.may_be_queued(Transport::Udp));
        assert!(!Outcome::Denied.may_be_queued(Transport::Udp));
    }
}
