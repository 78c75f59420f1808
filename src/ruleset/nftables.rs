//! The layer `nftables`: a table of our own, `inet ip_lockdown`, for both families.
//!
//! ```text
//! desired ----------------------------+
//!                                     +-> operations -> encode -> (netlink)
//! (netlink) -> object -> decode ------+              -> render -> what people read
//! ```
//! nft is not needed for it: the kernel is told and asked over netlink. So no listing of it leaves
//! anything out, as those of nft do with what a later version wrote.
//!
//! The same chains and rules as in the iptables layers ([`super::model`]); in the names of chains
//! there is a `_` where an IPv6 address has `:`.
//!
//! The uids are rules, not elements of a set. The kernel puts the new rules of a transaction in
//! force at one instant, but a look-up in a set of intervals that is new in the same transaction
//! can miss an element for a moment (seen on Linux 6.18): listed users would lose packets.

pub mod decode;
pub mod encode;
pub(crate) mod expression;
pub mod nat;
pub mod object;
mod operation;
pub mod render;

pub use self::operation::Operation;
use super::model::{ChainName, Table};

/// The name of the table, of family `inet`.
pub const TABLE: &str = "ip_lockdown";

/// Where its chains stand among those of others at the same hook: behind `filter` (0), so that
/// what `filter` refuses is counted there, and behind what rewrites packets.
pub const PRIORITY: i32 = 50;

/// The table as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTable {
    /// Its chains, by the names that the iptables layers have for them.
    pub table: Table,
    /// Whether it holds anything that no version of this program puts there.
    pub foreign: bool,
    /// Whether its chains are switched off (`flags dormant`).
    pub dormant: bool,
    /// Whether it goes with a process (`flags owner`): what is in it stands only that long.
    pub owned: bool,
}

/// The chain's name as nft can read it: letters, digits and `/ - _ .` (its scanner.l).
#[must_use]
pub fn written(chain: ChainName) -> String {
    chain.to_string().replace(':', "_")
}

/// The chain of that name, if it is one of ours.
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
