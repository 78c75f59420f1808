//! Do the rules that were read say what the policy wants?

use super::finding::{Check, Finding};
use super::nat::nat;
use super::survives::survives;
use super::{Observation, bypass};
use crate::policy::Address;
use crate::ruleset::desired::{LockedAddress, desired};
use crate::ruleset::model::{ChainName, Hook, ObservedRule, Rule, Spec, Table};
use crate::ruleset::{Layer, Layers, Lock, nftables, plan, render};

/// Compares what `lock` wants with what was seen, layer by layer.
#[must_use]
pub fn structure(lock: &Lock, seen: &Observation) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &address in lock.policy.target.addresses() {
        findings.extend(of_address(lock, seen, address));
    }
    findings.push(other_variants(lock, seen));
    findings.extend(survives(lock, seen));
    findings
}

fn of_address(lock: &Lock, seen: &Observation, address: Address) -> Vec<Finding> {
    let family = address.family();
    if !seen.has(family) {
        let message = format!("this kernel has no {family}: no packet can go there");
        return vec![Finding::pass(Check::AddressLocked, message).about(address)];
    }
    let mut findings = Vec::new();
    let mut standing = Standing::default();
    let layers = lock.layers.of(family);
    for layer in Layer::ALL {
        let about = |finding: Finding| finding.about(address).within(layer);
        let table = match seen.table(layer, family) {
            Ok(table) => table,
            Err(reason) if layers.has(layer) => {
                standing.unknown.push(layer);
                findings.push(about(Finding::unknown(Check::RulesMatch, reason.clone())));
                continue;
            }
            Err(reason) => {
                // It could only refuse more than the others do: nothing is open by it.
                let finding = Finding::unknown(Check::RulesMatch, reason.clone());
                findings.push(about(finding.degraded()));
                continue;
            }
        };
        if !layers.has(layer) {
            findings.extend(left_over(address, table).map(|finding| finding.within(layer)));
            continue;
        }
        let dormant = match seen.is_dormant(layer, family) {
            Ok(dormant) => dormant,
            Err(reason) => {
                standing.unknown.push(layer);
                findings.push(about(Finding::unknown(Check::RulesMatch, reason.clone())));
                continue;
            }
        };
        let owned = seen.goes_with_its_owner(layer);
        if owned {
            let message = "the table goes with the process that made it (`flags owner`)";
            let finding = Finding::fail(Check::RulesMatch, message);
            let cure = "end that process, which `nft list tables` names, and apply again";
            findings.push(about(finding).cure(cure));
        }
        if dormant {
            let message = "the table is switched off (`flags dormant`): none of its rules count";
            let finding = Finding::fail(Check::RulesMatch, message);
            let cure = match layer {
                Layer::Nftables => "apply again: it switches the table on".to_owned(),
                layer => format!("remove the flag, which `nft -a list tables` shows, from {layer}"),
            };
            findings.push(about(finding).cure(cure));
        }
        let wanted = desired(&lock.policy, layers, layer, family);
        for locked in wanted.iter().filter(|locked| locked.address == address) {
            let (enforced, mut of_layer) = of_layer(locked, layer, table);
            findings.append(&mut of_layer);
            standing
                .by
                .extend((enforced && !dormant && !owned).then_some(layer));
        }
    }
    findings.push(address_locked(address, &standing, layers));
    findings.push(backstop(address, &standing, layers));
    findings.push(nat(lock, seen, address));
    findings
}

/// Which layers of a lock stand.
#[derive(Default)]
struct Standing {
    /// They enforce the whole decision.
    by: Vec<Layer>,
    /// They could not be read.
    unknown: Vec<Layer>,
}

