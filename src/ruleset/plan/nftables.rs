//! Desired and observed -> the operations of one transaction on our nftables table.
//!
//! A chain is refilled only if it differs, so that the counters of unchanged chains survive. The
//! base chains hold only our jumps and are refilled as a whole.

use std::collections::BTreeSet;

use crate::policy::Address;
use crate::ruleset::compare::chain_matches;
use crate::ruleset::desired::LockedAddress;
use crate::ruleset::model::{ChainName, Hook, ObservedRule, Rule, Table};
use crate::ruleset::nftables::{Operation, OwnTable};

/// The operations that make the table (`None`: there is none) hold the `wanted` chains and nothing
/// for the addresses in `gone`. Chains of other addresses are unchanged.
#[must_use]
pub fn operations(
    wanted: &[LockedAddress],
    gone: &[Address],
    seen: Option<&OwnTable>,
) -> Vec<Operation> {
    let table = seen.map(|own| &own.table);
    let concerns = |name: &ChainName| {
        let mut addresses = gone
            .iter()
            .chain(wanted.iter().map(|locked| &locked.address));
        addresses.any(|&address| address == name.address)
    };
    let mut wanted_chains: Vec<(ChainName, &[Rule])> = wanted
        .iter()
        .flat_map(|locked| Hook::ALL.map(|hook| locked.at(hook)))
        .flatten()
        .collect();
    // The sort is stable: a chain stays behind those that it leads to.
    wanted_chains.sort_by_key(|(name, _)| (name.hook, name.address));
    let there: BTreeSet<ChainName> = table
        .into_iter()
        .flat_map(Table::own_chains)
        .map(|(name, _)| name)
        .collect();
    let stay: BTreeSet<ChainName> = wanted_chains.iter().map(|(name, _)| *name).collect();
    let left: BTreeSet<ChainName> = there
        .iter()
        .filter(|name| !concerns(name))
        .chain(&stay)
        .copied()
        .collect();
    let dormant = seen.is_some_and(|own| own.dormant);
    if left.is_empty() && seen.is_some_and(|own| !own.foreign) && !there.is_empty() {
        return vec![Operation::DeleteTable];
    }
    let fill: Vec<(ChainName, &[Rule])> = wanted_chains
        .into_iter()
        .filter(|&(name, rules)| !chain_matches(table, name, rules))
        .collect();
    let delete: Vec<ChainName> = there.difference(&left).copied().collect();
    let jumps = |hook| {
        let roots = left.iter().copied().filter(|name| name.is_root());
        roots.filter(move |name| name.hook == hook)
    };
    let bases: Vec<Hook> = Hook::ALL
        .into_iter()
        .filter(|&hook| !has_only_jumps(table, hook, jumps(hook)))
        .collect();
    // The kernel refuses to change a table that another process owns. Try all the same: the error
    // names the reason, where an empty plan would look like success.
    let owned = seen.is_some_and(|own| own.owned);
    let complete = fill.is_empty() && bases.is_empty() && !dormant && !owned;
    if delete.is_empty() && (wanted.is_empty() || complete) {
        return Vec::new();
    }
    if dormant && !wanted.is_empty() {
        // The kernel refuses a transaction that clears `dormant` and adds a base chain (EINVAL).
        // The next attempt installs the rest.
        return vec![Operation::AddTable];
    }
    let installing = !wanted.is_empty();
    let mut operations = Vec::from_iter(installing.then_some(Operation::AddTable));
    let mut refilled = Vec::new();
    for hook in bases {
        let there = table.is_some_and(|table| table.chain(hook.chain()).is_some());
        let as_ours = table.is_some_and(|table| table.built_in(hook).is_some());
        operations.extend(there.then_some(Operation::FlushBase(hook)));
        if installing && !as_ours {
            operations.extend(there.then_some(Operation::DeleteBase(hook)));
            operations.push(Operation::AddBase(hook));
        }
        refilled.extend((installing || as_ours).then_some(hook));
    }
    // A chain can be deleted only when no rule leads to it.
    let old = fill.iter().map(|(name, _)| name).chain(&delete);
    let old = old.filter(|name| there.contains(name));
    operations.extend(old.map(|&name| Operation::Flush(name)));
    // A base chain cannot become a regular chain: delete it first.
    let hooked = |name: &ChainName| {
        table
            .and_then(|table| table.chain(&name.to_string()))
            .is_some_and(|chain| chain.policy.is_some())
    };
    let hooked: Vec<ChainName> = fill.iter().map(|(name, _)| *name).filter(hooked).collect();
    operations.extend(hooked.into_iter().map(Operation::Delete));
    operations.extend(delete.into_iter().map(Operation::Delete));
    operations.extend(
        fill.into_iter()
            .map(|(name, rules)| Operation::Fill(name, rules.to_vec())),
    );
    operations.extend(refilled.into_iter().flat_map(jumps).map(Operation::Jump));
    operations
}

/// Whether the base chain of the hook has our type and priority, and holds exactly these jumps.
fn has_only_jumps(
    table: Option<&Table>,
    hook: Hook,
    jumps: impl Iterator<Item = ChainName>,
) -> bool {
    table
        .and_then(|table| table.built_in(hook))
        .is_some_and(|chain| {
            let rules = chain.rules.iter().map(ObservedRule::own);
            rules.eq(jumps.map(Rule::Jump).collect::<Vec<_>>().iter().map(Some))
        })
}
