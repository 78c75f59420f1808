//! Promise: what any nft prints of our table is read for what it is, or not at all.
//!
//! `tests/corpus/nft` (its README says how it came about) has the listings of many versions. The
//! expectations are taken from what was loaded and from the listings by cruder means than the
//! parser's own: lines, handles, counts of `"rule"`, exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "corpus/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use files::{file_name, read, sorted};
use ip_lockdown::policy::{
    AccountName, Family, Forwarded, IMDS_V4, Policy, Subjects, Target, Uid, UidRange,
};
use ip_lockdown::ruleset::desired::{LockedAddress, desired};
use ip_lockdown::ruleset::model::{Hook, Ruleset, Spec, Table};
use ip_lockdown::ruleset::nftables::nat;
use ip_lockdown::ruleset::nftables::plan::{Command, plan};
use ip_lockdown::ruleset::nftables::{OwnTable, Unclear, parse, render};
use ip_lockdown::ruleset::plan::left_over;
use ip_lockdown::ruleset::{LaidLayers, Layer, Layers, Lock};
use ip_lockdown::verify::{Check, Flush, Native, Observation, Status, in_force, structure};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

/// One captured listing.
struct Capture {
    /// `1.0.6/ours.json`, for messages.
    name: String,
    /// `1.0.6`, or `A-read-by-B`.
    folder: String,
    /// `ours`
    stem: String,
    text: String,
}

