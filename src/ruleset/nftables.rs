//! The layer `nftables`: our own table `inet ip_lockdown`, for both families.
//!
//! ```text
//! desired ----------------------------+
//!                                     +-> operations -> encode -> (netlink)
//! (netlink) -> object -> decode ------+              -> render -> what people read
//! ```
//! The table is changed and read over netlink, without nft. A listing by nft may omit what a later
//! version of nft wrote; a netlink dump is complete.
//!
//! The table has the same chains and rules as the iptables layers ([`super::model`]). In chain
//! names, `_` replaces each `:` of an IPv6 address.
//!
//! The uids are rules, not elements of a set. The kernel installs the new rules of a transaction at
//! one instant, but a lookup in an interval set that the same transaction creates can miss an
//! element for a moment (observed on Linux 6.18): listed users would lose packets.

pub mod decode;
pub mod encode;
pub(crate) mod expression;
pub mod nat;
pub mod object;
mod operation;
pub mod render;

pub use self::operation::Operation;
use super::model::{ChainName, Table};

/// The name of our table; its family is `inet`.
pub const TABLE: &str = "ip_lockdown";

/// The priority of its base chains: after `filter` (0), so that packets which `filter` refuses are
/// counted there, and after the chains that rewrite packets.
pub const PRIORITY: i32 = 50;

/// Our table, as observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTable {
    /// Its chains, with the names that the iptables layers use.
    pub table: Table,
    /// Whether it contains anything that no version of this program creates.
    pub foreign: bool,
    /// Whether it is dormant (`flags dormant`): the kernel ignores its rules.
    pub dormant: bool,
    /// Whether another process owns it (`flags owner`): its rules end with that process.
    pub owned: bool,
}

/// The chain's name in nftables. nft can read letters, digits and `/ - _ .` (its scanner.l).
#[must_use]
pub fn written(chain: ChainName) -> String {
    chain.to_string().replace(':', "_")
}

/// Our chain with this name in nftables; `None` if it is not one of ours.
#[must_use]
pub fn read_name(name: &str) -> Option<ChainName> {
    [name.replace('_', ":"), name.to_owned()]
        .iter()
        .find_map(|text| text.parse().ok())
        .filter(|&chain| written(chain) == name)
}

#[cfg(test)]
mod tests {
    use super::super::model::Hook;
    use super::*;

    #[test]
    fn names_of_chains_read_back() {
        for address in [
            "169.254.169.254",
            "fd00:ec2::254",
            "::1",
            "2001:db8:ffff:5678:9abc:def0:1234:ffff",
            "2001:db8:1234:5678:9abc:def0:1234:5678",
        ] {
            for hook in Hook::ALL {
                let address = address.parse().unwrap();
                let chain = ChainName::root(hook, address);
                assert_eq!(read_name(&written(chain)), Some(chain));
                assert!(!written(chain).contains(':'));
            }
        }
        for other in ["OUTPUT", "IPL-", "IPL-fd00:ec2::254", "IPL-fd00_0ec2__254"] {
            assert_eq!(read_name(other), None, "{other}");
        }
    }
}
