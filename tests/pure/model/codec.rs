//! The messages of the layer nftables are read back as the rules that were sent; any other message is not read as one of
//! our rules.

use ip_lockdown::policy::{Policy, Subjects};
use ip_lockdown::ruleset::desired::{nftables_obstacle, subjects_of};
use ip_lockdown::ruleset::model::{Counters, Hook, ObservedRule};
use ip_lockdown::ruleset::nftables::Operation;
use ip_lockdown::ruleset::nftables::object::{NativeChain, NativeRule, NativeTable};
use ip_lockdown::ruleset::nftables::{OwnTable, decode, encode};
use ip_lockdown::ruleset::plan::operations;
use lab::netlink::{NEW_CHAIN, NEW_RULE, NEW_TABLE, messages};
use proptest::prelude::*;
use proptest::sample::Index;

use super::any::{cases, policy};
use super::nftables::wanted;

/// NLA_F_NESTED: the value of an attribute is attributes (linux/netlink.h).
const NESTED: u16 = 1 << 15;

/// An object's attribute.
#[derive(Debug, Clone, PartialEq)]
enum Attribute {
    /// Type, without flags, and value.
    Value(u16, Vec<u8>),
    Nest(u16, Vec<Attribute>),
}

/// An object: struct nfgenmsg, and attributes.
#[derive(Debug, Clone, PartialEq)]
struct Object {
    head: [u8; 4],
    attributes: Vec<Attribute>,
}

impl Object {
    fn read(bytes: &[u8]) -> Self {
        let (head, attributes) = bytes.split_first_chunk().unwrap();
        Self {
            head: *head,
            attributes: read(attributes),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.to_vec();
        write(&mut bytes, &self.attributes);
        bytes
    }

    /// The list of a rule's expressions: NFTA_RULE_EXPRESSIONS.
    fn expressions(&mut self) -> &mut Vec<Attribute> {
        let mut attributes = self.attributes.iter_mut();
        let list = attributes.find_map(|attribute| match attribute {
            Attribute::Nest(4, list) => Some(list),
            _ => None,
        });
        list.expect("a rule")
    }
}

fn read(mut bytes: &[u8]) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    while !bytes.is_empty() {
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let (length, kind): (usize, u16) = (half(0).into(), half(2));
        let (whole, rest) = bytes.split_at(length.next_multiple_of(4));
        assert!(whole[length..].iter().all(|&byte| byte == 0), "{whole:?}");
        let value = &whole[4..length];
        attributes.push(match kind & NESTED {
            0 => Attribute::Value(kind, value.to_vec()),
            _ => Attribute::Nest(kind & !NESTED, read(value)),
        });
        bytes = rest;
    }
    attributes
}

