//! What of a change is this program's own work, without any other: desired, plan, render, parse, encode, decode.
//! `make bench`.

#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot be made must stop loudly"
)]

use divan::{Bencher, black_box};
use ip_lockdown::policy::{Family, Forwarded, IMDS_V4, Policy, Subjects, Target, Uid, UidRange};
use ip_lockdown::ruleset::model::{ObservedRule, Ruleset};
use ip_lockdown::ruleset::nftables::object::NativeRule;
use ip_lockdown::ruleset::nftables::plan::Command;
use ip_lockdown::ruleset::nftables::{decode, encode};
use ip_lockdown::ruleset::{LaidLayers, Layers, Lock, parse, transaction};
use lab::netlink::{NEW_RULE, messages};

/// How many users, none of whom are neighbours.
const SIZES: [u32; 3] = [1, 1000, 10_000];

fn main() {
    divan::main();
}

fn lock(users: u32) -> Lock {
    let uids = (0..users)
        .filter_map(|nth| Uid::new(nth * 2))
        .map(UidRange::from);
    Lock {
        policy: Policy {
            target: Target::new(IMDS_V4, false),
            subjects: Subjects::new([], uids, []),
            forwarded: Forwarded::Refuse,
        },
        layers: LaidLayers::both(Layers::FILTER_AND_SECURITY),
    }
}

/// What `iptables-save` prints where just this lock stands: the transaction on an empty host, its insertions made.
fn saved(lock: &Lock) -> String {
    let laid = transaction::laying(std::slice::from_ref(lock), &Ruleset::empty(Family::V4));
    let lines: Vec<String> = laid
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
fn lay_on_an_empty_host(bencher: Bencher, users: u32) {
    let (locks, empty) = ([lock(users)], Ruleset::empty(Family::V4));
    bencher.bench(|| transaction::laying(black_box(&locks), black_box(&empty)));
}

fn lock_in_nftables(users: u32) -> [Lock; 1] {
    let mut lock = lock(users);
    lock.layers = LaidLayers::both(Layers::NFTABLES);
    [lock]
}

fn laid_in_nftables(users: u32) -> Vec<Command> {
    transaction::laying_nftables(&lock_in_nftables(users), &Family::ALL, None)
}

#[divan::bench(args = SIZES)]
fn lay_in_nftables(bencher: Bencher, users: u32) {
    let locks = lock_in_nftables(users);
    bencher.bench(|| transaction::laying_nftables(black_box(&locks), &Family::ALL, None));
}

#[divan::bench(args = SIZES)]
fn encode_for_nftables(bencher: Bencher, users: u32) {
    let commands = laid_in_nftables(users);
    bencher.bench(|| encode::transaction(black_box(&commands)));
}

/// The rules alone: there are many of them.
#[divan::bench(args = SIZES)]
fn decode_of_nftables(bencher: Bencher, users: u32) {
    let bytes = encode::transaction(&laid_in_nftables(users));
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
fn parse_what_stands(bencher: Bencher, users: u32) {
    let saved = saved(&lock(users));
    parse::ruleset(Family::V4, &saved).expect("it is a ruleset");
    bencher.bench(|| parse::ruleset(Family::V4, black_box(&saved)));
}

#[divan::bench(args = SIZES)]
fn plan_what_stands(bencher: Bencher, users: u32) {
    let lock = lock(users);
    let seen = parse::ruleset(Family::V4, &saved(&lock)).expect("it is a ruleset");
    let locks = [lock];
    assert_eq!(
        transaction::laying(&locks, &seen),
        "",
        "nothing is left to do"
    );
    bencher.bench(|| transaction::laying(black_box(&locks), black_box(&seen)));
}
