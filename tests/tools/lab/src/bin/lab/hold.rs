//! `lab hold`: a connection that was opened earlier.

use std::io::{self, ErrorKind, Read, Write, stdin};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use lab::{Ending, Outcome};

use crate::attempt::outcome;
use crate::identity::Identity;

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Open a connection, wait for a line of input, and send a request over it
#[derive(Args)]
pub(crate) struct Hold {
    #[command(flatten)]
    identity: Identity,
    /// The address to connect to
    #[arg(long)]
    addr: IpAddr,
    /// The port
    #[arg(long, default_value_t = 80)]
    port: u16,
}

impl Hold {
    pub(crate) fn run(self) -> Outcome {
        self.identity.assume();
        let mut connection =
            TcpStream::connect_timeout(&SocketAddr::new(self.addr, self.port), PATIENCE)
                .unwrap_or_else(|error| panic!("no connection to hold: {error}"));
        connection
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out can be set");
        println!("open");
        stdin()
            .read_line(&mut String::new())
            .expect("input can be read");
        let started = Instant::now();
        match ask(&mut connection) {
            Ok(()) => outcome(Ending::Answered, None, started),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                outcome(Ending::TimedOut, None, started)
            }
            Err(error) => outcome(Ending::from(&error), Some(&error), started),
        }
    }
}

fn ask(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(b"GET /latest/meta-data/ HTTP/1.1\r\nHost: imds\r\n\r\n")?;
    connection.read_exact(&mut [0])
}
