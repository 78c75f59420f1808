//! Desired and observed -> the edits of one transaction.
//!
//! A chain is rebuilt only if it differs and a jump is moved only if it is not where it must be,
//! so that the plan for what is already so is empty and counters live on.

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
            match locked.at(hook) {
                (chain, Some(rules)) => {
                    if !stands(table, chain, rules) {
                        edits.push(Edit::Rebuild {
                            chain,
                            rules: rules.to_vec(),
                        });
                    }
                    if !jump_is_in_place(table, chain) {
                        edits.extend(jump_deletions(table, chain));
                        edits.push(Edit::InsertFirst {
                            chain: hook.chain(),
                            rule: Rule::Jump(chain),
                        });
                    }
                }
                (chain, None) => edits.extend(removal_of_chain(table, chain)),
            }
        }
    }
    // A chain that is rebuilt is emptied first: a rule that led out of it has gone by then, and to
    // delete it would fail.
    let rebuilt: Vec<String> = edits
        .iter()
        .filter_map(|edit| match edit {
            Edit::Rebuild { chain, .. } => Some(chain.to_string()),
            _ => None,
        })
        .collect();
    edits.retain(|edit| !matches!(edit, Edit::Delete { chain, .. } if rebuilt.contains(chain)));
    edits
}

/// The edits that take every rule and chain of ours for `addresses` out of `table`.
#[must_use]
pub fn removal(addresses: &[Address], table: &Table) -> Vec<Edit> {
    addresses
        .iter()
        .flat_map(|&address| Hook::ALL.map(|hook| ChainName { hook, address }))
        .flat_map(|chain| removal_of_chain(Some(table), chain))
        .collect()
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
        (Some((place, position, Spec::Own(Rule::Jump(_)))), None)
            if place == chain.hook.chain() && position < leading
    )
}

/// Every rule, in whatever chain, that leads to the chain: chain, position from 0, rule.
pub fn jumps_to(table: &Table, chain: ChainName) -> impl Iterator<Item = (&str, usize, &Spec)> {
    let name = chain.to_string();
    table.chains.iter().flat_map(move |holder| {
        let name = name.clone();
        holder
            .rules
            .iter()
            .enumerate()
            .filter(move |(_, rule)| leads_to(&rule.spec, chain, &name))
            .map(|(position, rule)| (holder.name.as_str(), position, &rule.spec))
    })
}

fn leads_to(spec: &Spec, chain: ChainName, name: &str) -> bool {
    match spec {
        Spec::Own(Rule::Jump(target)) => *target == chain,
        Spec::Own(_) => false,
        Spec::Foreign(text) => {
            text.contains(name)
                && words::words(text)
                    .windows(2)
                    .any(|pair| matches!(pair[0].as_str(), "-j" | "-g") && pair[1] == name)
        }
    }
}

fn jump_deletions(table: Option<&Table>, chain: ChainName) -> Vec<Edit> {
    let Some(table) = table else {
        return Vec::new();
    };
    jumps_to(table, chain)
        .map(|(holder, _, spec)| Edit::Delete {
            chain: holder.to_owned(),
            spec: spec.clone(),
        })
        .collect()
}

fn removal_of_chain(table: Option<&Table>, chain: ChainName) -> Vec<Edit> {
    let mut edits = jump_deletions(table, chain);
    if table.is_some_and(|table| table.chain(&chain.to_string()).is_some()) {
        edits.push(Edit::Remove { chain });
    }
    edits
}
