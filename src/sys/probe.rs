//! Probes with real sockets: a child process takes the probe identity, without effective capabilities,
//! and sends test packets to the addresses.
//!
//! No server has to answer. `sendto(2)` of a UDP datagram returns the verdict of the kernel (EPERM if
//! a rule refuses the packet), and a connect that no rule refuses within 40 ms counts as not answered,
//! if the service did not accept it. An ICMP error is a refusal if this host sent it (see
//! `icmp_error`). For a listed user, a reset is one if a rule sends it (see
//! `is_reset_by_rule`).
//! Probes that must be refused are sent from [`SOURCE_PORT`], so that the rules count them separately. If
//! such a probe is not refused, it is repeated from another port, and only that result counts.
//! Without a route, an IPv4 probe is repeated through `lo`, where it meets the output rules as well.
//! Each unlisted identity has its own child, which cannot regain privileges. Several listed identities
//! share a child, because a process costs more than a probe.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, io};

use caps::CapSet;
use caps::errors::CapsError;
use nix::errno::Errno;
use nix::libc::{linger, sock_extended_err, sockaddr_in6};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrStorage, bind,
    connect, getsockname, getsockopt, recvmsg, sendto, setsockopt, socket, sockopt,
};
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};
use thiserror::Error;
use tracing::debug;

use super::child::{Child, NoReport, reports};
use crate::policy::Address;
use crate::probe::{
    Expected, Identity, Outcome, PORT, ProbeResult, Queues, SOURCE_PORT, Transport, Via,
    beside_queues,
};

/// The list of packet queues. It exists as soon as the kernel supports them.
const QUEUES: &str = "/proc/net/netfilter/nfnetlink_queue";

/// How long to wait for the result of a connect. A REJECT rule answers in 0.1 ms.
const CONNECT_LIMIT: Duration = Duration::from_millis(40);

