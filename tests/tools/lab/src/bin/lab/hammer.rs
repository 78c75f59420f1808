//! `lab hammer`: tries to get through, without a pause.

use std::io::{self, stdin};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use clap::Args;
use lab::{Counts, Ending};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};

use crate::identity::Identity;

/// The bounded wait of one TCP connect.
const PATIENCE: Duration = Duration::from_millis(20);

/// Connect by TCP and send by UDP without a pause, until input arrives or ends
#[derive(Args)]
pub(crate) struct Hammer {
    #[command(flatten)]
    identity: Identity,
    /// An address to try; may be given more than once
    #[arg(long, required = true)]
    addr: Vec<IpAddr>,
    /// The port
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// When to end in any case
    #[arg(long)]
    seconds_max: u64,
}

impl Hammer {
    pub(crate) fn run(self) -> Counts {
        self.identity.assume();
        let end = Instant::now() + Duration::from_secs(self.seconds_max);
        let targets: Vec<_> = self
            .addr
            .iter()
            .map(|address| SocketAddr::new(*address, self.port))
            .collect();
        let mut counts = Counts::default();
        round(&targets, &mut counts);
        println!("started");
        while Instant::now() < end && !told_to_stop() {
            round(&targets, &mut counts);
        }
        counts
    }
}

fn round(targets: &[SocketAddr], counts: &mut Counts) {
    for to in targets {
        counts.attempts += 2;
        match connect(*to) {
            Ok(()) => counts.connected += 1,
            Err(error) => *counter(counts, &error) += 1,
        }
        match send(*to) {
            Ok(()) => counts.udp_sent += 1,
            Err(error) => *counter(counts, &error) += 1,
        }
    }
}

pub(crate) fn connect(to: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    // Closed by a reset: tens of thousands of connections in time-wait would use up the ports.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect_timeout(&to.into(), PATIENCE)
}

pub(crate) fn send(to: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.send_to(b"lab", &to.into()).map(|_| ())
}

fn counter<'a>(counts: &'a mut Counts, error: &io::Error) -> &'a mut u64 {
    match Ending::from(error) {
        Ending::Refused | Ending::Denied => &mut counts.refused,
        Ending::TimedOut => &mut counts.timed_out,
        _ => &mut counts.other,
    }
}

fn told_to_stop() -> bool {
    let input = stdin();
    // A failing poll ends the hammer as well, rather than leave it running unheard.
    poll(
        &mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)],
        PollTimeout::ZERO,
    ) != Ok(0)
}
