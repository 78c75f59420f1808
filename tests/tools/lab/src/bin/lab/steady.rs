//! `lab steady`: clients that run throughout a test, and report continuously.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant, SystemTime};

use clap::{ArgGroup, Args};
use lab::{Activity, Ending, Lane, Report};
use socket2::{Domain, Socket, Type};

use crate::hammer;
use crate::requests::Client;

/// The bounded wait for an echo. It comes back within a millisecond, or later on a busy machine, or never.
const PATIENCE: Duration = Duration::from_millis(500);
/// The pause after each connect and each datagram: small against any gap that a change of rules could leave.
const PAUSE: Duration = Duration::from_millis(1);
/// The pause after each HTTP request.
const FETCH_PAUSE: Duration = Duration::from_millis(10);
/// How often a report is sent. What was counted since is lost when the process is killed.
const REPORT_EVERY: Duration = Duration::from_millis(20);

/// Try addresses again and again, each in a thread of its own, and report all the while
#[derive(Args)]
#[command(group(ArgGroup::new("where").required(true)))]
pub(crate) struct Steady {
    /// Who this is, in the reports
    #[arg(long)]
    name: String,
    /// The Unix datagram socket to send to what was done since the last time; the end of it is the end of this
    #[arg(long, group = "where")]
    report: Option<PathBuf>,
    /// The file to hold what was done so far. Whoever reads it finds a whole report, or none yet
    #[arg(long, group = "where")]
    file: Option<PathBuf>,
    /// Connect to port 80
    #[arg(long)]
    connect: Vec<IpAddr>,
    /// Send a datagram to port 80: passed when the kernel takes it
    #[arg(long)]
    send: Vec<IpAddr>,
    /// The same: passed when its echo comes back. For a namespace whose packets are judged elsewhere
    #[arg(long)]
    echo: Vec<IpAddr>,
    /// Fetch credentials by HTTP, with a token
    #[arg(long)]
    fetch: Vec<IpAddr>,
}

impl Steady {
    pub(crate) fn run(self) {
        let lanes: Vec<_> = [
            (Activity::Connect, &self.connect),
            (Activity::Send, &self.send),
            (Activity::Echo, &self.echo),
            (Activity::Fetch, &self.fetch),
        ]
        .into_iter()
        .flat_map(|(activity, addresses)| addresses.iter().map(move |to| (activity, *to)))
        .map(|(activity, to)| start(activity, to))
        .collect();

        let mut reports = Reports::to(self.report, self.file);
        loop {
            sleep(REPORT_EVERY);
            let report = Report {
                name: self.name.clone(),
                lanes: lanes.iter().map(|lane| take(lane)).collect(),
            };
            if reports.add(report).is_err() {
                return;
            }
        }
    }
}

/// Where reports go.
enum Reports {
    Socket(UnixDatagram, PathBuf),
    File(PathBuf, Option<Report>),
}

impl Reports {
    fn to(socket: Option<PathBuf>, file: Option<PathBuf>) -> Self {
        match (socket, file) {
            (Some(path), None) => {
                Self::Socket(UnixDatagram::unbound().expect("a Unix socket"), path)
            }
            (None, Some(path)) => Self::File(path, None),
            _ => panic!("one place for reports, as the command line wants it"),
        }
    }

    fn add(&mut self, report: Report) -> io::Result<()> {
        let bytes = |report| serde_json::to_vec(report).expect("a report can be written as JSON");
        match self {
            Self::Socket(socket, path) => socket.send_to(&bytes(&report), path).map(|_| ()),
            Self::File(path, sum) => {
                match sum {
                    Some(sum) => {
                        for (lane, later) in sum.lanes.iter_mut().zip(&report.lanes) {
                            lane.add(later);
                        }
                    }
                    None => *sum = Some(report),
                }
                let unfinished = path.with_extension("new");
                fs::write(&unfinished, bytes(sum.as_ref().expect("it was just set")))?;
                fs::rename(&unfinished, path)
            }
        }
    }
}

/// Starts a thread for one address, which counts in what is returned.
fn start(activity: Activity, to: IpAddr) -> Arc<Mutex<Lane>> {
    let lane = Arc::new(Mutex::new(Lane::new(activity, to)));
    let counted = Arc::clone(&lane);
    spawn(move || {
        let to = SocketAddr::new(to, 80);
        let mut client = Client::new(to);
        loop {
            let (began, started) = (SystemTime::now(), Instant::now());
            let result = match activity {
                Activity::Connect => hammer::connect(to),
                Activity::Send => hammer::send(to),
                Activity::Echo => echo(to),
                Activity::Fetch => client.fetch(),
            };
            count(
                &mut counted.lock().unwrap_or_else(PoisonError::into_inner),
                &result,
                began,
                started.elapsed(),
            );
            sleep(match activity {
                Activity::Fetch => FETCH_PAUSE,
                _ => PAUSE,
            });
        }
    });
    lane
}

fn count(lane: &mut Lane, result: &io::Result<()>, began: SystemTime, took: Duration) {
    lane.tries += 1;
    lane.slowest_ms = lane.slowest_ms.max(took.as_secs_f64() * 1000.0);
    let began = began
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs_f64();
    match result.as_ref().map_err(Ending::from) {
        Ok(()) => {
            lane.passed += 1;
            lane.first_passed.get_or_insert(began);
            lane.last_passed = Some(began);
        }
        Err(Ending::Refused | Ending::Denied) => {
            lane.refused += 1;
            lane.first_refused.get_or_insert(began);
        }
        Err(Ending::TimedOut) => lane.silent += 1,
        Err(_) => lane.other += 1,
    }
}

/// What was counted since the last time.
fn take(lane: &Mutex<Lane>) -> Lane {
    let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = Lane::new(lane.activity, lane.to);
    std::mem::replace(&mut lane, fresh)
}

/// Sends one datagram and waits for its echo. The socket is connected, so that it hears of a refusal.
fn echo(to: SocketAddr) -> io::Result<()> {
    let mut socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.connect(&to.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"lab")?;
    match socket.read(&mut [0; 16]) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::TimedOut.into())
        }
        Err(error) => Err(error),
    }
}
