//! Real sockets of real users: a child becomes the identity, without any privilege in effect, and
//! tries to reach the addresses.
//!
//! No server is needed and none is waited for: the kernel's verdict on a UDP datagram comes from
//! `sendto(2)` itself (EPERM when a rule refuses it), and a connect that is not refused within
//! 40 ms is reported as such. An unlisted identity has a child of its own, which cannot go back; of
//! listed ones several take turns in one child, since a process costs more than a probe.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use caps::CapSet;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect, getsockopt, sendto,
    setsockopt, socket, sockopt,
};
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};
use tracing::debug;

use super::child::{Child, NoReport, reports};
use crate::policy::{Address, Family};
use crate::probe::{Expected, Identity, Outcome, ProbeResult, Transport};

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
    let became = became.map_err(|reason| Outcome::NotMade(reason.to_string()));
    let mut report = Vec::new();
    let mut connects = Vec::new();
    for (nth, address) in addresses.iter().enumerate() {
        let target = SocketAddr::new(address.ip(), PORT);
        let udp = match &became {
            Ok(()) => send_datagram(address.family(), target),
            Err(not_made) => not_made.clone(),
        };
        report.push((nth, Transport::Udp, udp));
        if identity.expected == Expected::Refused {
            let tcp = match &became {
                Ok(()) => start_connect(address.family(), target),
                Err(not_made) => Err(not_made.clone()),
            };
            connects.push((nth, tcp));
        }
    }
    let deadline = Instant::now() + CONNECT_LIMIT;
    report.extend(connects.into_iter().map(|(nth, tcp)| {
        let outcome = match tcp {
            Ok(socket) => finish_connect(&socket, deadline),
            Err(outcome) => outcome,
        };
        (nth, Transport::Tcp, outcome)
    }));
    report
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

fn open(family: Family, kind: SockType) -> nix::Result<OwnedFd> {
    let family = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    socket(
        family,
        kind,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        None,
    )
}

fn send_datagram(family: Family, target: SocketAddr) -> Outcome {
    let sent = open(family, SockType::Datagram).and_then(|socket| {
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

fn start_connect(family: Family, target: SocketAddr) -> Result<OwnedFd, Outcome> {
    let socket = open(family, SockType::Stream).map_err(failed)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) => Err(Outcome::Sent),
        Err(Errno::EINPROGRESS) => Ok(socket),
        Err(errno) => Err(failed(errno)),
    }
}

fn finish_connect(socket: &OwnedFd, deadline: Instant) -> Outcome {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    match poll(
        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)],
        timeout,
    ) {
        Ok(0) => Outcome::NoAnswer,
        Ok(_) => match getsockopt(socket, sockopt::SocketError) {
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
