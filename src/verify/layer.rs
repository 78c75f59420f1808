//! Whether one layer enforces one address.

use super::bypass;
use super::finding::{Check, Finding};
use crate::ruleset::compare::{self, Lead};
use crate::ruleset::desired::LockedAddress;
use crate::ruleset::iptables::render;
use crate::ruleset::model::{ChainName, Hook, ObservedRule, Rule, Spec, Table};
use crate::ruleset::{Layer, nftables};

/// The help for rules that another tool changed.
pub(super) const REAPPLY: &str =
    "apply the lockdown again, and find out which tool changed the rules";

/// What is wrong with the rules of one address in one layer.
struct Problems {
    rules: Vec<String>,
    jumps: Vec<String>,
    bypasses: Vec<String>,
    /// Whether any jump to our chains exists.
    has_jump: bool,
    /// Whether the layer enforces the whole decision by itself.
    enforcing: bool,
}

/// Whether the layer enforces the whole decision by itself, and the findings on it.
pub(super) fn of_layer(
    locked: &LockedAddress,
    layer: Layer,
    table: Option<&Table>,
) -> (bool, Vec<Finding>) {
    let mut problems = Problems {
        rules: Vec::new(),
        jumps: Vec::new(),
        bypasses: Vec::new(),
        has_jump: false,
        enforcing: true,
    };
    for hook in Hook::ALL {
        if locked.at(hook).next().is_none() {
            problems
                .rules
                .extend(unwanted_hook(locked, hook, layer, table));
        } else {
            check_hook(locked, hook, layer, table, &mut problems);
        }
    }
    let enforcing = problems.enforcing && problems.bypasses.is_empty();
    (enforcing, findings(problems))
}

fn findings(problems: Problems) -> Vec<Finding> {
    let judge = |check, wrong: Vec<String>, right: &str| {
        if wrong.is_empty() {
            Finding::pass(check, right)
        } else {
            Finding::fail(check, wrong.join("; ")).help(REAPPLY)
        }
    };
    let mut findings = vec![
        judge(
            Check::RulesMatch,
            problems.rules,
            "the rules are those that were applied",
        ),
        judge(
            Check::JumpFirst,
            problems.jumps,
            "packets to the address reach our rules first",
        ),
    ];
    // Without a jump, no rule can be above it.
    if problems.has_jump {
        findings.push(judge(
            Check::NoBypass,
            problems.bypasses,
            "no foreign rule above ours accepts the address",
        ));
    }
    findings
}

/// What is wrong at a hook for which the policy needs no rules, if anything.
fn unwanted_hook(
    locked: &LockedAddress,
    hook: Hook,
    layer: Layer,
    table: Option<&Table>,
) -> Option<String> {
    let table = table?;
    let root = ChainName::root(hook, locked.address);
    let unused = compare::unused_chains(locked, hook, table).next().is_some();
    let unwanted = unused || compare::jumps_to(table, root).next().is_some();
    unwanted.then(|| {
        let name = name_in(root, layer);
        format!("{name} exists, but the lockdown allows forwarded packets")
    })
}

fn check_hook(
    locked: &LockedAddress,
    hook: Hook,
    layer: Layer,
    table: Option<&Table>,
    problems: &mut Problems,
) {
    let root = ChainName::root(hook, locked.address);
    let wrong_chains = wrong_chains(locked, hook, layer, table);
    problems.enforcing &= wrong_chains.is_empty();
    problems.rules.extend(wrong_chains);
    let unused = table.and_then(|table| compare::unused_chains(locked, hook, table).next());
    problems.rules.extend(unused.map(|chain| {
        let chain = name_in(chain, layer);
        format!("{chain} exists, but this list does not use it")
    }));
    problems.rules.extend(foreign_rule(table, layer, hook));

    let jumps: Vec<Lead> =
        table.map_or_else(Vec::new, |table| compare::jumps_to(table, root).collect());
    let first = jumps
        .iter()
        .filter(|lead| lead.holder == hook.chain() && matches!(lead.spec, Spec::Own(_)))
        .map(|lead| lead.position)
        .min();
    if !compare::jump_is_in_place(table, root) {
        let problem = misplaced_jump(&name_in(root, layer), hook, jumps.len(), first, table);
        problems.jumps.push(problem);
    }
    let stray = table.and_then(|table| compare::stray_jumps(locked, hook, table).next());
    problems.jumps.extend(stray.map(|stray| {
        let (holder, chain) = (stray.holder, name_in(stray.to, layer));
        format!("a rule of {holder} leads to {chain}, which only our own rules may do")
    }));
    problems.has_jump |= first.is_some();

    let Some((position, table)) = first.zip(table) else {
        problems.enforcing = false;
        return;
    };
    let Some(built_in) = table.built_in(hook) else {
        problems.enforcing = false;
        return;
    };
    let above = built_in.rules.get(..position).unwrap_or_default();
    let bypass = match layer {
        Layer::Nftables => bypass::first_foreign(above),
        Layer::Filter | Layer::Security => {
            bypass::accepts(table, above, locked.address, built_in.policy.as_deref())
        }
    };
    problems.bypasses.extend(
        bypass.map(|rule| format!("{} has a foreign rule above ours: `{rule}`", hook.chain())),
    );
}