/// The time limits for all probes together, one for each round. Probes that do not end in time, on a busy
/// machine, are repeated in the next round. One probe waits for less than the shortest limit.
const LIMITS: [Duration; 3] = [
    Duration::from_millis(90),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// How often a connect from [`SOURCE_PORT`] is tried while another probe uses the port.
const PORT_TRIES: usize = 10;

/// The pause between two such tries. A refused connect takes 0.1 ms.
const PORT_WAIT: Duration = Duration::from_millis(1);

/// How many listed identities share a child.
const IDENTITIES_PER_CHILD: usize = 16;

/// The probes of one identity: index of the address, transport, way, outcome.
type Report = Vec<(usize, Transport, Via, Outcome)>;

/// Why a probe could not be sent.
#[derive(Debug, Error)]
enum ProbeError {
    #[error("cannot {call}: {errno}")]
    Call {
        call: &'static str,
        #[source]
        errno: Errno,
    },
    #[error("cannot drop capabilities: {0}")]
    Capabilities(#[from] CapsError),
    #[error("the kernel did not change all ids and capabilities of the process")]
    Identity,
}

/// The error of a call that failed with a code of errno(3).
fn cannot(call: &'static str) -> impl Fn(Errno) -> ProbeError {
    move |errno| ProbeError::Call { call, errno }
}

/// Probes every address as every identity, all in parallel.
#[must_use]
pub fn probe(identities: &[Identity], addresses: &[Address]) -> Vec<ProbeResult> {
    let before = queues();
    let mut results = probe_beside_queues(identities, addresses);
    let queued = before.and_then(|before| Ok(queues()?.got_packets_since(&before)));
    beside_queues(
        &mut results,
        &queued.map_err(|error| format!("{QUEUES}: {error}")),
    );
    results
}

/// The packet queues of this network namespace, and how many packets each got.
fn queues() -> io::Result<Queues> {
    match fs::read_to_string(QUEUES) {
        Ok(text) => Queues::parse(&text).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // This file exists on every kernel: without it, /proc/net is missing, not the queues.
            fs::metadata("/proc/net/dev")?;
            Ok(Queues::default())
        }
        // Only root may read it. Without it, a packet that a queue holds counts as one that got through.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Queues::default()),
        Err(error) => Err(error),
    }
}

fn probe_beside_queues(identities: &[Identity], addresses: &[Address]) -> Vec<ProbeResult> {
    let mut results = Vec::new();
    let mut failures = Vec::new();
    let mut remaining: Vec<&Identity> = identities.iter().collect();
    for (round, limit) in LIMITS.into_iter().enumerate() {
        let mut late = Vec::new();
        for (identity, probed) in probe_once(&remaining, addresses, limit) {
            match probed {
                Ok(probed) => results.extend(probed),
                Err(NoReport::TimedOut) if round + 1 < LIMITS.len() => late.push(identity),
                Err(reason) => failures.push((identity, reason.to_string())),
            }
        }
        remaining = late;
        if remaining.is_empty() {
            break;
        }
        debug!(
            late = remaining.len(),
            "probes did not end in time, repeating them"
        );
    }
    for (identity, reason) in failures {
        let report = no_report(addresses.len(), &reason);
        results.extend(to_results(identity, addresses, report));
    }
    results
}

/// One round: starts a child for each group of identities, and returns what they report within the limit.
fn probe_once<'a>(
    identities: &[&'a Identity],
    addresses: &[Address],
    limit: Duration,
) -> Vec<(&'a Identity, Result<Vec<ProbeResult>, NoReport>)> {
    let (listed, unlisted): (Vec<&Identity>, Vec<&Identity>) = identities
        .iter()
        .partition(|identity| identity.expected == Expected::Served);
    let groups = unlisted
        .chunks(1)
        .chain(listed.chunks(IDENTITIES_PER_CHILD));
    let mut probed = Vec::new();
    let mut started = Vec::new();
    let mut children = Vec::new();
    for group in groups {
        match Child::start(|| probe_in_child(group, addresses)) {
            Ok(child) => {
                started.push(group.to_vec());
                children.push(child);
            }
            Err(errno) => {
                let failed = |&identity| (identity, Err(NoReport::NoChild(errno)));
                probed.extend(group.iter().map(failed));
            }
        }
    }
    for (group, reported) in started
        .into_iter()
        .zip(reports::<Vec<Report>>(children, limit))
    {
        let mut reported = reported.map(Vec::into_iter);
        for identity in group {
            let report = match &mut reported {
                Ok(reports) => reports.next().ok_or(NoReport::TimedOut),
                Err(reason) => Err(*reason),
            };
            let results = report.map(|report| to_results(identity, addresses, report));
            probed.push((identity, results));
        }
    }
    probed
}

fn to_results(identity: &Identity, addresses: &[Address], report: Report) -> Vec<ProbeResult> {
    report
        .into_iter()
        .filter_map(|(address, transport, via, outcome)| {
            Some(ProbeResult {
                identity: identity.clone(),
                address: *addresses.get(address)?,
                transport,
                via,
                outcome,
            })
        })
        .collect()
}

/// The report on probes that were not sent, for this reason.
fn no_report(addresses: usize, reason: &str) -> Report {
    let outcome = Outcome::NotMade(reason.to_owned());
    let each = (0..addresses).flat_map(|index| Transport::ALL.map(|transport| (index, transport)));
    each.map(|(index, transport)| (index, transport, Via::Route, outcome.clone()))
        .collect()
}

/// Runs in the child: takes one identity after the other, and probes the addresses as each. The
/// connects are all finished at the end, because each may last until the time limit.
fn probe_in_child(identities: &[&Identity], addresses: &[Address]) -> Vec<Report> {
    let begun: Vec<Result<Vec<Begun>, ProbeError>> = match identities {
        [identity] => {
            let became = become_permanently(identity);
            vec![became.map(|()| begin(identity.expected, addresses))]
        }
        identities => identities
            .iter()
            .map(|identity| {
                let impersonation = Impersonation::begin(identity)?;
                let begun = begin(identity.expected, addresses);
                // If this fails, the next identity cannot be taken, and its report contains the error.
                drop(impersonation.end());
                Ok(begun)
            })
            .collect(),
    };
    let deadline = Instant::now() + CONNECT_LIMIT;
    let finished = begun.into_iter().map(|begun| match begun {
        Ok(begun) => begun
            .into_iter()
            .enumerate()
            .flat_map(|(index, begun)| begun.finish(index, deadline))
            .collect(),
        Err(error) => no_report(addresses.len(), &error.to_string()),
    });
    finished.collect()
}

/// The probes of one address: the datagram is sent, and the connect has begun.
struct Begun {
    expected: Expected,
    target: SocketAddr,
    via: Via,
    datagram: Outcome,
    connect: Connect,
    /// A second socket of the user, to find out who resets the connect.
    spare: Option<OwnedFd>,
}

/// A connect.
enum Connect {
    /// It is not decided yet.
    Waiting(OwnedFd),
    /// It has this outcome.
    Over(Outcome),
    /// Another probe connects to the same address from the same port.
    PortTaken,
}

/// How a connect ended.
enum Finished {
    /// By a reset.
    Reset,
    Otherwise(Outcome),
}

impl From<Finished> for Outcome {
    fn from(finished: Finished) -> Self {
        match finished {
            Finished::Reset => Self::Refused,
            Finished::Otherwise(outcome) => outcome,
        }
    }
}

/// Sends a datagram to each address, and begins a connect.
fn begin(expected: Expected, addresses: &[Address]) -> Vec<Begun> {
    let targets = addresses
        .iter()
        .map(|address| SocketAddr::new(address.ip(), PORT));
    targets
        .map(|target| {
            let mut via = Via::Route;
            let mut datagram = send_datagram(expected, target, via);
            if target.is_ipv4() && may_go_through_lo(expected, &datagram) {
                let through_lo = send_datagram(expected, target, Via::Lo);
                // It has no outcome if `lo` is down, or if the kernel (before 5.7) does not let every
                // process bind a socket to an interface.
                if through_lo.is_refusal() || through_lo == Outcome::Sent {
                    (via, datagram) = (Via::Lo, through_lo);
                }
            }
            let connect = begin_connect(expected, target, via);
            let spare = match expected {
                Expected::Served if via == Via::Route => spare(target),
                Expected::Served | Expected::Refused => None,
            };
            Begun {
                expected,
                target,
                via,
                datagram,
                connect,
                spare,
            }
        })
        .collect()
}

/// Whether a probe with this outcome is repeated through `lo`. A listed user whom a route of the type
/// `prohibit` refuses is refused, whatever the rules do.
fn may_go_through_lo(expected: Expected, outcome: &Outcome) -> bool {
    match expected {
        Expected::Refused => outcome.is_without_route(),
        Expected::Served => *outcome == Outcome::NoRoute,
    }
}

impl Begun {
    fn finish(self, index: usize, deadline: Instant) -> [(usize, Transport, Via, Outcome); 2] {
        let mut outcome = match finish_connect(self.connect, deadline) {
            Finished::Reset => {
                let target = self.target;
                if self
                    .spare
                    .is_none_or(|spare| is_reset_by_rule(spare, target))
                {
                    Outcome::Refused
                } else {
                    Outcome::NoAnswer
                }
            }
            Finished::Otherwise(outcome) => outcome,
        };
        if self.expected == Expected::Refused && !outcome.counts_from_source_port() {
            let again = start_connect(self.target, Source::Any, self.via);
            outcome = finish_connect(again, Instant::now() + CONNECT_LIMIT).into();
        }
        [
            (index, Transport::Udp, self.via, self.datagram),
            (index, Transport::Tcp, self.via, outcome),
        ]
    }
}

fn send_datagram(expected: Expected, target: SocketAddr, via: Via) -> Outcome {
    if expected == Expected::Refused {
        let outcome = datagram_from(target, Source::Probes, via);
        if outcome.counts_from_source_port() {
            return outcome;
        }
    }
    datagram_from(target, Source::Any, via)
}

fn begin_connect(expected: Expected, target: SocketAddr, via: Via) -> Connect {
    if expected == Expected::Refused {
        for _ in 0..PORT_TRIES {
            match start_connect(target, Source::Probes, via) {
                Connect::PortTaken => sleep(PORT_WAIT),
                started => return started,
            }
        }
    }
    start_connect(target, Source::Any, via)
}

/// The value for an id that setresuid(2) does not change.
const UNCHANGED: u32 = u32::MAX;

/// Takes the identity, drops all capabilities, and checks the result. The process cannot undo this.
fn become_permanently(identity: &Identity) -> Result<(), ProbeError> {
    let uid = Uid::from_raw(identity.uid.get());
    become_groups(identity)?;
    setresuid(uid, uid, uid).map_err(cannot("set the user"))?;
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set)?;
    }
    check_identity(identity, uid, CapSet::Permitted)
}

