//! "Applying twice is a no-op that keeps the counters": the plan leads to what is desired from
//! wherever it starts, and is empty there.

use std::collections::BTreeMap;

use ip_lockdown::policy::{Address, Family, Forwarded, Policy, Subjects, Target};
use ip_lockdown::ruleset::desired::desired;
use ip_lockdown::ruleset::iptables::render;
use ip_lockdown::ruleset::model::{ChainName, Hook};
use ip_lockdown::ruleset::{Layer, Layers};
use proptest::collection::vec;
use proptest::prelude::*;

use super::any::{cases, foreign_host, layers, meddle, meddling, policy};
use super::host::Host;
use super::kernel::{Chain, Kernel, Rule};
use super::restore::params;

/// A host on which lockdowns were laid and others were at work, in turns.
pub(crate) fn any_host() -> impl Strategy<Value = Host> {
    let turns = vec((policy(), layers(), vec(meddling(), 0..6)), 0..3);
    (foreign_host(), turns).prop_map(|(mut host, turns)| {
        for (policy, layers, others) in turns {
            host = host.after(&policy, layers);
            count_packets(&mut host);
            meddle(&mut host, &others);
        }
        host
    })
}

/// Lets every rule count something, so that one laid anew is told from one that stood.
fn count_packets(host: &mut Host) {
    let tables = host
        .families
        .iter_mut()
        .flat_map(|kernel| &mut kernel.tables);
    let rules = tables
        .flat_map(|table| &mut table.chains)
        .flat_map(|chain| &mut chain.rules);
    rules.for_each(|rule| rule.packets += 1);
}

fn words(chain: &Chain) -> Vec<Vec<String>> {
    chain.rules.iter().map(|rule| rule.words.clone()).collect()
}

/// Asserts that the kernel holds what the policy wants, word for word, and our jumps first.
pub(crate) fn assert_in_force(kernel: &Kernel, policy: &Policy, layers: Layers) {
    for layer in Layer::OF_IPTABLES {
        let laid = layers.has(layer);
        for locked in desired(policy, layers, layer, kernel.family) {
            for hook in Hook::ALL {
                let root = ChainName::root(hook, locked.address);
                let wanted = locked.at(hook).filter(|_| laid);
                let mut wanted: BTreeMap<ChainName, Vec<Vec<String>>> = wanted
                    .map(|(name, rules)| {
                        let rules = rules.iter();
                        let words = rules.map(|rule| params(&render::rule(rule, kernel.family)));
                        (name, words.collect())
                    })
                    .collect();
                let table = kernel.table(layer.name());
                for chain in table.iter().flat_map(|table| &table.chains) {
                    let name = chain.name.parse::<ChainName>();
                    let of_address =
                        |name: &ChainName| (name.hook, name.address) == (hook, locked.address);
                    if let Some(name) = name.ok().filter(of_address) {
                        assert_eq!(
                            Some(words(chain)),
                            wanted.remove(&name),
                            "{name} in {layer}"
                        );
                    }
                }
                assert_eq!(wanted.keys().collect::<Vec<_>>(), [&root; 0], "in {layer}");
                let is_laid = laid && locked.at(hook).next().is_some();
                assert_jump(kernel, layer, root, is_laid);
                for (name, _) in locked.at(hook).filter(|_| laid) {
                    assert_eq!(leads(kernel, layer, name).len(), 1, "{name} in {layer}");
                }
            }
        }
    }
}

/// The rules that lead to the chain: chain, place, rule.
fn leads(kernel: &Kernel, layer: Layer, name: ChainName) -> Vec<(&str, usize, &Rule)> {
    let name = name.to_string();
    let table = kernel.table(layer.name());
    table
        .iter()
        .flat_map(|table| &table.chains)
        .flat_map(|chain| {
            let rules = chain.rules.iter().enumerate();
            rules.map(|(place, rule)| (chain.name.as_str(), place, rule))
        })
        .filter(|(_, _, rule)| rule.leads_to(&name))
        .collect()
}

