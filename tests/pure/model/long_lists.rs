//! Long lists, split into sub-chains: the same users get through as with one chain, and a packet passes few rules.

use std::collections::BTreeMap;

use ip_lockdown::policy::{
    Address, Family, Forwarded, Gid, IMDS_V4, MAX_SUBJECTS, Policy, Subjects, Target, Uid, UidRange,
};
use ip_lockdown::ruleset::desired::{LockedAddress, desired};
use ip_lockdown::ruleset::iptables::render;
use ip_lockdown::ruleset::model::{ChainName, Hook, Rule};
use ip_lockdown::ruleset::{Layer, Layers, LayersByFamily, Lockdown, compare, installed};
use ip_lockdown::verify::{Check, Status, structure};
use proptest::prelude::*;
use proptest::sample::Index;

use super::any::{address, cases, long_list};
use super::host::{Host, quiet_host};
use super::kernel::{self, Kernel};
use super::restore::params;
use super::same_input_same_state::assert_in_force;

/// The most rules of ours that a packet may meet in a layer, the jump not counted.
const FEW: usize = 72;

fn policy_of(target: Address, subjects: Subjects) -> Policy {
    Policy {
        target: Target::new(target, true),
        subjects,
        forwarded: Forwarded::Refuse,
    }
}

fn uid(id: u32) -> Uid {
    Uid::new(id).unwrap()
}

/// What the policy wants in each of the layers for its one address.
fn in_all_layers(policy: &Policy) -> [LockedAddress; 3] {
    let family = policy.target.addresses()[0].family();
    Layer::ALL.map(|layer| {
        let mut wanted = desired(policy, Layers::FILTER_AND_NFTABLES, layer, family);
        wanted.pop().unwrap()
    })
}

/// A TCP packet to the address.
enum Sent<'a> {
    By(u32, &'a [u32]),
    /// For a socket that its process has closed.
    Closing,
}

impl Sent<'_> {
    /// Whether the rule decides; one that only counts does not.
    fn meets(&self, rule: &Rule) -> bool {
        match (rule, self) {
            (Rule::AllowUids { uids, .. } | Rule::Goto { uids, .. }, Self::By(id, _)) => {
                uids.contains(uid(*id))
            }
            (Rule::AllowGroup { gid, .. }, Self::By(_, groups)) => groups.contains(&gid.get()),
            (Rule::RefuseOwnedTcp | Rule::RefuseOwned, Self::By(..))
            | (Rule::AllowClosing, Self::Closing)
            | (Rule::RefuseTcp | Rule::Refuse { .. }, _) => true,
            _ => false,
        }
    }
}

/// The chains of one hook, to send packets through.
struct Chains<'a> {
    root: ChainName,
    rules: BTreeMap<ChainName, &'a [Rule]>,
}

impl<'a> Chains<'a> {
    fn of(locked: &'a LockedAddress) -> Self {
        Self {
            root: ChainName::root(Hook::Output, locked.address),
            rules: locked.at(Hook::Output).collect(),
        }
    }

    /// Whether it passes, and how many rules it met.
    fn judge(&self, sent: &Sent<'_>) -> (bool, usize) {
        let mut chain = self.root;
        let mut met = 0;
        loop {
            let rules = self.rules[&chain];
            let at = rules.iter().position(|rule| sent.meets(rule));
            let at = at.expect("no packet falls out of a chain");
            met += at + 1;
            match &rules[at] {
                Rule::Goto { chain: next, .. } => chain = *next,
                Rule::AllowUids { .. } | Rule::AllowGroup { .. } | Rule::AllowClosing => {
                    return (true, met);
                }
                _ => return (false, met),
            }
        }
    }
}