impl Capture {
    fn table(&self) -> OwnTable {
        parse::table(self.text.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn objects(&self) -> Vec<Value> {
        let listing: Value = serde_json::from_str(&self.text).unwrap();
        listing["nftables"].as_array().unwrap().clone()
    }

    fn counted(&self, words: &str) -> usize {
        self.text.matches(words).count()
    }

    /// The rules of `input/` that this version did not refuse to load.
    fn loaded(&self) -> usize {
        let path = corpus().join(&self.name).with_extension("rejected");
        let rejected = fs::read_to_string(path).unwrap_or_default();
        let rejected: BTreeSet<&str> = rejected.lines().collect();
        let mut lines = rules_in(&self.stem);
        lines.retain(|line| !rejected.contains(line.as_str()));
        lines.len()
    }
}

/// How a rule and a chain begin in a listing, and nothing else.
const A_RULE: &str = "{\"rule\": {";
const A_CHAIN: &str = "{\"chain\": {";

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/nft")
}

fn input(stem: &str) -> String {
    read(&corpus().join(format!("input/{stem}.nft")))
}

/// The lines of a file in `input/` that make a rule.
fn rules_in(stem: &str) -> Vec<String> {
    let is_rule = |line: &&str| line.starts_with("add rule ") || line.starts_with("insert rule ");
    let text = input(stem);
    text.lines().filter(is_rule).map(str::to_owned).collect()
}

/// The folders of versions, or those of `cross`.
fn folders(of: &Path) -> Vec<PathBuf> {
    let mut folders = sorted(of);
    folders.retain(|folder| folder.join("status.txt").exists());
    folders
}

/// Every listing whose situation is one of these; a `-` at the end stands for any ending.
fn captures(situations: &[&str]) -> Vec<Capture> {
    let mut folders = folders(&corpus());
    folders.extend(self::folders(&corpus().join("cross")));
    let mut captures = Vec::new();
    for path in folders.iter().flat_map(|folder| sorted(folder)) {
        let Some(stem) = file_name(&path).strip_suffix(".json").map(str::to_owned) else {
            continue;
        };
        let wanted = situations.iter().any(|&situation| {
            situation == stem || situation.ends_with('-') && stem.starts_with(situation)
        });
        if wanted {
            let inside = path.strip_prefix(corpus()).unwrap();
            captures.push(Capture {
                name: inside.to_str().unwrap().to_owned(),
                folder: file_name(path.parent().unwrap()),
                text: read(&path),
                stem,
            });
        }
    }
    captures
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn range(first: u32, last: u32) -> UidRange {
    UidRange::new(uid(first), uid(last)).unwrap()
}

fn lock(subjects: Subjects, only: bool, forwarded: Forwarded, layers: Layers) -> Lock {
    Lock {
        policy: Policy {
            target: Target::new(IMDS_V4, only),
            subjects,
            forwarded,
        },
        layers: LaidLayers::both(layers),
    }
}

fn named<const N: usize>(names: [(u32, &str); N]) -> [(Uid, AccountName); N] {
    names.map(|(number, name)| (uid(number), name.parse().unwrap()))
}

/// What `input/ours.nft` puts in force.
fn ours() -> Lock {
    let names = named([
        (0, "root"),
        (1, "daemon"),
        (1000, "alice"),
        (1001, "bob"),
        (1005, "carol"),
        (1005, "carol-backup-eu-central-1"),
        (1005, "carol-backup-us-east-1"),
        (1005, "carol-deploys-eu-central-1"),
        (1005, "carol-reports-eu-central-1"),
        (1005, "carol-reports-us-east-1"),
    ]);
    let ranges = [
        range(1003, 1004),
        range(65533, 65533),
        range(0x7fff_ffff, 0x8000_0000),
        range(4_294_967_294, 4_294_967_294),
    ];
    let subjects = Subjects::new(names, ranges, []);
    lock(
        subjects,
        false,
        Forwarded::Refuse,
        Layers::FILTER_AND_NFTABLES,
    )
}

/// What `input/only.nft` puts in force.
fn only() -> Lock {
    let names = named([(0, "root"), (1000, "alice")]);
    let subjects = Subjects::new(names, [range(1001, 1002)], []);
    lock(subjects, true, Forwarded::Allow, Layers::NFTABLES)
}

/// The lock that is loaded in a situation.
fn lock_in(stem: &str) -> Lock {
    if stem == "ours" { ours() } else { only() }
}

fn wanted(lock: &Lock) -> Vec<LockedAddress> {
    Family::ALL
        .into_iter()
        .flat_map(|family| {
            desired(
                &lock.policy,
                lock.layers.of(family),
                Layer::Nftables,
                family,
            )
        })
        .collect()
}

fn seen(own: &OwnTable) -> Observation {
    Observation {
        variant: None,
        families: Family::ALL
            .map(|family| (family, Ok(Ruleset::empty(family))))
            .into(),
        other: Vec::new(),
        nftables: Ok(Some(own.clone())),
        native: Ok(Native::default()),
        flush: Flush::No,
        firewalld: Ok(false),
    }
}

/// Whether the layer enforces the lock, by the rules that were read.
fn stands(lock: &Lock, own: &OwnTable) -> bool {
    let locked: Vec<bool> = structure(lock, &seen(own))
        .iter()
        .filter(|finding| finding.check == Check::AddressLocked)
        .map(|finding| finding.status == Status::Pass)
        .collect();
    assert_eq!(locked.len(), lock.policy.target.addresses().len());
    locked.into_iter().all(|stands| stands)
}

/// Whether nothing is left to do.
fn is_laid(wanted: &[LockedAddress], own: &OwnTable) -> bool {
    plan(wanted, &[], Some(own)).is_empty()
}

fn rules_of(table: &Table) -> usize {
    table.chains.iter().map(|chain| chain.rules.len()).sum()
}

#[test]
fn what_was_loaded_is_what_this_program_writes() {
    for stem in ["ours", "only"] {
        let commands = plan(&wanted(&lock_in(stem)), &[], None);
        assert_eq!(render::transaction(&commands), input(stem), "{stem}");
    }
}

#[test]
fn a_lockdown_is_recognised_whatever_version_prints_it() {
    let captures = captures(&["ours", "counters", "dormant"]);
    assert!(captures.len() >= 24, "{}", captures.len());
    for capture in captures {
        let name = &capture.name;
        let lock = lock_in(&capture.stem);
        let own = capture.table();
        assert!(!own.foreign, "{name}");
        assert_eq!(rules_of(&own.table), capture.counted(A_RULE), "{name}");
        assert_eq!(own.table.chains.len(), capture.counted(A_CHAIN), "{name}");
        let wanted = wanted(&lock);
        for locked in &wanted {
            for hook in Hook::ALL {
                for (chain, rules) in locked.at(hook) {
                    let there = own.table.chain(&chain.to_string()).unwrap();
                    assert!(there.own_rules().unwrap().into_iter().eq(rules), "{name}");
                }
                assert_eq!(left_over(locked, hook, &own.table).next(), None, "{name}");
            }
        }
        assert!(is_laid(&wanted, &own), "{name}");
        assert!(stands(&lock, &own), "{name}");
        let found = in_force(&seen(&own));
        assert_eq!(found.locks, std::slice::from_ref(&lock), "{name}");
        assert_eq!(found.damaged, [], "{name}");
        // That the table is switched off is heard from the kernel, and not from nft.
        let dormant = OwnTable {
            dormant: true,
            ..own
        };
        let woken = plan(&wanted, &[], Some(&dormant));
        assert_eq!(woken, [Command::AddTable], "{name}");
        assert!(!stands(&lock, &dormant), "{name}");
    }
}

#[test]
fn counters_are_read() {
    for capture in captures(&["counters"]) {
        let printed: u64 = capture
            .text
            .split("\"packets\": ")
            .skip(1)
            .map(|rest| rest.split_once(',').unwrap().0.parse::<u64>().unwrap())
            .sum();
        let own = capture.table();
        let rules = own.table.chains.iter().flat_map(|chain| &chain.rules);
        let read: u64 = rules.filter_map(|rule| Some(rule.counters?.packets)).sum();
        assert!(printed > 5, "{}: nothing was sent", capture.name);
        assert_eq!(read, printed, "{}", capture.name);
    }
}

#[test]
fn a_table_that_stands_elsewhere_is_not_taken_for_ours() {
    let captures = captures(&["frame", "frame-", "empty"]);
    assert!(captures.len() >= 28, "{}", captures.len());
    let only = only();
    let wanted = wanted(&only);
    for capture in captures {
        let name = &capture.name;
        let own = capture.table();
        assert_eq!(capture.counted(A_RULE), rules_of(&own.table), "{name}");
        if capture.stem == "frame-beside" {
            // The layer stands; and the table is not deleted, for what is not ours in it.
            assert!(own.foreign, "{name}");
            assert!(stands(&only, &own), "{name}");
            let removal = plan(&[], &[IMDS_V4], Some(&own));
            assert!(!removal.contains(&Command::DeleteTable), "{name}");
            continue;
        }
        assert!(!is_laid(&wanted, &own), "{name}");
        assert!(!stands(&only, &own), "{name}");
        if capture.stem == "empty" {
            assert_eq!(in_force(&seen(&own)).locks, [], "{name}");
            assert_eq!(in_force(&seen(&own)).damaged, [IMDS_V4], "{name}");
        }
    }
}

fn listing(objects: &[Value]) -> String {
    json!({ "nftables": objects }).to_string()
}

/// Whether the listing is read as all that is wanted.
fn taken_for(wanted: &[LockedAddress], objects: &[Value]) -> bool {
    parse::table(listing(objects).as_bytes()).is_ok_and(|own| is_laid(wanted, &own))
}

#[test]
fn every_chain_and_rule_counts() {
    for capture in captures(&["ours", "counters"]) {
        let wanted = wanted(&lock_in(&capture.stem));
        let objects = capture.objects();
        assert!(taken_for(&wanted, &objects), "{}", capture.name);
        for (at, object) in objects.iter().enumerate() {
            let name = format!("{} object {at}", capture.name);
            if object.get("table").is_some() {
                continue;
            }
            let mut fewer = objects.clone();
            fewer.remove(at);
            assert!(!taken_for(&wanted, &fewer), "{name} left out");
            let rule = object.get("rule");
            // One situation is enough for the rest.
            if rule.is_none() || capture.stem == "ours" {
                continue;
            }
            let mut more = objects.clone();
            more.insert(at, object.clone());
            assert!(!taken_for(&wanted, &more), "{name} twice");
            let next = objects.get(at + 1).and_then(|next| next.get("rule"));
            if next.is_some_and(|next| next["chain"] == rule.unwrap()["chain"]) {
                let mut swapped = objects.clone();
                swapped.swap(at, at + 1);
                assert!(!taken_for(&wanted, &swapped), "{name} behind the next");
            }
        }
    }
}

/// What others may put into a rule of ours.
const ADDED: &[&str] = &[
    r#"{"accept": null}"#,
    r#"{"log": null}"#,
    r#"{"counter": "named"}"#,
    r#"{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}"#,
    r#"{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "lo"}}"#,
    r#"{"match": {"op": "==", "left": {"meta": {"key": "skuid"}}, "right": 7}}"#,
    r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "192.0.2.1"}}"#,
];

