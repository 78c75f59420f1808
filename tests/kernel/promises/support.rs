//! What the tests of this binary share: clients that go on, and ways to read what is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::{Counts, Done, Family, IMDS, Lab, User, Variant, lockdown_program};
use serde_json::Value;

/// What most tests lock: one address, and by it both of the metadata service.
pub(crate) const IMDS_WORD: &str = "169.254.169.254";

/// One test a host, in a fresh lab each, by a function that takes the lab.
macro_rules! on_hosts {
    ($name:ident: $($host:ident = $lab:expr),*) => {
        mod $name {
            $(
                #[test]
                fn $host() {
                    super::$name(&$lab);
                }
            )*
        }
    };
}

/// With iptables-nft and with iptables-legacy, in the layers that such a host gets by itself.
macro_rules! in_both_variants {
    ($name:ident) => {
        on_hosts! { $name:
            nft = lab::Lab::new(lab::Variant::Nft),
            legacy = lab::Lab::new(lab::Variant::Legacy)
        }
    };
}

/// The same in `filter` and `security`.
macro_rules! in_filter_and_security {
    ($name:ident) => {
        on_hosts! { $name:
            nft = lab::Lab::with_layers(lab::Variant::Nft, "filter,security"),
            legacy = lab::Lab::with_layers(lab::Variant::Legacy, "filter,security")
        }
    };
}

/// With both variants of iptables, and on a host that has nftables alone.
macro_rules! on_every_host {
    ($name:ident) => {
        on_hosts! { $name:
            nft = lab::Lab::new(lab::Variant::Nft),
            legacy = lab::Lab::new(lab::Variant::Legacy),
            alone = lab::Lab::without_iptables()
        }
    };
}

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

/// `ip-lockdown --variant <variant>`, not started yet.
pub(crate) fn lockdown_command(lab: &Lab, variant: Variant, arguments: &[&str]) -> Command {
    let mut command = lab.command(lockdown_program());
    command
        .arg("--variant")
        .arg(variant.to_string())
        .args(arguments);
    command
}

/// `apply` for the metadata service, which has to succeed.
#[track_caller]
pub(crate) fn apply(lab: &Lab, users: &[&str]) -> Done {
    let words: Vec<_> = ["apply", IMDS_WORD].iter().chain(users).copied().collect();
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

/// Our table of nftables, without counters; nothing if there is none.
#[track_caller]
fn own_table(lab: &Lab) -> String {
    let list = "nft -s list table inet ip_lockdown 2>/dev/null || true";
    lab.sh(list).expect_code(0).stdout
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

/// A hammer in the container: the bench has them on the host only.
pub(crate) struct RoutedHammer(Child);

impl RoutedHammer {
    #[track_caller]
    pub(crate) fn start(lab: &Lab, who: &User) -> Self {
        let mut child = lab
            .in_container(lab_program())
            .args(["hammer", "--seconds-max=60"])
            .args([format!("--uid={}", who.uid), format!("--gid={}", who.gid)])
            .args(IMDS.map(|address| format!("--addr={address}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        assert_eq!(line(&mut child), "started");
        Self(child)
    }

    #[track_caller]
    pub(crate) fn stop(mut self) -> Counts {
        let mut input = self.0.stdin.take().expect("its input is a pipe");
        input.write_all(b"\n").expect("it listens");
        serde_json::from_str(&line(&mut self.0)).expect("a report")
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

impl Drop for RoutedHammer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn line(child: &mut Child) -> String {
    let stdout = child.stdout.as_mut().expect("its output is a pipe");
    let mut line = String::new();
    // Unbuffered, so that the next line is left where it is.
    BufReader::with_capacity(1, stdout)
        .read_line(&mut line)
        .expect("a line of text");
    line.trim_end().to_owned()
}

/// The clients of the bench, built beside this test.
fn lab_program() -> std::path::PathBuf {
    let test = std::env::current_exe().expect("the path of the running test");
    let folder = test.ancestors().nth(2).expect("target/<profile>");
    folder.join("lab")
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
                (network == Path::new(host.trim())).then_some(())?;
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