/// While this lasts, the process has the ids of an identity, and no effective capability.
struct Impersonation {
    original: Uid,
}

impl Impersonation {
    fn begin(identity: &Identity) -> Result<Self, ProbeError> {
        let original = getresuid().map_err(cannot("read the user"))?.saved;
        let uid = Uid::from_raw(identity.uid.get());
        become_groups(identity)?;
        setresuid(uid, uid, Uid::from_raw(UNCHANGED)).map_err(cannot("set the user"))?;
        caps::clear(None, CapSet::Effective)?;
        check_identity(identity, original, CapSet::Effective)?;
        Ok(Self { original })
    }

    fn end(self) -> Result<(), ProbeError> {
        let permitted = caps::read(None, CapSet::Permitted)?;
        caps::set(None, CapSet::Effective, &permitted)?;
        let original = self.original;
        setresuid(original, original, original).map_err(cannot("set the user"))
    }
}

fn become_groups(identity: &Identity) -> Result<(), ProbeError> {
    let gid = Gid::from_raw(identity.gid.get());
    let groups: Vec<Gid> = identity
        .groups
        .iter()
        .map(|gid| Gid::from_raw(gid.get()))
        .collect();
    setgroups(&groups).map_err(cannot("set groups"))?;
    setresgid(gid, gid, gid).map_err(cannot("set the group"))
}