fn assert_jump(kernel: &Kernel, layer: Layer, name: ChainName, laid: bool) {
    let jumps = leads(kernel, layer, name);
    if !laid {
        assert_eq!(jumps, [], "{name} in {layer}");
        return;
    }
    let [(holder, place, _)] = jumps[..] else {
        panic!("{} jumps to {name} in {layer}: {jumps:?}", jumps.len());
    };
    assert_eq!(holder, name.hook.chain(), "{name} in {layer}");
    let table = kernel.table(layer.name()).unwrap();
    let above = &table.chain(holder).unwrap().rules[..place];
    for rule in above {
        let (_, target) = rule.target().unwrap();
        let ours = target.parse::<ChainName>().is_ok();
        assert!(
            ours && rule.words.len() == 4,
            "`{}` above the jump to {name}",
            rule.text()
        );
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn the_plan_leads_to_what_is_desired_whatever_was_there(
        host in any_host(),
        policy in policy(),
        layers in layers(),
    ) {
        let wanted = host.wanted(&policy);
        let after = host.after(&policy, layers);
        for kernel in &after.families {
            for policy in &wanted {
                assert_in_force(kernel, policy, layers);
            }
        }
        prop_assert_eq!(after.transactions(&policy, layers), ["", ""]);
        // Twice is once, counters included.
        let twice = after.after(&policy, layers);
        prop_assert_eq!(twice.families, after.families);
    }

    #[test]
    fn several_in_force_need_nothing_more_in_whatever_order_they_came(
        host in foreign_host(),
        mut policies in vec(policy(), 1..4),
        layers in layers(),
        others_below in vec(meddling(), 0..4),
    ) {
        // One a target; what overlaps is a change of the policy, not a neighbour.
        let mut known: Vec<Address> = Vec::new();
        policies.retain(|policy| {
            let new = policy.target.addresses().iter().all(|address| !known.contains(address));
            known.extend(policy.target.addresses());
            new
        });
        let mut host = policies.iter().fold(host, |host, policy| host.after(policy, layers));
        // Rules of others that are appended come below.
        for kernel in &mut host.families {
            for table in &mut kernel.tables {
                let output = table.chain_mut("OUTPUT").unwrap();
                let rule = Rule { packets: 1, words: params("-j ACCEPT") };
                output.rules.extend(vec![rule; others_below.len()]);
            }
        }
        for policy in &policies {
            prop_assert_eq!(host.transactions(policy, layers), ["", ""]);
        }
    }

    /// Killed between two COMMITs: the next apply mends what the last one left.
    #[test]
    fn from_every_step_the_next_apply_gets_there(
        host in any_host(),
        policy in policy(),
        layers in layers(),
        next in policy_or_same(),
        stops in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let [v4, v6] = host.steps(&policy, layers);
        let halfway = Host { families: [stops.0.get(&v4).clone(), stops.1.get(&v6).clone()] };
        let next = next.unwrap_or(policy);
        let after = halfway.after(&next, layers);
        for kernel in &after.families {
            assert_in_force(kernel, &next, layers);
        }
    }
}

fn policy_or_same() -> impl Strategy<Value = Option<Policy>> {
    proptest::option::of(policy())
}

/// Rules of ours that lead to each other are damage like any other.
#[test]
fn a_chain_of_ours_that_leads_to_another_is_mended() {
    let policy = Policy {
        target: Target::new("192.0.2.7".parse().unwrap(), false),
        subjects: Subjects::default(),
        forwarded: Forwarded::Refuse,
    };
    let empty = Host {
        families: Family::ALL.map(Kernel::new),
    };
    let mut host = empty.after(&policy, Layers::FILTER_AND_SECURITY);
    for name in ["filter", "security"] {
        let table = host.families[0].table_mut(name);
        let lead = Rule {
            packets: 0,
            words: params("-j IPF-192.0.2.7"),
        };
        table.chain_mut("IPL-192.0.2.7").unwrap().rules.push(lead);
    }
    let after = host.after(&policy, Layers::FILTER_AND_SECURITY);
    assert_in_force(&after.families[0], &policy, Layers::FILTER_AND_SECURITY);
}

/// Chains may have a quote in their names, which `iptables-restore` would take for one of its own.
#[test]
fn a_jump_in_a_chain_with_a_quote_in_its_name_is_deleted() {
    let policy = Policy {
        target: Target::new("192.0.2.7".parse().unwrap(), false),
        subjects: Subjects::default(),
        forwarded: Forwarded::Refuse,
    };
    let empty = Host {
        families: Family::ALL.map(Kernel::new),
    };
    let mut host = empty.after(&policy, Layers::FILTER_AND_SECURITY);
    let word = |word: &str| word.to_owned();
    host.families[0].table_mut("filter").chains.push(Chain {
        name: word("odd\"name"),
        policy: None,
        rules: vec![Rule {
            packets: 0,
            words: [
                "-i",
                "a\"b",
                "-m",
                "comment",
                "--comment",
                "x \"y\" \\ z",
                "-j",
                "IPL-192.0.2.7",
            ]
            .map(word)
            .to_vec(),
        }],
    });
    let after = host.after(&policy, Layers::FILTER_AND_SECURITY);
    assert_in_force(&after.families[0], &policy, Layers::FILTER_AND_SECURITY);
}
