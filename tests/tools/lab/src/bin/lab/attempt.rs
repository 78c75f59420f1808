//! `lab try`: one attempt by one kind of socket.

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use clap::Args;
use lab::{Ending, How, Outcome};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::identity::Identity;

/// Try once to reach an address
#[derive(Args)]
pub(crate) struct Try {
    #[command(flatten)]
    identity: Identity,
    /// By which kind of socket
    #[arg(long)]
    how: How,
    /// The address to reach
    #[arg(long)]
    addr: IpAddr,
    /// The port, where the kind has one
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// How long to wait for a handshake
    #[arg(long, default_value_t = 300)]
    wait_ms: u16,
}

impl Try {
    pub(crate) fn run(self) -> Outcome {
        match self.how {
            How::SctpRaw | How::IcmpRaw => self.identity.assume_with_net_raw(),
            _ => self.identity.assume(),
        }
        let to = SocketAddr::new(self.addr, self.port);
        let socket = match socket(self.how, to.ip()) {
            Ok(socket) => socket,
            Err(error) => return outcome(unmade(&error), Some(&error), Instant::now()),
        };
        let started = Instant::now();
        match go(
            self.how,
            &socket,
            to,
            Duration::from_millis(self.wait_ms.into()),
        ) {
            Ok(ending) => outcome(ending, None, started),
            Err(error) => outcome(Ending::from(&error), Some(&error), started),
        }
    }
}

/// Why there is no socket: a lack of privilege here is a mistake of the bench, not the work of a firewall.
fn unmade(error: &io::Error) -> Ending {
    match Ending::from(error) {
        Ending::Unsupported => Ending::Unsupported,
        _ => Ending::Error,
    }
}

pub(crate) fn outcome(ending: Ending, error: Option<&io::Error>, started: Instant) -> Outcome {
    let errno = error.and_then(io::Error::raw_os_error).unwrap_or(0);
    Outcome {
        ending,
        errno,
        ms: started.elapsed().as_secs_f64() * 1000.0,
    }
}

fn socket(how: How, to: IpAddr) -> io::Result<Socket> {
    let echo = if to.is_ipv4() {
        Protocol::ICMPV4
    } else {
        Protocol::ICMPV6
    };
    let (kind, protocol) = match how {
        How::Tcp | How::Mapped | How::TcpFastopen => (Type::STREAM, Protocol::TCP),
        How::Mptcp => (Type::STREAM, Protocol::MPTCP),
        How::Sctp => (Type::STREAM, Protocol::SCTP),
        How::SctpRaw => (Type::RAW, Protocol::SCTP),
        How::Udp => (Type::DGRAM, Protocol::UDP),
        How::Udplite => (Type::DGRAM, Protocol::UDPLITE),
        How::Icmp => (Type::DGRAM, echo),
        How::IcmpRaw => (Type::RAW, echo),
    };
    let domain = match (how, to) {
        (How::Mapped, _) | (_, IpAddr::V6(_)) => Domain::IPV6,
        (_, IpAddr::V4(_)) => Domain::IPV4,
    };
    Socket::new(domain, kind, Some(protocol))
}

fn go(how: How, socket: &Socket, to: SocketAddr, wait: Duration) -> io::Result<Ending> {
    // A raw socket over IPv6 takes a port for a protocol number.
    let portless = SockAddr::from(SocketAddr::new(to.ip(), 0));
    match how {
        How::Tcp | How::Mptcp | How::Sctp => connect(socket, to, wait),
        How::Mapped => match to.ip() {
            IpAddr::V4(address) => connect(
                socket,
                SocketAddr::new(address.to_ipv6_mapped().into(), to.port()),
                wait,
            ),
            IpAddr::V6(_) => Err(io::Error::new(
                ErrorKind::InvalidInput,
                "only an IPv4 address can be mapped",
            )),
        },
        How::TcpFastopen => connect_with_data(socket, to, wait),
        How::Udp | How::Udplite => exchange(socket, b"lab", &to.into(), wait),
        How::Icmp | How::IcmpRaw => exchange(socket, &echo_request(to.ip()), &portless, wait),
        How::SctpRaw => socket
            .send_to(&sctp_init(to.port()), &portless)
            .map(|_| Ending::Sent),
    }
}

fn connect(socket: &Socket, to: SocketAddr, wait: Duration) -> io::Result<Ending> {
    socket
        .connect_timeout(&to.into(), wait)
        .map(|()| Ending::Connected)
}

/// Sends one packet and waits for another. The socket is connected, so that it hears of a refusal: a refused
/// `ICMPv6` packet does not fail at the send.
fn exchange(
    mut socket: &Socket,
    packet: &[u8],
    to: &SockAddr,
    wait: Duration,
) -> io::Result<Ending> {
    socket.connect(to)?;
    socket.set_read_timeout(Some(wait))?;
    socket.send(packet)?;
    match socket.read(&mut [0; 128]) {
        Ok(_) => Ok(Ending::Answered),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Ending::TimedOut),
        Err(error) => Err(error),
    }
}

/// A connect whose SYN carries the beginning of a request.
fn connect_with_data(socket: &Socket, to: SocketAddr, wait: Duration) -> io::Result<Ending> {
    socket.set_nonblocking(true)?;
    match socket.send_to_with_flags(b"GET / HTTP/1.1\r\n", &to.into(), libc::MSG_FASTOPEN) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        Err(_) | Ok(_) => {}
    }
    let timeout = PollTimeout::try_from(wait).expect("the wait is a short one");
    if poll(
        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)],
        timeout,
    )? == 0
    {
        return Ok(Ending::TimedOut);
    }
    socket.take_error()?.map_or(Ok(Ending::Connected), Err)
}

/// An echo request with its checksum (over IPv6 the kernel computes it).
fn echo_request(to: IpAddr) -> [u8; 8] {
    match to {
        IpAddr::V4(_) => [8, 0, 0xf7, 0xff, 0, 0, 0, 0],
        IpAddr::V6(_) => [128, 0, 0, 0, 0, 0, 0, 0],
    }
}

/// A packet with the header of an SCTP INIT, its checksum left out: it is to be sent, not to be answered.
fn sctp_init(port: u16) -> [u8; 32] {
    let mut packet = [0; 32];
    packet[0..2].copy_from_slice(&49152_u16.to_be_bytes());
    packet[2..4].copy_from_slice(&port.to_be_bytes());
    packet[12..16].copy_from_slice(&[1, 0, 0, 20]);
    packet
}
