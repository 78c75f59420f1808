//! Whether the observed rules enforce a lockdown.

use super::finding::{Check, Finding};
use super::layer::of_layer;
use super::nat::nat;
use super::remote::remote;
use super::routing::routing;
use super::survives::{survives, survives_reboot};
use crate::host::Host;
use crate::policy::Address;
use crate::ruleset::desired::desired;
use crate::ruleset::model::Table;
use crate::ruleset::{Layer, Layers, Lockdown, NotRead, Observation, Unusable, compare};

/// Compares what the lockdown needs with what was observed, layer by layer.
#[must_use]
pub fn structure(lockdown: &Lockdown, seen: &Observation, host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &address in lockdown.policy.target.addresses() {
        findings.extend(of_address(lockdown, seen, host, address));
        if seen.has(address.family()) {
            findings.push(remote(address, host));
        }
        findings.push(survives_reboot(address, host));
    }
    findings.extend(routing(lockdown, host));
    findings.push(other_variants(lockdown, seen));
    findings.extend(survives(lockdown, seen, host));
    findings
}

fn of_address(
    lockdown: &Lockdown,
    seen: &Observation,
    host: &Host,
    address: Address,
) -> Vec<Finding> {
    let family = address.family();
    if !seen.has(family) {
        let message = format!("this kernel has no {family}, so no packet can reach the address");
        return vec![Finding::pass(Check::AddressLocked, message).about(address)];
    }
    let mut findings = Vec::new();
    let mut layers = Enforcing::default();
    for layer in Layer::ALL {
        let (enforcing, in_layer) = check_layer(lockdown, layer, seen, address);
        findings.extend(in_layer);
        match enforcing {
            Some(true) => layers.enforcing.push(layer),
            Some(false) => {}
            None => layers.unknown.push(layer),
        }
    }
    let wanted = lockdown.layers.of(family);
    findings.push(address_locked(&layers, wanted).about(address));
    let unusable = seen.unusable(Layer::Filter, family);
    findings.push(backstop(&layers, wanted, unusable).about(address));
    findings.push(nat(lockdown, seen, host, address));
    findings
}

/// Which layers of a lockdown enforce it, as observed.
#[derive(Default)]
struct Enforcing {
    /// Layers that enforce the whole decision.
    enforcing: Vec<Layer>,
    /// Layers that could not be read.
    unknown: Vec<Layer>,
}

/// Whether the layer enforces the lockdown of the address (`None` if it could not be read), and the
/// findings on it.
fn check_layer(
    lockdown: &Lockdown,
    layer: Layer,
    seen: &Observation,
    address: Address,
) -> (Option<bool>, Vec<Finding>) {
    let family = address.family();
    let layers = lockdown.layers.of(family);
    let unknown = |reason: &NotRead| {
        Finding::not_read(Check::RulesMatch, reason)
            .about(address)
            .within(layer)
    };
    let table = match seen.table(layer, family) {
        Ok(table) => table,
        // Whether the address is locked without this layer is a finding of its own.
        Err(reason) if layers.has(layer) => {
            return (None, vec![unusable_layer(unknown(reason).degraded())]);
        }
        // Unread rules of a layer that is not used could only refuse more. That the layer is
        // missing is a finding on the backstop.
        Err(reason) => {
            let unusable = seen.unusable(layer, family);
            let holds = unusable.is_none_or(|one| one.may_hold(address));
            let finding = holds.then(|| unknown(reason).degraded());
            return (Some(false), Vec::from_iter(finding));
        }
    };
    if !layers.has(layer) {
        let stale = stale_rules(address, table).map(|finding| finding.within(layer));
        return (Some(false), Vec::from_iter(stale));
    }
    let dormant = match seen.is_dormant(layer, family) {
        Ok(dormant) => dormant,
        Err(reason) => return (None, vec![unknown(reason)]),
    };
    let owned = seen.is_owned(layer);
    let mut findings = Vec::new();
    findings.extend(owned.then(owned_table));
    findings.extend(dormant.then(|| dormant_table(layer)));
    let mut enforcing = false;
    let wanted = desired(&lockdown.policy, layers, layer, family);
    for locked in wanted.iter().filter(|locked| locked.address == address) {
        let (complete, in_layer) = of_layer(locked, layer, table);
        findings.extend(in_layer);
        enforcing = complete && !dormant && !owned;
    }
    let about = |finding: Finding| finding.about(address).within(layer);
    (Some(enforcing), findings.into_iter().map(about).collect())
}

/// The help for a layer of iptables that cannot be used, where there is no better one.
const GIVE_UP_IPTABLES: &str = "fix that, then apply the lockdown again; or set \
                                `layers = [\"nftables\"]` in the configuration";

/// With what to do about it: the next `apply` uses other layers.
fn unusable_layer(finding: Finding) -> Finding {
    match &finding.help {
        Some(_) => finding,
        None => finding.help(GIVE_UP_IPTABLES),
    }
}

