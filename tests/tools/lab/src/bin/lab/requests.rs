//! `lab requests`: the usual requests of an allowed user.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use lab::Served;

use crate::identity::Identity;

/// The bounded wait of a connect, and of every read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fetch a token, then the credentials again and again, one connection a request
#[derive(Args)]
pub(crate) struct Requests {
    #[command(flatten)]
    identity: Identity,
    /// The address of the metadata service
    #[arg(long)]
    addr: IpAddr,
    /// The port
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// How many requests, not counting that for the token
    #[arg(long)]
    count: u32,
}

impl Requests {
    pub(crate) fn run(self) -> Served {
        self.identity.assume();
        let mut client = Client::new(SocketAddr::new(self.addr, self.port));
        let mut served = Served::default();
        for _ in 0..self.count {
            let started = Instant::now();
            match client.fetch() {
                Ok(()) => served.served += 1,
                Err(_) => served.failed += 1,
            }
            served.slowest_ms = served
                .slowest_ms
                .max(started.elapsed().as_secs_f64() * 1000.0);
        }
        served
    }
}

/// A program that gets the credentials of the role again and again.
pub(crate) struct Client {
    to: SocketAddr,
    /// Good for as long as a test may last.
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self { to, token: None }
    }

    /// One request, before the first with one for a token.
    pub(crate) fn fetch(&mut self) -> io::Result<()> {
        let token = match &self.token {
            Some(token) => token,
            None => self.token.insert(request(
                self.to,
                "PUT /latest/api/token",
                "X-aws-ec2-metadata-token-ttl-seconds: 21600",
            )?),
        };
        let header = format!("X-aws-ec2-metadata-token: {token}");
        let role = "GET /latest/meta-data/iam/security-credentials/demo-role";
        request(self.to, role, &header).map(|_| ())
    }
}

/// The body of the answer, if its status is 200. This side closes first, as curl and the SDKs do: the closing
/// packets that matter are then its own.
fn request(to: SocketAddr, what: &str, header: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&to, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection
        .write_all(format!("{what} HTTP/1.1\r\nHost: {to}\r\n{header}\r\n\r\n").as_bytes())?;
    let mut answer = BufReader::new(connection);
    let mut status = String::new();
    answer.read_line(&mut status)?;
    if !status.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other(status));
    }
    let mut length = 0;
    let mut line = String::new();
    while answer.read_line(&mut line)? > "\r\n".len() {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    String::from_utf8(body).map_err(io::Error::other)
}