/// Rules for the address in a layer that the lockdown is not laid in: a list of an older run, which
/// listed users would have to be on as well.
fn left_over(address: Address, table: Option<&Table>) -> Option<Finding> {
    let table = table?;
    let mut chains = table.own_chains().map(|(name, _)| name);
    let left = chains.any(|chain| chain.address == address)
        || plan::leads(table).any(|lead| lead.to.address == address);
    left.then(|| {
        let message = "rules of another lockdown are there too; a packet must pass both lists";
        Finding::fail(Check::RulesMatch, message)
            .about(address)
            .cure("apply again: it takes them away")
    })
}

fn names(layers: &[Layer]) -> String {
    let names: Vec<&str> = layers.iter().copied().map(Layer::name).collect();
    names.join(" and ")
}

fn address_locked(address: Address, standing: &Standing, layers: Layers) -> Finding {
    let check = Check::AddressLocked;
    let by = names(&standing.by);
    let finding = match (standing.by.len(), standing.unknown.as_slice()) {
        (0, []) => Finding::fail(check, "OPEN: no layer enforces the whole decision"),
        (0, unknown) => Finding::unknown(
            check,
            format!(
                "no layer is known to enforce it: {} could not be read",
                names(unknown)
            ),
        ),
        (count, _) if count < layers.iter().count() => {
            let message = format!("thinned, but still locked: by the layer {by} alone");
            Finding::pass(check, message)
        }
        _ => Finding::pass(check, format!("by {by}")),
    };
    finding.about(address)
}

fn backstop(address: Address, standing: &Standing, layers: Layers) -> Finding {
    let check = Check::BackstopPresent;
    let behind: Vec<Layer> = layers
        .iter()
        .filter(|&layer| layer != Layer::Filter)
        .collect();
    let finding = if layers == Layers::NFTABLES {
        let message = "a table of our own needs none: only `nft flush ruleset` would take it";
        Finding::pass(check, message)
    } else if layers.iter().count() == 1 {
        let message = format!(
            "there is no layer but `{layers}`: a rule or flush of another tool there would open \
             the address"
        );
        Finding::fail(check, message).degraded().cure(
            "apply again with --layers auto, on a kernel with nf_tables or the table `security`",
        )
    } else if let Some(layer) = behind.iter().find(|layer| standing.by.contains(layer)) {
        Finding::pass(check, format!("`{layer}` enforces it too"))
    } else if behind.iter().any(|layer| standing.unknown.contains(layer)) {
        let message = format!("whether `{}` enforces it is not known", names(&behind));
        Finding::unknown(check, message)
    } else {
        Finding::fail(check, format!("`{}` does not enforce it", names(&behind))).cure(REAPPLY)
    };
    finding.about(address)
}

const REAPPLY: &str = "apply the lockdown again, and find out which tool changed the rules";

