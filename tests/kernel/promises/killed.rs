//! `apply` is killed half-way: each table has either its old or its new rules, and the next `apply` repairs the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::{Lab, Variant, lockdown_program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::promises::support::{
    V4, apply, assert_hammer_gets_through, assert_kept_out, hammered, jumps, lists, stale_iptables,
    turn_to_hammer,
};

/// How often `apply` is killed.
const KILLS: u32 = 200;

/// After every so many kills, one apply is left to mend.
const MEND: u32 = 20;

/// The lists in turn, mallory (1666) on none of them.
const LISTS: [&[&str]; 4] = [
    &["root"],
    &["root", "alice", "3000-3009", "5000"],
    &["bob", "--group", "metadata"],
    &["1-9", "4294967294"],
];

/// The list whose turn it is; none with a group where there is no iptables.
fn nth_list(lab: &Lab, nth: usize) -> &'static [&'static str] {
    match LISTS[nth % LISTS.len()] {
        list if lab.is_without_iptables() && list.contains(&"--group") => &["bob", "carol"],
        list => list,
    }
}

/// Who is killed, in turn.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// `ip-lockdown`; the programs that it started go on without it.
    Program,
    /// The programs that it started; it has to cope.
    Children,
    /// All of them, the children last.
    Everyone,
}

const VICTIMS: [Victim; 3] = [Victim::Program, Victim::Children, Victim::Everyone];

fn killed_at_any_instant_it_is_never_open_and_the_next_apply_mends(lab: &Lab) {
    let _turn = turn_to_hammer();
    assert_hammer_gets_through(lab);
    let durations = [0, 1, 2, 3].map(|nth| apply(lab, nth_list(lab, nth)).took);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut in_time, mut done) = (0, 0);
    while done < KILLS {
        let counts = hammered(lab, || {
            for nth in done..done + KILLS / 4 {
                let (list, took) = (
                    nth_list(lab, nth as usize),
                    durations[nth as usize % LISTS.len()],
                );
                let victim = VICTIMS[nth as usize % VICTIMS.len()];
                let delay = took.mul_f64(chance.fraction());
                in_time += u32::from(killed(lab, list, victim, delay));
                if nth % MEND == MEND - 1 {
                    mend(lab, nth_list(lab, (nth / MEND) as usize));
                }
            }
        });
        assert_kept_out(counts, 100);
        done += KILLS / 4;
    }
    println!("{in_time} of {KILLS} kills came before the end, within {durations:?}");
    // Half of them, but for a machine that became faster since.
    assert!(in_time > KILLS / 5, "{in_time}");
    mend(lab, LISTS[0]);
    assert_eq!(stale_iptables(lab), [""; 0]);
}
on_every_host!(killed_at_any_instant_it_is_never_open_and_the_next_apply_mends);

/// A list whose transaction takes so long that a kill comes in the middle of it, and of the look before it: all of it
/// is in force, or nothing. Unlike with a short list, a part of it would be seen.
fn killed_within_a_long_transaction_all_of_it_stands_or_nothing(lab: &Lab) {
    const KILLS: usize = 16;
    let _turn = turn_to_hammer();
    assert_hammer_gets_through(lab);
    // mallory (1666) is on neither.
    let lists = [5001_u32, 2001].map(|first| -> Vec<String> {
        let uids = (0..1500).map(|nth| first + 2 * nth);
        uids.map(|uid| uid.to_string()).collect()
    });
    let words = lists
        .each_ref()
        .map(|list| -> Vec<&str> { list.iter().map(String::as_str).collect() });
    let sets: Vec<BTreeSet<String>> = lists
        .iter()
        .map(|list| list.iter().cloned().collect())
        .collect();
    let longest = words.each_ref().map(|words| apply(lab, words).took);
    let mut chance = Chance(0x1234_5678_9abc_def1);
    let mut in_time = 0;
    for round in 0..4 {
        let counts = hammered(lab, || {
            for nth in round * KILLS / 4..(round + 1) * KILLS / 4 {
                let delay = longest[nth % 2].mul_f64(chance.fraction());
                let victim = [Victim::Program, Victim::Everyone][nth / 2 % 2];
                in_time += usize::from(killed(lab, &words[nth % 2], victim, delay));
                assert_eq!(stale_iptables(lab), [""; 0]);
                for (place, uids) in whole_lists(lab) {
                    assert!(sets.contains(&uids), "{nth} {place}: {} uids", uids.len());
                }
            }
        });
        assert_kept_out(counts, 100);
    }
    println!("{in_time} of {KILLS} kills came before the end, within {longest:?}");
    assert!(in_time > KILLS / 3, "{in_time}");
    apply(lab, &words[0]);
    assert!(whole_lists(lab).values().all(|uids| *uids == sets[0]));
    lab.lockdown(&["verify"]).expect_code(0);
}
on_every_host!(killed_within_a_long_transaction_all_of_it_stands_or_nothing);

