//! The layer nftables, compared with a small model of how the kernel runs a transaction.

use ip_lockdown::policy::{Address, Family, Policy};
use ip_lockdown::ruleset::compare::{chain_matches, jump_is_in_place, unused_chains};
use ip_lockdown::ruleset::desired::{LockedAddress, desired};
use ip_lockdown::ruleset::model::{
    Chain, ChainName, Counters, Hook, ObservedRule, Rule, Spec, Table,
};
use ip_lockdown::ruleset::nftables::Operation;
use ip_lockdown::ruleset::nftables::{OwnTable, TABLE};
use ip_lockdown::ruleset::plan::operations;
use ip_lockdown::ruleset::{Layer, Layers};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::any::{cases, policy};

fn rule(rule: Rule) -> ObservedRule {
    ObservedRule {
        counters: None,
        spec: Spec::Own(rule),
    }
}

fn chain(name: String, policy: Option<&str>) -> Chain {
    Chain {
        name,
        policy: policy.map(str::to_owned),
        counters: Counters::default(),
        rules: Vec::new(),
    }
}

/// What the kernel holds after the transaction; it refuses what nf_tables refuses.
fn after(seen: Option<OwnTable>, commands: &[Operation]) -> Option<OwnTable> {
    let mut own = seen;
    let asleep = own.as_ref().is_some_and(|own| own.dormant);
    let hooks = commands
        .iter()
        .any(|command| matches!(command, Operation::AddBase(_)));
    assert!(!(asleep && hooks), "EINVAL");
    for command in commands {
        own = step(own, command);
    }
    own
}

fn step(own: Option<OwnTable>, command: &Operation) -> Option<OwnTable> {
    if *command == Operation::AddTable {
        let mut own = own.unwrap_or_else(|| OwnTable {
            table: Table {
                name: TABLE.to_owned(),
                chains: Vec::new(),
            },
            foreign: false,
            dormant: false,
            owned: false,
        });
        own.dormant = false;
        return Some(own);
    }
    let mut own = own.expect("there is a table");
    let chains = &mut own.table.chains;
    let at = |chains: &[Chain], name: &str| chains.iter().position(|chain| chain.name == name);
    let flush = |chains: &mut Vec<Chain>, name: &str| {
        let at = at(chains, name).expect("the chain is there");
        chains[at].rules.clear();
    };
    let delete = |chains: &mut Vec<Chain>, name: &str| {
        let at = at(chains, name).expect("the chain is there");
        assert!(chains[at].rules.is_empty(), "it has rules");
        let busy = chains.iter().flat_map(|chain| &chain.rules).any(
            |rule| matches!(rule.own(), Some(Rule::Jump(to) | Rule::Goto { chain: to, .. }) if to.to_string() == name),
        );
        assert!(!busy, "rules lead to {name}");
        chains.remove(at);
    };
    match command {
        Operation::AddTable => unreachable!(),
        Operation::DeleteTable => return None,
        Operation::AddBase(hook) => match at(chains, hook.chain()) {
            Some(at) => assert!(chains[at].policy.is_some(), "another chain has the name"),
            None => chains.push(chain(hook.chain().to_owned(), Some("ACCEPT"))),
        },
        Operation::FlushBase(hook) => flush(chains, hook.chain()),
        Operation::DeleteBase(hook) => delete(chains, hook.chain()),
        Operation::Jump(target) => {
            assert!(
                at(chains, &target.to_string()).is_some(),
                "it leads somewhere"
            );
            let at = at(chains, target.hook.chain()).expect("the chain is there");
            chains[at].rules.push(rule(Rule::Jump(*target)));
        }
        Operation::Flush(name) => flush(chains, &name.to_string()),
        Operation::Delete(name) => delete(chains, &name.to_string()),
        Operation::Fill(name, rules) => {
            let place = at(chains, &name.to_string()).unwrap_or_else(|| {
                chains.push(chain(name.to_string(), None));
                chains.len() - 1
            });
            assert!(chains[place].rules.is_empty(), "it was emptied first");
            for rule in rules {
                if let Rule::Goto { chain, .. } = rule {
                    let there = at(chains, &chain.to_string());
                    assert!(there.is_some(), "it leads somewhere");
                }
            }
            chains[place].rules = rules.iter().cloned().map(rule).collect();
        }
    }
    Some(own)
}

/// What happens to a table between two runs.
#[derive(Debug, Clone)]
enum Damage {
    DropRule(Index, Index),
    Foreign(Index, Index),
    Unhook(Index),
    DropBase(Index),
    Sleep,
    ForeignChain,
    DropTable,
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), at()).prop_map(|(chain, rule)| Damage::DropRule(chain, rule)),
        4 => (at(), at()).prop_map(|(chain, rule)| Damage::Foreign(chain, rule)),
        2 => at().prop_map(Damage::Unhook),
        2 => at().prop_map(Damage::DropBase),
        1 => Just(Damage::Sleep),
        1 => Just(Damage::ForeignChain),
        1 => Just(Damage::DropTable),
    ]
}

