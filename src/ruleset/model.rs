//! Rules, chains and tables as values.

mod name;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

pub use self::name::{ChainName, Hook, NotOurs, Part};
use super::Marker;
use crate::policy::{AccountName, Address, Family, Gid, UidRange};
use crate::probe::Transport;

/// An iptables variant. Each keeps its rules in a place of its own in the kernel, and does not show
/// those of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// iptables on top of `nf_tables` (`iptables-nft`).
    Nft,
    /// iptables on top of `ip_tables` (`iptables-legacy`).
    Legacy,
}

impl Variant {
    /// The other variant.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Nft => Self::Legacy,
            Self::Legacy => Self::Nft,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        })
    }
}

/// Which iptables variant to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VariantChoice {
    /// That of the command `iptables` on this host.
    #[default]
    Auto,
    /// This one.
    Only(Variant),
}

impl VariantChoice {
    /// The chosen variant; `None` for that of the host.
    #[must_use]
    pub fn variant(self) -> Option<Variant> {
        match self {
            Self::Auto => None,
            Self::Only(variant) => Some(variant),
        }
    }
}

/// How the last rule of a chain refuses a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// REJECT: the sender gets an ICMP port-unreachable. Not valid in `security`.
    Reject,
    /// DROP: no packet is sent back; the sender of a UDP datagram gets EPERM.
    Drop,
}

/// One of our rules. Each variant is one of the few forms that a lockdown consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// In a built-in chain: sends packets to the address to our chain.
    Jump(ChainName),
    /// Allows packets of these uids (RETURN: the host's other rules are evaluated next).
    AllowUids {
        /// The uids.
        uids: UidRange,
        /// One name for each uid, in order; for a single uid, all its names. Empty for uids that
        /// were listed by number.
        names: Vec<AccountName>,
    },
    /// Sends packets of these uids, listed or not, to the sub-chain, which decides on them: a goto
    /// (after RETURN there, the kernel continues in the chain that called the one with this rule).
    Goto {
        /// The lowest to the highest uid that the sub-chain lists.
        uids: UidRange,
        /// The sub-chain.
        chain: ChainName,
    },
    /// Allows packets of this group's members, supplementary memberships included.
    AllowGroup {
        /// The gid.
        gid: Gid,
        /// The names by which the policy lists it.
        names: Vec<AccountName>,
    },
    /// Counts packets from the source port of probes. They continue to the rules below, which refuse
    /// them like all others. (A refusal of their own would not prove how other packets are treated.)
    CountProbes(Transport),
    /// In the layer `nftables`: refuses TCP packets that have any owner, with a reset.
    RefuseOwnedTcp,
    /// In the layer `nftables`: refuses all other packets that have any owner.
    RefuseOwned,
    /// Allows packets of orphaned sockets: the FIN and ACK that the kernel sends for a socket whose
    /// process has closed it. They are TCP packets without an owner that do not open a connection.
    /// (nftables has no match for "no socket"; its two rules `RefuseOwned...` come first and take
    /// all packets that have one.)
    AllowClosing,
    /// Refuses TCP with a reset, so that a connect fails at once.
    RefuseTcp,
    /// Refuses every other packet. The last rule of a chain.
    Refuse {
        /// How it refuses.
        verdict: Verdict,
        /// The marker comment, in the first of the output chains.
        marker: Option<Marker>,
    },
}

/// The comment that contains these names.
#[must_use]
pub fn comment_of(names: &[AccountName]) -> String {
    let names: Vec<String> = names.iter().map(AccountName::in_comment).collect();
    names.join(",")
}

/// The names in a comment: the inverse of [`comment_of`]. `None` for any other comment.
#[must_use]
pub fn names_of(comment: &str) -> Option<Vec<AccountName>> {
    comment.split(',').map(AccountName::from_comment).collect()
}

/// Packets and bytes that matched a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// The number of packets.
    pub packets: u64,
    /// The number of bytes, headers included.
    pub bytes: u64,
}

impl Counters {
    /// These without those; 0 where those are more, as they may be while packets are counted.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(other.packets),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The content of an observed rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// Exactly one of our forms.
    Own(Rule),
    /// A foreign rule, as iptables or the kernel reported it.
    Foreign(String),
}

/// An observed rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRule {
    /// Its counters, if the output contained them.
    pub counters: Option<Counters>,
    /// Its content.
    pub spec: Spec,
}

impl ObservedRule {
    /// The rule, if it is one of our forms.
    #[must_use]
    pub fn own(&self) -> Option<&Rule> {
        match &self.spec {
            Spec::Own(rule) => Some(rule),
            Spec::Foreign(_) => None,
        }
    }
}

/// An observed chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// The verdict on packets that reach the end of a built-in chain; `None` for a user-defined
    /// chain, and for a base chain of nftables whose type, hook or priority is not ours.
    pub policy: Option<String>,
    /// The counters of the policy.
    pub counters: Counters,
    /// Its rules, in order.
    pub rules: Vec<ObservedRule>,
}

impl Chain {
    /// Its rules, if all of them are ours.
    #[must_use]
    pub fn own_rules(&self) -> Option<Vec<&Rule>> {
        self.rules.iter().map(ObservedRule::own).collect()
    }

    /// The number of our jumps at its head, for any address.
    #[must_use]
    pub fn leading_jumps(&self) -> usize {
        self.rules
            .iter()
            .take_while(|rule| matches!(rule.own(), Some(Rule::Jump(_))))
            .count()
    }
}

/// An observed table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, such as `filter`.
    pub name: String,
    /// Its chains, in the order read.
    pub chains: Vec<Chain>,
}

impl Table {
    /// The chain with this name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The built-in chain of the hook; `None` if the chain of that name is not attached to it.
    #[must_use]
    pub fn built_in(&self, hook: Hook) -> Option<&Chain> {
        self.chain(hook.chain())
            .filter(|chain| chain.policy.is_some())
    }

    /// The addresses for which the table has one of our chains: each once, IPv4 first.
    #[must_use]
    pub fn locked_addresses(&self) -> Vec<Address> {
        let addresses: BTreeSet<Address> =
            self.own_chains().map(|(name, _)| name.address).collect();
        addresses.into_iter().collect()
    }

    /// Our chains in the table.
    pub fn own_chains(&self) -> impl Iterator<Item = (ChainName, &Chain)> {
        self.chains
            .iter()
            .filter_map(|chain| Some((chain.name.parse().ok()?, chain)))
    }
}

/// All tables of one family and one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// The family.
    pub family: Family,
    /// The tables, in the order read. A table that is not in use may be missing.
    pub tables: Vec<Table>,
    /// Tables that iptables cannot show, and that may be in use.
    pub hidden: Vec<String>,
}

impl Ruleset {
    /// A ruleset without any table in use.
    #[must_use]
    pub fn empty(family: Family) -> Self {
        Self {
            family,
            tables: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// The table with this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The addresses for which any table has one of our chains: each once, in order.
    #[must_use]
    pub fn locked_addresses(&self) -> Vec<Address> {
        let addresses: BTreeSet<Address> = self
            .tables
            .iter()
            .flat_map(Table::locked_addresses)
            .collect();
        addresses.into_iter().collect()
    }
}
