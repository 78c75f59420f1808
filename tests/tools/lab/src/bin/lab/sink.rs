//! `lab sink`: accepts and discards all packets.

use std::io::{Read, stdin};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;

use clap::Args;

/// Take streams and datagrams and throw them away until the input ends
#[derive(Args)]
pub(crate) struct Sink {
    /// Where to listen; may be given more than once
    #[arg(long, required = true, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
}

impl Sink {
    pub(crate) fn run(self) {
        // Datagrams that nobody reads: the kernel drops them when the socket is full, as cheaply as can be.
        let mut unread = Vec::new();
        for address in self.listen {
            unread.push(UdpSocket::bind(address).expect("the address is free"));
            let listener = TcpListener::bind(address).expect("the address is free");
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    thread::spawn(move || {
                        let mut buffer = vec![0; 1 << 18];
                        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
                    });
                }
            });
        }
        println!("ready");
        // An error ends it just as well.
        let _ = stdin().read(&mut [0]);
        drop(unread);
    }
}