/// Checks that this process has the ids of the identity, this saved uid, and no capability in the set.
fn check_identity(identity: &Identity, saved: Uid, empty: CapSet) -> Result<(), ProbeError> {
    let uid = Uid::from_raw(identity.uid.get());
    let gid = Gid::from_raw(identity.gid.get());
    let user = getresuid().map_err(cannot("read the user"))?;
    let group = getresgid().map_err(cannot("read the group"))?;
    let capabilities = caps::read(None, empty)?;
    let matches = [user.real, user.effective, user.saved] == [uid, uid, saved]
        && [group.real, group.effective, group.saved] == [gid; 3]
        && capabilities.is_empty();
    if !matches {
        return Err(ProbeError::Identity);
    }
    Ok(())
}

/// The port that a probe is sent from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// [`SOURCE_PORT`]
    Probes,
    /// One that the kernel chooses.
    Any,
}

/// Opens a socket for a probe.
fn open(
    target: SocketAddr,
    kind: SockType,
    source: Source,
    via: Via,
) -> Result<OwnedFd, ProbeError> {
    let (family, any) = match target {
        SocketAddr::V4(_) => (AddressFamily::Inet, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (AddressFamily::Inet6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, kind, flags, None).map_err(cannot("open a socket"))?;
    let cannot_set = cannot("set an option of a socket");
    if via == Via::Lo {
        setsockopt(&socket, sockopt::BindToDevice, &OsString::from("lo"))
            .map_err(cannot("bind a socket to `lo`"))?;
    }
    if source == Source::Probes {
        if target.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true).map_err(&cannot_set)?;
        }
        // Several probes have the port at the same time.
        setsockopt(&socket, sockopt::ReuseAddr, &true).map_err(&cannot_set)?;
        let port = SocketAddr::new(any, SOURCE_PORT);
        bind(socket.as_raw_fd(), &SockaddrStorage::from(port))
            .map_err(cannot("bind a socket to a port"))?;
    }
    match kind {
        SockType::Stream => {
            // A connection ends with a reset, so that none is left in TIME-WAIT, where it keeps its ports.
            let at_once = linger {
                l_onoff: 1,
                l_linger: 0,
            };
            setsockopt(&socket, sockopt::Linger, &at_once).map_err(&cannot_set)?;
            match target {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
            }
            .map_err(&cannot_set)?;
        }
        // Without this option the kernel refuses a broadcast address before it checks any rule.
        _ => setsockopt(&socket, sockopt::Broadcast, &true).map_err(&cannot_set)?,
    }
    Ok(socket)
}

fn datagram_from(target: SocketAddr, source: Source, via: Via) -> Outcome {
    let socket = match open(target, SockType::Datagram, source, via) {
        Ok(socket) => socket,
        Err(error) => return Outcome::NotMade(error.to_string()),
    };
    let to = SockaddrStorage::from(target);
    match sendto(socket.as_raw_fd(), &[], &to, MsgFlags::MSG_DONTWAIT) {
        Ok(_) => Outcome::Sent,
        Err(errno) => Outcome::of_send(errno),
    }
}

