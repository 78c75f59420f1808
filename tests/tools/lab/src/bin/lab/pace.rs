//! `lab pace`: measures repeatedly how long an operation takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use lab::Pace;

use crate::identity::Identity;
use crate::requests::Client;

/// Longer than any answer takes, and longer than a refusal should.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is done again and again.
#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// An HTTP request on a connection of its own
    Fresh,
    /// An HTTP request on the connection of the one before
    Kept,
    /// A TCP connect that is refused
    Refused,
    /// A datagram of 64 bytes
    Datagram,
    /// A write of 64 KiB
    Stream,
}

/// Do one thing again and again, and tell how fast it went
#[derive(Args)]
pub(crate) struct PaceArgs {
    #[command(flatten)]
    identity: Identity,
    /// What to do
    #[arg(long, value_enum)]
    what: What,
    /// Where to
    #[arg(long)]
    addr: IpAddr,
    /// The port
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// For how long
    #[arg(long)]
    seconds: f64,
}

impl PaceArgs {
    pub(crate) fn run(self) -> Pace {
        self.identity.assume();
        let to = SocketAddr::new(self.addr, self.port);
        let time = Duration::from_secs_f64(self.seconds);
        match self.what {
            What::Fresh => {
                let mut client = Client::new(to);
                // With the one for a token before it.
                client.fetch().expect("the service answers");
                repeat(time, || client.fetch().expect("the service answers"))
            }
            What::Kept => {
                let mut connection = connect(to);
                let writer = connection.try_clone().expect("a second handle");
                let mut writer = writer;
                let mut reader = BufReader::new(&mut connection);
                repeat(time, || ask_again(&mut writer, &mut reader))
            }
            What::Refused => repeat(time, || {
                let refused = TcpStream::connect_timeout(&to, PATIENCE);
                assert!(refused.is_err(), "the connect got through");
            }),
            What::Datagram => {
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).expect("a socket");
                socket.connect(to).expect("a route");
                repeat(time, || {
                    socket.send(&[0; 64]).expect("the kernel takes it");
                })
            }
            What::Stream => {
                let mut connection = connect(to);
                let block = vec![0; 1 << 16];
                repeat(time, || connection.write_all(&block).expect("a reader"))
            }
        }
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect_timeout(&to, PATIENCE).expect("the service answers");
    connection.set_nodelay(true).expect("a TCP socket");
    connection
}

/// A request without a token, whose answer is a refusal of the service: as good as any for the way of the packets.
fn ask_again(writer: &mut TcpStream, reader: &mut BufReader<&mut TcpStream>) {
    writer
        .write_all(b"GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: imds\r\n\r\n")
        .expect("the connection is kept");
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).expect("an answer") > "\r\n".len() {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the whole answer");
}

/// Does it for that long. Things that take less than a microsecond are timed as a whole.
fn repeat(time: Duration, mut once: impl FnMut()) -> Pace {
    let mut micros = Vec::new();
    let started = Instant::now();
    let mut last = started;
    while last - started < time {
        once();
        let now = Instant::now();
        micros.push((now - last).as_secs_f64() * 1e6);
        last = now;
    }
    micros.sort_by(f64::total_cmp);
    Pace {
        count: micros.len() as u64,
        seconds: (last - started).as_secs_f64(),
        median_us: micros.get(micros.len() / 2).copied().unwrap_or_default(),
    }
}
