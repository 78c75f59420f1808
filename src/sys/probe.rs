//! Real sockets of real users: a child becomes the identity, without any privilege in effect, and
//! tries to reach the addresses.
//!
//! No server is needed and none is waited for: the kernel's verdict on a UDP datagram comes from
//! `sendto(2)` itself (EPERM when a rule refuses it), and a connect that is not refused within
//! 40 ms is reported as such. Probes that must be refused are sent from [`SOURCE_PORT`], so that the
//! rules count them apart; if one is not refused, the same is tried from any other port, and only
//! what becomes of that counts. An unlisted identity has a child of its own, which cannot go back; of
//! listed ones several take turns in one child, since a process costs more than a probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use caps::CapSet;
use nix::errno::Errno;
use nix::libc::linger;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt,
    sendto, setsockopt, socket, sockopt,
};
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};
use tracing::debug;

use super::child::{Child, NoReport, reports};
use crate::policy::Address;
use crate::probe::{Expected, Identity, Outcome, ProbeResult, SOURCE_PORT, Transport};

/// The port of the metadata service, and of every probe.
const PORT: u16 = 80;

/// How long a connect may stay without an answer. REJECT answers in 0.1 ms.
const CONNECT_LIMIT: Duration = Duration::from_millis(40);

/// How long all probes together may take. What a busy machine did not get round to by then is tried
/// again with more time: the waits of a probe itself are shorter than the first of these.
const LIMITS: [Duration; 3] = [
    Duration::from_millis(90),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// How often a connect is tried from [`SOURCE_PORT`] while another probe connects from there.
const PORT_TRIES: usize = 10;

/// How long to wait in between: a refused connect takes 0.1 ms.
const PORT_WAIT: Duration = Duration::from_millis(1);

/// How many listed identities take turns in one child.
const TURNS: usize = 16;

/// What was tried as one identity: the address by its place, how, and what became of it.
type Report = Vec<(usize, Transport, Outcome)>;

/// Probes every address as every identity, all at the same time.
#[must_use]
pub fn probe(identities: &[Identity], addresses: &[Address]) -> Vec<ProbeResult> {
    let mut results = Vec::new();
    let mut failures = Vec::new();
    let mut left: Vec<&Identity> = identities.iter().collect();
    for (round, limit) in LIMITS.into_iter().enumerate() {
        let mut late = Vec::new();
        for (identity, made) in ask(&left, addresses, limit) {
            match made {
                Ok(made) => results.extend(made),
                Err(NoReport::TimedOut) if round + 1 < LIMITS.len() => late.push(identity),
                Err(reason) => failures.push((identity, reason.to_string())),
            }
        }
        left = late;
        if left.is_empty() {
            break;
        }
        debug!(
            late = left.len(),
            "probes did not end in time, trying them again"
        );
    }
    for (identity, reason) in failures {
        results.extend(addresses.iter().map(|&address| ProbeResult {
            identity: identity.clone(),
            address,
            transport: Transport::Udp,
            outcome: Outcome::NotMade(reason.clone()),
        }));
    }
    results
}

/// One round: children for the identities, and what was reported of each within the limit.
fn ask<'a>(
    identities: &[&'a Identity],
    addresses: &[Address],
    limit: Duration,
) -> Vec<(&'a Identity, Result<Vec<ProbeResult>, NoReport>)> {
    let (listed, unlisted): (Vec<&Identity>, Vec<&Identity>) = identities
        .iter()
        .partition(|identity| identity.expected == Expected::Served);
    let turns = unlisted.chunks(1).chain(listed.chunks(TURNS));
    let mut answers = Vec::new();
    let mut asked = Vec::new();
    let mut children = Vec::new();
    for turn in turns {
        match Child::start(|| reports_of(turn, addresses)) {
            Ok(child) => {
                asked.push(turn.to_vec());
                children.push(child);
            }
            Err(errno) => {
                let failed = |&identity| (identity, Err(NoReport::NoChild(errno)));
                answers.extend(turn.iter().map(failed));
            }
        }
    }
    for (turn, reported) in asked
        .into_iter()
        .zip(reports::<Vec<Report>>(children, limit))
    {
        let mut made = reported.map(Vec::into_iter);
        for identity in turn {
            let report = match &mut made {
                Ok(reports) => reports.next().ok_or(NoReport::TimedOut),
                Err(reason) => Err(*reason),
            };
            let results = report.map(|report| results(identity, addresses, report));
            answers.push((identity, results));
        }
    }
    answers
}

fn results(identity: &Identity, addresses: &[Address], report: Report) -> Vec<ProbeResult> {
    report
        .into_iter()
        .filter_map(|(address, transport, outcome)| {
            Some(ProbeResult {
                identity: identity.clone(),
                address: *addresses.get(address)?,
                transport,
                outcome,
            })
        })
        .collect()
}

/// In the child: become each identity in turn, and try.
fn reports_of(identities: &[&Identity], addresses: &[Address]) -> Vec<Report> {
    match identities {
        [identity] => vec![report(identity, addresses, become_for_good(identity))],
        identities => identities
            .iter()
            .map(|identity| {
                let turn = Turn::begin(identity);
                let report = report(identity, addresses, turn.as_ref().map(|_| ()));
                // A turn that cannot be ended shows in the next one, which cannot begin.
                drop(turn.map(Turn::end));
                report
            })
            .collect(),
    }
}

/// Tries, if it became the identity.
fn report<E: ToString>(
    identity: &Identity,
    addresses: &[Address],
    became: Result<(), E>,
) -> Report {
    let targets = addresses
        .iter()
        .map(|address| SocketAddr::new(address.ip(), PORT))
        .enumerate();
    match (became, identity.expected) {
        (Ok(()), Expected::Served) => targets
            .map(|(nth, to)| (nth, Transport::Udp, send_datagram(to, Source::Any)))
            .collect(),
        (Ok(()), Expected::Refused) => tries_of_stranger(targets),
        (Err(reason), expected) => {
            let outcome = Outcome::NotMade(reason.to_string());
            let transports: &[Transport] = match expected {
                Expected::Served => &[Transport::Udp],
                Expected::Refused => &[Transport::Udp, Transport::Tcp],
            };
            let not_made = |&transport| {
                let of_all = targets.clone();
                of_all.map(move |(nth, _)| (nth, transport))
            };
            let all = transports.iter().flat_map(not_made);
            all.map(|(nth, transport)| (nth, transport, outcome.clone()))
                .collect()
        }
    }
}

/// What becomes of an identity that must be refused.
fn tries_of_stranger(targets: impl Iterator<Item = (usize, SocketAddr)>) -> Report {
    let mut report = Vec::new();
    let mut connects = Vec::new();
    for (nth, target) in targets {
        let datagram = datagram_of_stranger(target);
        connects.push((nth, target, connect_of_stranger(target, &datagram)));
        report.push((nth, Transport::Udp, datagram));
    }
    let deadline = Instant::now() + CONNECT_LIMIT;
    for (nth, target, started) in connects {
        let mut outcome = finish_connect(started, deadline);
        if !counts(&outcome) {
            let again = start_connect(target, Source::Any);
            outcome = finish_connect(again, Instant::now() + CONNECT_LIMIT);
        }
        report.push((nth, Transport::Tcp, outcome));
    }
    report
}

/// Whether the outcome of a try from [`SOURCE_PORT`] counts. If it does not, the try is repeated from
/// another port: this one may be taken, and conntrack may treat a packet as part of an earlier flow
/// between the same ports, which a NAT rule redirected and which got through.
fn counts(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Denied | Outcome::Refused | Outcome::NoAnswer
    )
}

