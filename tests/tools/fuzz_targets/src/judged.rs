//! Decisions that are based on an observation.

use ip_lockdown::host::{Flush, Host, Interfaces, Network, NextBoot};
use ip_lockdown::policy::floor::metadata_for_root;
use ip_lockdown::ruleset::iptables::Edit;
use ip_lockdown::ruleset::plan::{self, Plan, Transaction};
use ip_lockdown::ruleset::{
    Layers, LayersByFamily, Lockdown, Observation, counted, installed, nftables::encode,
};
use ip_lockdown::verify::structure;

/// Verifies, counts, installs and removes a lockdown on a host that looks like this: the last one
/// that is installed, else that of the metadata service.
pub(crate) fn observation(seen: &Observation) {
    let host = Host {
        flush: Ok(Flush::No),
        firewalld_at_boot: Ok(false),
        next_boot: Ok(NextBoot::NotEnabled),
        network: Ok(Network::default()),
        interfaces: Ok(Interfaces::default()),
    };
    let lockdown = installed(seen).lockdowns.pop().unwrap_or_else(metadata);
    let alone = std::slice::from_ref(&lockdown);
    assert!(!structure(&lockdown, seen, &host).is_empty());
    let _ = counted(&lockdown, seen);
    written(&plan::install(alone, seen));
    written(&plan::clear(alone, seen));
    written(&plan::remove(&seen.locked_addresses(), true, &[], seen));
}

/// The lockdown of the metadata service for root alone, in all layers.
pub(crate) fn metadata() -> Lockdown {
    Lockdown {
        policy: metadata_for_root(),
        layers: LayersByFamily::both(Layers::FILTER_AND_SECURITY),
    }
}

/// Each edit is as many lines as its syntax has: what other tools put into a rule never becomes a
/// line of its own.
fn written(plan: &Plan) {
    for transaction in plan.transactions() {
        let text = transaction.text();
        match transaction {
            Transaction::Iptables(_, _, tables) => {
                let edits = tables.iter().flat_map(|table| &table.edits);
                let of_edits: usize = edits.map(lines).sum();
                let expected = 2 * tables.len() + of_edits;
                assert_eq!(text.lines().count(), expected, "{text}");
            }
            Transaction::Named(_, _, chains) => {
                assert_eq!(text.lines().count(), 3 * chains.len(), "{text}");
            }
            Transaction::Nftables(operations) => {
                assert!(!text.is_empty());
                assert!(!encode::transaction(operations).is_empty());
            }
        }
    }
}

fn lines(edit: &Edit) -> usize {
    match edit {
        // It is declared, too.
        Edit::Rebuild { rules, .. } => 1 + rules.len(),
        Edit::Delete { .. } | Edit::InsertFirst { .. } => 1,
        // It is emptied, and deleted.
        Edit::Remove { .. } => 2,
    }
}
