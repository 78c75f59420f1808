//! Desired and observed -> the operations of one transaction on our nftables table.
//!
//! A chain is refilled only if it differs, so that unchanged chains keep their counters. The base
//! chains hold only our jumps and are refilled as a whole.

use std::collections::BTreeSet;

use crate::policy::Address;
use crate::ruleset::compare::chain_matches;
use crate::ruleset::desired::LockedAddress;
use crate::ruleset::model::{ChainName, Hook, ObservedRule, Rule, Table};
use crate::ruleset::nftables::{Operation, OwnTable};

/// The operations after which the table (`None` if it does not exist) holds the `wanted` chains,
/// and nothing for the addresses in `gone`. Chains of other addresses are unchanged.
#[must_use]
pub fn operations(
    wanted: &[LockedAddress],
    gone: &[Address],
    seen: Option<&OwnTable>,
) -> Vec<Operation> {
    let change = Change::new(wanted, gone, seen);
    let installing = !wanted.is_empty();
    let dormant = seen.is_some_and(|own| own.dormant);
    if change.empties_the_table() && seen.is_some_and(|own| !own.foreign) {
        return vec![Operation::DeleteTable];
    }
    // The kernel refuses to change a table that another process owns. Try it anyway: the error
    // contains the reason, while an empty plan would look like success.
    let owned = seen.is_some_and(|own| own.owned);
    let complete = change.fill.is_empty() && change.bases.is_empty() && !dormant && !owned;
    if change.delete.is_empty() && (!installing || complete) {
        return Vec::new();
    }
    if dormant && installing {
        // The kernel refuses a transaction that clears `dormant` and adds a base chain (EINVAL).
        // The next attempt installs the rest.
        return vec![Operation::AddTable];
    }
    change.operations(installing)
}

/// The difference between the observed table and the wanted chains.
struct Change<'a> {
    table: Option<&'a Table>,
    /// Our chains in the table.
    present: BTreeSet<ChainName>,
    /// Our chains after the change.
    left: BTreeSet<ChainName>,
    /// The chains that differ or are missing, each after those that it leads to.
    fill: Vec<(ChainName, &'a [Rule])>,
    /// The chains that are no longer needed.
    delete: Vec<ChainName>,
    /// The hooks whose base chain does not hold exactly the jumps to the chains in `left`.
    bases: Vec<Hook>,
}

impl<'a> Change<'a> {
    fn new(wanted: &'a [LockedAddress], gone: &[Address], seen: Option<&'a OwnTable>) -> Self {
        let table = seen.map(|own| &own.table);
        let concerns = |name: &ChainName| {
            let mut addresses = gone
                .iter()
                .chain(wanted.iter().map(|locked| &locked.address));
            addresses.any(|&address| address == name.address)
        };
        let mut chains: Vec<(ChainName, &[Rule])> = wanted
            .iter()
            .flat_map(|locked| Hook::ALL.map(|hook| locked.at(hook)))
            .flatten()
            .collect();
        // The sort is stable: a chain stays after those that it leads to.
        chains.sort_by_key(|(name, _)| (name.hook, name.address));
        let present: BTreeSet<ChainName> = table
            .into_iter()
            .flat_map(Table::own_chains)
            .map(|(name, _)| name)
            .collect();
        let left: BTreeSet<ChainName> = present
            .iter()
            .filter(|name| !concerns(name))
            .chain(chains.iter().map(|(name, _)| name))
            .copied()
            .collect();
        chains.retain(|&(name, rules)| !chain_matches(table, name, rules));
        Self {
            table,
            fill: chains,
            delete: present.difference(&left).copied().collect(),
            bases: Hook::ALL
                .into_iter()
                .filter(|&hook| !has_only_jumps(table, hook, roots(&left, hook)))
                .collect(),
            present,
            left,
        }
    }

    /// Whether our chains exist now, and none of them is left.
    fn empties_the_table(&self) -> bool {
        self.left.is_empty() && !self.present.is_empty()
    }

    /// The whole change; with `installing`, also what is missing of the table and its base chains.
    fn operations(self, installing: bool) -> Vec<Operation> {
        let mut operations = Vec::from_iter(installing.then_some(Operation::AddTable));
        let mut refilled = Vec::new();
        for &hook in &self.bases {
            let (exists, is_ours) = self.base(hook);
            operations.extend(exists.then_some(Operation::FlushBase(hook)));
            if installing && !is_ours {
                operations.extend(exists.then_some(Operation::DeleteBase(hook)));
                operations.push(Operation::AddBase(hook));
            }
            refilled.extend((installing || is_ours).then_some(hook));
        }
        // A chain can be deleted only if no rule leads to it.
        let old = self.fill.iter().map(|(name, _)| name).chain(&self.delete);
        let old = old.filter(|name| self.present.contains(name));
        operations.extend(old.map(|&name| Operation::Flush(name)));
        // A base chain cannot become a regular chain: delete it first.
        let filled = self.fill.iter().map(|(name, _)| *name);
        let hooked = filled.filter(|name| self.is_hooked(*name));
        operations.extend(hooked.map(Operation::Delete));
        operations.extend(self.delete.iter().copied().map(Operation::Delete));
        operations.extend(
            self.fill
                .iter()
                .map(|&(name, rules)| Operation::Fill(name, rules.to_vec())),
        );
        let jumps = refilled
            .into_iter()
            .flat_map(|hook| roots(&self.left, hook));
        operations.extend(jumps.map(Operation::Jump));
        operations
    }

    /// Whether the base chain of the hook exists, and whether its type and priority are ours.
    fn base(&self, hook: Hook) -> (bool, bool) {
        let exists = self.table.and_then(|table| table.chain(hook.chain()));
        let is_ours = self.table.and_then(|table| table.built_in(hook));
        (exists.is_some(), is_ours.is_some())
    }

    /// Whether a chain with a name of ours is attached to a hook.
    fn is_hooked(&self, name: ChainName) -> bool {
        let chain = self.table.and_then(|table| table.chain(&name.to_string()));
        chain.is_some_and(|chain| chain.policy.is_some())
    }
}

/// The chains that the base chain of the hook jumps to, in order.
fn roots(chains: &BTreeSet<ChainName>, hook: Hook) -> impl Iterator<Item = ChainName> {
    let roots = chains.iter().copied().filter(|name| name.is_root());
    roots.filter(move |name| name.hook == hook)
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