/// The findings on one layer, and whether it enforces the whole decision by itself.
fn of_layer(locked: &LockedAddress, layer: Layer, table: Option<&Table>) -> (bool, Vec<Finding>) {
    let mut wrong_rules = Vec::new();
    let mut wrong_jumps = Vec::new();
    let mut bypasses = Vec::new();
    let mut enforced = true;
    let mut jumps_found = false;
    for hook in Hook::ALL {
        let root = ChainName::root(hook, locked.address);
        let name = called(root, layer);
        let jumps = table.map_or_else(Vec::new, |table| plan::jumps_to(table, root).collect());
        let left_over = table.and_then(|table| plan::left_over(locked, hook, table).next());
        if locked.at(hook).next().is_none() {
            if left_over.is_some() || !jumps.is_empty() {
                wrong_rules.push(format!(
                    "{name} is there, but forwarded packets are allowed"
                ));
            }
            continue;
        }
        let wrong_chains = wrong_chains(locked, hook, layer, table);
        enforced &= wrong_chains.is_empty();
        wrong_rules.extend(wrong_chains);
        wrong_rules.extend(left_over.map(|chain| {
            let chain = called(chain, layer);
            format!("{chain} is there, but this list does not use it")
        }));
        wrong_rules.extend(none_of_ours(table, layer, hook));
        let first = jumps
            .iter()
            .filter(|lead| lead.holder == hook.chain() && matches!(lead.spec, Spec::Own(_)))
            .map(|lead| lead.position)
            .min();
        if !plan::jump_is_in_place(table, root) {
            wrong_jumps.push(match (jumps.len(), first) {
                (0, _) => format!("{} has no jump to {name}", hook.chain()),
                (_, None) => format!("{} has no plain jump to {name}", hook.chain()),
                (1, Some(position)) => format!(
                    "the jump to {name} is rule {} of {}, behind foreign rules{}",
                    position + 1,
                    hook.chain(),
                    tool_above(table, hook, position)
                ),
                (count, _) => format!("{count} rules lead to {name}, one should"),
            });
        }
        let stray = table.and_then(|table| plan::strays(locked, hook, table).next());
        wrong_jumps.extend(stray.map(|stray| {
            let (holder, chain) = (stray.holder, called(stray.to, layer));
            format!("a rule of {holder} leads to {chain}, where only our own rules should")
        }));
        jumps_found |= first.is_some();
        let built_in = table.and_then(|table| Some((table, table.built_in(hook)?)));
        match (first, built_in) {
            (Some(position), Some((table, built_in))) => {
                let above = built_in.rules.get(..position).unwrap_or_default();
                let policy = built_in.policy.as_deref();
                let rule = match layer {
                    Layer::Nftables => bypass::first_foreign(above),
                    Layer::Filter | Layer::Security => {
                        bypass::lets_through(table, above, locked.address, policy)
                    }
                };
                bypasses.extend(rule.map(|rule| format!("{}: `{rule}`", hook.chain())));
            }
            _ => enforced = false,
        }
    }
    enforced &= bypasses.is_empty();
    let about = |finding: Finding| finding.about(locked.address).within(layer);
    let judge = |check, wrong: Vec<String>, fine: &str| {
        about(if wrong.is_empty() {
            Finding::pass(check, fine)
        } else {
            Finding::fail(check, wrong.join("; ")).cure(REAPPLY)
        })
    };
    let mut findings = vec![
        judge(
            Check::RulesMatch,
            wrong_rules,
            "the rules are those that were applied",
        ),
        judge(
            Check::JumpFirst,
            wrong_jumps,
            "every packet to the address meets them first",
        ),
    ];
    // Where there is no jump at all, nothing can be above it.
    if jumps_found {
        findings.push(judge(
            Check::NoBypass,
            bypasses,
            "no foreign rule above lets it through",
        ));
    }
    (enforced, findings)
}

/// The chain's name in the layer.
fn called(chain: ChainName, layer: Layer) -> String {
    match layer {
        Layer::Nftables => nftables::written(chain),
        Layer::Filter | Layer::Security => chain.to_string(),
    }
}

/// The first chain that does not hold what is wanted, and how many others do not.
fn wrong_chains(
    locked: &LockedAddress,
    hook: Hook,
    layer: Layer,
    table: Option<&Table>,
) -> Vec<String> {
    // From the one that packets meet first.
    let mut wrong = locked
        .at(hook)
        .rev()
        .filter(|&(chain, wanted)| !plan::stands(table, chain, wanted));
    let Some((chain, wanted)) = wrong.next() else {
        return Vec::new();
    };
    let seen = table.and_then(|table| table.chain(&chain.to_string()));
    let seen = seen.map(|chain| chain.rules.as_slice());
    let written = |rule: &Rule| match layer {
        Layer::Nftables => nftables::render::rule(rule),
        Layer::Filter | Layer::Security => render::rule(rule, locked.address.family()),
    };
    let first = difference(&called(chain, layer), wanted, seen, written);
    let more = match wrong.count() {
        0 => None,
        1 => Some("one more chain differs".to_owned()),
        more => Some(format!("{more} more chains differ")),
    };
    std::iter::once(first).chain(more).collect()
}

