//! Probes with real sockets: a child process takes the probe identity, without effective capabilities,
//! and sends test packets to the addresses.
//!
//! No server has to answer. `sendto(2)` of a UDP datagram returns the verdict of the kernel (EPERM if
//! a rule refuses the packet), and a connect that is not refused within 40 ms counts as not answered.
//! Probes that must be refused are sent from [`SOURCE_PORT`], so that the rules count them separately. If
//! such a probe is not refused, it is repeated from another port, and only that result counts.
//! Each unlisted identity has its own child, which cannot regain privileges. Several listed identities
//! share a child, because a process costs more than a probe.

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
use crate::probe::{Expected, Identity, Outcome, PORT, ProbeResult, SOURCE_PORT, Transport};

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

/// The probes of one identity: index of the address, transport, outcome.
type Report = Vec<(usize, Transport, Outcome)>;

/// Probes every address as every identity, all in parallel.
#[must_use]
pub fn probe(identities: &[Identity], addresses: &[Address]) -> Vec<ProbeResult> {
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
        for &transport in identity.expected.transports() {
            results.extend(addresses.iter().map(|&address| ProbeResult {
                identity: identity.clone(),
                address,
                transport,
                outcome: Outcome::NotMade(reason.clone()),
            }));
        }
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
            let results = report.map(|report| results(identity, addresses, report));
            probed.push((identity, results));
        }
    }
    probed
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

/// Runs in the child: takes one identity after the other, and probes the addresses as each.
fn probe_in_child(identities: &[&Identity], addresses: &[Address]) -> Vec<Report> {
    match identities {
        [identity] => vec![report(identity, addresses, become_permanently(identity))],
        identities => identities
            .iter()
            .map(|identity| {
                let impersonation = Impersonation::begin(identity);
                let report = report(identity, addresses, impersonation.as_ref().map(|_| ()));
                // If this fails, the next identity cannot be taken, and its report contains the error.
                drop(impersonation.map(Impersonation::end));
                report
            })
            .collect(),
    }
}

/// Probes the addresses. If the process does not have the identity, reports the reason instead.
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
            .map(|(index, to)| (index, Transport::Udp, send_datagram(to, Source::Any)))
            .collect(),
        (Ok(()), Expected::Refused) => probes_to_refuse(targets),
        (Err(reason), expected) => {
            let outcome = Outcome::NotMade(reason.to_string());
            targets
                .flat_map(|(index, _)| {
                    let transports = expected.transports().iter();
                    transports.map(move |&transport| (index, transport))
                })
                .map(|(index, transport)| (index, transport, outcome.clone()))
                .collect()
        }
    }
}

/// The probes of an identity that must be refused.
fn probes_to_refuse(targets: impl Iterator<Item = (usize, SocketAddr)>) -> Report {
    let mut report = Vec::new();
    let mut connects = Vec::new();
    for (index, target) in targets {
        let datagram = datagram_to_refuse(target);
        connects.push((index, target, connect_to_refuse(target, &datagram)));
        report.push((index, Transport::Udp, datagram));
    }
    let deadline = Instant::now() + CONNECT_LIMIT;
    for (index, target, started) in connects {
        let mut outcome = finish_connect(started, deadline);
        if !outcome.counts_from_source_port() {
            let again = start_connect(target, Source::Any);
            outcome = finish_connect(again, Instant::now() + CONNECT_LIMIT);
        }
        report.push((index, Transport::Tcp, outcome));
    }
    report
}

fn datagram_to_refuse(target: SocketAddr) -> Outcome {
    let outcome = send_datagram(target, Source::Probes);
    if outcome.counts_from_source_port() {
        return outcome;
    }
    send_datagram(target, Source::Any)
}

/// Starts a connect from [`SOURCE_PORT`], after a datagram to the same address had that outcome.
fn connect_to_refuse(target: SocketAddr, datagram: &Outcome) -> nix::Result<OwnedFd> {
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

/// The value for an id that setresuid(2) does not change.
const UNCHANGED: u32 = u32::MAX;

fn cannot(what: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("cannot {what}: {errno}")
}

/// Takes the identity, drops all capabilities, and checks the result. The process cannot undo this.
fn become_permanently(identity: &Identity) -> Result<(), String> {
    let uid = Uid::from_raw(identity.uid.get());
    become_groups(identity)?;
    setresuid(uid, uid, uid).map_err(cannot("set the user"))?;
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|error| format!("cannot drop capabilities: {error}"))?;
    }
    check_identity(identity, uid, CapSet::Permitted)
}

/// While this lasts, the process has the ids of an identity, and no effective capability.
struct Impersonation {
    original: Uid,
}

impl Impersonation {
    fn begin(identity: &Identity) -> Result<Self, String> {
        let original = getresuid().map_err(cannot("read the user"))?.saved;
        let uid = Uid::from_raw(identity.uid.get());
        become_groups(identity)?;
        setresuid(uid, uid, Uid::from_raw(UNCHANGED)).map_err(cannot("set the user"))?;
        caps::clear(None, CapSet::Effective)
            .map_err(|error| format!("cannot drop capabilities: {error}"))?;
        check_identity(identity, original, CapSet::Effective)?;
        Ok(Self { original })
    }

    fn end(self) -> Result<(), String> {
        let permitted = caps::read(None, CapSet::Permitted).map_err(|error| error.to_string())?;
        caps::set(None, CapSet::Effective, &permitted).map_err(|error| error.to_string())?;
        let original = self.original;
        setresuid(original, original, original).map_err(cannot("set the user"))
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

/// Checks that this process has the ids of the identity, this saved uid, and no capability in the set.
fn check_identity(identity: &Identity, saved: Uid, empty: CapSet) -> Result<(), String> {
    let uid = Uid::from_raw(identity.uid.get());
    let gid = Gid::from_raw(identity.gid.get());
    let user = getresuid().map_err(cannot("read the user"))?;
    let group = getresgid().map_err(cannot("read the group"))?;
    let capabilities = caps::read(None, empty).map_err(|error| error.to_string())?;
    let matches = [user.real, user.effective, user.saved] == [uid, uid, saved]
        && [group.real, group.effective, group.saved] == [gid; 3]
        && capabilities.is_empty();
    if !matches {
        return Err("the kernel did not change all ids and capabilities of the process".to_owned());
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
        // Without this option the kernel refuses a broadcast address before it checks any rule.
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
        Err(errno) => Outcome::of(errno),
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
        Err(errno) => return Outcome::of(errno),
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
            Ok(code) => Outcome::of(Errno::from_raw(code)),
            Err(errno) => Outcome::of(errno),
        },
        Err(errno) => Outcome::of(errno),
    }
}
