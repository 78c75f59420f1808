//! `lab queue`: a program that reads packets from NFQUEUE 0, as OpenSnitch does (linux/netfilter/nfnetlink_queue.h).

use std::io::{Read, Write, stdin};
use std::sync::Arc;
use std::thread;

use clap::Args;
use nix::libc::{AF_NETLINK, NETLINK_NETFILTER, NLM_F_ACK, NLM_F_REQUEST};
use socket2::{Domain, Protocol, Socket, Type};

/// `NFNL_SUBSYS_QUEUE << 8`
const QUEUE: u16 = 3 << 8;
/// `NFQNL_MSG_PACKET`
const PACKET: u16 = QUEUE;
/// `NFQNL_MSG_VERDICT`
const VERDICT: u16 = QUEUE | 1;
/// `NFQNL_MSG_CONFIG`
const CONFIG: u16 = QUEUE | 2;
/// `NF_ACCEPT`
const ACCEPT: u32 = 1;

/// Read the packets of NFQUEUE 0 until the input ends, without a verdict
#[derive(Args)]
pub(crate) struct Queue {
    /// Accept each packet
    #[arg(long)]
    accept: bool,
}

impl Queue {
    pub(crate) fn run(self) {
        let socket = Socket::new(
            Domain::from(AF_NETLINK),
            Type::RAW,
            Some(Protocol::from(NETLINK_NETFILTER)),
        )
        .expect("netlink");
        // NFQA_CFG_CMD: NFQNL_CFG_CMD_BIND. NFQA_CFG_PARAMS: all bytes of NFQNL_COPY_META.
        config(&socket, &attribute(1, &[1, 0, 0, 0]));
        config(&socket, &attribute(2, &[0, 0, 0, 0, 1]));
        println!("ready");
        let socket = Arc::new(socket);
        let reader = Arc::clone(&socket);
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count) = (&*reader).read(&mut buffer) {
                for message in lab::netlink::messages(&buffer[..count]) {
                    // The first attribute, behind struct nfgenmsg, is NFQA_PACKET_HDR, with the id first.
                    if self.accept && message.kind == PACKET {
                        let header = [&ACCEPT.to_be_bytes()[..], &message.object[8..12]].concat();
                        send(&reader, VERDICT, 0, &attribute(2, &header));
                    }
                }
            }
        });
        // An error ends it just as well.
        let _ = stdin().read(&mut [0]);
        drop(socket);
    }
}

/// Sends a request about the queue, which the kernel must accept.
fn config(socket: &Socket, attribute: &[u8]) {
    send(socket, CONFIG, NLM_F_ACK, attribute);
    let mut answer = [0; 1024];
    let count = { socket }.read(&mut answer).expect("an answer");
    // struct nlmsgerr: 0 is success.
    assert_eq!(answer[16..20], [0; 4], "{:?}", &answer[..count]);
}

fn send(mut socket: &Socket, kind: u16, flags: i32, attribute: &[u8]) {
    let flags = u16::try_from(NLM_F_REQUEST | flags).expect("16 bits");
    let length = u32::try_from(20 + attribute.len()).expect("a short message");
    let message = [
        &length.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &[0; 8],
        // struct nfgenmsg: any family, version 0, queue 0.
        &[0; 4],
        attribute,
    ]
    .concat();
    socket.write_all(&message).expect("a message can be sent");
}

/// One attribute, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("a short attribute");
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
