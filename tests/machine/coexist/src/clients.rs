//! The clients that run throughout, and their results.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use lab::{Activity, DNS_V4, DNS_V6, IMDS_V4, IMDS_V6, Lane, Report};

use crate::shell;

/// Where the clients send their reports to. Containers have the directory mounted.
const REPORTS: &str = "/run/coexist/reports";

/// Where the clients of a row may take their time: a container that is started again, IPv6 in a new one.
const START: Duration = Duration::from_secs(20);

/// A client that goes on until the guest ends, or until somebody ends it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its name in reports.
    pub(crate) name: &'static str,
    /// Who it is, for readers.
    pub(crate) who: &'static str,
    /// The bash line that starts it. `$LISTED`, `$UNLISTED` and `$FORWARDED` stand for what `lab` is told.
    pub(crate) start: &'static str,
}

impl Source {
    /// Starts it, and does not wait for it.
    pub(crate) fn start(&self) {
        let common = format!("steady --name={} --report={REPORTS}", self.name);
        let control = format!("--fetch={DNS_V4} --fetch={DNS_V6}");
        let both = |option: &str| format!("--{option}={IMDS_V4} --{option}={IMDS_V6}");
        let name = self.name;
        let mut child = Command::new("bash")
            .args(shell::words(self.start))
            .env("LISTED", format!("{common} {control} {}", both("fetch")))
            .env(
                "UNLISTED",
                format!("{common} {control} {} {}", both("connect"), both("send")),
            )
            .env(
                "FORWARDED",
                format!("{common} {control} {} {}", both("connect"), both("echo")),
            )
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        spawn(move || match child.wait() {
            // Of a container, the engine's command ends at once.
            Ok(status) if status.success() => {}
            end => eprintln!("the start of {name} ended with {end:?}"),
        });
    }
}

/// What all lanes of all sources did since it was last asked.
pub(crate) type Tally = BTreeMap<String, Vec<Lane>>;

/// Collects reports.
pub(crate) struct Collector(Arc<Mutex<Tally>>);

impl Collector {
    /// Opens the socket for reports.
    pub(crate) fn new() -> Self {
        let path = Path::new(REPORTS);
        fs::create_dir_all(path.parent().expect("not the root")).expect("/run can be written");
        let socket = UnixDatagram::bind(path).expect("nobody else has the socket");
        fs::set_permissions(path, Permissions::from_mode(0o666)).expect("it is ours");
        let tally = Arc::new(Mutex::new(Tally::new()));
        let shared = Arc::clone(&tally);
        spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let length = socket.recv(&mut buffer).expect("the socket stays");
                let report: Report =
                    serde_json::from_slice(&buffer[..length]).expect("lab writes reports");
                let mut tally = shared.lock().unwrap_or_else(PoisonError::into_inner);
                add(tally.entry(report.name).or_default(), &report.lanes);
            }
        });
        Self(tally)
    }

    /// What was done since the last time, by the clients that reported.
    pub(crate) fn take(&self) -> Tally {
        // Longer than the time between two reports.
        sleep(Duration::from_millis(60));
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until every lane of these sources has tried ten times from now, and those to the address that is not
    /// locked got through. Returns which did not in time.
    pub(crate) fn wait(&self, sources: &[&Source]) -> Vec<String> {
        self.wait_for(sources, |lane| !is_locked(lane))
    }

    /// The same where nothing is locked: every lane has to get through. On a busy machine that takes some a while.
    pub(crate) fn wait_open(&self, sources: &[&Source]) -> Vec<String> {
        self.wait_for(sources, |_| true)
    }

    fn wait_for(&self, sources: &[&Source], is_open: fn(&Lane) -> bool) -> Vec<String> {
        let before = self.look();
        let end = Instant::now() + START;
        loop {
            let lagging = lagging(&before, &self.look(), sources, is_open);
            if lagging.is_empty() || Instant::now() > end {
                return lagging;
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn look(&self) -> Tally {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Whether the address of the lane is the one that is locked.
pub(crate) fn is_locked(lane: &Lane) -> bool {
    lane.to == IMDS_V4 || lane.to == IMDS_V6
}

fn add(lanes: &mut Vec<Lane>, later: &[Lane]) {
    for lane in later {
        match find(lanes, lane) {
            Some(sum) => lanes[sum].add(lane),
            None => lanes.push(*lane),
        }
    }
}

fn find(lanes: &[Lane], like: &Lane) -> Option<usize> {
    lanes
        .iter()
        .position(|lane| lane.activity == like.activity && lane.to == like.to)
}

fn lagging(
    before: &Tally,
    now: &Tally,
    sources: &[&Source],
    is_open: fn(&Lane) -> bool,
) -> Vec<String> {
    let mut lagging = Vec::new();
    for source in sources {
        let Some(lanes) = now.get(source.name) else {
            lagging.push(format!("{} reports nothing", source.name));
            continue;
        };
        for lane in lanes {
            let earlier = before
                .get(source.name)
                .and_then(|lanes| Some(&lanes[find(lanes, lane)?]));
            let (tries, passed) = earlier.map_or((0, 0), |lane| (lane.tries, lane.passed));
            let wanted = match lane.activity {
                // One may hang for seconds where packets are dropped.
                Activity::Fetch => 1,
                _ => 10,
            };
            if lane.tries < tries + wanted {
                lagging.push(format!(
                    "{}: {:?} to {} did not try",
                    source.name, lane.activity, lane.to
                ));
            } else if is_open(lane) && lane.passed == passed {
                lagging.push(format!(
                    "{}: {}, which is not locked, does not answer",
                    source.name, lane.to
                ));
            }
        }
    }
    lagging
}
