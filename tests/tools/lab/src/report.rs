//! What the `lab` program reports, as one line of JSON, and the library reads back.

use std::net::IpAddr;
use std::{fmt, io};

use clap::ValueEnum;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// The kind of socket with which an address is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// A plain TCP connect.
    Tcp,
    /// One UDP datagram and its echo.
    Udp,
    /// One UDP-Lite datagram and its echo.
    Udplite,
    /// A multipath TCP connect.
    Mptcp,
    /// A connect of the kernel's own SCTP.
    Sctp,
    /// An SCTP INIT written to a raw socket, by a user who has `CAP_NET_RAW` and no other privilege. Nobody
    /// answers it, so the best that comes of it is [`Ending::Sent`], wherever it is refused later.
    SctpRaw,
    /// An echo request from a ping socket, which needs no privilege, and the answer.
    Icmp,
    /// The same by a raw socket, with the privilege of [`How::SctpRaw`].
    IcmpRaw,
    /// A TCP connect to `::ffff:a.b.c.d`, which leaves an IPv6 socket as IPv4.
    Mapped,
    /// A TCP connect whose SYN carries data. The lab's kernels need no cookie for it.
    TcpFastopen,
}

impl How {
    /// Every kind, in the order of the definition.
    pub const ALL: &[Self] = &[
        Self::Tcp,
        Self::Udp,
        Self::Udplite,
        Self::Mptcp,
        Self::Sctp,
        Self::SctpRaw,
        Self::Icmp,
        Self::IcmpRaw,
        Self::Mapped,
        Self::TcpFastopen,
    ];
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no kind is hidden");
        f.write_str(value.get_name())
    }
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The handshake was completed.
    Connected,
    /// The kernel took the packet, and no answer is to be had.
    Sent,
    /// An answer came, to a packet or over a connection opened earlier.
    Answered,
    /// A reset or an ICMP error came back: `ECONNREFUSED` or `ECONNRESET`.
    Refused,
    /// The kernel did not let the packet out: `EPERM` or `EACCES` from connect or send.
    Denied,
    /// `ENETUNREACH` or `EHOSTUNREACH`.
    NoRoute,
    /// Nothing came back within the wait.
    TimedOut,
    /// This kernel has no such protocol.
    Unsupported,
    /// Anything else, among it a socket that could not be made. Never the work of a lockdown.
    Error,
}

/// The end of one try to reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    #[serde(rename = "outcome")]
    pub ending: Ending,
    /// The error number behind `ending`, or 0 where there is none.
    pub errno: i32,
    /// Milliseconds until the end.
    pub ms: f64,
}

impl Outcome {
    /// Whether the packet went through.
    pub fn passed(&self) -> bool {
        matches!(
            self.ending,
            Ending::Connected | Ending::Sent | Ending::Answered
        )
    }

    /// Whether the packet was turned away, and in less than 100 ms. A time-out, a missing route and a kernel
    /// without the protocol are not that.
    pub fn refused_fast(&self) -> bool {
        matches!(self.ending, Ending::Refused | Ending::Denied) && self.ms < 100.0
    }
}

/// Sorts the error of a connect or a send.
impl From<&io::Error> for Ending {
    fn from(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            return Self::TimedOut;
        }
        match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
            Errno::ECONNREFUSED | Errno::ECONNRESET => Self::Refused,
            Errno::EPERM | Errno::EACCES => Self::Denied,
            Errno::ENETUNREACH | Errno::EHOSTUNREACH => Self::NoRoute,
            Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT | Errno::EAFNOSUPPORT => {
                Self::Unsupported
            }
            _ => Self::Error,
        }
    }
}

/// What a hammer did: every TCP connect and every UDP datagram is one attempt with one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The sum of all others.
    pub attempts: u64,
    /// TCP handshakes completed.
    pub connected: u64,
    /// UDP datagrams that the kernel took.
    pub udp_sent: u64,
    /// Attempts that were turned away: [`Ending::Refused`] or [`Ending::Denied`].
    pub refused: u64,
    /// TCP connects without an answer within 20 ms.
    pub timed_out: u64,
    /// All other ends.
    pub other: u64,
}

impl Counts {
    /// Attempts that went through: the number that must be 0 for an unlisted user.
    pub fn passed(&self) -> u64 {
        self.connected + self.udp_sent
    }
}

/// What came of a series of HTTP requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// Requests answered with status 200.
    pub served: u32,
    /// All others.
    pub failed: u32,
    /// Milliseconds of the slowest request.
    pub slowest_ms: f64,
}

/// How fast something went that was done again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// How often.
    pub count: u64,
    /// In how many seconds.
    pub seconds: f64,
    /// Microseconds of the median one.
    pub median_us: f64,
}

/// How much memory a program took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// Its exit code.
    pub code: Option<i32>,
    /// The largest resident set of it and of the programs that it waited for, in KiB.
    pub kib: u64,
}

/// What a lane of `lab steady` tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// A TCP connect.
    Connect,
    /// One UDP datagram that the kernel takes.
    Send,
    /// One UDP datagram and its echo.
    Echo,
    /// An HTTP request.
    Fetch,
}

/// What a lane of `lab steady` did since its last report.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// What it tries.
    pub activity: Activity,
    /// Where.
    pub to: IpAddr,
    /// The sum of the four below.
    pub tries: u64,
    /// Tries that got through.
    pub passed: u64,
    /// Tries that were turned away: [`Ending::Refused`] or [`Ending::Denied`].
    pub refused: u64,
    /// Tries without an answer in time.
    pub silent: u64,
    /// All other ends.
    pub other: u64,
    /// Milliseconds of the slowest try.
    pub slowest_ms: f64,
    /// When the first try that got through was begun, in seconds since 1970.
    pub first_passed: Option<f64>,
    /// The same of the last one.
    pub last_passed: Option<f64>,
    /// The same of the first try that was turned away.
    pub first_refused: Option<f64>,
}

impl Lane {
    /// A lane that has not tried anything yet.
    pub fn new(activity: Activity, to: IpAddr) -> Self {
        Self {
            activity,
            to,
            tries: 0,
            passed: 0,
            refused: 0,
            silent: 0,
            other: 0,
            slowest_ms: 0.0,
            first_passed: None,
            last_passed: None,
            first_refused: None,
        }
    }

    /// Adds what a later report says.
    pub fn add(&mut self, later: &Self) {
        self.tries += later.tries;
        self.passed += later.passed;
        self.refused += later.refused;
        self.silent += later.silent;
        self.other += later.other;
        self.slowest_ms = self.slowest_ms.max(later.slowest_ms);
        self.first_passed = self.first_passed.or(later.first_passed);
        self.last_passed = later.last_passed.or(self.last_passed);
        self.first_refused = self.first_refused.or(later.first_refused);
    }
}

/// One report of `lab steady`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The name that it was given.
    pub name: String,
    /// What each lane did since the last report.
    pub lanes: Vec<Lane>,
}
