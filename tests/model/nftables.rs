//! The layer nftables, held against a small model of what nft does with a transaction, and of how it
//! prints a table.

use ip_lockdown::policy::{AccountName, Address, Family, Policy, Subjects, UidRange};
use ip_lockdown::ruleset::desired::{LockedAddress, desired, not_for_nftables, subjects_of};
use ip_lockdown::ruleset::model::{
    Chain, ChainName, Counters, Hook, ObservedRule, Rule, Spec, Table,
};
use ip_lockdown::ruleset::nftables::plan::{Command, plan};
use ip_lockdown::ruleset::nftables::{OwnTable, TABLE, parse, render, written};
use ip_lockdown::ruleset::plan::{jump_is_in_place, left_over, stands};
use ip_lockdown::ruleset::{Layer, Layers};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

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
fn after(seen: Option<OwnTable>, commands: &[Command]) -> Option<OwnTable> {
    let mut own = seen;
    let asleep = own.as_ref().is_some_and(|own| own.dormant);
    let hooks = commands
        .iter()
        .any(|command| matches!(command, Command::AddBase(_)));
    assert!(!(asleep && hooks), "EINVAL");
    for command in commands {
        own = step(own, command);
    }
    own
}

fn step(own: Option<OwnTable>, command: &Command) -> Option<OwnTable> {
    if *command == Command::AddTable {
        let mut own = own.unwrap_or_else(|| OwnTable {
            table: Table {
                name: TABLE.to_owned(),
                chains: Vec::new(),
            },
            foreign: false,
            dormant: false,
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
        Command::AddTable => unreachable!(),
        Command::DeleteTable => return None,
        Command::AddBase(hook) => match at(chains, hook.chain()) {
            Some(at) => assert!(chains[at].policy.is_some(), "another chain has the name"),
            None => chains.push(chain(hook.chain().to_owned(), Some("ACCEPT"))),
        },
        Command::FlushBase(hook) => flush(chains, hook.chain()),
        Command::DeleteBase(hook) => delete(chains, hook.chain()),
        Command::Jump(target) => {
            assert!(
                at(chains, &target.to_string()).is_some(),
                "it leads somewhere"
            );
            let at = at(chains, target.hook.chain()).expect("the chain is there");
            chains[at].rules.push(rule(Rule::Jump(*target)));
        }
        Command::Flush(name) => flush(chains, &name.to_string()),
        Command::Delete(name) => delete(chains, &name.to_string()),
        Command::Fill(name, rules) => {
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
                spec: Spec::Foreign("[{\"accept\":null}]".to_owned()),
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

/// The policy for those who are listed by their uid: groups are not for this layer.
fn without_groups(policy: Policy) -> Policy {
    let named = policy.subjects.named().iter();
    let named = named.flat_map(|(&uid, names)| names.iter().map(move |name| (uid, name.clone())));
    Policy {
        subjects: Subjects::new(named, policy.subjects.unnamed().to_vec(), []),
        ..policy
    }
}

fn wanted(policy: &Policy) -> Vec<LockedAddress> {
    let of = |family| desired(policy, Layers::NFTABLES, Layer::Nftables, family);
    Family::ALL.into_iter().flat_map(of).collect()
}

/// As `src/commands/enforce.rs` does it: until nothing is left to be done.
fn laid(wanted: &[LockedAddress], mut own: Option<OwnTable>) -> OwnTable {
    for _ in 0..2 {
        let commands = plan(wanted, &[], own.as_ref());
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
                    prop_assert!(stands(Some(&laid.table), name, rules));
                    prop_assert!(!name.is_root() || jump_is_in_place(Some(&laid.table), name));
                }
                prop_assert_eq!(left_over(locked, hook, &laid.table).next(), None);
            }
        }
        prop_assert_eq!(plan(&wanted, &[], Some(&laid)), []);
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
        let commands = plan(&[], &gone, seen.as_ref());
        let left = after(seen.clone(), &commands);
        for (name, chain) in own_chains(seen.as_ref()) {
            let kept = left.as_ref().and_then(|own| own.table.chain(&name.to_string()));
            let expected = (!gone.contains(&name.address)).then_some(&chain);
            prop_assert_eq!(kept, expected);
        }
        if seen.as_ref().is_some_and(|own| own.foreign) {
            prop_assert!(left.is_some());
        }
        prop_assert_eq!(plan(&[], &gone, left.as_ref()), []);
    }

    /// What is written is read back as the same rules, and they say who may pass.
    #[test]
    fn what_nft_prints_is_read_back(
        policy in policy().prop_map(without_groups),
        packets in any::<u32>(),
    ) {
        prop_assume!(not_for_nftables(&policy).is_none());
        let wanted = wanted(&policy);
        let own = parse::table(printed(&wanted, packets).to_string().as_bytes()).unwrap();
        prop_assert_eq!(plan(&wanted, &[], Some(&own)), []);
        for locked in &wanted {
            let chains = locked.at(Hook::Output);
            let rules = chains.flat_map(|(name, _)| {
                let chain = own.table.chain(&name.to_string()).unwrap();
                chain.own_rules().unwrap()
            });
            prop_assert_eq!(&subjects_of(rules), &policy.subjects);
        }
        // No line of a transaction is longer than a comment allows, and none breaks a quote.
        let text = render::transaction(&plan(&wanted, &[], None));
        let comments = text.split('"').skip(1).step_by(2);
        for comment in comments {
            prop_assert!(comment.len() < 128, "{}", comment);
            prop_assert!(!comment.contains(['\n', '\\']), "{}", comment);
        }
    }

    /// A listing with something in it changed is read as something else, or not at all; never with
    /// a panic.
    #[test]
    fn no_listing_makes_it_panic(
        policy in policy(),
        at in any::<Index>(),
        other in select_value(),
    ) {
        let mut listing = printed(&wanted(&policy), 0);
        let places = places(&listing);
        let place = at.get(&places);
        *listing.pointer_mut(place).unwrap() = other;
        let _ = parse::table(listing.to_string().as_bytes());
    }
}

fn select_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        Just(json!("@IPL-169.254.169.254")),
        Just(json!(-1)),
        Just(json!(u64::MAX)),
        Just(json!(1.5)),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"range": [1]})),
        Just(json!({"range": ["a", null]})),
        Just(json!([{"elem": {}}])),
    ]
}

