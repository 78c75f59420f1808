//! What other tools on this host would take away, though nothing is wrong now.

use super::finding::{Check, Finding};
use super::{Flush, Observation};
use crate::policy::Address;
use crate::ruleset::model::Variant;
use crate::ruleset::{Layer, Lock};

/// Whether the lock outlives a reload of firewalld and a start of nftables.service.
pub(super) fn survives(lock: &Lock, seen: &Observation) -> Vec<Finding> {
    let all_have = |layer| {
        let mut addresses = lock.policy.target.addresses().iter();
        addresses.all(|address: &Address| lock.layers.of(address.family()).has(layer))
    };
    // Rules of iptables-legacy are out of the reach of both.
    let in_nf_tables = seen.variant != Some(Variant::Legacy);
    let check = Check::SurvivesFirewalld;
    let firewalld = if !seen.has_firewalld() {
        Finding::pass(check, "firewalld has no rules here")
    } else if all_have(Layer::Nftables) {
        Finding::pass(check, "firewalld leaves our table of nftables alone")
    } else if !in_nf_tables {
        Finding::pass(
            check,
            "firewalld leaves the tables of iptables-legacy alone",
        )
    } else {
        let message = "firewalld is at work here, and removes every rule of iptables-nft at each \
                       start and reload: the address will be open then";
        Finding::fail(check, message)
            .degraded()
            .cure("install nft, and apply again with --layers auto or filter,nftables")
    };
    let check = Check::SurvivesNftFlush;
    let flush = match &seen.flush {
        Flush::No => Finding::pass(check, "nftables.service flushes nothing of ours"),
        _ if !in_nf_tables => {
            Finding::pass(check, "what it flushes does not concern iptables-legacy")
        }
        Flush::Unknown(reason) => Finding::unknown(check, reason.clone()).degraded(),
        Flush::Yes(file) => Finding::fail(
            check,
            format!(
                "nftables.service runs {file}, which says `flush ruleset`: it takes every layer \
                 away at each start and reload"
            ),
        )
        .degraded()
        .cure(format!(
            "in {file}, name the tables to flush instead of `flush ruleset`, or apply again after \
             each start of nftables.service"
        )),
    };
    vec![firewalld, flush]
}
