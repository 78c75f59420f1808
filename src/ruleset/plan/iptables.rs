//! Desired and observed -> the edits of one iptables table.
//!
//! A chain is rebuilt only if it differs, and a jump is moved only if it is not where it must be.
//! So the plan for an unchanged table is empty, and its counters survive.

use std::collections::BTreeSet;

use crate::policy::Address;
use crate::ruleset::compare::{
    Lead, chain_matches, jump_is_in_place, jumps_to, leads, stray_jumps, unused_chains,
};
use crate::ruleset::desired::LockedAddress;
use crate::ruleset::iptables::Edit;
use crate::ruleset::model::{ChainName, Hook, Rule, Table};

/// The edits that make `table` (`None`: not in use yet) hold what is wanted.
#[must_use]
pub fn edits(wanted: &[LockedAddress], table: Option<&Table>) -> Vec<Edit> {
    let mut edits = Vec::new();
    // In reverse order, since each jump is inserted at the head of the chain.
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
    without_needless(edits)
}

/// The edits that remove every rule and chain of ours for `addresses` from `table`.
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

/// Leaves out deletions from chains that are rebuilt or removed: those are emptied first, so that
/// a deletion would fail.
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
