//! Promise: what any nft prints of a table of others is read for what it is, or not at all.
//!
//! `tests/corpus/nft` (its README says how it came about) has the listings of many versions. The
//! expectations are taken from what was loaded and from the listings by cruder means than the
//! parser's own: lines, and counts of `"rule"`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "corpus/files.rs"]
mod files;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use files::{file_name, read, sorted};
use ip_lockdown::ruleset::nftables::Unclear;
use ip_lockdown::ruleset::nftables::nat;
use pretty_assertions::assert_eq;
use serde_json::Value;

/// One captured listing.
struct Capture {
    /// `1.0.6/nat.json`, for messages.
    name: String,
    text: String,
}

impl Capture {
    fn counted(&self, words: &str) -> usize {
        self.text.matches(words).count()
    }

    /// The rules of `input/nat.nft` that this version did not refuse to load.
    fn loaded(&self) -> usize {
        let path = corpus().join(&self.name).with_extension("rejected");
        let rejected = fs::read_to_string(path).unwrap_or_default();
        let rejected: BTreeSet<&str> = rejected.lines().collect();
        let input = read(&corpus().join("input/nat.nft"));
        let rules = input.lines().filter(|line| line.starts_with("add rule "));
        rules.filter(|line| !rejected.contains(line)).count()
    }
}

/// How a rule and a chain begin in a listing, and nothing else.
const A_RULE: &str = "{\"rule\": {";
const A_CHAIN: &str = "{\"chain\": {";

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/nft")
}

/// Every listing.
fn captures() -> Vec<Capture> {
    let versions = sorted(&corpus());
    let paths = versions.iter().map(|version| version.join("nat.json"));
    let captures = paths.filter(|path| path.exists()).map(|path| Capture {
        name: format!("{}/nat.json", file_name(path.parent().unwrap())),
        text: read(&path),
    });
    captures.collect()
}

#[test]
fn a_table_that_rewrites_addresses_is_read_whole() {
    let captures = captures();
    assert!(captures.len() >= 7, "{}", captures.len());
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

fn assert_unclear(what: &str, text: &str) {
    let is_short = |error: Unclear| assert!(error.excerpt.len() < 2000, "{what}: {error}");
    is_short(nat::listing(text.as_bytes()).expect_err(what));
}

#[test]
fn a_listing_that_is_cut_or_damaged_is_an_error() {
    for capture in captures() {
        let text = capture.text.trim_end();
        let places = (0..text.len()).filter(|&at| text.is_char_boundary(at));
        for at in places.step_by(499) {
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
    nat::listing(format!("{start}]}}").as_bytes()).expect("so far it is good");
    for object in ODD_OBJECTS {
        assert_unclear(object, &format!("{start}, {object}]}}"));
    }
}