/// What is wrong with the jump to our chain `name`: `count` rules lead to it, `first` is the
/// position of the first plain jump in the built-in chain.
fn misplaced_jump(
    name: &str,
    hook: Hook,
    count: usize,
    first: Option<usize>,
    table: Option<&Table>,
) -> String {
    let chain = hook.chain();
    match (count, first) {
        (0, _) => format!("{chain} has no jump to {name}"),
        (_, None) => format!("{chain} has no jump to {name} of the expected form"),
        (1, Some(position)) => {
            let number = position + 1;
            let above = rules_above(table, hook, position);
            format!("the jump to {name} is rule {number} of {chain}, behind {above}")
        }
        (count, _) => format!("{count} rules lead to {name} instead of one"),
    }
}

/// The name of the chain in the layer.
fn name_in(chain: ChainName, layer: Layer) -> String {
    match layer {
        Layer::Nftables => nftables::written(chain),
        Layer::Filter | Layer::Security => chain.to_string(),
    }
}

/// The first chain that does not hold the desired rules, and the number of further ones.
fn wrong_chains(
    locked: &LockedAddress,
    hook: Hook,
    layer: Layer,
    table: Option<&Table>,
) -> Vec<String> {
    // In the order in which packets meet them.
    let mut wrong = locked
        .at(hook)
        .rev()
        .filter(|&(chain, wanted)| !compare::chain_matches(table, chain, wanted));
    let Some((chain, wanted)) = wrong.next() else {
        return Vec::new();
    };
    let seen = table.and_then(|table| table.chain(&chain.to_string()));
    let seen = seen.map(|chain| chain.rules.as_slice());
    let written = |rule: &Rule| match layer {
        Layer::Nftables => nftables::render::rule(rule),
        Layer::Filter | Layer::Security => render::rule(rule, locked.address.family()),
    };
    let first = difference(&name_in(chain, layer), wanted, seen, written);
    let more = match wrong.count() {
        0 => None,
        1 => Some("1 more chain differs".to_owned()),
        more => Some(format!("{more} more chains differ")),
    };
    std::iter::once(first).chain(more).collect()
}

/// A foreign rule in a base chain of our own table.
fn foreign_rule(table: Option<&Table>, layer: Layer, hook: Hook) -> Option<String> {
    let own_table = table.filter(|_| layer == Layer::Nftables)?;
    let rule = bypass::first_foreign(&own_table.built_in(hook)?.rules)?;
    Some(format!("{} has a foreign rule: `{rule}`", hook.chain()))
}

/// The foreign rules above our jump: the first of them, and the tool that its names point to.
fn rules_above(table: Option<&Table>, hook: Hook, position: usize) -> String {
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
    let foreign: Vec<&str> = above
        .unwrap_or_default()
        .iter()
        .filter_map(|rule| match &rule.spec {
            Spec::Foreign(text) => Some(text.as_str()),
            Spec::Own(_) => None,
        })
        .collect();
    let by = |mark: &str| foreign.iter().any(|text| text.contains(mark));
    match (TOOLS.iter().find(|(mark, _)| by(mark)), foreign.first()) {
        (Some((_, tool)), _) => format!("rules of {tool}, which inserts them at each start"),
        (None, Some(first)) => format!("`{first}`"),
        (None, None) => "other rules".to_owned(),
    }
}

/// The first difference between the wanted and the observed rules of a chain, in the syntax of the
/// layer.
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
    let number = at + 1;
    match (wanted.get(at), seen.get(at)) {
        (Some(wanted), Some(seen)) => {
            format!("rule {number} of {name} is `{seen}` instead of `{wanted}`")
        }
        (Some(wanted), None) => format!("rule {number} of {name} is missing: `{wanted}`"),
        (None, Some(seen)) => format!("rule {number} of {name} is superfluous: `{seen}`"),
        (None, None) => format!("{name} differs"),
    }
}
