//! The captures: rulesets with their expected results, and the kernel's messages for them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;

use crate::pages::root;
use ip_lockdown::policy::Address;
use ip_lockdown::ruleset::netlink::messages;
use ip_lockdown::ruleset::nftables::nat::{
    Answer, Contents, Elements, NatChain, NatRule, Set, judge, missing,
};

/// NFT_MSG_NEWRULE, _NEWSET, _NEWSETELEM of NFNL_SUBSYS_NFTABLES
const RULE: u16 = 0x0a06;
const SET: u16 = 0x0a09;
const ELEMENTS: u16 = 0x0a0c;

/// The folder of the captures.
pub fn folder() -> PathBuf {
    root().join("tests/pure/nat_corpus")
}

/// The names of all captures.
pub fn captures() -> Vec<String> {
    let files = std::fs::read_dir(folder()).expect("the folder is there");
    let names = files.filter_map(|file| {
        let path = file.expect("a file").path();
        let is_ruleset = path.extension().is_some_and(|ending| ending == "nft");
        let name = path.file_stem().and_then(OsStr::to_str);
        is_ruleset.then(|| name.expect("a name of text").to_owned())
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// What a chain comes to: a line `#= FAMILY TABLE CHAIN ADDRESS ANSWER [RULE]` of the ruleset.
#[derive(Debug, Clone)]
pub struct Expected {
    /// `ip`, `ip6` or `inet`.
    pub family: String,
    /// The table.
    pub table: String,
    /// The base chain.
    pub chain: String,
    /// The destination of the packet.
    pub address: Address,
    /// `untouched`, `rewritten` or `unknown`, with the rule if the line gives it.
    pub answer: String,
    with_rule: bool,
}

/// The expected answers of a capture.
pub fn expected(name: &str) -> Vec<Expected> {
    let path = folder().join(format!("{name}.nft"));
    let text = std::fs::read_to_string(path).expect("the ruleset is there");
    let lines = text.lines().filter_map(|line| line.strip_prefix("#= "));
    lines
        .map(|line| {
            let [family, table, chain, address, answer] = {
                let mut words = line.splitn(5, ' ');
                [(); 5].map(|()| words.next().unwrap_or_else(|| panic!("{line}")).to_owned())
            };
            Expected {
                family,
                table,
                chain,
                address: address.parse().expect("an address"),
                with_rule: answer.contains(' '),
                answer,
            }
        })
        .collect()
}

/// The answer as the ruleset has it: with the rule, if it says which.
pub fn in_words(answer: &Answer, expected: &Expected) -> String {
    let (word, text) = match answer {
        Answer::Untouched => ("untouched", ""),
        Answer::Rewritten(rule) => ("rewritten", &rule[..]),
        Answer::Unknown(reason) => ("unknown", &reason[..]),
    };
    if expected.with_rule {
        format!("{word} {text}")
    } else {
        word.to_owned()
    }
}

/// A table as it was captured.
#[derive(Debug, Default)]
pub struct CapturedTable {
    /// Its chains and sets.
    pub contents: Contents,
}

impl CapturedTable {
    /// What is read of it step by step, as from the kernel, and in how many steps.
    pub fn reached(&self, chain: &str, address: Address) -> (Contents, usize) {
        let chains = [NatChain {
            name: chain.to_owned(),
            local: true,
        }];
        let mut contents = Contents::default();
        for turn in 0.. {
            let missing = missing(&contents, &chains, &[address]);
            if missing.is_empty() {
                return (contents, turn);
            }
            for name in missing.chains {
                let rules = self.contents.chains.get(&name).cloned();
                contents.chains.insert(name, rules.unwrap_or_default());
            }
            for name in missing.sets {
                let set = self.contents.sets[&name].clone();
                contents.sets.insert(name, set);
            }
        }
        unreachable!("there are fewer chains than numbers")
    }
}

/// The tables of a capture.
#[derive(Debug)]
pub struct Dump(HashMap<Key, CapturedTable>);

/// A table's family, and its name.
type Key = (u8, String);

impl Dump {
    /// `None` if any of it is damaged.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut tables: HashMap<Key, CapturedTable> = HashMap::new();
        let mut sets: Vec<(Key, String, Set, Vec<Elements>)> = Vec::new();
        for message in messages(bytes) {
            let message = message?;
            let object = message.payload;
            // NFTA_CHAIN_TABLE, NFTA_RULE_TABLE and others have the same number.
            let key = (*object.first()?, first_text(object)?);
            match message.kind {
                RULE => {
                    let (chain, rule) = NatRule::read(object)?;
                    let table = tables.entry(key).or_default();
                    table.contents.chains.entry(chain).or_default().push(rule);
                }
                SET => {
                    let (name, set) = Set::read(object)?;
                    sets.push((key, name, set, Vec::new()));
                }
                ELEMENTS => sets.last_mut()?.3.push(Elements::read(object)?),
                _ => {
                    let chain = ip_lockdown::ruleset::nftables::object::NativeChain::read(object)?;
                    let table = tables.entry(key).or_default();
                    table.contents.chains.entry(chain.name).or_default();
                }
            }
        }
        for (key, name, set, elements) in sets {
            let table = tables.entry(key).or_default();
            table.contents.sets.insert(name, set.with(elements));
        }
        Some(Self(tables))
    }

    /// The table, if the capture has it.
    pub fn find(&self, family: &str, table: &str) -> Option<&CapturedTable> {
        let family = match family {
            "inet" => 1,
            "ip" => 2,
            "ip6" => 10,
            _ => panic!("{family}"),
        };
        self.0.get(&(family, table.to_owned()))
    }

    /// The table.
    pub fn table(&self, family: &str, table: &str) -> &CapturedTable {
        let found = self.find(family, table);
        found.unwrap_or_else(|| panic!("there is no table {family} {table}"))
    }
}

/// The text in the first attribute.
fn first_text(object: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_ne_bytes(*object.get(4..)?.first_chunk()?));
    let text = object.get(8..4 + length)?.strip_suffix(&[0])?;
    String::from_utf8(text.to_vec()).ok()
}

/// The objects in a capture.
pub fn objects(bytes: &[u8]) -> Vec<&[u8]> {
    messages(bytes)
        .map(|message| message.expect("it is whole").payload)
        .collect()
}

/// Where the length of each attribute is, nested ones too.
pub fn lengths(bytes: &[u8]) -> Vec<usize> {
    fn below(bytes: &[u8], mut at: usize, end: usize, found: &mut Vec<usize>) {
        while at + 4 <= end {
            let length = usize::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]));
            let kind = u16::from_ne_bytes([bytes[at + 2], bytes[at + 3]]);
            if length < 4 || at + length > end {
                return;
            }
            found.push(at);
            if kind & 1 << 15 != 0 {
                below(bytes, at + 4, at + length, found);
            }
            at += length.next_multiple_of(4);
        }
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let length = usize::try_from(length).expect("a length");
        below(bytes, at + 20, at + length, &mut found);
        at += length.next_multiple_of(4);
    }
    found
}

/// Whether two captures of one ruleset come to the same.
pub fn answers(dump: &Dump, name: &str) -> Vec<String> {
    expected(name)
        .iter()
        .map(|one| {
            let table = dump.table(&one.family, &one.table);
            format!(
                "{one:?} {:?}",
                judge(&table.contents, &one.chain, one.address)
            )
        })
        .collect()
}
