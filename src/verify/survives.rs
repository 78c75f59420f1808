//! Whether the next boot or other tools of this host will remove the lockdown, although it works now.

use super::finding::{Check, Finding};
use crate::host::{Flush, Host, NextBoot};
use crate::policy::{Address, Family};
use crate::ruleset::model::Variant;
use crate::ruleset::{Layer, Lockdown, Observation};

/// Whether the lockdown survives a reload of firewalld and a restart of nftables.service.
pub(super) fn survives(lockdown: &Lockdown, seen: &Observation, host: &Host) -> Vec<Finding> {
    vec![
        survives_firewalld(lockdown, seen, host),
        survives_nft_flush(lockdown, seen, host),
    ]
}

/// Whether the address is locked again at the next boot. The check passes in either case: a lockdown
/// until the next boot is what `apply` without `enable` promises. Only then it has a help.
pub(super) fn survives_reboot(address: Address, host: &Host) -> Finding {
    let check = Check::SurvivesReboot;
    let ends = |reason| {
        let message = format!("the lockdown ends at the next boot: {reason}");
        Finding::pass(check, message)
            .help("to lock at every boot, run `ip-lockdown enable ADDRESS [USER]...`")
    };
    let finding = match &host.next_boot {
        Ok(NextBoot::NotEnabled) => ends("ip-lockdown.service is not enabled"),
        Ok(NextBoot::Configured(targets)) => {
            let mut targets = targets.iter();
            if targets.any(|target| target.addresses().contains(&address)) {
                Finding::pass(check, "ip-lockdown.service locks the address at every boot")
            } else {
                ends("the configuration does not contain the address")
            }
        }
        Ok(NextBoot::MetadataForRoot) if address.is_imds() => {
            let message = "the configuration cannot be used: at the next boot, \
                           ip-lockdown.service locks the address for root only";
            Finding::pass(check, message)
        }
        Ok(NextBoot::MetadataForRoot) => ends("the configuration cannot be used"),
        Err(reason) => Finding::unknown(check, reason.to_string()).degraded(),
    };
    finding.about(address)
}

fn survives_firewalld(lockdown: &Lockdown, seen: &Observation, host: &Host) -> Finding {
    let check = Check::SurvivesFirewalld;
    let all_have = |layer| {
        let mut addresses = lockdown.policy.target.addresses().iter();
        addresses.all(|address: &Address| lockdown.layers.of(address.family()).has(layer))
    };
    if all_have(Layer::Nftables) {
        return Finding::pass(check, "firewalld does not touch our nftables table");
    }
    match (host.firewalld_at_boot.as_ref(), seen.has_firewalld()) {
        (Ok(true), _) | (_, Ok(true)) => {
            let message = "firewalld is running or enabled, and removes every iptables rule at \
                           each start and reload: the address will be open then";
            Finding::fail(check, message)
                .degraded()
                .help("apply the lockdown again with --layers auto or filter,nftables")
        }
        (Ok(false), Ok(false)) => Finding::pass(check, "firewalld is neither running nor enabled"),
        (Err(reason), _) | (_, Err(reason)) => {
            Finding::unknown(check, reason.to_string()).degraded()
        }
    }
}

fn survives_nft_flush(lockdown: &Lockdown, seen: &Observation, host: &Host) -> Finding {
    let check = Check::SurvivesNftFlush;
    let in_legacy =
        seen.variant == Some(Variant::Legacy) && lockdown.layers.of(Family::V4).need_iptables();
    match &host.flush {
        Ok(Flush::No) => Finding::pass(check, "nftables.service does not flush our rules"),
        Ok(Flush::Reapplied) => Finding::pass(
            check,
            "nftables.service applies the lockdown again after its flush",
        ),
        _ if in_legacy => Finding::pass(check, "a flush by nft does not touch iptables-legacy"),
        Err(reason) => Finding::unknown(check, reason.to_string()).degraded(),
        Ok(Flush::Yes(file)) => {
            let message = format!(
                "nftables.service is enabled, and {} contains `flush ruleset`: each start, reload \
                 or stop removes every layer",
                file.display()
            );
            Finding::fail(check, message).degraded().help(
                "run `ip-lockdown enable`: a systemd drop-in then applies the lockdown again; or \
                 flush one table by name, as docs/coexistence.md shows",
            )
        }
    }
}
