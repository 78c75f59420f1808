//! Desired and observed -> the edits of one iptables table.
//!
//! A chain is rebuilt only if it differs, and a jump is moved only if it is not in its place. So
//! the plan for an unchanged table is empty, and the table keeps its counters.

use std::collections::BTreeSet;

use crate::policy::Address;
use crate::ruleset::compare::{
    Lead, chain_matches, jump_is_in_place, jumps_to, leads, stray_jumps, unused_chains,
};
use crate::ruleset::desired::LockedAddress;
use crate::ruleset::iptables::Edit;
use crate::ruleset::model::{ChainName, Hook, Rule, Table};

/// The edits after which `table` (`None` if it is not in use yet) holds the `wanted` chains.
#[must_use]
pub fn edits(wanted: &[LockedAddress], table: Option<&Table>) -> Vec<Edit> {
    let mut edits = Vec::new();
    // In reverse order, because each jump is inserted at the head of the chain.
    for locked in wanted.iter().rev() {
        for hook in Hook::ALL {
            let chains = locked.at(hook);
            edits.extend(
                chains
                    .filter(|&(chain, rules)| !chain_matches(table, chain, rules))
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
                edits.extend(jumps.chain(stray_jumps(locked, hook, table)).map(deletion));
                edits
                    .extend(unused_chains(locked, hook, table).map(|chain| Edit::Remove { chain }));
            }
            if wants_jump && !in_place {
                edits.push(Edit::InsertFirst {
                    chain: hook.chain(),
                    rule: Rule::Jump(root),
                });
            }
        }
    }
    without_futile_deletions(edits)
}

/// The edits that remove all our rules and chains for `addresses` from `table`.
#[must_use]
pub fn removal(addresses: &[Address], table: &Table) -> Vec<Edit> {
    let is_removed = |chain: &ChainName| addresses.contains(&chain.address);
    let jumps = leads(table).filter(|lead| is_removed(&lead.to));
    let chains = table
        .own_chains()
        .map(|(chain, _)| chain)
        .filter(is_removed);
    let edits = jumps
        .map(deletion)
        .chain(chains.map(|chain| Edit::Remove { chain }));
    without_futile_deletions(edits.collect())
}

fn deletion(lead: Lead<'_>) -> Edit {
    Edit::Delete {
        chain: lead.holder.to_owned(),
        spec: lead.spec.clone(),
    }
}

/// The edits without deletions from chains that are rebuilt or removed: these chains are emptied
/// first, so a deletion would fail.
fn without_futile_deletions(mut edits: Vec<Edit>) -> Vec<Edit> {
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
