//! What `apply` costs, beside the bare `iptables-restore` and `nft` calls of the same rules:
//! `make bench`.
//!
//! Both run in turns, each on a fresh host of the lab, timed by the shell that starts them, so that
//! the ratio of the medians means something on a busy machine too. No test: it asserts that
//! every call succeeds, and nothing about time.

#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot be made must stop loudly"
)]

use std::collections::BTreeMap;

use lab::{Lab, Variant, lockdown_program};

const ROUNDS: u32 = 11;

/// Times in microseconds, by what was timed.
type Times = BTreeMap<String, Vec<u64>>;

fn main() {
    println!("medians of {ROUNDS} rounds in turns, ms; `floor`: the bare restore and nft calls");
    println!("| variant | users | floor | apply | ratio | apply again | verify | remove |");
    println!("|---|---|---|---|---|---|---|---|");
    for variant in Variant::ALL {
        for users in [1, 10, 100, 1000] {
            let times = measure(variant, users);
            let median = |what: &str| {
                let mut all = times.get(what).expect("it was timed").clone();
                all.sort_unstable();
                ms(all[all.len() / 2])
            };
            println!(
                "| {variant} | {users} | {:.1} | {:.1} | {:.2} | {:.1} | {:.1} | {:.1} |",
                median("floor"),
                median("apply"),
                median("apply") / median("floor"),
                median("again"),
                median("verify"),
                median("remove")
            );
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of minutes at most"
)]
fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// Non-adjacent uids, so that none of them share a rule. Every round has hosts of its own, as
/// fresh as at boot: one for the floor, one for the program.
fn measure(variant: Variant, users: u32) -> Times {
    let users: Vec<String> = (0..users).map(|n| (n * 2).to_string()).collect();
    let users = users.join(" ");
    let program = lockdown_program();
    let lockdown = format!("{} --variant {variant}", program.display());
    let floor = format!(
        r#"
{lockdown} apply --dry-run 169.254.169.254 {users} > /run/planned
awk '/^# (IPv|nft)/ {{ to = "/run/" $2 }} {{ print > to }}' /run/planned
floor() {{
    iptables-{variant}-restore --noflush -w 10 < /run/IPv4:
    ip6tables-{variant}-restore --noflush -w 10 < /run/IPv6:
    if [[ -e /run/nftables: ]]; then nft -f /run/nftables:; fi
}}
timed floor floor
"#
    );
    let ours = format!(
        "
timed apply {lockdown} 169.254.169.254 {users}
timed again {lockdown} 169.254.169.254 {users}
timed verify {lockdown} verify
timed remove {lockdown} remove
"
    );
    let mut times = Times::new();
    for _ in 0..ROUNDS {
        for script in [&floor, &ours] {
            let lab = Lab::new(variant);
            let done = lab.sh(&format!("{TIMED}{script}")).expect_code(0);
            for line in done.stdout.lines() {
                let (what, micros) = line.split_once(' ').expect("what and how long");
                times
                    .entry(what.to_owned())
                    .or_default()
                    .push(micros.parse().expect("microseconds"));
            }
        }
    }
    times
}

/// A function of the shell that times what it is given, by the shell's own clock.
const TIMED: &str = r#"
timed() {
    local what=$1 start=$EPOCHREALTIME end
    shift
    "$@" > /run/out 2>&1 || { cat /run/out; exit 1; }
    end=$EPOCHREALTIME
    echo "$what $(( ${end/./} - ${start/./} ))"
}
"#;
