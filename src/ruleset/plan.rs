//! Desired and observed -> the edits of one transaction.
//!
//! A chain is rebuilt only if it differs and a jump is moved only if it is not where it must be,
//! so that the plan for what is already so is empty and counters live on.

use std::collections::BTreeSet;

use super::desired::LockedAddress;
use super::model::{Chain, ChainName, Hook, Rule, Spec, Table};
use super::words;
use crate::policy::Address;

/// One edit of a table. All edits of a table happen at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Creates the chain, or empties it, and fills it.
    Rebuild {
        /// The chain.
        chain: ChainName,
        /// All its rules.
        rules: Vec<Rule>,
    },
    /// Deletes the first rule of the chain that says just this.
    Delete {
        /// The chain.
        chain: String,
        /// The rule.
        spec: Spec,
    },
    /// Puts a rule at the head of a built-in chain.
    InsertFirst {
        /// The chain.
        chain: &'static str,
        /// The rule.
        rule: Rule,
    },
    /// Empties the chain and takes it away.
    Remove {
        /// The chain.
        chain: ChainName,
    },
}

/// The edits that make `table` (`None`: not in use yet) say what is wanted.
#[must_use]
pub fn plan(wanted: &[LockedAddress], table: Option<&Table>) -> Vec<Edit> {
    let mut edits = Vec::new();
    // From the last to the first, since each insertion goes before the one made earlier.
    for locked in wanted.iter().rev() {
        for hook in Hook::ALL {
            let chains = locked.at(hook);
            edits.extend(
                chains
                    .filter(|&(chain, rules)| !stands(table, chain, rules))
                    .map(|(chain, rules)| Edit::Rebuild {
                        chain,
                        rules: rules.to_vec(),
                    }),
            );
            let root = ChainName::root(hook, locked.address);
            let wants_jump = locked.at(hook).next().is_some();
            let in_place = wants_jump && jump_is_in_place(table, root);
            if let Some(table) = table {
                let jumps = jumps_to(table, root).filter(|_| !in_place);
                edits.extend(jumps.chain(strays(locked, hook, table)).map(deletion));
                edits.extend(left_over(locked, hook, table).map(|chain| Edit::Remove { chain }));
            }
            if wants_jump && !in_place {
                edits.push(Edit::InsertFirst {
                    chain: hook.chain(),
                    rule: Rule::Jump(root),
                });
            }
        }
    }
    without_needless(edits)
}

/// The edits that take every rule and chain of ours for `addresses` out of `table`.
#[must_use]
pub fn removal(addresses: &[Address], table: &Table) -> Vec<Edit> {
    let goes = |chain: &ChainName| addresses.contains(&chain.address);
    let rules = leads(table).filter(|lead| goes(&lead.to)).map(deletion);
    let chains = table.own_chains().map(|(chain, _)| chain).filter(goes);
    let edits = rules.chain(chains.map(|chain| Edit::Remove { chain }));
    without_needless(edits.collect())
}

fn deletion(lead: Lead<'_>) -> Edit {
    Edit::Delete {
        chain: lead.holder.to_owned(),
        spec: lead.spec.clone(),
    }
}

/// A chain that is rebuilt, or removed, is emptied first: to delete a rule of it would fail, or be
/// in vain.
fn without_needless(mut edits: Vec<Edit>) -> Vec<Edit> {
    let emptied: BTreeSet<String> = edits
        .iter()
        .filter_map(|edit| match edit {
            Edit::Rebuild { chain, .. } | Edit::Remove { chain } => Some(chain.to_string()),
            _ => None,
        })
        .collect();
    edits.retain(|edit| !matches!(edit, Edit::Delete { chain, .. } if emptied.contains(chain)));
    edits
}

/// Whether the chain holds just `rules`.
#[must_use]
pub fn stands(table: Option<&Table>, chain: ChainName, rules: &[Rule]) -> bool {
    table
        .and_then(|table| table.chain(&chain.to_string()))
        // At a hook, it is not one of ours.
        .filter(|chain| chain.policy.is_none())
        .and_then(Chain::own_rules)
        .is_some_and(|observed| observed.into_iter().eq(rules))
}

/// Whether exactly one rule of the whole table leads to the chain, and it is our jump in the
/// leading run of our jumps.
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

/// A rule that leads to a chain of ours, by a jump or a goto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead<'a> {
    /// The chain that it leads to.
    pub to: ChainName,
    /// The chain that it stands in.
    pub holder: &'a str,
    /// Its place there, from 0.
    pub position: usize,
    /// The rule.
    pub spec: &'a Spec,
}

/// Every rule, in whatever chain, that leads to a chain of ours.
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

/// Every rule, in whatever chain, that leads to the chain.
pub fn jumps_to(table: &Table, chain: ChainName) -> impl Iterator<Item = Lead<'_>> {
    leads(table).filter(move |lead| lead.to == chain)
}

/// The rules that lead to a sub-chain of the address and have no right to: all but those in its own
/// chains, which are compared with what is wanted there.
pub fn strays<'a>(
    locked: &LockedAddress,
    hook: Hook,
    table: &'a Table,
) -> impl Iterator<Item = Lead<'a>> {
    let own: BTreeSet<String> = locked.at(hook).map(|(name, _)| name.to_string()).collect();
    let to_sub_chain = on(hook, locked.address);
    leads(table).filter(move |lead| {
        to_sub_chain(lead.to) && !lead.to.is_root() && !own.contains(lead.holder)
    })
}

/// The chains of ours at the hook for the address that are not wanted.
pub fn left_over(
    locked: &LockedAddress,
    hook: Hook,
    table: &Table,
) -> impl Iterator<Item = ChainName> {
    let wanted: BTreeSet<ChainName> = locked.at(hook).map(|(name, _)| name).collect();
    let of_address = on(hook, locked.address);
    let there = table.own_chains().map(|(name, _)| name);
    there.filter(move |&name| of_address(name) && !wanted.contains(&name))
}

fn on(hook: Hook, address: Address) -> impl Fn(ChainName) -> bool {
    move |chain| chain.hook == hook && chain.address == address
}

/// The chain of ours that the rule leads to.
fn target(spec: &Spec) -> Option<ChainName> {
    match spec {
        Spec::Own(Rule::Jump(chain) | Rule::Goto { chain, .. }) => Some(*chain),
        Spec::Own(_) => None,
        Spec::Foreign(text) if !Hook::ALL.iter().any(|hook| text.contains(hook.prefix())) => None,
        Spec::Foreign(text) => words::words(text)
            .windows(2)
            .filter(|pair| matches!(pair[0].as_str(), "-j" | "-g"))
            .find_map(|pair| pair[1].parse().ok()),
    }
}
