//! Layers of iptables that cannot be used on this host, although other layers can.

use std::fmt;

use super::model::ChainName;
use super::not_read::NotRead;
use super::{Layer, Layers};
use crate::policy::{Address, Family};

/// Layers of one family that iptables cannot read or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The family.
    pub family: Family,
    /// The layers: tables of iptables.
    pub layers: Layers,
    /// Why they cannot be used.
    pub reason: Reason,
    /// Our chains in these tables, by name; `None` if they are not known.
    pub ours: Option<Vec<OwnChain>>,
}

/// Why a layer of iptables cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Its table cannot be read.
    NotRead(NotRead),
    /// Its table can be read, but takes none of our rules.
    Refused {
        /// What was refused, and why.
        message: String,
        /// What to do about it.
        help: String,
    },
}

impl Reason {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::NotRead(reason) => reason.help.as_deref(),
            Self::Refused { help, .. } => Some(help),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRead(reason) => reason.fmt(f),
            Self::Refused { message, .. } => f.write_str(message),
        }
    }
}

/// One of our chains in a table that iptables cannot show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnChain {
    /// The layer that is this table.
    pub layer: Layer,
    /// The chain.
    pub chain: ChainName,
    /// Whether our jump leads to it from its built-in chain; not determined over netlink, where a
    /// removal finds every rule that leads to the chain.
    pub jump: bool,
}

impl Unusable {
    /// The layer `filter` of a family in which iptables refused our rules, and holds none.
    #[must_use]
    pub fn refused(family: Family, error: &str) -> Self {
        Self {
            family,
            layers: Layers::FILTER,
            reason: Reason::Refused {
                message: format!("iptables refuses our rules: {error}"),
                help: "provide what iptables lacks, such as a kernel module, then apply the \
                       lockdown again; or set `layers = [\"nftables\"]` in the configuration"
                    .to_owned(),
            },
            ours: Some(Vec::new()),
        }
    }

    /// Why the layer could not be read; `None` if it is another layer, or could be read.
    #[must_use]
    pub fn not_read(&self, layer: Layer, family: Family) -> Option<&NotRead> {
        match &self.reason {
            Reason::NotRead(reason) if self.family == family && self.layers.has(layer) => {
                Some(reason)
            }
            _ => None,
        }
    }

    /// Whether a table may hold one of our chains for the address.
    #[must_use]
    pub fn may_hold(&self, address: Address) -> bool {
        self.family == address.family()
            && match &self.ours {
                None => true,
                Some(ours) => ours.iter().any(|own| own.chain.address == address),
            }
    }

    /// Whether it is known that no table holds a chain of ours.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        self.ours.as_ref().is_some_and(Vec::is_empty)
    }
}