fn datagram_of_stranger(target: SocketAddr) -> Outcome {
    let outcome = send_datagram(target, Source::Probes);
    if counts(&outcome) {
        return outcome;
    }
    send_datagram(target, Source::Any)
}

/// Starts a connect from [`SOURCE_PORT`], after a datagram to the same address had that outcome.
fn connect_of_stranger(target: SocketAddr, datagram: &Outcome) -> nix::Result<OwnedFd> {
    if *datagram == Outcome::NoRoute {
        return start_connect(target, Source::Any);
    }
    for _ in 0..PORT_TRIES {
        match start_connect(target, Source::Probes) {
            // At this instant, another probe connects to the same address.
            Err(Errno::EADDRNOTAVAIL) => sleep(PORT_WAIT),
            started => return started,
        }
    }
    start_connect(target, Source::Any)
}

/// An id that setresuid(2) and setresgid(2) leave as it is.
const UNCHANGED: u32 = u32::MAX;

fn cannot(what: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("cannot {what}: {errno}")
}

/// Gives up all capabilities and becomes the identity, and makes sure of it. There is no way back.
fn become_for_good(identity: &Identity) -> Result<(), String> {
    let uid = Uid::from_raw(identity.uid.get());
    become_groups(identity)?;
    setresuid(uid, uid, uid).map_err(cannot("set the user"))?;
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|error| format!("cannot drop capabilities: {error}"))?;
    }
    let now = getresuid().map_err(cannot("read the user"))?;
    is_witness(identity, CapSet::Permitted, now.saved == uid)
}

/// A process that is the identity until the turn ends: with its ids, and no capability in effect.
struct Turn {
    before: Uid,
}

