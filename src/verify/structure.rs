//! Do the rules that were read say what the policy wants?

use super::bypass;
use super::finding::{Check, Finding};
use super::{Lock, Observation};
use crate::policy::{Address, Family, Forwarded};
use crate::ruleset::desired::{LockedAddress, desired, layers};
use crate::ruleset::model::{Hook, Layer, ObservedRule, Rule, Spec, Table};
use crate::ruleset::{Backstop, plan, render};

/// Compares what `lock` wants with what was seen, layer by layer.
#[must_use]
pub fn structure(lock: &Lock, seen: &Observation) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &address in lock.policy.target.addresses() {
        findings.extend(of_address(lock, seen, address));
    }
    findings.push(other_variant(lock, seen));
    findings
}

fn of_address(lock: &Lock, seen: &Observation, address: Address) -> Vec<Finding> {
    let family = address.family();
    let ruleset = match seen.family(family) {
        None => {
            let message = format!("this kernel has no {family}: no packet can go there");
            return vec![Finding::pass(Check::AddressLocked, message).about(address)];
        }
        Some(Err(reason)) => {
            return vec![Finding::unknown(Check::AddressLocked, reason.clone()).about(address)];
        }
        Some(Ok(ruleset)) => ruleset,
    };
    let mut findings = Vec::new();
    let mut standing = Vec::new();
    let laid = lock.backstop.of(family);
    for &layer in layers(laid) {
        let table = ruleset.table(layer.table());
        let dormant = seen.is_dormant(family, layer.table());
        if dormant {
            let message = "the table is switched off (`flags dormant`): none of its rules count";
            let finding = Finding::fail(Check::RulesMatch, message);
            findings.push(finding.about(address).within(layer).cure(format!(
                "remove the flag, which `nft list tables` shows, from the table {layer}"
            )));
        }
        let wanted = desired(&lock.policy, laid, layer, family);
        for locked in wanted.iter().filter(|locked| locked.address == address) {
            let (enforced, mut of_layer) = of_layer(locked, layer, table);
            findings.append(&mut of_layer);
            standing.extend((enforced && !dormant).then_some(layer));
        }
    }
    findings.push(address_locked(address, &standing, laid));
    findings.push(backstop(address, &standing, laid));
    findings.push(nat(lock, seen, address));
    findings
}

fn address_locked(address: Address, standing: &[Layer], backstop: Backstop) -> Finding {
    let names: Vec<&str> = standing.iter().map(|layer| layer.table()).collect();
    let finding = if names.is_empty() {
        Finding::fail(
            Check::AddressLocked,
            "OPEN: no layer enforces the whole decision",
        )
    } else if names.len() < layers(backstop).len() {
        let message = format!(
            "still locked, but by the layer {} alone",
            names.join(" and ")
        );
        Finding::pass(Check::AddressLocked, message)
    } else {
        Finding::pass(Check::AddressLocked, format!("by {}", names.join(" and ")))
    };
    finding.about(address)
}