/// Asserts who passes, of all uids at the ends of the listed ranges and beside them, and what it costs.
fn assert_judged(policy: &Policy) {
    let ranges = policy.subjects.uid_ranges();
    let mut ids: Vec<u32> = ranges
        .iter()
        .flat_map(|range| {
            let (first, last) = (range.first().get(), range.last().get());
            [first.saturating_sub(1), first, last, last + 1]
        })
        .chain([0, u32::MAX - 1])
        .collect();
    ids.dedup();
    let groups: Vec<u32> = policy
        .subjects
        .groups()
        .keys()
        .map(|gid| gid.get())
        .collect();
    let few = FEW + groups.len();
    for locked in in_all_layers(policy) {
        let chains = Chains::of(&locked);
        for &id in &ids {
            let after = ranges.partition_point(|range| range.last() < uid(id));
            let listed = ranges
                .get(after)
                .is_some_and(|range| range.contains(uid(id)));
            let (passes, met) = chains.judge(&Sent::By(id, &[]));
            assert_eq!(passes, listed, "uid {id}");
            assert!(met <= few, "uid {id} meets {met} rules");
            if let Some(&group) = groups.last() {
                assert!(
                    chains.judge(&Sent::By(id, &[group])).0,
                    "uid {id} by its group"
                );
            }
        }
        let (passes, met) = chains.judge(&Sent::Closing);
        assert!(passes && met <= few, "a closing packet meets {met} rules");
    }
}

/// As many rules as the words of a policy can make: one range, and names out of its middle.
fn longest() -> Subjects {
    let words = u32::try_from(MAX_SUBJECTS).unwrap();
    let named = (1..words).map(|nth| (uid(2 * nth), format!("u{nth}").parse().unwrap()));
    let range = UidRange::new(uid(1), uid(2 * words - 1)).unwrap();
    Subjects::new(named, [range], [])
}

#[test]
fn the_longest_lists_are_judged_by_few_rules() {
    let long: Address = "2001:db8:1234:5678:9abc:def0:1234:5678".parse().unwrap();
    let words = u32::try_from(MAX_SUBJECTS).unwrap();
    let apart = |count: u32| Subjects::new([], (0..count).map(|nth| uid(2 * nth).into()), []);
    for (target, subjects, rules) in [
        (IMDS_V4, longest(), 2 * MAX_SUBJECTS - 1),
        (long, apart(words), MAX_SUBJECTS),
        (IMDS_V4, apart(10_000), 10_000),
        (IMDS_V4, apart(257), 257),
        (IMDS_V4, apart(256), 256),
        (IMDS_V4, apart(33), 33),
        (IMDS_V4, apart(32), 32),
    ] {
        let policy = policy_of(target, subjects);
        for locked in in_all_layers(&policy) {
            let rules_of = |(_, rules): (ChainName, &[Rule])| rules.to_vec();
            let all = locked.at(Hook::Output).flat_map(rules_of);
            let pass = all
                .filter(|rule| matches!(rule, Rule::AllowUids { .. }))
                .count();
            assert_eq!(pass, rules);
        }
        assert_judged(&policy);
    }
}

/// Only a forged marker lets such a list be read from the firewall.
#[test]
fn a_list_that_no_policy_can_have_is_still_judged_right() {
    let subjects = Subjects::new([], (0..100_000).map(|nth| uid(2 * nth).into()), []);
    let policy = policy_of(IMDS_V4, subjects);
    for locked in in_all_layers(&policy) {
        let chains = Chains::of(&locked);
        for id in (0..200_000).step_by(77) {
            assert_eq!(chains.judge(&Sent::By(id, &[])).0, id % 2 == 0, "uid {id}");
        }
    }
}

#[test]
fn a_list_that_is_not_long_has_one_chain_with_its_groups_last() {
    let group = (Gid::new(7).unwrap(), None);
    for (count, split) in [(1, false), (32, false), (33, true)] {
        let uids = (0..count).map(|nth| uid(2 * nth).into());
        let policy = policy_of(IMDS_V4, Subjects::new([], uids, [group.clone()]));
        for locked in in_all_layers(&policy) {
            let chains: Vec<_> = locked.at(Hook::Output).collect();
            assert_eq!(chains.len() > 1, split, "{count}");
            let (root, rules) = chains.last().unwrap();
            assert!(root.is_root());
            let at = rules
                .iter()
                .position(|rule| matches!(rule, Rule::AllowGroup { .. }));
            assert_eq!(at, Some(if split { 0 } else { count as usize }), "{count}");
        }
    }
}

