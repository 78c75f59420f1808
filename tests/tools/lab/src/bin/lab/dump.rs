//! `lab dump`: the kernel's netlink dump of nf_tables, unchanged.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};

/// NFNL_SUBSYS_NFTABLES
const NFTABLES: u16 = 10;
/// struct nlmsghdr, and struct nfgenmsg behind it.
const HEADER: usize = 16;
const OBJECT: usize = 4;

/// Write all chains, all rules, and each set with its elements into a file: the kernel's messages
/// one behind the other
#[derive(Args)]
pub(crate) struct DumpArgs {
    /// The file
    file: PathBuf,
}

impl DumpArgs {
    pub(crate) fn run(self) {
        let netfilter = Protocol::from(libc::NETLINK_NETFILTER);
        let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(netfilter))
            .expect("the kernel has nfnetlink");
        let mut all = Vec::new();
        for kind in [libc::NFT_MSG_GETCHAIN, libc::NFT_MSG_GETRULE] {
            all.extend(dump(&mut socket, kind, 0, &[]).concat());
        }
        for set in dump(&mut socket, libc::NFT_MSG_GETSET, 0, &[]) {
            let (object, attributes) = set[HEADER..].split_at(OBJECT);
            // NFTA_SET_TABLE and _NAME come first, in this order; NFTA_SET_ELEM_LIST_TABLE and
            // _SET have the same numbers.
            let table = padded_length(attributes);
            let name = table + padded_length(&attributes[table..]);
            let of = &attributes[..name];
            let elements = dump(&mut socket, libc::NFT_MSG_GETSETELEM, object[0], of);
            all.extend(&set);
            all.extend(elements.concat());
        }
        fs::write(&self.file, all).expect("the file can be written");
    }
}

/// The length of the first attribute.
fn padded_length(attributes: &[u8]) -> usize {
    let length = u16::from_ne_bytes([attributes[0], attributes[1]]);
    usize::from(length).next_multiple_of(4)
}

/// The messages of a dump, without its end.
fn dump(socket: &mut Socket, kind: libc::c_int, family: u8, attributes: &[u8]) -> Vec<Vec<u8>> {
    let kind = NFTABLES << 8 | u16::try_from(kind).expect("a small number");
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_DUMP).expect("16 bits");
    let length = u32::try_from(HEADER + OBJECT + attributes.len()).expect("a short message");
    let mut request = Vec::from(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([family, 0, 0, 0]);
    request.extend(attributes);
    socket.write_all(&request).expect("the kernel can be asked");
    let mut messages = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = socket.read(&mut buffer).expect("the kernel answers");
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]);
            let length = usize::try_from(length).expect("a length");
            match i32::from(u16::from_ne_bytes([rest[4], rest[5]])) {
                libc::NLMSG_DONE => return messages,
                libc::NLMSG_ERROR => panic!("the kernel refuses to list: {rest:?}"),
                _ => messages.push(rest[..length].to_vec()),
            }
            rest = &rest[length.next_multiple_of(4)..];
        }
    }
}