/// The places of all values, as JSON pointers (RFC 6901; no key here has a `/` or `~`).
fn places(value: &Value) -> Vec<String> {
    let below = |key: String, inner: &Value| -> Vec<String> {
        let inner = places(inner).into_iter();
        inner.map(|place| format!("/{key}{place}")).collect()
    };
    let mut all = vec![String::new()];
    match value {
        Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                all.extend(below(at.to_string(), inner));
            }
        }
        Value::Object(members) => {
            for (key, inner) in members {
                all.extend(below(key.clone(), inner));
            }
        }
        _ => {}
    }
    all
}

/// The table as nft 1.0.6 prints it.
fn printed(wanted: &[LockedAddress], packets: u32) -> Value {
    let mut objects = vec![
        json!({"metainfo": {"version": "1.0.6", "json_schema_version": 1}}),
        json!({"table": {"family": "inet", "name": TABLE, "handle": 1}}),
    ];
    for hook in Hook::ALL {
        let at = hook.chain().to_lowercase();
        objects.push(json!({"chain": {
            "family": "inet", "table": TABLE, "name": hook.chain(), "handle": 2,
            "type": "filter", "hook": at, "prio": 50, "policy": "accept",
        }}));
    }
    let counter = json!({"counter": {"packets": packets, "bytes": 0}});
    let put = |objects: &mut Vec<Value>, chain: &str, expr: Value, comment: Option<String>| {
        let mut rule = json!({"family": "inet", "table": TABLE, "chain": chain, "expr": expr});
        if let Some(comment) = comment {
            rule["comment"] = comment.into();
        }
        objects.push(json!({"rule": rule}));
    };
    let mut sorted: Vec<&LockedAddress> = wanted.iter().collect();
    sorted.sort_by_key(|locked| locked.address);
    for locked in sorted {
        for hook in Hook::ALL {
            for (name, rules) in locked.at(hook) {
                let chain = written(name);
                objects.push(json!({"chain": {"family": "inet", "table": TABLE, "name": chain}}));
                for rule in rules {
                    let (expr, comment) = printed_rule(rule, &counter);
                    put(&mut objects, &chain, expr, comment);
                }
                if name.is_root() {
                    let protocol = match locked.address.family() {
                        Family::V4 => "ip",
                        Family::V6 => "ip6",
                    };
                    let to = json!({"match": {
                        "op": "==",
                        "left": {"payload": {"protocol": protocol, "field": "daddr"}},
                        "right": locked.address.to_string(),
                    }});
                    let expr = json!([to, {"jump": {"target": chain}}]);
                    put(&mut objects, hook.chain(), expr, None);
                }
            }
        }
    }
    json!({"nftables": objects})
}

fn printed_uids(uids: UidRange) -> Value {
    match uids.count() {
        1 => uids.first().get().into(),
        _ => json!({"range": [uids.first().get(), uids.last().get()]}),
    }
}

fn joined(names: &[AccountName]) -> String {
    let names: Vec<&str> = names.iter().map(AccountName::as_str).collect();
    names.join(",")
}

fn printed_rule(rule: &Rule, counter: &Value) -> (Value, Option<String>) {
    let of = |uids| {
        json!({"match": {
            "op": "==", "left": {"meta": {"key": "skuid"}}, "right": printed_uids(uids),
        }})
    };
    let owned = json!({"match": {
        "op": "==", "left": {"meta": {"key": "skuid"}}, "right": {"range": [0, u32::MAX]},
    }});
    let tcp = json!({"match": {
        "op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp",
    }});
    let reset = json!({"reject": {"type": "tcp reset"}});
    let reject = json!({"reject": {"type": "icmpx", "expr": "port-unreachable"}});
    match rule {
        Rule::Goto { uids, chain } => {
            let to = json!({"goto": {"target": written(*chain)}});
            (json!([of(*uids), to]), None)
        }
        Rule::PassUids { uids, names } => {
            let one = of(*uids);
            let comment = (!names.is_empty()).then(|| joined(names));
            (json!([one, counter, {"return": null}]), comment)
        }
        Rule::RefuseOwnedTcp => (json!([owned, tcp, counter, reset]), None),
        Rule::RefuseOwned => (json!([owned, counter, reject]), None),
        Rule::PassClosing => {
            let flags = json!({"payload": {"protocol": "tcp", "field": "flags"}});
            let closing = json!({"match": {
                "op": "!=",
                "left": {"&": [flags, ["fin", "syn", "rst", "ack"]]},
                "right": "syn",
            }});
            (json!([closing, counter, {"return": null}]), None)
        }
        Rule::RefuseTcp => (json!([tcp, counter, reset]), None),
        Rule::Refuse { stamp, .. } => {
            let comment = stamp.map(|stamp| stamp.to_string());
            (json!([counter, reject]), comment)
        }
        Rule::Jump(_) | Rule::PassGroup { .. } => (json!([]), None),
    }
}