fn damaged(own: Option<OwnTable>, damage: &Damage) -> Option<OwnTable> {
    let mut own = own?;
    let chains = &mut own.table.chains;
    match damage {
        Damage::DropRule(chain, rule) if !chains.is_empty() => {
            let rules = &mut chain.get_mut(chains).rules;
            if !rules.is_empty() {
                rules.remove(rule.index(rules.len()));
            }
        }
        Damage::Foreign(chain, rule) if !chains.is_empty() => {
            let rules = &mut chain.get_mut(chains).rules;
            let foreign = ObservedRule {
                counters: None,
                spec: Spec::Foreign("accept".to_owned()),
            };
            rules.insert(rule.index(rules.len() + 1), foreign);
        }
        Damage::Unhook(hook) => {
            let name = hook.get(&Hook::ALL).chain();
            for chain in chains.iter_mut().filter(|chain| chain.name == name) {
                chain.policy = None;
            }
        }
        Damage::DropBase(hook) => {
            let name = hook.get(&Hook::ALL).chain();
            chains.retain(|chain| chain.name != name);
        }
        Damage::Sleep => own.dormant = true,
        Damage::ForeignChain => {
            own.foreign = true;
            if !chains.iter().any(|chain| chain.name == "theirs") {
                chains.push(chain("theirs".to_owned(), None));
            }
        }
        Damage::DropTable => return None,
        Damage::DropRule(..) | Damage::Foreign(..) => {}
    }
    Some(own)
}

pub(crate) fn wanted(policy: &Policy) -> Vec<LockedAddress> {
    let of = |family| desired(policy, Layers::NFTABLES, Layer::Nftables, family);
    Family::ALL.into_iter().flat_map(of).collect()
}

/// As `src/commands/enforce.rs` does it: until nothing is left to be done.
fn laid(wanted: &[LockedAddress], mut own: Option<OwnTable>) -> OwnTable {
    for _ in 0..2 {
        let commands = operations(wanted, &[], own.as_ref());
        own = after(own, &commands);
    }
    own.unwrap()
}

fn any_table() -> impl Strategy<Value = Option<OwnTable>> {
    vec((policy(), vec(damage(), 0..5)), 0..3).prop_map(|turns| {
        turns.iter().fold(None, |own, (policy, damages)| {
            let laid = laid(&wanted(policy), own);
            damages.iter().fold(Some(laid), damaged)
        })
    })
}

fn own_chains(own: Option<&OwnTable>) -> Vec<(ChainName, Chain)> {
    own.into_iter()
        .flat_map(|own| own.table.own_chains())
        .map(|(name, chain)| (name, chain.clone()))
        .collect()
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever the table holds: afterwards it says what is wanted, once more changes nothing, and
    /// what it says of other addresses is what it said before, with a jump that leads there.
    #[test]
    fn any_table_is_brought_to_what_is_wanted(seen in any_table(), policy in policy()) {
        let wanted = wanted(&policy);
        let laid = laid(&wanted, seen.clone());
        prop_assert!(!laid.dormant);
        for locked in &wanted {
            for hook in Hook::ALL {
                for (name, rules) in locked.at(hook) {
                    prop_assert!(chain_matches(Some(&laid.table), name, rules));
                    prop_assert!(!name.is_root() || jump_is_in_place(Some(&laid.table), name));
                }
                prop_assert_eq!(unused_chains(locked, hook, &laid.table).next(), None);
            }
        }
        prop_assert_eq!(operations(&wanted, &[], Some(&laid)), []);
        let mine = policy.target.addresses();
        for (name, chain) in own_chains(seen.as_ref()) {
            if !mine.contains(&name.address) {
                prop_assert_eq!(laid.table.chain(&name.to_string()), Some(&chain));
                prop_assert!(!name.is_root() || jump_is_in_place(Some(&laid.table), name));
            }
        }
    }

    /// Removal takes what it is told to and nothing else, and leaves no table that is empty of others.
    #[test]
    fn removal_takes_only_what_it_is_told(seen in any_table(), policy in policy()) {
        let gone: Vec<Address> = policy.target.addresses().to_vec();
        let commands = operations(&[], &gone, seen.as_ref());
        let left = after(seen.clone(), &commands);
        for (name, chain) in own_chains(seen.as_ref()) {
            let kept = left.as_ref().and_then(|own| own.table.chain(&name.to_string()));
            let expected = (!gone.contains(&name.address)).then_some(&chain);
            prop_assert_eq!(kept, expected);
        }
        if seen.as_ref().is_some_and(|own| own.foreign) {
            prop_assert!(left.is_some());
        }
        prop_assert_eq!(operations(&[], &gone, left.as_ref()), []);
    }
}
