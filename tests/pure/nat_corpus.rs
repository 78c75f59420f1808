//! Promise: from the kernel's dump of another tool's table, the program determines whether the table rewrites an address,
//! or reports that this is unknown.
//!
//! `tests/pure/nat_corpus` contains rulesets as other tools write them, the expected result of each, and the kernel's
//! messages.

use ip_lockdown::policy::{IMDS_V4, IMDS_V6};
use ip_lockdown::ruleset::nftables::nat::{
    Answer, Contents, Elements, NatRule, Set, judge, missing,
};
use ip_lockdown::ruleset::nftables::object::{NativeChain, NativeTable};
use lab::captures::{self, Dump, Expected, captures, expected};
use pretty_assertions::assert_eq;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn bytes_of(name: &str) -> Vec<u8> {
    let path = captures::folder().join(format!("{name}.dump"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn each_chain_comes_to_what_its_ruleset_says() {
    let mut judged = 0;
    for name in captures() {
        let dump = Dump::read(&bytes_of(&name)).expect("the capture is whole");
        for one in expected(&name) {
            let table = dump.table(&one.family, &one.table);
            let whole = judge(&table.contents, &one.chain, one.address);
            assert_eq!(
                captures::in_words(&whole, &one),
                one.answer,
                "{name} {one:?}"
            );
            // What is read chain by chain and set by set comes to the same.
            let (reached, _) = table.reached(&one.chain, one.address);
            assert_eq!(
                judge(&reached, &one.chain, one.address),
                whole,
                "{name} {one:?}"
            );
            judged += 1;
        }
    }
    assert!(judged >= 190, "{judged}");
}

/// kube-proxy has a chain for each service: those of other addresses are not read.
#[test]
fn only_what_packets_to_the_address_reach_is_read() {
    let dump = Dump::read(&bytes_of("kube-proxy")).unwrap();
    let table = dump.table("ip", "kube-proxy");
    let (reached, turns) = table.reached("nat-output", IMDS_V4);
    let mut chains: Vec<&str> = reached.chains.keys().map(String::as_str).collect();
    chains.sort_unstable();
    assert_eq!(chains, ["nat-output", "services"]);
    let mut sets: Vec<&str> = reached.sets.keys().map(String::as_str).collect();
    sets.sort_unstable();
    assert_eq!(sets, ["nodeport-ips", "service-ips"]);
    assert!(turns <= 4, "{turns}");
    let (reached, _) = table.reached("nat-output", "172.30.0.41".parse().unwrap());
    assert!(reached.chains.len() > 4, "{:?}", reached.chains.keys());
}

#[test]
fn what_was_not_read_is_unknown() {
    let dump = Dump::read(&bytes_of("kube-proxy")).unwrap();
    let table = dump.table("ip", "kube-proxy");
    let reason = |contents: &Contents| judge(contents, "nat-output", IMDS_V4);
    let unread = |name: &str| Answer::Unknown(format!("{name} was not read"));
    assert_eq!(reason(&Contents::default()), unread("nat-output"));
    for name in ["services", "service-ips", "nodeport-ips"] {
        let mut contents = table.contents.clone();
        contents.chains.remove(name);
        contents.sets.remove(name);
        assert_eq!(reason(&contents), unread(name));
    }
}

/// Whatever the bytes are, all that reads them ends.
fn read_all(bytes: &[u8]) {
    let _ = NativeTable::read(bytes);
    let _ = NativeChain::read(bytes);
    let _ = Set::read(bytes);
    let _ = Elements::read(bytes);
    let rule = NatRule::read(bytes);
    let Some((chain, rule)) = rule else { return };
    let _ = rule.text();
    let mut contents = Contents::default();
    contents.chains.insert(chain.clone(), vec![rule]);
    for address in [IMDS_V4, IMDS_V6] {
        let _ = judge(&contents, &chain, address);
    }
}

/// Judges all that a ruleset says something of.
fn judged(dump: &Dump, all: &[Expected]) -> Vec<Option<Answer>> {
    all.iter()
        .map(|one| {
            let table = dump.find(&one.family, &one.table)?;
            Some(judge(&table.contents, &one.chain, one.address))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_to_an_end(bytes in vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
        let _ = Dump::read(&bytes);
    }

    /// Bytes of real messages, with some of them changed.
    #[test]
    fn damaged_messages_are_read_to_an_end(
        which in any::<Index>(),
        message in any::<Index>(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let names = captures();
        let bytes = bytes_of(which.get::<String>(&names));
        let objects = captures::objects(&bytes);
        let mut object = message.get(&objects).to_vec();
        for (at, byte) in damage {
            let at = at.index(object.len());
            object[at] = byte;
        }
        read_all(&object);
    }

    /// A message that is cut off is damaged, as is one whose attribute is cut off: what was rewritten is then never
    /// said to be untouched.
    #[test]
    fn what_is_cut_off_never_becomes_untouched(
        which in any::<Index>(),
        at in any::<Index>(),
        cut in 1_u16..40,
    ) {
        let names = captures();
        let name: &String = which.get(&names[..]);
        let bytes = bytes_of(name);
        let all = expected(name);
        let whole = judged(&Dump::read(&bytes).unwrap(), &all);
        let lengths = captures::lengths(&bytes);
        let at = *at.get(&lengths);
        let mut damaged = bytes;
        let length = u16::from_ne_bytes([damaged[at], damaged[at + 1]]);
        let shorter = length.saturating_sub(cut);
        damaged[at..at + 2].copy_from_slice(&shorter.to_ne_bytes());
        // Where the rest of it can be read as attributes by chance, what they are is not known; a dump that is not
        // whole is not judged at all.
        let Some(dump) = Dump::read(&damaged) else { return Ok(()) };
        for ((before, after), one) in whole.iter().zip(judged(&dump, &all)).zip(&all) {
            if let Some(Answer::Rewritten(_)) = before {
                prop_assert_ne!(after, Some(Answer::Untouched), "{} {:?} at {}", name, one, at);
            }
        }
    }
}

#[test]
fn nothing_is_missing_where_nothing_is_asked() {
    assert!(missing(&Contents::default(), &[], &[IMDS_V4]).is_empty());
}