fn write(bytes: &mut Vec<u8>, attributes: &[Attribute]) {
    for attribute in attributes {
        let (kind, value) = match attribute {
            Attribute::Value(kind, value) => (*kind, value.clone()),
            Attribute::Nest(kind, inner) => {
                let mut value = Vec::new();
                write(&mut value, inner);
                (kind | NESTED, value)
            }
        };
        let length = u16::try_from(4 + value.len()).unwrap();
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

/// What the kernel has of a table.
#[derive(Debug, Clone)]
struct Dump {
    table: Object,
    chains: Vec<Object>,
    rules: Vec<Object>,
}

/// What the kernel has after a transaction that only adds.
fn dump(commands: &[Operation]) -> Dump {
    let bytes = encode::transaction(commands);
    let messages = messages(&bytes);
    let mut handle = 0_u64;
    let mut of = |kind, at| {
        let of_kind = messages.iter().filter(|message| message.kind == kind);
        let objects = of_kind.map(|message| {
            let mut object = Object::read(message.object);
            assert_eq!(object.bytes(), message.object);
            handle += 1;
            let handle = handle.to_be_bytes().to_vec();
            object.attributes.insert(1, Attribute::Value(at, handle));
            object
        });
        objects.collect::<Vec<_>>()
    };
    // NFTA_TABLE_HANDLE, NFTA_CHAIN_HANDLE, NFTA_RULE_HANDLE
    let (mut tables, chains, rules) = (of(NEW_TABLE, 4), of(NEW_CHAIN, 2), of(NEW_RULE, 3));
    let mut table = tables.pop().expect("a table");
    // NFTA_TABLE_USE
    let objects = u32::try_from(chains.len()).unwrap();
    let objects = objects.to_be_bytes().to_vec();
    table.attributes.push(Attribute::Value(3, objects));
    Dump {
        table,
        chains,
        rules,
    }
}

/// A rule and its chain; `None` if it cannot be read, or is in another table.
fn rule_of(object: &[u8]) -> Option<(String, ObservedRule)> {
    let rule = NativeRule::read(object)?;
    let ours = decode::is_ours(rule.families, &rule.table);
    ours.then(|| (rule.chain.clone(), decode::rule(rule)))
}

/// The table, as `src/sys/netlink.rs` and `src/sys/nftables.rs` read it.
fn table_of(dump: &Dump) -> Option<OwnTable> {
    let table = NativeTable::read(&dump.table.bytes())?;
    if !decode::is_ours(table.families, &table.name) {
        return None;
    }
    let chains = dump.chains.iter();
    let chains: Option<Vec<NativeChain>> = chains
        .map(|chain| NativeChain::read(&chain.bytes()))
        .collect();
    let rules = dump.rules.iter();
    let rules: Option<Vec<_>> = rules.map(|rule| rule_of(&rule.bytes())).collect();
    decode::own_table(&table, &chains?, rules?)
}

/// A policy that this layer can hold: groups are not for it, nor names that fit in no comment.
fn policy_for_it() -> impl Strategy<Value = Policy> {
    let without_groups = |policy: Policy| {
        let named = policy.subjects.named().iter();
        let named =
            named.flat_map(|(&uid, names)| names.iter().map(move |name| (uid, name.clone())));
        Policy {
            subjects: Subjects::new(named, policy.subjects.unnamed().to_vec(), []),
            ..policy
        }
    };
    policy()
        .prop_map(without_groups)
        .prop_filter("names that are too long", |policy| {
            nftables_obstacle(policy).is_none()
        })
}

fn dump_of(policy: &Policy) -> Dump {
    dump(&operations(&wanted(policy), &[], None))
}

/// A rule of such a table, and the expressions of all its rules.
fn any_rule() -> impl Strategy<Value = (Object, Vec<Attribute>)> {
    (policy_for_it(), any::<Index>()).prop_map(|(policy, at)| {
        let mut rules = dump_of(&policy).rules;
        let rule = at.get(&rules).clone();
        let all = rules.iter_mut().flat_map(|rule| rule.expressions().clone());
        (rule, all.collect())
    })
}

/// Each of the values below, changed by `change`, which gets the types on the way there, and the value.
fn values<'a>(
    attributes: &'a mut [Attribute],
    way: &mut Vec<u16>,
    each: &mut impl FnMut(&[u16], &'a mut Vec<u8>),
) {
    for attribute in attributes {
        match attribute {
            Attribute::Value(kind, value) => {
                way.push(*kind);
                each(way, value);
            }
            Attribute::Nest(kind, inner) => {
                way.push(*kind);
                values(inner, way, each);
            }
        }
        way.pop();
    }
}

/// Where a byte of a value is: which value, and which byte of it; and the types on the way there.
fn places(object: &Object) -> Vec<(usize, usize, Vec<u16>)> {
    let (mut places, mut nth) = (Vec::new(), 0);
    values(
        &mut object.clone().attributes,
        &mut Vec::new(),
        &mut |way, value| {
            places.extend((0..value.len()).map(|at| (nth, at, way.to_vec())));
            nth += 1;
        },
    );
    places
}

/// The object with that byte changed.
fn with_byte(object: &Object, (value, at): (usize, usize), change: u8) -> Object {
    let mut changed = object.clone();
    let mut nth = 0;
    values(&mut changed.attributes, &mut Vec::new(), &mut |_, bytes| {
        if nth == value {
            bytes[at] ^= change;
        }
        nth += 1;
    });
    changed
}

/// All lists of attributes in which one is left out or said twice, or has another type: the list, and what
/// was done to which one.
fn rearranged(attributes: &[Attribute]) -> Vec<(Vec<Attribute>, How, Attribute)> {
    let mut all = Vec::new();
    for (at, attribute) in attributes.iter().enumerate() {
        let mut with = |how, new: &[Attribute]| {
            let mut list = attributes.to_vec();
            list.splice(at..=at, new.iter().cloned());
            all.push((list, how, attribute.clone()));
        };
        let other_kind = match attribute.clone() {
            Attribute::Value(kind, value) => Attribute::Value(kind + 40, value),
            Attribute::Nest(kind, inner) => Attribute::Nest(kind + 40, inner),
        };
        with(How::LeftOut, &[]);
        with(How::OfAnotherType, &[other_kind]);
        with(How::Twice, &[attribute.clone(), attribute.clone()]);
        if let Attribute::Nest(kind, inner) = attribute {
            for (inner, how, of) in rearranged(inner) {
                let mut list = attributes.to_vec();
                list[at] = Attribute::Nest(*kind, inner);
                all.push((list, how, of));
            }
        }
    }
    all
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    LeftOut,
    OfAnotherType,
    Twice,
}

/// An expression of that name that says nothing else, or this.
fn expression(name: &str, data: Vec<Attribute>) -> Attribute {
    // NFTA_LIST_ELEM, NFTA_EXPR_NAME, NFTA_EXPR_DATA
    let name = Attribute::Value(1, [name.as_bytes(), &[0]].concat());
    Attribute::Nest(1, vec![name, Attribute::Nest(2, data)])
}

/// The name of an expression, and what it says.
fn inside(expression: &mut Attribute) -> (String, &mut Vec<Attribute>) {
    match expression {
        Attribute::Nest(1, parts) => match &mut parts[..] {
            [Attribute::Value(1, name), Attribute::Nest(2, data)] => {
                let name = name.strip_suffix(&[0]).unwrap().to_vec();
                (String::from_utf8(name).unwrap(), data)
            }
            parts => panic!("{parts:?}"),
        },
        expression => panic!("{expression:?}"),
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// Whatever is laid is read back as the same rules, and they say who may pass; nothing is left to be done.
    #[test]
    fn what_is_laid_is_read_back(policy in policy_for_it()) {
        let wanted = wanted(&policy);
        let own = table_of(&dump_of(&policy)).unwrap();
        prop_assert!(!own.foreign && !own.dormant);
        prop_assert_eq!(operations(&wanted, &[], Some(&own)), []);
        for locked in &wanted {
            for hook in Hook::ALL {
                for (name, rules) in locked.at(hook) {
                    let chain = own.table.chain(&name.to_string()).unwrap();
                    prop_assert!(chain.own_rules().unwrap().into_iter().eq(rules));
                }
            }
            let chains = locked.at(Hook::Output);
            let rules = chains.flat_map(|(name, _)| {
                own.table.chain(&name.to_string()).unwrap().own_rules().unwrap()
            });
            prop_assert_eq!(&subjects_of(rules), &policy.subjects);
        }
    }

    /// nft shows a comment, and reads it in the text, if it has less than 128 bytes and breaks no quote.
    #[test]
    fn comments_are_as_nft_has_them(policy in policy_for_it()) {
        for rule in dump_of(&policy).rules {
            // NFTA_RULE_USERDATA
            let comment = rule.attributes.iter().find_map(|attribute| match attribute {
                Attribute::Value(7, value) => Some(value),
                _ => None,
            });
            let Some(comment) = comment else {
                continue;
            };
            let [0, length, text @ .., 0] = &comment[..] else {
                panic!("{comment:?}");
            };
            prop_assert_eq!(usize::from(*length), text.len() + 1);
            prop_assert!(text.len() < 128);
            let text = std::str::from_utf8(text).unwrap();
            prop_assert!(!text.contains(['"', '\n', '\\', '\0']), "{}", text);
        }
    }

    /// What a rule has counted is read, and makes it no other rule.
    #[test]
    fn counters_are_read(
        (rule, _) in any_rule(),
        packets in any::<u64>(),
        bytes in any::<u64>(),
    ) {
        let (chain, fresh) = rule_of(&rule.bytes()).unwrap();
        let mut counted = rule;
        let mut counts = false;
        for expression in counted.expressions() {
            let (name, data) = inside(expression);
            if name == "counter" {
                // NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS
                let numbers = [(1, bytes), (2, packets)];
                let numbers =
                    numbers.map(|(kind, number)| Attribute::Value(kind, number.to_be_bytes().to_vec()));
                *data = numbers.to_vec();
                counts = true;
            }
        }
        let counters = counts.then_some(Counters { packets, bytes });
        let expected = (chain, ObservedRule { counters, ..fresh });
        prop_assert_eq!(rule_of(&counted.bytes()), Some(expected));
    }

    /// Every byte of every value of a rule counts: its table, its chain, each expression, its comment.
    #[test]
    fn every_byte_of_a_rule_counts((rule, _) in any_rule(), change in 1..=u8::MAX) {
        let read = rule_of(&rule.bytes());
        prop_assert!(read.as_ref().is_some_and(|(_, rule)| rule.own().is_some()));
        for (value, at, way) in places(&rule) {
            // NFTA_RULE_HANDLE
            if way == [3] {
                continue;
            }
            let changed = with_byte(&rule, (value, at), change);
            prop_assert!(rule_of(&changed.bytes()) != read, "{:?}, byte {}", way, at);
        }
    }

    /// Every byte of the table and its chains counts: without their handles, and of the table's flags the
    /// others than NFT_TABLE_F_DORMANT and _OWNER.
    #[test]
    fn every_byte_of_the_frame_counts(
        policy in policy_for_it(),
        change in 1..=u8::MAX,
        at in any::<Index>(),
    ) {
        let mut dump = dump_of(&policy);
        dump.rules.clear();
        let read = table_of(&dump);
        for (value, at, way) in places(&dump.table) {
            let mut changed = dump.clone();
            changed.table = with_byte(&dump.table, (value, at), change);
            let says_nothing = way == [4] || way == [2] && (at < 3 || change.trailing_zeros() >= 2);
            prop_assert_eq!(table_of(&changed) == read, says_nothing, "{:?}, byte {}", way, at);
        }
        let nth = at.index(dump.chains.len());
        for (value, at, way) in places(&dump.chains[nth]) {
            let mut changed = dump.clone();
            changed.chains[nth] = with_byte(&dump.chains[nth], (value, at), change);
            prop_assert_eq!(table_of(&changed) == read, way == [2], "{:?}, byte {}", way, at);
        }
    }

    /// A rule of which something is missing is not what it was.
    #[test]
    fn every_attribute_of_a_rule_counts((rule, _) in any_rule()) {
        let read = rule_of(&rule.bytes());
        for (attributes, how, of) in rearranged(&rule.attributes) {
            let changed = Object { attributes, ..rule };
            let now = rule_of(&changed.bytes());
            // NFTA_RULE_HANDLE, and NFTA_REJECT_ICMP_CODE of a reset, which the kernel does not tell.
            let says_nothing = match &of {
                Attribute::Value(3, value) => value.len() == 8,
                Attribute::Value(2, value) => *value == [0],
                _ => false,
            };
            if how != How::Twice && !says_nothing {
                prop_assert!(now != read, "{:?} {:?}", of, how);
            }
        }
    }

    /// Nothing may be added to a rule, taken out of it or change places.
    #[test]
    fn every_expression_and_its_place_counts((rule, all) in any_rule(), one in any::<Index>()) {
        let read = rule_of(&rule.bytes());
        let others = [
            expression("log", Vec::new()),
            expression("notrack", Vec::new()),
            expression("", Vec::new()),
            // NFTA_IMMEDIATE_DREG, _DATA; NFTA_DATA_VERDICT; NFTA_VERDICT_CODE: accept, and continue
            immediate(1),
            immediate(u32::MAX),
            expression("counter", Vec::new()),
            one.get(&all).clone(),
        ];
        let expressions = rule.clone().expressions().clone();
        let changed = |list: Vec<Attribute>| {
            let mut changed = rule.clone();
            *changed.expressions() = list;
            rule_of(&changed.bytes())
        };
        prop_assert!(changed(expressions.clone()) == read);
        for at in 0..=expressions.len() {
            for other in others.iter().chain(&expressions) {
                let mut more = expressions.clone();
                more.insert(at, other.clone());
                prop_assert!(changed(more) != read, "{:?} at {}", other, at);
            }
        }
        for at in 0..expressions.len() {
            let mut fewer = expressions.clone();
            fewer.remove(at);
            prop_assert!(changed(fewer) != read, "without {}", at);
            for with in at + 1..expressions.len() {
                let mut swapped = expressions.clone();
                swapped.swap(at, with);
                prop_assert!(changed(swapped) != read, "{} and {}", at, with);
            }
        }
    }

    /// What a later kernel may say of an expression makes it another, for it may do something else.
    #[test]
    fn an_expression_that_says_more_is_another((rule, _) in any_rule(), kind in 9..40_u16) {
        let read = rule_of(&rule.bytes());
        for at in 0..rule.clone().expressions().len() {
            let mut changed = rule.clone();
            let (name, data) = inside(&mut changed.expressions()[at]);
            // NFTA_COUNTER_PAD says nothing, and a counter does nothing.
            if name == "counter" {
                continue;
            }
            data.push(Attribute::Value(kind, vec![0; 4]));
            prop_assert!(rule_of(&changed.bytes()) != read, "{}", name);
        }
    }

    /// No object makes it panic, and a rule that is cut is never what it was.
    #[test]
    fn no_object_makes_it_panic(
        policy in policy_for_it(),
        at in any::<Index>(),
        change in 1..=u8::MAX,
    ) {
        let dump = dump_of(&policy);
        let try_all = |bytes: &[u8]| {
            let _ = NativeTable::read(bytes);
            let _ = NativeChain::read(bytes).map(|chain| chain.translates());
            let _ = rule_of(bytes);
        };
        let chain = at.get(&dump.chains).clone();
        let rule = at.get(&dump.rules).clone();
        let read = rule_of(&rule.bytes());
        for object in [&dump.table, &chain, &rule] {
            let bytes = object.bytes();
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                try_all(&changed);
                try_all(&bytes[..at]);
            }
            for (attributes, ..) in rearranged(&object.attributes) {
                try_all(&Object { attributes, head: object.head }.bytes());
            }
        }
        // The padding may be missing behind the last attribute.
        let bytes = rule.bytes();
        let padding = match rule.attributes.last() {
            Some(Attribute::Value(_, value)) => value.len().next_multiple_of(4) - value.len(),
            _ => 0,
        };
        for length in 0..bytes.len() - padding {
            prop_assert!(rule_of(&bytes[..length]) != read, "{} of {}", length, bytes.len());
        }
        // Of struct nfgenmsg the family alone says something.
        for (at, says) in [(0, true), (1, false), (2, false), (3, false)] {
            let mut changed = rule.clone();
            changed.head[at] ^= change;
            prop_assert_eq!(rule_of(&changed.bytes()) != read, says);
        }
    }
}

fn immediate(code: u32) -> Attribute {
    let code = Attribute::Value(1, code.to_be_bytes().to_vec());
    let data = Attribute::Nest(2, vec![Attribute::Nest(2, vec![code])]);
    expression("immediate", vec![Attribute::Value(1, vec![0; 4]), data])
}
