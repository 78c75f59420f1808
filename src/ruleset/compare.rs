//! Comparisons of observed tables with desired rules, for both the planner and the checks: whether
//! a chain holds the desired rules, whether a jump is in its place, which rules lead to our chains.

use std::collections::BTreeSet;

use super::desired::LockedAddress;
use super::iptables::tokens::tokens;
use super::model::{Chain, ChainName, Hook, Rule, Spec, Table};
use crate::policy::Address;

/// Whether the chain exists and holds exactly `rules`.
#[must_use]
pub fn chain_matches(table: Option<&Table>, chain: ChainName, rules: &[Rule]) -> bool {
    table
        .and_then(|table| table.chain(&chain.to_string()))
        // Our chains are never base chains.
        .filter(|chain| chain.policy.is_none())
        .and_then(Chain::own_rules)
        .is_some_and(|observed| observed.into_iter().eq(rules))
}

/// Whether exactly one rule of the whole table leads to the chain, and this rule is our jump, with
/// only other jumps of ours before it.
#[must_use]
pub fn jump_is_in_place(table: Option<&Table>, chain: ChainName) -> bool {
    let Some(table) = table else { return false };
    let leading = table.built_in(chain.hook).map_or(0, Chain::leading_jumps);
    let mut jumps = jumps_to(table, chain);
    matches!(
        (jumps.next(), jumps.next()),
        (Some(Lead { holder, position, spec: Spec::Own(Rule::Jump(_)), .. }), None)
            if holder == chain.hook.chain() && position < leading
    )
}

/// A rule that leads to one of our chains, by a jump or a goto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead<'a> {
    /// The chain that it leads to.
    pub to: ChainName,
    /// The chain that holds the rule.
    pub holder: &'a str,
    /// Its position in `holder`, from 0.
    pub position: usize,
    /// The rule.
    pub spec: &'a Spec,
}

/// Every rule of the table that leads to one of our chains.
pub fn leads(table: &Table) -> impl Iterator<Item = Lead<'_>> {
    table.chains.iter().flat_map(|holder| {
        let rules = holder.rules.iter().enumerate();
        rules.filter_map(|(position, rule)| {
            Some(Lead {
                to: target(&rule.spec)?,
                holder: &holder.name,
                position,
                spec: &rule.spec,
            })
        })
    })
}

/// Every rule of the table that leads to the chain.
pub fn jumps_to(table: &Table, chain: ChainName) -> impl Iterator<Item = Lead<'_>> {
    leads(table).filter(move |lead| lead.to == chain)
}

/// The rules outside the address's own chains that lead to one of its sub-chains. None should
/// exist.
pub fn stray_jumps<'a>(
    locked: &LockedAddress,
    hook: Hook,
    table: &'a Table,
) -> impl Iterator<Item = Lead<'a>> {
    let own: BTreeSet<String> = locked.at(hook).map(|(name, _)| name.to_string()).collect();
    let of_address = belongs_to(hook, locked.address);
    leads(table)
        .filter(move |lead| of_address(lead.to) && !lead.to.is_root() && !own.contains(lead.holder))
}

/// Our chains at the hook for the address that `locked` does not use.
pub fn unused_chains(
    locked: &LockedAddress,
    hook: Hook,
    table: &Table,
) -> impl Iterator<Item = ChainName> {
    let wanted: BTreeSet<ChainName> = locked.at(hook).map(|(name, _)| name).collect();
    let of_address = belongs_to(hook, locked.address);
    let present = table.own_chains().map(|(name, _)| name);
    present.filter(move |&name| of_address(name) && !wanted.contains(&name))
}

/// Whether a chain belongs to the address and is below the hook.
fn belongs_to(hook: Hook, address: Address) -> impl Fn(ChainName) -> bool {
    move |chain| chain.hook == hook && chain.address == address
}

/// Our chain that the rule leads to.
fn target(spec: &Spec) -> Option<ChainName> {
    match spec {
        Spec::Own(Rule::Jump(chain) | Rule::Goto { chain, .. }) => Some(*chain),
        Spec::Own(_) => None,
        Spec::Foreign(text) if !Hook::ALL.iter().any(|hook| text.contains(hook.prefix())) => None,
        Spec::Foreign(text) => tokens(text)
            .windows(2)
            .filter(|pair| matches!(pair[0].as_str(), "-j" | "-g"))
            .find_map(|pair| pair[1].parse().ok()),
    }
}