/// What may not stand behind the end.
const COUNTER: &str = r#"{"counter": {"packets": 0, "bytes": 0}}"#;

#[test]
fn nothing_may_be_added_to_a_rule() {
    let wanted = wanted(&only());
    for capture in captures(&["counters"]) {
        let objects = capture.objects();
        for (at, object) in objects.iter().enumerate() {
            let Some(expressions) = object.get("rule").and_then(|rule| rule["expr"].as_array())
            else {
                continue;
            };
            let end = expressions.len();
            let anywhere = ADDED
                .iter()
                .flat_map(|added| (0..=end).map(move |place| (place, added)));
            for (place, added) in anywhere.chain([(end, &COUNTER)]) {
                let mut changed = objects.clone();
                let mut longer = expressions.clone();
                longer.insert(place, serde_json::from_str(added).unwrap());
                changed[at]["rule"]["expr"] = longer.into();
                let name = format!("{} object {at}: {added} at {place}", capture.name);
                assert!(!taken_for(&wanted, &changed), "{name}");
            }
        }
    }
}

/// Members that say nothing about what the table does; and nft was asked for this table alone.
const SAY_NOTHING: &str = "handle version release_name family table return";

/// Every place in the value that holds no object or list, without those that say nothing.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| !SAY_NOTHING.split(' ').any(|word| word == key.as_str()))
            .map(|(key, inner)| (format!("{path}/{key}"), inner))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, inner)| (format!("{path}/{at}"), inner))
            .collect(),
        _ => return found.push(path.to_owned()),
    };
    for (path, inner) in inner {
        leaves(inner, &path, found);
    }
}