fn owned_table() -> Finding {
    let message = "another process owns the table (`flags owner`); its rules end with that process";
    Finding::fail(Check::RulesMatch, message)
        .help("end that process, which `nft list tables` shows, and apply the lockdown again")
}

fn dormant_table(layer: Layer) -> Finding {
    let message = "the table is dormant (`flags dormant`), so the kernel ignores its rules";
    Finding::fail(Check::RulesMatch, message).help(match layer {
        Layer::Nftables => "apply the lockdown again: this clears the flag".to_owned(),
        layer => format!("clear the flag of table {layer}, which `nft -a list tables` shows"),
    })
}

/// The finding on rules for the address in a layer that the lockdown does not use. Users would have
/// to be on their list too.
fn stale_rules(address: Address, table: Option<&Table>) -> Option<Finding> {
    let table = table?;
    let mut chains = table.own_chains().map(|(name, _)| name);
    let stale = chains.any(|chain| chain.address == address)
        || compare::leads(table).any(|lead| lead.to.address == address);
    stale.then(|| {
        let message = "stale rules of another lockdown: a packet has to pass both lists";
        Finding::fail(Check::RulesMatch, message)
            .about(address)
            .help("apply the lockdown again: this removes stale rules")
    })
}

fn names(layers: &[Layer]) -> String {
    let names: Vec<&str> = layers.iter().copied().map(Layer::name).collect();
    names.join(" and ")
}

fn address_locked(layers: &Enforcing, wanted: Layers) -> Finding {
    let check = Check::AddressLocked;
    let by = names(&layers.enforcing);
    match (layers.enforcing.len(), layers.unknown.as_slice()) {
        (0, []) => Finding::fail(check, "OPEN: no layer enforces the lockdown"),
        (0, unknown) => {
            let unread = names(unknown);
            Finding::unknown(
                check,
                format!("no layer is known to enforce the lockdown: {unread} could not be read"),
            )
        }
        (count, _) if count < wanted.iter().count() => {
            Finding::pass(check, format!("locked by {by} alone"))
        }
        _ => Finding::pass(check, format!("locked by {by}")),
    }
}

fn backstop(layers: &Enforcing, wanted: Layers, unusable: Option<&Unusable>) -> Finding {
    let check = Check::BackstopPresent;
    let behind: Vec<Layer> = wanted
        .iter()
        .filter(|&layer| layer != Layer::Filter)
        .collect();
    if wanted == Layers::NFTABLES
        && let Some(unusable) = unusable
    {
        let message = format!("{wanted} is the only layer: {}", unusable.reason);
        let help = unusable.reason.help().unwrap_or(GIVE_UP_IPTABLES);
        Finding::fail(check, message).degraded().help(help)
    } else if wanted == Layers::NFTABLES {
        let message = "none needed: only `nft flush ruleset` removes our own table";
        Finding::pass(check, message)
    } else if wanted.iter().count() == 1 {
        let message = format!(
            "{wanted} is the only layer: another tool's flush or rule there would open the address"
        );
        Finding::fail(check, message).degraded().help(
            "apply the lockdown again with --layers auto, on a kernel with nf_tables or the \
             iptables table `security`",
        )
    } else if let Some(layer) = behind.iter().find(|layer| layers.enforcing.contains(layer)) {
        Finding::pass(check, format!("{layer} enforces the lockdown too"))
    } else if behind.iter().any(|layer| layers.unknown.contains(layer)) {
        let message = format!(
            "it is not known whether {} enforces the lockdown",
            names(&behind)
        );
        Finding::unknown(check, message)
    } else {
        let message = format!("{} does not enforce the lockdown", names(&behind));
        Finding::fail(check, message).help(super::layer::REAPPLY)
    }
}

fn other_variants(lockdown: &Lockdown, seen: &Observation) -> Finding {
    let check = Check::OtherVariantClear;
    let targets = lockdown.policy.target.addresses();
    let mut elsewhere = seen.locked_by_other().into_iter();
    if let Some((other, address)) = elsewhere.find(|(_, address)| targets.contains(address)) {
        let message =
            format!("iptables-{other} holds a lockdown too: a packet has to pass both lists");
        return Finding::fail(check, message).about(address).help(format!(
            "apply the lockdown again: this removes the rules from iptables-{other}"
        ));
    }
    match (seen.unread_of_other().next(), seen.variant) {
        // Unread rules of the other variant could only refuse more.
        (Some(reason), _) => Finding::not_read(check, reason).degraded(),
        (None, Some(variant)) => {
            let other = variant.other();
            Finding::pass(check, format!("iptables-{other} holds no lockdown"))
        }
        (None, None) => Finding::pass(check, "iptables holds no lockdown"),
    }
}
