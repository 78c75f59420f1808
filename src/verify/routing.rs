//! Whether packets reach the address by ways on which no rule of ours meets them as packets to it.

use super::finding::{Check, Finding};
use crate::host::{Host, Network};
use crate::policy::{Address, Family, Forwarded};
use crate::ruleset::{Lockdown, NotRead};

/// The findings on bridges and on source routes.
pub(super) fn routing(lockdown: &Lockdown, host: &Host) -> Vec<Finding> {
    match &host.network {
        Ok(network) => vec![bridges(lockdown, network), source_routes(lockdown, network)],
        Err(reason) => vec![
            unknown(Check::BridgedRefused, reason),
            unknown(Check::NoSourceRoutes, reason),
        ],
    }
}

fn unknown(check: Check, reason: &NotRead) -> Finding {
    Finding::not_read(check, reason).degraded()
}

fn bridges(lockdown: &Lockdown, network: &Network) -> Finding {
    let check = Check::BridgedRefused;
    if lockdown.policy.forwarded == Forwarded::Allow {
        return Finding::pass(check, "the policy allows forwarded packets");
    }
    let mut addresses = lockdown.policy.target.addresses().iter();
    let open = addresses.find_map(|&address: &Address| {
        let bridge = network.open_bridges(address).first()?.to_owned();
        Some((address, bridge))
    });
    let Some((address, bridge)) = open else {
        return Finding::pass(check, "no bridge leads past our rules to the address");
    };
    let setting = match address.family() {
        Family::V4 => "bridge-nf-call-iptables",
        Family::V6 => "bridge-nf-call-ip6tables",
    };
    let message = format!(
        "containers and VMs on the bridge {bridge} reach the address without passing our rules, \
         because {setting} is 0 or br_netfilter is not loaded"
    );
    Finding::fail(check, message).about(address).help(format!(
        "`modprobe br_netfilter` and `sysctl -w net.bridge.{setting}=1`, both also in a file in \
         /etc/modules-load.d and /etc/sysctl.d; or connect them by a routed network"
    ))
}

fn source_routes(lockdown: &Lockdown, network: &Network) -> Finding {
    let check = Check::NoSourceRoutes;
    let mut addresses = lockdown.policy.target.addresses().iter();
    let found = addresses.find_map(|&address: &Address| {
        let family = address.family();
        // An IPv6 packet passes FORWARD with its next destination, an IPv4 packet with this host's.
        let passes = family == Family::V4 || lockdown.policy.forwarded == Forwarded::Allow;
        let settings = passes.then(|| network.source_routes(family))?;
        Some((address, *settings.first()?))
    });
    let Some((address, setting)) = found else {
        return Finding::pass(
            check,
            "no packet can use this host as a hop of its source route",
        );
    };
    let family = match address.family() {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let message = format!(
        "a packet with a source route through this host reaches the address without meeting our \
         rules ({setting}=1)"
    );
    Finding::fail(check, message).about(address).help(format!(
        "`sysctl -w net.{family}.conf.all.{setting}=0`, also in a file in /etc/sysctl.d"
    ))
}