fn start_connect(target: SocketAddr, source: Source, via: Via) -> Connect {
    let socket = match open(target, SockType::Stream, source, via) {
        Ok(socket) => socket,
        Err(error) => return Connect::Over(Outcome::NotMade(error.to_string())),
    };
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Connect::Waiting(socket),
        Err(Errno::EADDRNOTAVAIL) if source == Source::Probes => Connect::PortTaken,
        Err(errno) => Connect::Over(Outcome::of_send(errno)),
    }
}

/// A socket to which the service cannot answer: it is bound to `lo`, or to `::1`, to which no other
/// host can send. It meets the same rules, except those for another interface or source address.
///
/// Its packets belong to the user who opens it, also when it connects later.
fn spare(target: SocketAddr) -> Option<OwnedFd> {
    match target {
        // Linux before 5.7 does not let every process do this.
        SocketAddr::V4(_) => open(target, SockType::Stream, Source::Any, Via::Lo).ok(),
        SocketAddr::V6(_) => {
            let spare = open(target, SockType::Stream, Source::Any, Via::Route).ok()?;
            let own = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
            bind(spare.as_raw_fd(), &SockaddrStorage::from(own)).ok()?;
            Some(spare)
        }
    }
}

/// Whether a rule resets the connects of the user, not the service, because its port is closed.
fn is_reset_by_rule(spare: OwnedFd, target: SocketAddr) -> bool {
    let connect = match connect(spare.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Connect::Waiting(spare),
        Err(errno) => Connect::Over(Outcome::of_send(errno)),
    };
    let finished = finish_connect(connect, Instant::now() + CONNECT_LIMIT);
    Outcome::from(finished).is_refusal()
}

fn finish_connect(started: Connect, deadline: Instant) -> Finished {
    let socket = match started {
        Connect::Waiting(socket) => socket,
        Connect::Over(outcome) => return Finished::Otherwise(outcome),
        Connect::PortTaken => return Finished::Otherwise(Outcome::of_send(Errno::EADDRNOTAVAIL)),
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    let ready = poll(
        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)],
        timeout,
    );
    Finished::Otherwise(match ready {
        Ok(0) => Outcome::NoAnswer,
        Err(errno) => Outcome::NotMade(cannot("wait for a connect")(errno).to_string()),
        Ok(_) => match icmp_error(&socket) {
            // A REJECT rule sends it from the address that the packet came from. A router that has no
            // way to the address sends one too.
            Some(offender) if own_address(&socket) == Some(offender) => Outcome::Refused,
            Some(_) => Outcome::NoAnswer,
            None => match getsockopt(&socket, sockopt::SocketError).map(Errno::from_raw) {
                Ok(Errno::UnknownErrno) => Outcome::Sent,
                Ok(Errno::ECONNREFUSED | Errno::ECONNRESET) => return Finished::Reset,
                Ok(Errno::EPERM) => Outcome::Denied,
                Ok(_) => Outcome::NoAnswer,
                Err(errno) => {
                    Outcome::NotMade(cannot("read the error of a socket")(errno).to_string())
                }
            },
        },
    })
}

/// The host that sent an ICMP error to this socket (ip(7), `IP_RECVERR`). While a process calls
/// connect(2), the kernel only queues such an error and does not end the connect: so the answer to
/// the first SYN is found only here.
fn icmp_error(socket: &OwnedFd) -> Option<IpAddr> {
    let mut control = nix::cmsg_space!(sock_extended_err, sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], Some(&mut control), flags).ok()?;
    message.cmsgs().ok()?.find_map(|part| match part {
        ControlMessageOwned::Ipv4RecvErr(_, Some(from)) => {
            Some(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)).into())
        }
        ControlMessageOwned::Ipv6RecvErr(_, Some(from)) => {
            Some(Ipv6Addr::from(from.sin6_addr.s6_addr).into())
        }
        _ => None,
    })
}

/// The address that the packets of the socket come from.
fn own_address(socket: &OwnedFd) -> Option<IpAddr> {
    let own = getsockname::<SockaddrStorage>(socket.as_raw_fd()).ok()?;
    match (own.as_sockaddr_in(), own.as_sockaddr_in6()) {
        (Some(own), _) => Some(own.ip().into()),
        (_, Some(own)) => Some(own.ip().into()),
        _ => None,
    }
}
