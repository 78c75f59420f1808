//! Probes with real sockets: a child process takes the probe identity, without effective capabilities,
//! and sends test packets to the addresses.
//!
//! No server has to answer. `sendto(2)` of a UDP datagram returns the verdict of the kernel (EPERM if
//! a rule refuses the packet), and a connect that is not refused within 40 ms counts as not answered.
//! Each unlisted identity has its own child, which cannot regain privileges. Several listed identities
//! share a child, because a process costs more than a probe.

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

/// The port of all probes, which is that of the metadata service.
const PORT: u16 = 80;

/// How long to wait for the result of a connect. A REJECT rule answers in 0.1 ms.
const CONNECT_LIMIT: Duration = Duration::from_millis(40);

/// The time limits for all probes together, one for each round. Probes that do not end in time, on a busy
/// machine, are repeated in the next round. One probe waits for less than the shortest limit.
const LIMITS: [Duration; 3] = [
    Duration::from_millis(90),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

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
        results.extend(addresses.iter().map(|&address| ProbeResult {
            identity: identity.clone(),
            address,
            transport: Transport::Udp,
            outcome: Outcome::NotMade(reason.clone()),
        }));
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
    let became = became.map_err(|reason| Outcome::NotMade(reason.to_string()));
    let mut report = Vec::new();
    let mut connects = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let target = SocketAddr::new(address.ip(), PORT);
        let udp = match &became {
            Ok(()) => send_datagram(address.family(), target),
            Err(not_made) => not_made.clone(),
        };
        report.push((index, Transport::Udp, udp));
        if identity.expected == Expected::Refused {
            let tcp = match &became {
                Ok(()) => start_connect(address.family(), target),
                Err(not_made) => Err(not_made.clone()),
            };
            connects.push((index, tcp));
        }
    }
    let deadline = Instant::now() + CONNECT_LIMIT;
    report.extend(connects.into_iter().map(|(index, tcp)| {
        let outcome = match tcp {
            Ok(socket) => finish_connect(&socket, deadline),
            Err(outcome) => outcome,
        };
        (index, Transport::Tcp, outcome)
    }));
    report
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
        // Routing fails before the kernel checks any rule (ip-route(8)): no route, an unreachable,
        // prohibit or blackhole route, a link-local address without an interface, no source address
        // (net.ipv6 disable_ipv6).
        Errno::ENETUNREACH
        | Errno::EHOSTUNREACH
        | Errno::EACCES
        | Errno::EINVAL
        | Errno::EADDRNOTAVAIL => Outcome::NoRoute,
        errno => Outcome::NotMade(errno.to_string()),
    }
}