fn backstop(address: Address, standing: &[Layer], backstop: Backstop) -> Finding {
    let check = Check::BackstopPresent;
    let finding = match backstop {
        Backstop::None => Finding::fail(
            check,
            "this kernel offered no second layer: a rule or flush of another tool in `filter` \
             would open the address",
        )
        .degraded()
        .cure("use iptables-nft, or a kernel with the table `security`, and apply again"),
        Backstop::Security if standing.contains(&Layer::Security) => {
            Finding::pass(check, "`security` enforces it too")
        }
        Backstop::Security => Finding::fail(check, "`security` does not enforce it").cure(REAPPLY),
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
        let (chain, wanted) = locked.at(hook);
        let name = chain.to_string();
        let Some(wanted) = wanted else {
            let left_over = table.is_some_and(|table| {
                table.chain(&name).is_some() || plan::jumps_to(table, chain).next().is_some()
            });
            if left_over {
                wrong_rules.push(format!(
                    "{name} is there, but forwarded packets are allowed"
                ));
            }
            continue;
        };
        if !plan::stands(table, chain, wanted) {
            enforced = false;
            let seen = table.and_then(|table| table.chain(&name));
            let seen = seen.map(|chain| chain.rules.as_slice());
            wrong_rules.push(difference(&name, wanted, seen, locked.address.family()));
        }
        let jumps = table.map_or_else(Vec::new, |table| plan::jumps_to(table, chain).collect());
        let first = jumps
            .iter()
            .filter(|(holder, _, spec)| *holder == hook.chain() && matches!(spec, Spec::Own(_)))
            .map(|&(_, position, _)| position)
            .min();
        if !plan::jump_is_in_place(table, chain) {
            wrong_jumps.push(match (jumps.len(), first) {
                (0, _) => format!("{} has no jump to {name}", hook.chain()),
                (_, None) => format!("{} has no plain jump to {name}", hook.chain()),
                (1, Some(position)) => format!(
                    "the jump to {name} is rule {} of {}, behind foreign rules",
                    position + 1,
                    hook.chain()
                ),
                (count, _) => format!("{count} rules lead to {name}, one should"),
            });
        }
        jumps_found |= first.is_some();
        let built_in = table.and_then(|table| Some((table, table.chain(hook.chain())?)));
        match (first, built_in) {
            (Some(position), Some((table, built_in))) => {
                let above = built_in.rules.get(..position).unwrap_or_default();
                let policy = built_in.policy.as_deref();
                if let Some(rule) = bypass::lets_through(table, above, locked.address, policy) {
                    bypasses.push(format!("{}: `{rule}`", hook.chain()));
                }
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

/// The first difference between the rules of a chain, in iptables' words.
fn difference(
    name: &str,
    wanted: &[Rule],
    seen: Option<&[ObservedRule]>,
    family: Family,
) -> String {
    let seen = match seen {
        None => return format!("{name} is missing"),
        Some([]) => return format!("{name} is empty"),
        Some(seen) => seen,
    };
    let wanted: Vec<String> = wanted
        .iter()
        .map(|rule| render::rule(rule, family))
        .collect();
    let seen: Vec<String> = seen
        .iter()
        .map(|rule| render::spec(&rule.spec, family))
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

fn nat(lock: &Lock, seen: &Observation, address: Address) -> Finding {
    let check = Check::NatUntouched;
    let mut chains = vec!["OUTPUT"];
    if lock.policy.forwarded == Forwarded::Refuse {
        chains.push("PREROUTING");
    }
    let family = address.family();
    // Both variants have a nat of their own, and a packet meets both.
    let looks = || {
        let own = seen.families.iter();
        own.chain(&seen.other)
            .filter(move |(of, _)| *of == family)
            .map(|(_, ruleset)| ruleset)
    };
    let rewriting = looks()
        .filter_map(|ruleset| ruleset.as_ref().ok()?.table("nat"))
        .find_map(|nat| {
            chains
                .iter()
                .find_map(|chain| Some((chain, bypass::rewrites(nat, chain, address)?)))
        });
    if let Some((chain, rule)) = rewriting {
        let message = format!(
            "nat {chain} may send its packets elsewhere before our rules see them: `{rule}`"
        );
        return Finding::fail(check, message)
            .about(address)
            .cure("remove that rule, or guard the service that it leads to by itself");
    }
    let finding = match not_seen_of_nat(lock, seen, family) {
        None => Finding::pass(check, "nat leaves it as it is"),
        Some(reason) => Finding::unknown(check, reason)
            .degraded()
            .cure("look whether they rewrite the address: `nft list ruleset`"),
    };
    finding.about(address)
}

/// What may translate addresses of the family and cannot be read by iptables.
fn not_seen_of_nat(lock: &Lock, seen: &Observation, family: Family) -> Option<String> {
    let of_family = seen.families.iter().chain(&seen.other);
    for (_, ruleset) in of_family.filter(|(of, _)| *of == family) {
        match ruleset {
            Ok(ruleset) if ruleset.hidden.iter().any(|table| table == "nat") => {
                return Some(
                    "iptables cannot show the table nat, since `nft` has put rules into it".into(),
                );
            }
            Ok(_) => {}
            Err(reason) => return Some(reason.clone()),
        }
    }
    let native = match &seen.native {
        Ok(native) => native,
        Err(reason) => return Some(format!("cannot ask for the chains of nftables: {reason}")),
    };
    let forwarded_too = lock.policy.forwarded == Forwarded::Refuse;
    let names: Vec<&str> = native
        .nat
        .iter()
        .filter(|chain| chain.families.contains(&family) && (chain.local || forwarded_too))
        .map(|chain| chain.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "chains of nftables that iptables does not show translate addresses: {}",
            names.join(", ")
        )
    })
}

fn other_variant(lock: &Lock, seen: &Observation) -> Finding {
    let other = seen.variant.other();
    let check = Check::OtherVariantClear;
    let elsewhere = seen.locked_by_other();
    let mut addresses = lock.policy.target.addresses().iter().copied();
    let stale = addresses.find(|address| elsewhere.contains(address));
    if let Some(address) = stale {
        return Finding::fail(
            check,
            format!("iptables-{other} holds a lockdown too; a packet must pass both lists"),
        )
        .about(address)
        .cure(format!(
            "apply again with the variant that you mean: it takes away what iptables-{other} holds"
        ));
    }
    match seen
        .other
        .iter()
        .find_map(|(_, ruleset)| ruleset.as_ref().err())
    {
        // It could only refuse more than this one does: nothing is open by it.
        Some(reason) => Finding::unknown(check, reason.clone()).degraded(),
        None => Finding::pass(
            check,
            format!("iptables-{other} holds no lockdown beside it"),
        ),
    }
}
