//! Dumps of nf_tables, as the kernel sends them over netlink.

use std::collections::HashMap;

use ip_lockdown::policy::{Address, Family, IMDS_V4, IMDS_V6};
use ip_lockdown::ruleset::model::Ruleset;
use ip_lockdown::ruleset::model::Variant;
use ip_lockdown::ruleset::netlink::messages;
use ip_lockdown::ruleset::nftables::decode;
use ip_lockdown::ruleset::nftables::nat::{
    Answer, Contents, Elements, NatChain, NatRule, Set, judge, missing, tables,
};
use ip_lockdown::ruleset::nftables::object::{NativeChain, NativeRule, NativeTable, Stage};
use ip_lockdown::ruleset::{Native, Observation};

use crate::judged;

/// How many chains of one input are judged.
const CHAINS: usize = 4;

/// Everything that was read from a dump.
#[derive(Default)]
struct Dump {
    tables: Vec<NativeTable>,
    chains: Vec<NativeChain>,
    rules: Vec<NativeRule>,
    nat: Contents,
}

/// Reads the bytes as messages of a dump, and each message as every object that it could be. What
/// is read is judged: as our table, and as other tools' NAT rules.
pub fn netlink(bytes: &[u8]) {
    let dump = read(bytes);
    own_table(&dump);
    let native = tables(&dump.chains, |_| false);
    let mut names: Vec<&String> = dump.nat.chains.keys().collect();
    names.sort_unstable();
    let hooked = native.iter().flat_map(|table| &table.chains);
    let names = hooked.map(|chain| &chain.name).chain(names).take(CHAINS);
    for name in names {
        for address in [IMDS_V4, IMDS_V6] {
            nat(&dump.nat, name, address);
        }
    }
}

fn read(bytes: &[u8]) -> Dump {
    let mut dump = Dump::default();
    let mut sets: HashMap<String, (Set, Vec<Elements>)> = HashMap::new();
    let mut last_set = None;
    for message in messages(bytes) {
        let Some(message) = message else { break };
        let object = message.payload;
        dump.tables.extend(NativeTable::read(object));
        dump.chains.extend(NativeChain::read(object));
        dump.rules.extend(NativeRule::read(object));
        if let Some((chain, rule)) = NatRule::read(object) {
            let _ = rule.text();
            dump.nat.chains.entry(chain).or_default().push(rule);
        }
        if let Some((name, set)) = Set::read(object) {
            last_set = Some(name.clone());
            sets.insert(name, (set, Vec::new()));
        }
        if let (Some(elements), Some(name)) = (Elements::read(object), &last_set) {
            let set = sets.get_mut(name).expect("the set was read before");
            set.1.push(elements);
        }
    }
    let whole = sets.into_iter();
    dump.nat.sets = whole
        .map(|(name, (set, elements))| (name, set.with(elements)))
        .collect();
    dump
}

/// Judges our table, whoever put its chains and rules there.
fn own_table(dump: &Dump) {
    let own = dump.tables.iter().find_map(|table| {
        let rules = dump.rules.iter().cloned();
        let rules = rules.map(|rule| (rule.chain.clone(), decode::rule(rule)));
        decode::own_table(table, &dump.chains, rules)
    });
    let Some(own) = own else { return };
    let families = Family::ALL.map(|family| (family, Ok(Ruleset::empty(family))));
    judged::observation(&Observation {
        variant: Some(Variant::Nft),
        families: families.into(),
        unusable: Vec::new(),
        other: Vec::new(),
        nf_tables: Ok(true),
        nftables: Ok(Some(own)),
        native: Ok(Native {
            tables: dump.tables.clone(),
            nat: tables(&dump.chains, |_| false),
        }),
    });
}

/// What is read step by step, chains and sets as they are missing, comes to the same as the whole.
fn nat(whole: &Contents, chain: &str, address: Address) {
    let chains = [NatChain {
        name: chain.to_owned(),
        stage: Stage {
            local: true,
            translates: true,
        },
    }];
    let mut whole = whole.clone();
    let mut reached = Contents::default();
    loop {
        let missing = missing(&reached, &chains, &[address]);
        if missing.is_empty() {
            break;
        }
        for name in missing.chains {
            let rules = whole.chains.entry(name.clone()).or_default().clone();
            let before = reached.chains.insert(name, rules);
            assert!(before.is_none(), "a chain is missing after it was read");
        }
        for name in missing.sets {
            // The kernel refuses a rule that looks up a set that does not exist.
            let Some(set) = whole.sets.get(&name) else {
                let answer = judge(&whole, chain, address);
                assert_ne!(answer, Answer::Untouched);
                return;
            };
            let before = reached.sets.insert(name, set.clone());
            assert!(before.is_none(), "a set is missing after it was read");
        }
    }
    let answer = judge(&whole, chain, address);
    assert_eq!(judge(&reached, chain, address), answer);
    if let Answer::Rewritten(text) | Answer::Unknown(text) = answer {
        assert!(!text.is_empty());
    }
}