#[test]
fn every_word_of_a_rule_counts() {
    let wanted = wanted(&only());
    for capture in captures(&["counters"]) {
        let objects = Value::from(capture.objects());
        let mut places = Vec::new();
        leaves(&objects, "", &mut places);
        assert!(places.len() > 70, "{}: {}", capture.name, places.len());
        for place in places {
            let was = objects.pointer(&place).unwrap();
            let counter = place.ends_with("/packets") || place.ends_with("/bytes");
            // Versions differ in how they nest those.
            let flag = place.contains("/&/1");
            let other = match was {
                Value::String(text) => Value::from(format!("{text}x")),
                Value::Number(number) if !counter => (number.as_i64().unwrap() + 1).into(),
                _ => Value::from("x"),
            };
            let listed = Value::from([was.clone()].as_slice());
            for now in [other, listed, Value::Null, json!({})] {
                if now == *was || flag && now.is_array() {
                    continue;
                }
                let name = format!("{} {place}: {was} is now {now}", capture.name);
                let mut changed = objects.clone();
                *changed.pointer_mut(&place).unwrap() = now;
                let changed = changed.as_array().unwrap();
                assert!(!taken_for(&wanted, changed), "{name}");
            }
        }
    }
}

fn handle(rule: &Value) -> Option<u64> {
    rule.get("rule")?["handle"].as_u64()
}

/// The handles of the rules of `only.nft`, which were loaded first.
fn own_handles(objects: &[Value]) -> Vec<u64> {
    let mut handles: Vec<u64> = objects.iter().filter_map(handle).collect();
    handles.sort_unstable();
    handles.truncate(rules_in("only").len());
    handles
}

#[test]
fn no_rule_of_others_is_taken_for_ours() {
    let captures = captures(&["foreign"]);
    assert!(captures.len() >= 9, "{}", captures.len());
    let wanted = wanted(&only());
    let mut kinds = BTreeSet::new();
    for capture in captures {
        let name = &capture.name;
        let objects = capture.objects();
        let ours = own_handles(&objects);
        let (others, frame): (Vec<&Value>, Vec<&Value>) = objects
            .iter()
            .filter(|object| {
                ["metainfo", "chain", "rule"]
                    .iter()
                    .any(|kind| object.get(kind).is_some())
            })
            .partition(|object| handle(object).is_some_and(|one| !ours.contains(&one)));
        assert_eq!(others.len(), capture.loaded(), "{name}: nft left some out");
        let mut foreign = 0;
        for other in &others {
            let it = &other["rule"];
            let some: Vec<Value> = frame.iter().chain([other]).copied().cloned().collect();
            // An error says that the whole is not understood, which is never a pass either.
            let Ok(own) = parse::table(listing(&some).as_bytes()) else {
                continue;
            };
            assert!(own.foreign, "{name}: chains of others");
            let rules = own.table.chains.iter().flat_map(|chain| &chain.rules);
            let shown: Vec<&String> = rules
                .filter_map(|rule| match &rule.spec {
                    Spec::Own(_) => None,
                    Spec::Foreign(text) => Some(text),
                })
                .collect();
            let expressions = it["expr"].to_string();
            assert_eq!(shown, [&expressions], "{name}");
            assert_eq!(rules_of(&own.table), ours.len() + 1, "{name}: {it}");
            let chain = it["chain"].as_str().unwrap();
            if ["OUTPUT", "FORWARD", "IPL-169.254.169.254"].contains(&chain) {
                assert!(!is_laid(&wanted, &own), "{name}: {it}");
            }
            foreign += 1;
        }
        assert!(
            foreign > 100,
            "{name}: only {foreign} of {} read",
            others.len()
        );
        assert!(!taken_for(&wanted, &objects), "{name}");
        kinds.extend(foreign_objects(name, &objects));
    }
    assert!(kinds.len() >= 10, "{kinds:?}");
}