fn empty_host() -> Host {
    Host {
        families: Family::ALL.map(Kernel::new),
    }
}

const LAYERS: Layers = Layers::FILTER_AND_SECURITY;

/// What a hand may do to a chain of ours.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Lose,
    Insert(&'static str),
    Flush,
    /// Has the rule lead to another chain, if it leads to one at all.
    Mislead,
    Swap,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Lose),
        Just(Damage::Insert("-j ACCEPT")),
        Just(Damage::Insert("-m owner --uid-owner 4000000 -j RETURN")),
        Just(Damage::Insert("-j IPL00-ADDRESS")),
        Just(Damage::Flush),
        Just(Damage::Mislead),
        Just(Damage::Swap),
    ]
}

/// Does it to a chain of ours; false when there is nothing to do it to.
fn harm(host: &mut Host, address: Address, damage: Damage, at: (Index, Index)) -> bool {
    let family = address.family();
    let kernels = host.families.iter_mut();
    let kernel = kernels
        .into_iter()
        .find(|kernel| kernel.family == family)
        .unwrap();
    let before = kernel.clone();
    let table = kernel.table_mut("filter");
    let subs: Vec<String> = table
        .chains
        .iter()
        .map(|chain| chain.name.clone())
        .filter(|name| name.parse().is_ok_and(|name: ChainName| !name.is_root()))
        .collect();
    let mut ours: Vec<&mut kernel::Chain> = table
        .chains
        .iter_mut()
        .filter(|chain| chain.name.parse::<ChainName>().is_ok())
        .collect();
    let rules = &mut at.0.get_mut(&mut ours).rules;
    let place = at.1.index(rules.len());
    match damage {
        Damage::Lose => drop(rules.remove(place)),
        Damage::Insert(rule) => {
            let rule = rule.replace("IPL00-ADDRESS", &subs[0]);
            let words = params(&rule);
            rules.insert(place, kernel::Rule { packets: 0, words });
        }
        Damage::Flush => rules.clear(),
        Damage::Mislead => {
            if let Some((true, _)) = rules[place].target() {
                let target = rules[place].words.last_mut().unwrap();
                at.1.get(&subs).clone_into(target);
            }
        }
        Damage::Swap => rules.swap(0, place),
    }
    let possible = kernel.check().is_ok() && *kernel != before;
    if !possible {
        *kernel = before;
    }
    possible
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_split_list_says_the_same_as_one_chain(
        address in address(),
        subjects in long_list(33..3000),
    ) {
        assert_judged(&policy_of(address, subjects));
    }

    /// Damage anywhere in the tree is told, and mended by the rules that differ alone.
    #[test]
    fn damage_in_any_sub_chain_is_told_and_mended(
        address in address(),
        subjects in long_list(33..2000),
        damage in damage(),
        at in any::<(Index, Index)>(),
    ) {
        let policy = policy_of(address, subjects);
        let sound = empty_host().after(&policy, LAYERS);
        let lock = Lockdown { policy: policy.clone(), layers: LayersByFamily::both(LAYERS) };
        let failed = |host: &Host| {
            structure(&lock, &host.observe(), &quiet_host())
                .into_iter()
                .filter(|finding| finding.status == Status::Fail)
                .map(|finding| finding.check)
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(&installed(&sound.observe()).lockdowns, std::slice::from_ref(&lock));
        prop_assert_eq!(failed(&sound), []);
        let mut harmed = sound.clone();
        prop_assume!(harm(&mut harmed, address, damage, at));
        prop_assert!(failed(&harmed).contains(&Check::RulesMatch));
        // The other layer still says who may pass.
        prop_assert_eq!(&installed(&harmed.observe()).lockdowns, std::slice::from_ref(&lock));
        let text = harmed.transactions(&policy, LAYERS).concat();
        let rebuilt = text.lines().filter(|line| line.starts_with(':')).count();
        prop_assert_eq!(rebuilt, 1, "{}", text);
        let mended = harmed.after(&policy, LAYERS);
        for kernel in &mended.families {
            assert_in_force(kernel, &policy, LAYERS);
        }
    }

    /// From one list to another, of whatever lengths, and away again.
    #[test]
    fn no_sub_chain_is_left_when_the_list_changes_or_goes(
        address in address(),
        lists in prop::collection::vec(prop_oneof![long_list(33..2000), long_list(0..33)], 2..4),
    ) {
        let mut host = empty_host();
        for subjects in lists {
            let policy = policy_of(address, subjects);
            host = host.after(&policy, LAYERS);
            for kernel in &host.families {
                assert_in_force(kernel, &policy, LAYERS);
            }
        }
        let after = host.after_removal(&[address]);
        for kernel in after.families {
            let left = kernel.observed();
            prop_assert_eq!(left.tables.iter().flat_map(compare::leads).next(), None);
            prop_assert_eq!(left.locked_addresses(), []);
        }
    }
}

/// A list that was laid in one chain, as before there were sub-chains, is read, and taken over.
#[test]
fn a_long_list_in_one_chain_is_ours_and_is_split_by_the_next_apply() {
    let uids = (0..200).map(|nth| uid(2 * nth).into());
    let policy = policy_of(IMDS_V4, Subjects::new([], uids, []));
    let mut host = empty_host().after(&policy, LAYERS);
    for layer in Layer::OF_IPTABLES {
        let wanted = desired(&policy, LAYERS, layer, Family::V4);
        let table = host.families[0].table_mut(layer.name());
        let root = ChainName::root(Hook::Output, IMDS_V4).to_string();
        let chains = || wanted[0].at(Hook::Output).flat_map(|(_, rules)| rules);
        let flat = chains().filter(|rule| matches!(rule, Rule::AllowUids { .. }));
        let words = flat.map(|rule| params(&render::rule(rule, Family::V4)));
        let rules: Vec<kernel::Rule> = words
            .map(|words| kernel::Rule { packets: 3, words })
            .collect();
        let chain = table.chain_mut(&root).unwrap();
        chain
            .rules
            .retain(|rule| rule.target().is_some_and(|(goto, _)| !goto));
        chain.rules.splice(0..0, rules);
        table.chains.retain(|chain| {
            chain
                .name
                .parse()
                .is_ok_and(|name: ChainName| name.is_root())
                || chain.policy.is_some()
        });
    }
    let found = installed(&host.observe());
    assert_eq!(found.damaged, []);
    assert_eq!(found.lockdowns[0].policy, policy);
    assert_in_force(&host.after(&policy, LAYERS).families[0], &policy, LAYERS);
}

/// Rules of others that lead to a sub-chain would have listed users of other sub-chains refused.
#[test]
fn a_foreign_rule_that_leads_to_a_sub_chain_is_told_and_deleted() {
    let uids = (0..200).map(|nth| uid(2 * nth).into());
    let policy = policy_of(IMDS_V4, Subjects::new([], uids, []));
    let mut host = empty_host().after(&policy, LAYERS);
    let output = host.families[0]
        .table_mut("filter")
        .chain_mut("OUTPUT")
        .unwrap();
    for words in [
        "-g IPL01-169.254.169.254",
        "-d 169.254.169.254/32 -j IPL00-169.254.169.254",
    ] {
        output.rules.push(kernel::Rule {
            packets: 0,
            words: params(words),
        });
    }
    let lock = Lockdown {
        policy: policy.clone(),
        layers: LayersByFamily::both(LAYERS),
    };
    let findings = structure(&lock, &host.observe(), &quiet_host());
    let told = findings
        .iter()
        .find(|finding| finding.status == Status::Fail)
        .unwrap();
    assert_eq!(told.check, Check::JumpFirst);
    assert!(
        told.message
            .contains("OUTPUT leads to IPL01-169.254.169.254"),
        "{}",
        told.message
    );
    let [text, _] = host.transactions(&policy, LAYERS);
    assert_eq!(
        text,
        "*filter\n-D OUTPUT -g IPL01-169.254.169.254\n\
         -D OUTPUT -d 169.254.169.254/32 -j IPL00-169.254.169.254\nCOMMIT\n"
    );
    assert_in_force(&host.after(&policy, LAYERS).families[0], &policy, LAYERS);
}
