//! Real sockets of real users: a child for each witness gives up every privilege, becomes that
//! user, and tries to reach the addresses.
//!
//! No server is needed and none is waited for: the kernel's verdict on a UDP datagram comes from
//! `sendto(2)` itself (EPERM when a rule refuses it), and a connect that is not refused within
//! 40 ms is reported as such.

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
use nix::unistd::{getresgid, getresuid, setgroups, setresgid, setresuid};
use tracing::debug;

use super::child::{Child, NoReport, reports};
use crate::policy::{Address, Family};
use crate::verify::{Expected, Outcome, ProbeResult, Transport, Witness};

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

/// What a child tries, in this order, and reports.
type Report = Vec<(usize, Transport, Outcome)>;

/// Probes every address as every witness, all at the same time.
#[must_use]
pub fn probe(witnesses: &[Witness], addresses: &[Address]) -> Vec<ProbeResult> {
    let mut results = Vec::new();
    let mut failures = Vec::new();
    let mut left: Vec<&Witness> = witnesses.iter().collect();
    for (round, limit) in LIMITS.into_iter().enumerate() {
        let mut late = Vec::new();
        for (witness, made) in ask(&left, addresses, limit) {
            match made {
                Ok(made) => results.extend(made),
                Err(NoReport::TimedOut) if round + 1 < LIMITS.len() => late.push(witness),
                Err(reason) => failures.push((witness, reason.to_string())),
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
    for (witness, reason) in failures {
        results.extend(addresses.iter().map(|&address| ProbeResult {
            witness: witness.clone(),
            address,
            transport: Transport::Udp,
            outcome: Outcome::NotMade(reason.clone()),
        }));
    }
    results
}

/// One round: a child for each witness, and what it reported within the limit.
fn ask<'a>(
    witnesses: &[&'a Witness],
    addresses: &[Address],
    limit: Duration,
) -> Vec<(&'a Witness, Result<Vec<ProbeResult>, NoReport>)> {
    let mut answers = Vec::new();
    let mut asked = Vec::new();
    let mut children = Vec::new();
    for &witness in witnesses {
        match Child::start(|| report(witness, addresses)) {
            Ok(child) => {
                asked.push(witness);
                children.push(child);
            }
            Err(errno) => answers.push((witness, Err(NoReport::NoChild(errno)))),
        }
    }
    for (witness, reported) in asked.into_iter().zip(reports::<Report>(children, limit)) {
        let made = reported.map(|report| {
            report
                .into_iter()
                .filter_map(|(address, transport, outcome)| {
                    Some(ProbeResult {
                        witness: witness.clone(),
                        address: *addresses.get(address)?,
                        transport,
                        outcome,
                    })
                })
                .collect()
        });
        answers.push((witness, made));
    }
    answers
}

/// In the child: become the witness, then try.
fn report(witness: &Witness, addresses: &[Address]) -> Report {
    let became = become_witness(witness);
    let mut report = Vec::new();
    let mut connects = Vec::new();
    for (nth, address) in addresses.iter().enumerate() {
        let target = SocketAddr::new(address.ip(), PORT);
        let udp = match &became {
            Ok(()) => send_datagram(address.family(), target),
            Err(reason) => Outcome::NotMade(reason.clone()),
        };
        report.push((nth, Transport::Udp, udp));
        if witness.expected == Expected::Refused {
            let tcp = match &became {
                Ok(()) => start_connect(address.family(), target),
                Err(reason) => Err(Outcome::NotMade(reason.clone())),
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

/// Gives up all capabilities and becomes the witness, and makes sure of it.
fn become_witness(witness: &Witness) -> Result<(), String> {
    let uid = witness.uid.get().into();
    let gid = witness.gid.get().into();
    let groups: Vec<_> = witness.groups.iter().map(|gid| gid.get().into()).collect();
    let cannot = |what: &'static str| move |errno: Errno| format!("cannot {what}: {errno}");
    setgroups(&groups).map_err(cannot("set groups"))?;
    setresgid(gid, gid, gid).map_err(cannot("set the group"))?;
    setresuid(uid, uid, uid).map_err(cannot("set the user"))?;
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|error| format!("cannot drop capabilities: {error}"))?;
    }
    let now = getresuid().map_err(cannot("read the user"))?;
    let group = getresgid().map_err(cannot("read the group"))?;
    let held = caps::read(None, CapSet::Permitted).map_err(|error| error.to_string())?;
    let became = [now.real, now.effective, now.saved] == [uid; 3]
        && [group.real, group.effective, group.saved] == [gid; 3]
        && held.is_empty();
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
