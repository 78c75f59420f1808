//! What other tools on this host would take away, though nothing is wrong now.

use super::finding::{Check, Finding};
use super::{Flush, Observation};
use crate::policy::{Address, Family};
use crate::ruleset::model::Variant;
use crate::ruleset::{Layer, Lock};

/// Whether the lock outlives a reload of firewalld and a start of nftables.service.
pub(super) fn survives(lock: &Lock, seen: &Observation) -> Vec<Finding> {
    let all_have = |layer| {
        let mut addresses = lock.policy.target.addresses().iter();
        addresses.all(|address: &Address| lock.layers.of(address.family()).has(layer))
    };
    let check = Check::SurvivesFirewalld;
    let firewalld = match (seen.firewalld.as_ref(), seen.has_firewalld()) {
        _ if all_have(Layer::Nftables) => {
            Finding::pass(check, "firewalld would leave our table of nftables alone")
        }
        (Ok(false), Ok(false)) => {
            Finding::pass(check, "firewalld is not at work here, and not enabled")
        }
        (Err(reason), Ok(false) | Err(_)) | (Ok(false), Err(reason)) => {
            Finding::unknown(check, reason.clone()).degraded()
        }
        (Ok(true), _) | (_, Ok(true)) => {
            let message = "firewalld is at work here, or enabled, and removes every rule of \
                           iptables at each start and reload: the address will be open then";
            Finding::fail(check, message)
                .degraded()
                .cure("apply again with --layers auto or filter,nftables")
        }
    };
    let check = Check::SurvivesNftFlush;
    let flush = match &seen.flush {
        Flush::No => Finding::pass(check, "nftables.service flushes nothing of ours"),
        Flush::Mended => Finding::pass(check, "nftables.service lays the lockdown again"),
        _ if seen.variant == Some(Variant::Legacy)
            && lock.layers.of(Family::V4).need_iptables() =>
        {
            Finding::pass(check, "what it flushes does not concern iptables-legacy")
        }
        Flush::Unknown(reason) => Finding::unknown(check, reason.clone()).degraded(),
        Flush::Yes(file) => Finding::fail(
            check,
            format!(
                "nftables.service is enabled, and {file} says `flush ruleset`: starting, reloading \
                 or stopping it takes every layer away"
            ),
        )
        .degraded()
        .cure(
            "`ip-lockdown enable`: a drop-in that comes with our units lays the lockdown again; or \
             flush one table by name, as docs/coexistence.md shows",
        ),
    };
    vec![firewalld, flush]
}
