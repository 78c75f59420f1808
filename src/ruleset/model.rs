//! Rules, chains and tables as values.

mod name;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

pub use self::name::{ChainName, Hook, NotOurs, Part};
use super::Marker;
use crate::policy::{AccountName, Address, Family, Gid, UidRange};
use crate::probe::Transport;

/// Which iptables: the same rules, kept in two places of the kernel that do not see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// iptables on top of `nf_tables` (`iptables-nft`).
    Nft,
    /// iptables on top of `ip_tables` (`iptables-legacy`).
    Legacy,
}

impl Variant {
    /// The other one.
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

/// How a refusal is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// REJECT: an ICMP port-unreachable goes back. Not valid in `security`.
    Reject,
    /// DROP: nothing goes back; the sender of a UDP datagram sees EPERM.
    Drop,
}

/// A rule of ours; each variant is one of the few forms that a lockdown is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// In a built-in chain: packets to the address go to our chain.
    Jump(ChainName),
    /// Packets of these uids go on (RETURN: the host's other rules still have their say).
    /// One name per uid, in order; for a single uid, all its names; none if given by number.
    PassUids {
        /// The uids.
        uids: UidRange,
        /// Their names.
        names: Vec<AccountName>,
    },
    /// Packets of these uids, listed or not, are judged in the sub-chain, and nowhere else: a goto
    /// (RETURN there leads to where the chain with this rule was called from).
    Goto {
        /// From the lowest uid that the sub-chain lists to the highest.
        uids: UidRange,
        /// The sub-chain.
        chain: ChainName,
    },
    /// Packets of this group's members, supplementary memberships included, go on.
    PassGroup {
        /// The gid.
        gid: Gid,
        /// The names it was given by.
        names: Vec<AccountName>,
    },
    /// Packets from the source port of probes are counted, and go on to the rules below, all of which
    /// refuse them: so the refusals of others can be told. (A probe that met a refusal of its own
    /// would not prove what the other packets meet.)
    CountProbes(Transport),
    /// In the layer `nftables`: what has an owner at all is refused here, TCP with a reset.
    RefuseOwnedTcp,
    /// In the layer `nftables`: anything else that has an owner is refused here.
    RefuseOwned,
    /// TCP packets that belong to no socket and open nothing go on: the FIN and ACK that the
    /// kernel sends for a socket whose process has closed it. (nftables has no match for "no
    /// socket"; there the two rules before have taken all that have one.)
    PassClosing,
    /// TCP is refused with a reset, which ends a connect at once.
    RefuseTcp,
    /// Everything else is refused. The marker says what `apply` wrote.
    Refuse {
        /// How.
        verdict: Verdict,
        /// In an output chain, the marker.
        marker: Option<Marker>,
    },
}

/// Packets and bytes that matched a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// How many packets.
    pub packets: u64,
    /// How many bytes, headers included.
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

/// What a rule that was read says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// Exactly one of our forms.
    Own(Rule),
    /// Anything else, as it was printed.
    Foreign(String),
}

/// A rule that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRule {
    /// Its counters, if they were printed.
    pub counters: Option<Counters>,
    /// What it says.
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

/// A chain that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// What a built-in chain does with packets that reach its end; `None` for a user's chain, and
    /// for a base chain of nftables that is not as ours are.
    pub policy: Option<String>,
    /// The counters of the policy.
    pub counters: Counters,
    /// Its rules, in order.
    pub rules: Vec<ObservedRule>,
}

impl Chain {
    /// Its rules, when every one is a form of ours.
    #[must_use]
    pub fn own_rules(&self) -> Option<Vec<&Rule>> {
        self.rules.iter().map(ObservedRule::own).collect()
    }

    /// How many rules at its head are jumps of ours, to whichever address.
    #[must_use]
    pub fn leading_jumps(&self) -> usize {
        self.rules
            .iter()
            .take_while(|rule| matches!(rule.own(), Some(Rule::Jump(_))))
            .count()
    }
}

/// A table that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, such as `filter`.
    pub name: String,
    /// Its chains, in the order read.
    pub chains: Vec<Chain>,
}

impl Table {
    /// The chain of that name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The chain that packets at the hook meet, where it is one that meets them.
    #[must_use]
    pub fn built_in(&self, hook: Hook) -> Option<&Chain> {
        self.chain(hook.chain())
            .filter(|chain| chain.policy.is_some())
    }

    /// The addresses for which there is a chain of ours: each once, IPv4 first.
    #[must_use]
    pub fn locked_addresses(&self) -> Vec<Address> {
        let addresses: BTreeSet<Address> =
            self.own_chains().map(|(name, _)| name.address).collect();
        addresses.into_iter().collect()
    }

    /// The chains of ours.
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
    /// Tables that are in use but that iptables cannot show; never `filter` or `security`.
    pub hidden: Vec<String>,
}

impl Ruleset {
    /// No table in use.
    #[must_use]
    pub fn empty(family: Family) -> Self {
        Self {
            family,
            tables: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// The table of that name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The addresses for which any table has a chain of ours: each once, in order.
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