/// The kinds of objects of others in the listing; each makes the table one that is not ours alone.
fn foreign_objects(name: &str, objects: &[Value]) -> BTreeSet<String> {
    let mut kinds = BTreeSet::new();
    for object in objects {
        let (kind, it) = object.as_object().unwrap().iter().next().unwrap();
        let of_others = it["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("f-"));
        if of_others {
            let alone = listing(&[objects[0].clone(), object.clone()]);
            assert!(
                parse::table(alone.as_bytes()).unwrap().foreign,
                "{name}: {object}"
            );
            kinds.insert(kind.clone());
        }
    }
    kinds
}

#[test]
fn a_table_that_rewrites_addresses_is_read_whole() {
    let captures = captures(&["nat"]);
    assert!(captures.len() >= 6, "{}", captures.len());
    for capture in captures {
        let name = &capture.name;
        let listing =
            nat::listing(capture.text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let rules = || listing.chains.values().flatten();
        assert_eq!(rules().count(), capture.counted(A_RULE), "{name}");
        assert_eq!(rules().count(), capture.loaded(), "{name}");
        assert_eq!(listing.chains.len(), capture.counted(A_CHAIN), "{name}");
        let sets = ["{\"set\": {\"family", "{\"map\": {\"family"];
        let sets: usize = sets.map(|words| capture.counted(words)).iter().sum();
        assert_eq!(listing.sets.len(), sets, "{name}");
        assert_eq!(listing.sets["addresses"].len(), 2, "{name}");
        assert_eq!(listing.sets["networks"].len(), 3, "{name}");
        for statement in ["dnat", "redirect", "masquerade", "snat", "vmap", "return"] {
            let named = |(name, _): &&(&str, Value)| *name == statement;
            let read = rules().flat_map(|rule| &rule.statements).filter(named);
            let printed = capture.counted(&format!("{{\"{statement}\": "));
            assert_eq!(read.count(), printed, "{name} {statement}");
        }
    }
}

/// What an older nft leaves out of a table that a newer one made, by reader: rules without a word,
/// and whether it complains of others. It ends with 0 all the same.
const HIDDEN: &[(&str, usize, bool)] = &[
    ("1.0.6-read-by-0.9.3", 0, false),
    ("1.1.7-read-by-0.9.3", 4, false),
    ("1.1.7-read-by-0.9.8", 4, false),
    ("1.1.7-read-by-1.0.2", 2, true),
    ("1.1.7-read-by-1.0.6", 2, true),
    ("1.1.7-read-by-1.0.9", 0, false),
    ("1.1.7-read-by-1.1.1", 0, false),
    ("1.1.7-read-by-1.1.3", 0, false),
];

#[test]
fn what_an_older_nft_leaves_out_is_known() {
    let captures = captures(&["hidden"]);
    let wanted = wanted(&only());
    let mut found = Vec::new();
    for capture in &captures {
        let path = corpus().join(&capture.name);
        let complains = path.with_extension("json.stderr").exists();
        let missing = rules_in("only").len() + capture.loaded() - capture.counted(A_RULE);
        found.push((capture.folder.as_str(), missing, complains));
        // What is left of the rules of others is seen, and ours are whole.
        let mut objects = capture.objects();
        assert!(!taken_for(&wanted, &objects), "{}", capture.name);
        let ours = own_handles(&objects);
        objects.retain(|object| handle(object).is_none_or(|one| ours.contains(&one)));
        assert!(taken_for(&wanted, &objects), "{}", capture.name);
    }
    assert_eq!(found, HIDDEN);
}

fn assert_unclear(what: &str, text: &str) {
    let is_short = |error: Unclear| assert!(error.excerpt.len() < 2000, "{what}: {error}");
    is_short(parse::table(text.as_bytes()).expect_err(what));
    is_short(nat::listing(text.as_bytes()).expect_err(what));
}

#[test]
fn a_listing_that_is_cut_or_damaged_is_an_error() {
    for capture in captures(&["counters", "empty"]) {
        let text = capture.text.trim_end();
        for at in (0..text.len()).step_by(61) {
            let name = format!("{} at {at}", capture.name);
            let (head, tail) = text.split_at(at);
            assert_unclear(&name, head);
            assert_unclear(&name, tail.trim_start_matches('{'));
            // A second listing, and what no JSON has at any place.
            for odd in ["\0", "\n\"", "\u{1}", "\u{7f}\"", text] {
                assert_unclear(&name, &[head, odd, tail].concat());
            }
        }
    }
}

/// No listings at all, or not of the one version of the JSON that is known.
const RUBBISH: &[&str] = &[
    "",
    "\n",
    "null",
    "0",
    "[]",
    "{}",
    "\"nftables\"",
    "nftables",
    "table inet ip_lockdown {\n}",
    "*filter\n:OUTPUT ACCEPT [0:0]\nCOMMIT",
    r#"{"tables": []}"#,
    r#"{"nftables": null}"#,
    r#"{"nftables": {}}"#,
    r#"{"nftables": "no"}"#,
    r#"{"nftables": []}"#,
    r#"{"nftables": [null]}"#,
    r#"{"nftables": [{"metainfo": null}]}"#,
    r#"{"nftables": [{"metainfo": {}}]}"#,
    r#"{"nftables": [{"metainfo": {"json_schema_version": 0}}]}"#,
    r#"{"nftables": [{"metainfo": {"json_schema_version": 2}}]}"#,
    r#"{"nftables": [{"metainfo": {"json_schema_version": -1}}]}"#,
    r#"{"nftables": [{"metainfo": {"json_schema_version": 1.5}}]}"#,
    r#"{"nftables": [{"metainfo": {"json_schema_version": "1"}}]}"#,
    r#"{"nftables": [{"chain": {"name": "OUTPUT"}}]}"#,
    r#"{"nftables": [{"chain": {"name": "OUTPUT"}}, {"metainfo": {"json_schema_version": 1}}]}"#,
];

/// What follows a chain OUTPUT and cannot be understood.
const ODD_OBJECTS: &[&str] = &[
    r"[]",
    r"{}",
    r#""chain""#,
    r#"{"gadget": {}}"#,
    r#"{"chain": []}"#,
    r#"{"chain": {}, "rule": {}}"#,
    r#"{"rule": {}}"#,
    r#"{"rule": {"chain": "OUTPUT"}}"#,
    r#"{"rule": {"chain": "OUTPUT", "expr": {}}}"#,
    r#"{"rule": {"chain": "OUTPUT", "expr": [null]}}"#,
    r#"{"rule": {"chain": "OUTPUT", "expr": ["accept"]}}"#,
    r#"{"rule": {"chain": "OUTPUT", "expr": [{"accept": null, "drop": null}]}}"#,
    r#"{"rule": {"chain": "OUTPUT", "expr": [{"transmogrify": null}]}}"#,
];

#[test]
fn rubbish_is_never_taken_for_a_table() {
    for text in RUBBISH {
        assert_unclear(text, text);
    }
    for deep in ["[", "{\"nftables\":", "{\"nftables\": [{\"rule\":"] {
        assert_unclear(deep, &deep.repeat(100_000));
    }
    let start =
        r#"{"nftables": [{"metainfo": {"json_schema_version": 1}}, {"chain": {"name": "OUTPUT"}}"#;
    parse::table(format!("{start}]}}").as_bytes()).expect("so far it is good");
    for object in ODD_OBJECTS {
        assert_unclear(object, &format!("{start}, {object}]}}"));
    }
}

/// The blocks of `none.txt`: exit code, and what was printed on stdout and stderr.
fn calls(text: &str) -> Vec<(&str, String, String)> {
    text.split("## nft ")
        .skip(1)
        .map(|block| {
            let said = |mark: &str| {
                let lines = block.lines().filter_map(|line| line.strip_prefix(mark));
                lines.collect::<Vec<_>>().join("\n")
            };
            let code = block.lines().nth(1).unwrap();
            (code, said("stdout: "), said("stderr: "))
        })
        .collect()
}

#[test]
fn where_there_is_no_table_none_is_read() {
    let (only, wanted) = (only(), wanted(&only()));
    let mut failed = 0;
    for folder in folders(&corpus()) {
        let text = read(&folder.join("none.txt"));
        for (code, stdout, stderr) in calls(&text) {
            let name = format!("{}: {stdout}{stderr}", file_name(&folder));
            if code == "exit code 0" {
                // `list tables`, which is another question.
                let own = parse::table(stdout.as_bytes()).expect(&name);
                assert!(!is_laid(&wanted, &own) && !stands(&only, &own), "{name}");
                assert_eq!(in_force(&seen(&own)).locks, [], "{name}");
            } else {
                assert_eq!((code, stdout.as_str()), ("exit code 1", ""), "{name}");
                assert!(!stderr.is_empty(), "{name}");
                assert_unclear(&name, &stderr);
                failed += 1;
            }
        }
    }
    assert!(failed >= 40, "{failed}");
}

/// Steps of `transactions.txt` that a plan is made of.
const WORK: &[&str] = &[
    "a chain flushed and filled, 1",
    "a chain flushed and filled, 2",
    "a chain flushed and filled, 3",
    "a base chain deleted and added at another priority, 1",
    "a base chain deleted and added at another priority, 3",
    "a regular chain made a base chain",
    "a chain emptied and deleted, and what led to it emptied",
    "woken",
    "a rule's comment of 128 bytes",
    "a table deleted with all that is in it",
];

/// Steps that no plan may have.
const FAIL: &[&str] = &[
    "a regular chain declared as a base chain",
    "woken, with a new base chain",
    "woken, with its base chain deleted and added",
    "a transaction whose last line fails",
    "a rule's comment of 129 bytes",
    "a table deleted that is not there",
];

#[test]
fn transactions_work_alike_in_every_version() {
    let mut files = 0;
    for folder in folders(&corpus()) {
        let path = folder.join("transactions.txt");
        if !path.exists() {
            continue;
        }
        let text = read(&path);
        let steps: BTreeMap<&str, &str> = text
            .split("## ")
            .skip(1)
            .map(|step| step.split_once('\n').unwrap())
            .collect();
        for (titles, code) in [(WORK, "\nexit code 0\n"), (FAIL, "\nexit code 1\n")] {
            for title in titles {
                assert!(steps[title].contains(code), "{}: {title}", path.display());
            }
        }
        // What fails at its end leaves nothing of its beginning.
        let (_, after) = steps["a transaction whose last line is none"]
            .split_once("\n    table")
            .unwrap();
        assert!(!after.contains("another"), "{}", path.display());
        files += 1;
    }
    assert!(files >= 10, "{files}");
}

/// What becomes of a datagram and a connection.
const PASSED: [&str; 2] = ["arrived", "arrived"];
const REFUSED: [&str; 2] = ["Operation not permitted", "Connection refused"];

/// `ours.nft` in the kernel, as each version compiled it.
#[test]
fn just_the_listed_get_through_whatever_version_loads_it() {
    let ours = ours();
    let listed = |number: u32| {
        let ranges = ours.policy.subjects.uid_ranges();
        ranges.iter().any(|range| range.contains(uid(number)))
    };
    let mut rows = 0;
    for folder in folders(&corpus()) {
        let text = read(&folder.join("behaviour.txt"));
        for section in text.split("\n\n") {
            let mut lines = section.lines();
            let title = lines.next().unwrap();
            for line in lines.skip(1) {
                let mut fields = line.split('\t');
                let number: u32 = fields.next().unwrap().parse().unwrap();
                let over = |passes: bool| if passes { PASSED } else { REFUSED };
                let (v4, v6) = match title {
                    "# ours.nft" | "# Woken" => (listed(number), listed(number)),
                    "# Dormant" | "# Deleted" => (true, true),
                    _ => ((1000..=1005).contains(&number), listed(number)),
                };
                let expected = [over(v4), over(v6)].concat();
                let found: Vec<&str> = fields.collect();
                assert_eq!(found, expected, "{} {title}: {line}", folder.display());
                rows += 1;
            }
        }
    }
    assert!(rows >= 11 * 26, "{rows}");
}