/// A rule of someone else in our own table, where nobody else has anything to say.
fn none_of_ours(table: Option<&Table>, layer: Layer, hook: Hook) -> Option<String> {
    let own_table = table.filter(|_| layer == Layer::Nftables)?;
    let rule = bypass::first_foreign(&own_table.built_in(hook)?.rules)?;
    let hook = hook.chain();
    Some(format!("{hook} has a rule that is none of ours: `{rule}`"))
}

/// Which tool the rules above our jump are from, as far as its names tell.
fn tool_above(table: Option<&Table>, hook: Hook, position: usize) -> String {
    const TOOLS: [(&str, &str); 8] = [
        ("DOCKER", "docker"),
        ("ufw", "ufw"),
        ("NETAVARK", "podman"),
        ("CNI-", "podman"),
        ("KUBE-", "kube-proxy"),
        ("LIBVIRT", "libvirt"),
        ("f2b-", "fail2ban"),
        ("_direct", "firewalld"),
    ];
    let chain = table.and_then(|table| table.chain(hook.chain()));
    let above = chain.and_then(|chain| chain.rules.get(..position));
    let text = |rule: &ObservedRule| match &rule.spec {
        Spec::Foreign(text) => text.clone(),
        Spec::Own(_) => String::new(),
    };
    let above: Vec<String> = above.unwrap_or_default().iter().map(text).collect();
    let made_by = |mark: &str| above.iter().any(|text| text.contains(mark));
    match TOOLS.iter().find(|(mark, _)| made_by(mark)) {
        Some((_, tool)) => format!(" of {tool}, which puts them there at each start"),
        None => String::new(),
    }
}

/// The first difference between the rules of a chain, in the words of the layer's program.
fn difference(
    name: &str,
    wanted: &[Rule],
    seen: Option<&[ObservedRule]>,
    written: impl Fn(&Rule) -> String,
) -> String {
    let seen = match seen {
        None => return format!("{name} is missing"),
        Some([]) => return format!("{name} is empty"),
        Some(seen) => seen,
    };
    let wanted: Vec<String> = wanted.iter().map(&written).collect();
    let seen: Vec<String> = seen
        .iter()
        .map(|rule| match &rule.spec {
            Spec::Own(rule) => written(rule),
            Spec::Foreign(text) => text.clone(),
        })
        .collect();
    let at = wanted.iter().zip(&seen).take_while(|(a, b)| a == b).count();
    match (wanted.get(at), seen.get(at)) {
        (Some(wanted), Some(seen)) => {
            format!("{name} rule {} is `{seen}`, should be `{wanted}`", at + 1)
        }
        (Some(wanted), None) => format!("{name} lacks rule {}: `{wanted}`", at + 1),
        (None, Some(seen)) => format!("{name} has one too many, rule {}: `{seen}`", at + 1),
        (None, None) => format!("{name} differs"),
    }
}

fn other_variants(lock: &Lock, seen: &Observation) -> Finding {
    let check = Check::OtherVariantClear;
    let elsewhere = seen.locked_by_other();
    let targets = lock.policy.target.addresses();
    let stale = elsewhere
        .iter()
        .find(|(_, address)| targets.contains(address));
    if let Some((other, address)) = stale {
        return Finding::fail(
            check,
            format!("iptables-{other} holds a lockdown too; a packet must pass both lists"),
        )
        .about(*address)
        .cure(format!(
            "apply again with what you mean: it takes away what iptables-{other} holds"
        ));
    }
    let unread = seen.unread_of_other().next();
    match (unread, seen.variant) {
        // It could only refuse more than this one does: nothing is open by it.
        (Some(reason), _) => Finding::unknown(check, reason.clone()).degraded(),
        (None, Some(variant)) => Finding::pass(
            check,
            format!("iptables-{} holds no lockdown beside it", variant.other()),
        ),
        (None, None) => Finding::pass(check, "no iptables holds a lockdown beside it"),
    }
}
