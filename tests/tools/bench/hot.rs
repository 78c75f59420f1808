//! The part of a change that is this program's own work, without other programs and the kernel: desired, plan, render,
//! parse, encode, decode.
//! `make bench`.

#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot be made must stop loudly"
)]

use divan::{Bencher, black_box};
use ip_lockdown::policy::{Family, Forwarded, IMDS_V4, Policy, Subjects, Target, Uid, UidRange};
use ip_lockdown::ruleset::iptables::parse;
use ip_lockdown::ruleset::model::{ObservedRule, Ruleset, Variant};
use ip_lockdown::ruleset::nftables::object::NativeRule;
use ip_lockdown::ruleset::nftables::{Operation, decode, encode};
use ip_lockdown::ruleset::plan::{self, Transaction};
use ip_lockdown::ruleset::{Layers, LayersByFamily, Lockdown, Native, Observation};
use lab::netlink::{NEW_RULE, messages};

/// How many users, none of whom are neighbours.
const SIZES: [u32; 3] = [1, 1000, 10_000];

fn main() {
    divan::main();
}

fn lockdown(users: u32, layers: Layers) -> [Lockdown; 1] {
    let uids = (0..users)
        .filter_map(|nth| Uid::new(nth * 2))
        .map(UidRange::from);
    [Lockdown {
        policy: Policy {
            target: Target::new(IMDS_V4, true),
            subjects: Subjects::new([], uids, []),
            forwarded: Forwarded::Refuse,
        },
        layers: LayersByFamily::both(layers),
    }]
}

fn in_iptables(users: u32) -> [Lockdown; 1] {
    lockdown(users, Layers::FILTER_AND_SECURITY)
}

fn in_nftables(users: u32) -> [Lockdown; 1] {
    lockdown(users, Layers::NFTABLES)
}

/// A host whose iptables-nft shows this ruleset in IPv4, and nothing in IPv6.
fn host(ruleset: Ruleset) -> Observation {
    Observation {
        variant: Some(Variant::Nft),
        families: vec![
            (Family::V4, Ok(ruleset)),
            (Family::V6, Ok(Ruleset::empty(Family::V6))),
        ],
        unusable: Vec::new(),
        other: Vec::new(),
        nf_tables: Ok(true),
        nftables: Ok(None),
        native: Ok(Native::default()),
    }
}

fn empty_host() -> Observation {
    host(Ruleset::empty(Family::V4))
}

/// What `iptables-save` prints where just this lockdown is installed: the transaction on an empty host, its
/// insertions made.
fn saved(lockdowns: &[Lockdown]) -> String {
    let plan = plan::install(lockdowns, &empty_host());
    let installed = plan.transactions().next().map(Transaction::text);
    let lines: Vec<String> = installed
        .unwrap_or_default()
        .lines()
        .map(|line| {
            if line.starts_with('*') {
                return format!("{line}\n:OUTPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n");
            }
            match line
                .strip_prefix("-I ")
                .and_then(|line| line.split_once(" 1 "))
            {
                Some((chain, rule)) => format!("-A {chain} {rule}\n"),
                None => format!("{line}\n"),
            }
        })
        .collect();
    lines.concat()
}

#[divan::bench(args = SIZES)]
fn plan_on_an_empty_host(bencher: Bencher, users: u32) {
    let (lockdowns, seen) = (in_iptables(users), empty_host());
    bencher.bench(|| plan::install(black_box(&lockdowns), black_box(&seen)));
}

#[divan::bench(args = SIZES)]
fn render_for_iptables(bencher: Bencher, users: u32) {
    let plan = plan::install(&in_iptables(users), &empty_host());
    let transaction = plan.transactions().next().expect("there is a change");
    bencher.bench(|| black_box(transaction).text());
}

fn operations(users: u32) -> Vec<Operation> {
    let plan = plan::install(&in_nftables(users), &empty_host());
    match plan.transactions().next() {
        Some(Transaction::Nftables(operations)) => operations.clone(),
        other => unreachable!("{other:?}"),
    }
}

#[divan::bench(args = SIZES)]
fn plan_for_nftables(bencher: Bencher, users: u32) {
    let (lockdowns, seen) = (in_nftables(users), empty_host());
    bencher.bench(|| plan::install(black_box(&lockdowns), black_box(&seen)));
}

#[divan::bench(args = SIZES)]
fn encode_for_nftables(bencher: Bencher, users: u32) {
    let operations = operations(users);
    bencher.bench(|| encode::transaction(black_box(&operations)));
}

/// The rules alone: there are many of them.
#[divan::bench(args = SIZES)]
fn decode_of_nftables(bencher: Bencher, users: u32) {
    let bytes = encode::transaction(&operations(users));
    let messages = messages(&bytes).into_iter();
    let rules: Vec<&[u8]> = messages
        .filter(|message| message.kind == NEW_RULE)
        .map(|message| message.object)
        .collect();
    let decoded = |rules: &[&[u8]]| -> Option<Vec<ObservedRule>> {
        let rules = rules.iter().map(|rule| NativeRule::read(rule));
        rules.map(|rule| Some(decode::rule(rule?))).collect()
    };
    let all = decoded(&rules).expect("they are rules");
    assert!(all.iter().all(|rule| rule.own().is_some()), "and ours");
    bencher.bench(|| decoded(black_box(&rules)));
}

#[divan::bench(args = SIZES)]
fn parse_an_installed_list(bencher: Bencher, users: u32) {
    let saved = saved(&in_iptables(users));
    parse::ruleset(Family::V4, &saved).expect("it is a ruleset");
    bencher.bench(|| parse::ruleset(Family::V4, black_box(&saved)));
}

#[divan::bench(args = SIZES)]
fn plan_an_installed_list(bencher: Bencher, users: u32) {
    let lockdowns = in_iptables(users);
    let seen = parse::ruleset(Family::V4, &saved(&lockdowns)).expect("it is a ruleset");
    let seen = host(seen);
    assert!(
        plan::install(&lockdowns, &seen).is_empty(),
        "it is installed"
    );
    bencher.bench(|| plan::install(black_box(&lockdowns), black_box(&seen)));
}
