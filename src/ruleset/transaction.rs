//! Policies and what is observed -> the whole text that one family's `iptables-restore` is given.

use super::desired::{desired, layers};
use super::model::{Layer, Ruleset};
use super::plan::{Edit, plan, removal};
use super::{Backstop, render};
use crate::policy::{Address, Policy};

/// What puts the policies in force in the family of `observed`; empty when they are.
///
/// The backstop is laid first; a layer that is not wanted any more is taken away last.
#[must_use]
pub fn enforcing(policies: &[Policy], backstop: Backstop, observed: &Ruleset) -> String {
    let laid = layers(backstop);
    let lay = laid
        .iter()
        .rev()
        .map(|&layer| edits(policies, backstop, layer, observed));
    let addresses: Vec<Address> = policies
        .iter()
        .flat_map(|policy| policy.target.addresses().to_vec())
        .collect();
    let clear = Layer::ALL
        .into_iter()
        .filter(|layer| !laid.contains(layer))
        .filter_map(|layer| {
            let table = observed.table(layer.table())?;
            Some((layer.table(), removal(&addresses, table)))
        });
    render::transaction(observed.family, &lay.chain(clear).collect::<Vec<_>>())
}

/// The part of it that concerns one layer, for when the whole was refused.
#[must_use]
pub fn enforcing_layer(
    policies: &[Policy],
    backstop: Backstop,
    layer: Layer,
    observed: &Ruleset,
) -> String {
    let edits = edits(policies, backstop, layer, observed);
    render::transaction(observed.family, &[edits])
}

fn edits(
    policies: &[Policy],
    backstop: Backstop,
    layer: Layer,
    observed: &Ruleset,
) -> (&'static str, Vec<Edit>) {
    let wanted: Vec<_> = policies
        .iter()
        .flat_map(|policy| desired(policy, backstop, layer, observed.family))
        .collect();
    let table = observed.table(layer.table());
    (layer.table(), plan(&wanted, table))
}

/// What takes every rule and chain of ours for `addresses` out of every table; empty when there
/// is none. The backstop goes last.
#[must_use]
pub fn removing(addresses: &[Address], observed: &Ruleset) -> String {
    let (backstop, rest): (Vec<_>, Vec<_>) = observed
        .tables
        .iter()
        .map(|table| (table.name.as_str(), removal(addresses, table)))
        .partition(|(table, _)| *table == Layer::Security.table());
    let tables: Vec<_> = rest.into_iter().chain(backstop).collect();
    render::transaction(observed.family, &tables)
}
