//! Shared by these tests: clients that run throughout a test, and ways to read the installed rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::saved::own_table;
use lab::{Counts, Done, Family, IMDS, Lab, User, Variant};
use serde_json::Value;

pub(crate) use lab::V4;

/// The turn to hammer. A hammer takes a whole processor: two of them at once would leave none to the program
/// under test, and see fewer of its gaps.
pub(crate) fn turn_to_hammer() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed in its turn leaves nothing half done.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows that mallory's hammer sees an open address, so that its 0 later on means something.
#[track_caller]
pub(crate) fn assert_hammer_gets_through(lab: &Lab) {
    let counts = hammered(lab, || sleep(Duration::from_millis(100)));
    assert!(counts.connected > 0 && counts.udp_sent > 0, "{counts:?}");
}

/// Hammers as mallory while `work` is done. A hammer gives up by itself after a minute, so `work` may not take longer.
#[track_caller]
pub(crate) fn hammered(lab: &Lab, work: impl FnOnce()) -> Counts {
    let started = Instant::now();
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, work);
    let took = started.elapsed();
    assert!(
        took < Duration::from_secs(58),
        "no hammer at the end: {took:?}"
    );
    counts
}

/// Nothing got through, and that is no wonder of idleness: there were `at_least` attempts.
#[track_caller]
pub(crate) fn assert_kept_out(counts: Counts, at_least: u64) {
    println!("kept out: {counts:?}");
    assert_eq!(counts.passed(), 0, "{counts:?}");
    assert!(
        counts.attempts >= at_least && counts.other == 0,
        "{counts:?}"
    );
}

/// `apply` for the metadata service, which has to succeed.
#[track_caller]
pub(crate) fn apply(lab: &Lab, users: &[&str]) -> Done {
    let words: Vec<_> = ["apply", V4].iter().chain(users).copied().collect();
    lab.lockdown(&words).expect_code(0)
}

/// The exit code is 0, or 3 with a reason for the reader.
#[track_caller]
pub(crate) fn assert_done_or_busy(done: &Done) {
    match done.code {
        Some(0) => {}
        Some(3) => assert!(
            done.stderr.contains("run it again"),
            "what to do is not said: {done}"
        ),
        _ => panic!("neither done nor busy: {done}"),
    }
}

/// What `ip-lockdown status` says, as JSON.
#[track_caller]
pub(crate) fn status(lab: &Lab) -> Value {
    lab.lockdown(&["status", "--output", "json"])
        .expect_code(0)
        .json()
}

/// The sum of one counter of packets over all locked addresses and layers.
pub(crate) fn packets(status: &Value, counter: &str) -> u64 {
    let locks = status["locks"].as_array().expect("a list of locks");
    locks
        .iter()
        .flat_map(|lock| lock["counters"].as_array().expect("a list of counters"))
        .map(|counted| counted[counter]["packets"].as_u64().expect("a number"))
        .sum()
}

/// The uids that each output chain of the program lets pass, as iptables itself prints the rules: by family,
/// table and chain.
#[track_caller]
pub(crate) fn lists(lab: &Lab) -> BTreeMap<String, BTreeSet<String>> {
    let mut lists = BTreeMap::new();
    for family in Family::ALL {
        let mut table = "";
        let saved = lab.save(family);
        for line in saved.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                [name] if name.starts_with('*') => table = name,
                [_, "-A", chain, "-m", "owner", "--uid-owner", uids, ..] => {
                    let place = format!("{family:?} {table} {chain}");
                    let list: &mut BTreeSet<_> = lists.entry(place).or_default();
                    list.insert((*uids).to_owned());
                }
                _ => {}
            }
        }
    }
    let mut chain = "";
    let table = own_table(lab);
    for line in table.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["chain", name, "{"] => chain = name,
            ["meta", "skuid", uids, "counter", "return", ..] => {
                let list: &mut BTreeSet<_> = lists.entry(format!("nftables {chain}")).or_default();
                list.insert((*uids).to_owned());
            }
            _ => {}
        }
    }
    lists
}

