//! Desired and observed -> the commands of one transaction.
//!
//! As in the iptables layers, a chain is filled anew only if it differs, so that counters live on;
//! the chains at the hooks hold nothing but our jumps, and are filled anew as a whole.

use std::collections::BTreeSet;

use super::OwnTable;
use crate::policy::Address;
use crate::ruleset::desired::LockedAddress;
use crate::ruleset::model::{ChainName, Hook, ObservedRule, Rule, Table};
use crate::ruleset::plan::stands;

/// One command of a transaction: all of them take effect at one instant, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Creates the table, or switches it on again.
    AddTable,
    /// Takes it away with all that it holds.
    DeleteTable,
    /// Creates the chain at the hook.
    AddBase(Hook),
    /// Empties it.
    FlushBase(Hook),
    /// Takes it away.
    DeleteBase(Hook),
    /// Adds a jump to the chain, at its hook.
    Jump(ChainName),
    /// Empties the chain.
    Flush(ChainName),
    /// Takes it away.
    Delete(ChainName),
    /// Creates the chain, if it is not there, and all its rules.
    Fill(ChainName, Vec<Rule>),
}

/// The commands that make the table (`None`: there is none) say what is wanted, and nothing of the
/// addresses that are `gone`. What it says of other addresses stays.
#[must_use]
pub fn plan(wanted: &[LockedAddress], gone: &[Address], seen: Option<&OwnTable>) -> Vec<Command> {
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
    // Of one address and hook, they stay in their order: each behind those that it leads to.
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
    let asleep = seen.is_some_and(|own| own.dormant);
    if left.is_empty() && seen.is_some_and(|own| !own.foreign) && !there.is_empty() {
        return vec![Command::DeleteTable];
    }
    let fill: Vec<(ChainName, &[Rule])> = wanted_chains
        .into_iter()
        .filter(|&(name, rules)| !stands(table, name, rules))
        .collect();
    let delete: Vec<ChainName> = there.difference(&left).copied().collect();
    let jumps = |hook| {
        let roots = left.iter().copied().filter(|name| name.is_root());
        roots.filter(move |name| name.hook == hook)
    };
    let bases: Vec<Hook> = Hook::ALL
        .into_iter()
        .filter(|&hook| !jumps_stand(table, hook, jumps(hook)))
        .collect();
    // The kernel refuses that, and so says that the table is none to rely on.
    let owned = seen.is_some_and(|own| own.owned);
    let stands = fill.is_empty() && bases.is_empty() && !asleep && !owned;
    if delete.is_empty() && (wanted.is_empty() || stands) {
        return Vec::new();
    }
    if asleep && !wanted.is_empty() {
        // The kernel does not both wake a table and give it a new chain at a hook in one
        // transaction (EINVAL). The rest comes after the next look.
        return vec![Command::AddTable];
    }
    let laying = !wanted.is_empty();
    let mut commands = Vec::from_iter(laying.then_some(Command::AddTable));
    let mut refilled = Vec::new();
    for hook in bases {
        let there = table.is_some_and(|table| table.chain(hook.chain()).is_some());
        let as_ours = table.is_some_and(|table| table.built_in(hook).is_some());
        commands.extend(there.then_some(Command::FlushBase(hook)));
        if laying && !as_ours {
            commands.extend(there.then_some(Command::DeleteBase(hook)));
            commands.push(Command::AddBase(hook));
        }
        refilled.extend((laying || as_ours).then_some(hook));
    }
    // First everything that leads to a chain is emptied, then the chain may go.
    let old = fill.iter().map(|(name, _)| name).chain(&delete);
    let old = old.filter(|name| there.contains(name));
    commands.extend(old.map(|&name| Command::Flush(name)));
    // One that stands at a hook has to become another.
    let hooked = |name: &ChainName| {
        table
            .and_then(|table| table.chain(&name.to_string()))
            .is_some_and(|chain| chain.policy.is_some())
    };
    let hooked: Vec<ChainName> = fill.iter().map(|(name, _)| *name).filter(hooked).collect();
    commands.extend(hooked.into_iter().map(Command::Delete));
    commands.extend(delete.into_iter().map(Command::Delete));
    commands.extend(
        fill.into_iter()
            .map(|(name, rules)| Command::Fill(name, rules.to_vec())),
    );
    commands.extend(refilled.into_iter().flat_map(jumps).map(Command::Jump));
    commands
}

/// Whether the chain at the hook is as ours are, and holds just these jumps.
fn jumps_stand(table: Option<&Table>, hook: Hook, jumps: impl Iterator<Item = ChainName>) -> bool {
    table
        .and_then(|table| table.built_in(hook))
        .is_some_and(|chain| {
            let rules = chain.rules.iter().map(ObservedRule::own);
            rules.eq(jumps.map(Rule::Jump).collect::<Vec<_>>().iter().map(Some))
        })
}
