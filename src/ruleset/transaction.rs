//! Locks and what is observed -> the transactions that put them in force.
//!
//! A transaction is the whole input of `iptables-restore` for a family, or what the kernel is told
//! of our table of nftables for both. First everything wanted is laid; only when all of it stands
//! is cleared what is not wanted.

use std::fmt;

use super::model::{Ruleset, Variant};
use super::nftables::plan::Command;
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

/// A change of one place, which takes effect at one instant, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// The input of `iptables-restore` of a variant and family.
    Iptables(Variant, Family, String),
    /// What the kernel is told.
    Nftables(Vec<Command>),
}

impl Transaction {
    /// The transaction of iptables, if there is anything to do.
    #[must_use]
    pub fn of_iptables(variant: Variant, family: Family, input: String) -> Option<Self> {
        (!input.is_empty()).then_some(Self::Iptables(variant, family, input))
    }

    /// The transaction of nftables, if there is anything to do.
    #[must_use]
    pub fn of_nftables(commands: Vec<Command>) -> Option<Self> {
        (!commands.is_empty()).then_some(Self::Nftables(commands))
    }

    /// Whose rules it changes.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Iptables(variant, family, _) => Place::Iptables(*variant, *family),
            Self::Nftables(_) => Place::Nftables,
        }
    }

    /// The change as the input of a program: of nftables, of one that would do the same.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Iptables(_, _, input) => input.clone(),
            Self::Nftables(commands) => nftables::render::transaction(commands),
        }
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
pub fn laying_nftables(
    locks: &[Lock],
    families: &[Family],
    observed: Option<&OwnTable>,
) -> Vec<Command> {
    let wanted: Vec<_> = families
        .iter()
        .flat_map(|&family| {
            locks
                .iter()
                .flat_map(move |lock| lock.wants(Layer::Nftables, family))
        })
        .collect();
    nftables::plan::plan(&wanted, &[], observed)
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
pub fn clearing_nftables(locks: &[Lock], observed: Option<&OwnTable>) -> Vec<Command> {
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
pub fn removing_nftables(addresses: &[Address], observed: Option<&OwnTable>) -> Vec<Command> {
    match observed {
        None => Vec::new(),
        Some(_) => nftables::plan::plan(&[], addresses, observed),
    }
}