/// The lines of both families of one variant that belong to the program under test.
#[track_caller]
pub(crate) fn rules_of(lab: &Lab, variant: Variant) -> Vec<String> {
    let script = format!("iptables-{variant}-save; ip6tables-{variant}-save");
    let saved = lab.sh(&script).expect_code(0).stdout;
    saved
        .lines()
        .filter(|line| line.contains("IPL-") || line.contains("IPF-"))
        .map(str::to_owned)
        .collect()
}

/// How many rules of that variant lead to a chain of the program.
#[track_caller]
pub(crate) fn jumps(lab: &Lab) -> usize {
    let rules = rules_of(lab, lab.variant());
    let is_jump = |rule: &&String| rule.contains("-j IP");
    let own_table = own_table(lab);
    let in_own_table = own_table.lines().filter(|line| line.contains("jump IP"));
    rules.iter().filter(is_jump).count() + in_own_table.count()
}

/// Says that it is enough when it goes, also when that is by a panic: nobody then waits for ever for the others.
pub(crate) struct Enough<'a>(pub(crate) &'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Requests of a user, one after another and by both families in turn, until told to stop.
pub(crate) struct Customer<'lab> {
    lab: &'lab Lab,
    who: User,
    enough: AtomicBool,
}

impl<'lab> Customer<'lab> {
    pub(crate) fn new(lab: &'lab Lab, who: User) -> Self {
        Self {
            lab,
            who,
            enough: false.into(),
        }
    }

    /// Does `work` while the customer asks, and tells how many requests were served: all of them.
    #[track_caller]
    pub(crate) fn serve_while(self, work: impl FnOnce()) -> u32 {
        let (served, failed) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let (mut served, mut failed) = (0, 0);
                while !self.enough.load(Relaxed) {
                    for address in IMDS {
                        let answers = self.lab.requests(&self.who, address, 20);
                        served += answers.served;
                        failed += answers.failed;
                    }
                }
                (served, failed)
            });
            let enough = Enough(&self.enough);
            work();
            drop(enough);
            asking.join().expect("the customer went home")
        });
        println!("served: {served}");
        assert_eq!(failed, 0, "of {} requests", served + failed);
        served
    }
}

/// The packets of the container that reach the machine of the metadata service.
pub(crate) struct Arrivals<'lab>(&'lab Lab);

impl<'lab> Arrivals<'lab> {
    #[track_caller]
    pub(crate) fn count(lab: &'lab Lab) -> Self {
        for (iptables, source) in [
            ("iptables-nft", "198.51.100.2"),
            ("ip6tables-nft", "2001:db8:2::2"),
        ] {
            Done::of(lab.in_imds(iptables).args(["-A", "INPUT", "-s", source])).expect_code(0);
        }
        Self(lab)
    }

    /// Over IPv4 and over IPv6.
    #[track_caller]
    pub(crate) fn so_far(&self) -> [u64; 2] {
        ["iptables-nft", "ip6tables-nft"].map(|iptables| {
            let rules = Done::of(self.0.in_imds(iptables).args(["-v", "-S", "INPUT", "1"]))
                .expect_code(0)
                .stdout;
            let (_, counters) = rules.split_once(" -c ").expect("a rule with its counters");
            let packets = counters.split(' ').next().expect("a number of packets");
            packets.parse().expect("a number of packets")
        })
    }
}

/// Waits until no process named `iptables...` is left on the lab's host, and tells those that stay for 15 s.
pub(crate) fn stale_iptables(lab: &Lab) -> Vec<String> {
    let host = lab
        .run(&["readlink", "/proc/self/ns/net"])
        .expect_code(0)
        .stdout;
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let left: Vec<_> = fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| {
                let process = entry.ok()?.path();
                let network = fs::read_link(process.join("ns/net")).ok()?;
                if network != Path::new(host.trim()) {
                    return None;
                }
                let name = fs::read_to_string(process.join("comm")).ok()?;
                (name.contains("tables") || name.trim() == "nft").then(|| name.trim().to_owned())
            })
            .collect();
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        sleep(Duration::from_millis(20));
    }
}
