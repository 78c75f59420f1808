//! Locks and what is observed -> the transactions that put them in force.
//!
//! A transaction is the whole input of one program: `iptables-restore` for a family, or `nft` for
//! both. First everything wanted is laid; only when all of it stands is cleared what is not wanted.

use std::fmt;

use super::desired::LockedAddress;
use super::model::{Ruleset, Variant};
use super::nftables::{self, OwnTable};
use super::plan::{Edit, plan, removal};
use super::{Layer, Lock, render};
use crate::policy::{Address, Family};

/// Whose rules are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The tables of one family of one iptables.
    Iptables(Variant, Family),
    /// Our own table of nftables.
    Nftables,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iptables(_, family) => write!(f, "{family}"),
            Self::Nftables => f.write_str("nftables"),
        }
    }
}

/// The input of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Whose.
    pub place: Place,
    /// What its program is given.
    pub input: String,
}

impl Transaction {
    /// The transaction, if there is anything to do.
    #[must_use]
    pub fn of(place: Place, input: String) -> Option<Self> {
        (!input.is_empty()).then_some(Self { place, input })
    }
}

/// What lays the locks in the tables of one family's iptables; empty when they stand.
///
/// The backstop is laid before `filter`.
#[must_use]
pub fn laying(locks: &[Lock], observed: &Ruleset) -> String {
    let layers = Layer::OF_IPTABLES.into_iter().rev();
    let edits: Vec<_> = layers
        .map(|layer| laying_edits(locks, layer, observed))
        .collect();
    render::transaction(observed.family, &edits)
}

/// The part of it that concerns one layer, for when the whole was refused.
#[must_use]
pub fn laying_layer(locks: &[Lock], layer: Layer, observed: &Ruleset) -> String {
    render::transaction(observed.family, &[laying_edits(locks, layer, observed)])
}

fn laying_edits(locks: &[Lock], layer: Layer, observed: &Ruleset) -> (&'static str, Vec<Edit>) {
    let wanted: Vec<_> = locks
        .iter()
        .flat_map(|lock| lock.wants(layer, observed.family))
        .collect();
    (layer.name(), plan(&wanted, observed.table(layer.name())))
}

/// What lays the locks in our table of nftables, in the families that the kernel has; empty when
/// they stand.
#[must_use]
pub fn laying_nftables(locks: &[Lock], families: &[Family], observed: Option<&OwnTable>) -> String {
    let wanted: Vec<_> = families
        .iter()
        .flat_map(|&family| {
            locks
                .iter()
                .flat_map(move |lock| lock.wants(Layer::Nftables, family))
        })
        .collect();
    nftables_text(&wanted, &[], observed)
}

/// What takes the rules for the locks' addresses out of the tables that they are not laid in.
#[must_use]
pub fn clearing(locks: &[Lock], observed: &Ruleset) -> String {
    let edits: Vec<_> = Layer::OF_IPTABLES
        .into_iter()
        .filter_map(|layer| {
            let addresses: Vec<Address> = locks.iter().flat_map(|lock| lock.lacks(layer)).collect();
            let table = observed.table(layer.name())?;
            Some((layer.name(), removal(&addresses, table)))
        })
        .collect();
    render::transaction(observed.family, &edits)
}

/// The same for our table of nftables.
#[must_use]
pub fn clearing_nftables(locks: &[Lock], observed: Option<&OwnTable>) -> String {
    let addresses: Vec<Address> = locks
        .iter()
        .flat_map(|lock| lock.lacks(Layer::Nftables))
        .collect();
    removing_nftables(&addresses, observed)
}

/// What takes every rule and chain of ours for `addresses` out of every table; empty when there
/// is none. The backstop goes last.
#[must_use]
pub fn removing(addresses: &[Address], observed: &Ruleset) -> String {
    let (backstop, rest): (Vec<_>, Vec<_>) = observed
        .tables
        .iter()
        .map(|table| (table.name.as_str(), removal(addresses, table)))
        .partition(|(table, _)| *table == Layer::Security.name());
    let tables: Vec<_> = rest.into_iter().chain(backstop).collect();
    render::transaction(observed.family, &tables)
}

/// The same for our table of nftables.
#[must_use]
pub fn removing_nftables(addresses: &[Address], observed: Option<&OwnTable>) -> String {
    match observed {
        None => String::new(),
        Some(_) => nftables_text(&[], addresses, observed),
    }
}

fn nftables_text(
    wanted: &[LockedAddress],
    gone: &[Address],
    observed: Option<&OwnTable>,
) -> String {
    nftables::render::transaction(&nftables::plan::plan(wanted, gone, observed))
}
