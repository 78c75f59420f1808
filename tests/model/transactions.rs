//! Plans put together to what one family's `iptables-restore` is given, as the commands do it.

use ip_lockdown::policy::{Address, Policy};
use ip_lockdown::ruleset::desired::{desired, layers};
use ip_lockdown::ruleset::model::{Layer, Ruleset};
use ip_lockdown::ruleset::{Backstop, plan, render};

/// As `src/commands/enforce.rs` does it.
pub(crate) fn transaction(policies: &[Policy], backstop: Backstop, ruleset: &Ruleset) -> String {
    let family = ruleset.family;
    let laid = layers(backstop);
    let lay = laid.iter().rev().map(|&layer| {
        let wanted: Vec<_> = policies
            .iter()
            .flat_map(|policy| desired(policy, backstop, layer, family))
            .collect();
        let table = ruleset.table(layer.table());
        (layer.table(), plan::plan(&wanted, table))
    });
    let addresses: Vec<Address> = policies
        .iter()
        .flat_map(|policy| policy.target.addresses().to_vec())
        .collect();
    let clear = Layer::ALL.into_iter().filter(|layer| !laid.contains(layer));
    let clear = clear.filter_map(|layer| {
        let table = ruleset.table(layer.table())?;
        Some((layer.table(), plan::removal(&addresses, table)))
    });
    render::transaction(family, &lay.chain(clear).collect::<Vec<_>>())
}

/// As `src/commands/remove.rs` does it.
pub(crate) fn removal(addresses: &[Address], ruleset: &Ruleset) -> String {
    let (backstop, rest): (Vec<_>, Vec<_>) = ruleset
        .tables
        .iter()
        .map(|table| (table.name.as_str(), plan::removal(addresses, table)))
        .partition(|(table, _)| *table == Layer::Security.table());
    let tables: Vec<_> = rest.into_iter().chain(backstop).collect();
    render::transaction(ruleset.family, &tables)
}