/// The lists of each layer and address, of all its sub-chains together.
#[track_caller]
fn whole_lists(lab: &Lab) -> BTreeMap<String, BTreeSet<String>> {
    let mut whole = BTreeMap::<_, BTreeSet<String>>::new();
    for (place, uids) in lists(lab) {
        // `IPL07-169.254.169.254` belongs to `IPL-169.254.169.254`.
        let (layer, chain) = place.rsplit_once(' ').expect("a layer and a chain");
        let (_, address) = chain.split_once('-').expect("a chain of ours");
        let list = whole.entry(format!("{layer} {address}")).or_default();
        // A range leads to a sub-chain: these lists have none.
        list.extend(uids.into_iter().filter(|uid| !uid.contains('-')));
    }
    whole
}

/// The first apply of all: nothing stands yet, so that it may leave nothing behind, and the next one mends.
fn killed_at_any_instant_the_first_apply_leaves_nothing_that_stops_the_second(lab: &Lab) {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let longest = apply(lab, LISTS[0]).took;
    for nth in 0..12_usize {
        lab.lockdown(&["remove"]).expect_code(0);
        let victim = VICTIMS[nth % VICTIMS.len()];
        killed(
            lab,
            nth_list(lab, nth),
            victim,
            longest.mul_f64(chance.fraction()),
        );
        mend(lab, nth_list(lab, nth + 1));
    }
}
on_every_host!(killed_at_any_instant_the_first_apply_leaves_nothing_that_stops_the_second);

/// What a killed apply started goes on without it. The next apply has the last word all the same.
fn what_a_killed_apply_left_running_does_not_override_the_next(lab: &Lab) {
    apply(lab, &["root"]);
    let multi = match lab.variant() {
        Variant::Nft => "xtables-nft-multi",
        Variant::Legacy => "xtables-legacy-multi",
    };
    for iptables in ["iptables", "ip6tables"] {
        let name = format!("{iptables}-{}-restore", lab.variant());
        // The first to come takes its time, and its input with it.
        let slow = format!(
            "#!/bin/sh\nif mkdir /run/slow-{iptables} 2>/dev/null; then input=$(cat); sleep 0.5; \
             printf '%s\\n' \"$input\" | {multi} {name} \"$@\"; else exec {multi} {name} \"$@\"; fi\n"
        );
        lab.stub(&format!("/usr/sbin/{name}"), &slow);
    }
    let mut first = start(lab, &["alice"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while lab
        .run(&[
            "test",
            "-d",
            "/run/slow-iptables",
            "-a",
            "-d",
            "/run/slow-ip6tables",
        ])
        .code
        != Some(0)
    {
        assert!(
            Instant::now() < deadline,
            "it never came to its transaction"
        );
    }
    first.kill().expect("it can be killed");
    first.wait().expect("it has been killed");
    apply(lab, &["bob"]);
    assert_eq!(stale_iptables(lab), [""; 0]);
    lab.lockdown(&["verify", V4, "bob"]).expect_code(0);
    assert!(
        lists(lab).values().all(|list| list.iter().eq(["1002"])),
        "{:?}",
        lists(lab)
    );
}
on_both_variants!(what_a_killed_apply_left_running_does_not_override_the_next);

/// One apply that is left alone puts its list in force, whatever those before it left.
#[track_caller]
fn mend(lab: &Lab, list: &[&str]) {
    apply(lab, list);
    lab.lockdown(&["verify"]).expect_code(0);
    let words: Vec<_> = ["verify", V4].iter().chain(list).copied().collect();
    lab.lockdown(&words).expect_code(0);
    let layers = if lab.is_without_iptables() { 1 } else { 2 };
    assert_eq!(jumps(lab), 2 * layers * 2, "two hooks and families");
}

/// Starts an apply and kills after `delay`. Whether that came before its end.
#[track_caller]
fn killed(lab: &Lab, list: &[&str], victim: Victim, delay: Duration) -> bool {
    let mut apply = start(lab, list);
    sleep(delay);
    if apply.try_wait().expect("our own child").is_some() {
        return false;
    }
    let pid = Pid::from_raw(i32::try_from(apply.id()).expect("a pid"));
    let children = children(pid);
    match victim {
        Victim::Program => slay(&[pid]),
        Victim::Children => slay(&children),
        Victim::Everyone => {
            slay(&[pid]);
            slay(&children);
        }
    }
    let output = apply.wait_with_output().expect("our own child");
    let status = output.status;
    match victim {
        // Looks and probes of its own are lost with their processes: it cannot know, or was through before.
        Victim::Children => assert!(
            matches!(status.code(), Some(0 | 3)),
            "{list:?} after {delay:?}: {output:?}"
        ),
        Victim::Program | Victim::Everyone => {
            assert!(
                status.signal() == Some(9) || status.code() == Some(0),
                "{status:?}"
            );
        }
    }
    true
}

#[track_caller]
fn start(lab: &Lab, list: &[&str]) -> Child {
    lab.command(lockdown_program())
        .args(lab.options())
        .args(["apply", V4])
        .args(list)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsenter starts")
}

fn slay(victims: &[Pid]) {
    for &victim in victims {
        // ESRCH: it ended in this very moment.
        let _ = kill(victim, Signal::SIGKILL);
    }
}

/// The children of all threads of the process.
fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|line| {
            let pids: Vec<_> = line
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect();
            pids
        })
        .map(Pid::from_raw)
        .collect()
}

/// Numbers without a pattern (xorshift64), the same in every run; what they hit is chance enough.
struct Chance(u64);

impl Chance {
    /// From 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "the upper 32 bits fit")]
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as f64 / f64::from(u32::MAX)
    }
}