impl Turn {
    fn begin(identity: &Identity) -> Result<Self, String> {
        let before = getresuid().map_err(cannot("read the user"))?.saved;
        let uid = Uid::from_raw(identity.uid.get());
        become_groups(identity)?;
        setresuid(uid, uid, Uid::from_raw(UNCHANGED)).map_err(cannot("set the user"))?;
        caps::clear(None, CapSet::Effective)
            .map_err(|error| format!("cannot drop capabilities: {error}"))?;
        is_witness(identity, CapSet::Effective, true)?;
        Ok(Self { before })
    }

    fn end(self) -> Result<(), String> {
        let permitted = caps::read(None, CapSet::Permitted).map_err(|error| error.to_string())?;
        caps::set(None, CapSet::Effective, &permitted).map_err(|error| error.to_string())?;
        let before = self.before;
        setresuid(before, before, before).map_err(cannot("set the user"))
    }
}

fn become_groups(identity: &Identity) -> Result<(), String> {
    let gid = Gid::from_raw(identity.gid.get());
    let groups: Vec<Gid> = identity
        .groups
        .iter()
        .map(|gid| Gid::from_raw(gid.get()))
        .collect();
    setgroups(&groups).map_err(cannot("set groups"))?;
    setresgid(gid, gid, gid).map_err(cannot("set the group"))
}

/// Whether this process is the identity, with no capability in the set.
fn is_witness(identity: &Identity, empty: CapSet, and: bool) -> Result<(), String> {
    let uid = Uid::from_raw(identity.uid.get());
    let gid = Gid::from_raw(identity.gid.get());
    let now = getresuid().map_err(cannot("read the user"))?;
    let group = getresgid().map_err(cannot("read the group"))?;
    let held = caps::read(None, empty).map_err(|error| error.to_string())?;
    let became = [now.real, now.effective] == [uid; 2]
        && [group.real, group.effective, group.saved] == [gid; 3]
        && held.is_empty()
        && and;
    became
        .then_some(())
        .ok_or_else(|| "the privileges did not go away".to_owned())
}

/// The port that a probe is sent from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// [`SOURCE_PORT`]
    Probes,
    /// One that the kernel chooses.
    Any,
}

fn open(target: SocketAddr, kind: SockType, source: Source) -> nix::Result<OwnedFd> {
    let (family, any) = match target {
        SocketAddr::V4(_) => (AddressFamily::Inet, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (AddressFamily::Inet6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, kind, flags, None)?;
    if source == Source::Probes {
        if target.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        }
        // Several probes have the port at the same time.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        let port = SocketAddr::new(any, SOURCE_PORT);
        // Whatever the error is, it is not an answer to a packet, as EPERM would be.
        bind(socket.as_raw_fd(), &SockaddrStorage::from(port)).map_err(|_| Errno::EADDRINUSE)?;
    }
    Ok(socket)
}

fn send_datagram(target: SocketAddr, source: Source) -> Outcome {
    let sent = open(target, SockType::Datagram, source).and_then(|socket| {
        // Else the kernel refuses a broadcast address before any rule does.
        setsockopt(&socket, sockopt::Broadcast, &true)?;
        sendto(
            socket.as_raw_fd(),
            &[],
            &SockaddrStorage::from(target),
            MsgFlags::MSG_DONTWAIT,
        )
    });
    match sent {
        Ok(_) => Outcome::Sent,
        Err(errno) => failed(errno),
    }
}

fn start_connect(target: SocketAddr, source: Source) -> nix::Result<OwnedFd> {
    let socket = open(target, SockType::Stream, source)?;
    // A connection ends with a reset, so that none is left in TIME-WAIT, where it keeps its ports.
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&socket, sockopt::Linger, &at_once)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

fn finish_connect(started: nix::Result<OwnedFd>, deadline: Instant) -> Outcome {
    let socket = match started {
        Ok(socket) => socket,
        Err(errno) => return failed(errno),
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    match poll(
        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)],
        timeout,
    ) {
        Ok(0) => Outcome::NoAnswer,
        Ok(_) => match getsockopt(&socket, sockopt::SocketError) {
            Ok(0) => Outcome::Sent,
            Ok(code) => failed(Errno::from_raw(code)),
            Err(errno) => failed(errno),
        },
        Err(errno) => failed(errno),
    }
}

fn failed(errno: Errno) -> Outcome {
    match errno {
        Errno::EPERM => Outcome::Denied,
        Errno::ECONNREFUSED | Errno::ECONNRESET => Outcome::Refused,
        // The routing tables' answers, before any rule is met (ip-route(8)): unreachable routes,
        // prohibit, blackhole or a link-local address without its interface, and no address of
        // ours to send from, as with net.ipv6 disable_ipv6.
        Errno::ENETUNREACH
        | Errno::EHOSTUNREACH
        | Errno::EACCES
        | Errno::EINVAL
        | Errno::EADDRNOTAVAIL => Outcome::NoRoute,
        errno => Outcome::NotMade(errno.to_string()),
    }
}
