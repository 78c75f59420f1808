//! What iptables does not show of nf_tables, asked of the kernel itself over netlink.
//!
//! Two dumps, of tables and of chains (linux/netfilter/nf_tables.h, nfnetlink.h, netlink.h). All
//! numbers in headers are in this machine's order, all in attributes in network order.

use std::fs::File;
use std::io::{self, Read, Write};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::policy::Family;
use crate::verify::NativeTable;

/// NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE
const GET_TABLE: u16 = 10 << 8 | 1;
/// NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN
const GET_CHAIN: u16 = 10 << 8 | 4;
/// NLM_F_REQUEST | NLM_F_DUMP
const DUMP: u16 = 0x1 | 0x300;
/// NLM_F_DUMP_INTR: something was changed while the dump was made.
const INTERRUPTED: u16 = 0x10;
/// How often a dump is tried that others interrupt.
const TRIES: usize = 10;
/// struct nlmsghdr: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// struct nfgenmsg: family, version, resource.
const NF_HEADER: usize = 4;
/// More objects than any host has; a kernel that sends more is not understood.
const MAX_OBJECTS: usize = 1 << 20;

/// The tables of the two IP families, and of both.
///
/// # Errors
/// The kernel could not be asked, or its answer is not understood.
pub(super) fn tables() -> io::Result<Vec<NativeTable>> {
    // NFTA_TABLE_NAME, NFTA_TABLE_FLAGS; NFT_TABLE_F_DORMANT.
    let table = |(families, object): (_, &Vec<u8>)| {
        let flags = attribute(object, 2).and_then(number)?;
        Some(NativeTable {
            families,
            name: text(attribute(object, 1)?),
            dormant: flags & 1 != 0,
        })
    };
    let objects = dump(GET_TABLE)?;
    let tables = of_ip(&objects).map(|object| table(object).ok_or_else(unclear));
    tables.collect()
}

/// A chain of nf_tables.
#[derive(Debug, Clone)]
pub(super) struct NativeChain {
    /// The IP families whose packets it meets.
    pub(super) families: &'static [Family],
    /// Its table.
    pub(super) table: String,
    /// Its name.
    pub(super) name: String,
    /// Whether it translates addresses before `filter`: of packets made on this host, or not.
    pub(super) translates: Option<bool>,
    /// Whether it is a chain of the table `nat` of iptables-nft, by name, hook and priority.
    pub(super) is_of_iptables: bool,
}

/// The chains of the two IP families, and of both.
///
/// # Errors
/// The kernel could not be asked, or its answer is not understood.
pub(super) fn chains() -> io::Result<Vec<NativeChain>> {
    // NFTA_CHAIN_TABLE, _NAME, _HOOK, _USE, _TYPE; NFTA_HOOK_HOOKNUM; NF_INET_PRE_ROUTING and
    // NF_INET_LOCAL_OUT.
    let translates = |object: &[u8]| {
        (text(attribute(object, 7)?) == "nat").then_some(())?;
        // A kernel that does not tell how many rules there are may have some.
        (attribute(object, 6).and_then(number) != Some(0)).then_some(())?;
        match number(attribute_in(attribute(object, 4)?, 1)?)? {
            0 => Some(false),
            3 => Some(true),
            _ => None,
        }
    };
    // NFTA_HOOK_PRIORITY; NF_IP_PRI_NAT_DST, in two's complement.
    let priority = |object: &[u8]| number(attribute_in(attribute(object, 4)?, 2)?);
    let chain = |(families, object): (&'static [Family], &Vec<u8>)| {
        let (table, name) = (text(attribute(object, 1)?), text(attribute(object, 3)?));
        let translates = translates(object);
        let as_named = matches!(
            (&*name, translates),
            ("OUTPUT", Some(true)) | ("PREROUTING", Some(false))
        );
        let is_of_iptables = families.len() == 1
            && table == "nat"
            && as_named
            && priority(object) == Some((-100_i32).cast_unsigned());
        Some(NativeChain {
            families,
            table,
            name,
            translates,
            is_of_iptables,
        })
    };
    let objects = dump(GET_CHAIN)?;
    let chains = of_ip(&objects).map(|object| chain(object).ok_or_else(unclear));
    chains.collect()
}

/// The objects that work in an IP family, with their families.
fn of_ip(objects: &[Vec<u8>]) -> impl Iterator<Item = (&'static [Family], &Vec<u8>)> {
    let objects = objects.iter().map(|object| (families_of(object), object));
    objects.filter(|(families, _)| !families.is_empty())
}

/// The IP families in which an object works: NFPROTO_INET is both.
fn families_of(object: &[u8]) -> &'static [Family] {
    match object.first() {
        Some(1) => &Family::ALL,
        Some(2) => &[Family::V4],
        Some(10) => &[Family::V6],
        _ => &[],
    }
}

/// All objects of a kind, each from its struct nfgenmsg on.
fn dump(kind: u16) -> io::Result<Vec<Vec<u8>>> {
    for _ in 0..TRIES {
        let mut socket = match socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        ) {
            // A kernel without nfnetlink.
            Err(Errno::EPROTONOSUPPORT) => return Ok(Vec::new()),
            socket => File::from(socket?),
        };
        let mut request = Vec::from(20_u32.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(DUMP.to_ne_bytes());
        request.extend([0; 8 + NF_HEADER]);
        socket.write_all(&request)?;
        if let Some(objects) = answer(socket)? {
            return Ok(objects);
        }
    }
    Err(io::Error::other(
        "the firewall was changed all the time while the kernel listed it",
    ))
}

/// The objects that the kernel answers with; `None` if they changed while it listed them, so that
/// some may be missing.
fn answer(mut socket: impl Read) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut objects = Vec::new();
    let mut whole = true;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = socket.read(&mut buffer)?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            return Err(unclear());
        }
        while !rest.is_empty() {
            let Message { kind, flags, bytes } = message(rest).ok_or_else(unclear)?;
            whole &= flags & INTERRUPTED == 0;
            let code = || {
                let code = bytes.get(HEADER..HEADER + 4)?.try_into().ok()?;
                i32::from_ne_bytes(code).checked_neg()
            };
            match i32::from(kind) {
                libc::NLMSG_DONE => {
                    return match code().ok_or_else(unclear)? {
                        0 => Ok(whole.then_some(objects)),
                        code => Err(io::Error::from_raw_os_error(code)),
                    };
                }
                libc::NLMSG_ERROR => {
                    return match code().ok_or_else(unclear)? {
                        // nfnetlink.c: nobody answers for that subsystem: no nf_tables.
                        libc::EINVAL | libc::EOPNOTSUPP => Ok(Some(objects)),
                        code => Err(io::Error::from_raw_os_error(code)),
                    };
                }
                _ => objects.push(bytes.get(HEADER..).unwrap_or_default().to_vec()),
            }
            rest = rest.get(aligned(bytes.len())..).unwrap_or_default();
        }
        if objects.len() > MAX_OBJECTS {
            return Err(unclear());
        }
    }
}

fn unclear() -> io::Error {
    io::Error::other("the kernel's answer to a netlink dump is not understood")
}

/// A netlink message.
struct Message<'a> {
    kind: u16,
    flags: u16,
    /// All of it.
    bytes: &'a [u8],
}

/// The first message.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let two = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    (length >= HEADER).then_some(Message {
        kind: two(4)?,
        flags: two(6)?,
        bytes: bytes.get(..length)?,
    })
}

/// The value of an object's attribute.
fn attribute(object: &[u8], kind: u16) -> Option<&[u8]> {
    attribute_in(object.get(NF_HEADER..)?, kind)
}

/// The value of an attribute among attributes: length and type, two bytes each, then the value.
fn attribute_in(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length: usize = u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?).into();
        // The two upper bits are flags (NLA_TYPE_MASK).
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(aligned(length)..)?;
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

fn text(value: &[u8]) -> String {
    let text = value.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_whatever_stands_around_them() {
        let one = [6, 0, 1, 0, b'a', 0, 0, 0];
        let two = [8, 0, 2, 0x80, 0, 0, 1, 2];
        let both = [one, two].concat();
        assert_eq!(attribute_in(&both, 1).map(text), Some("a".to_owned()));
        assert_eq!(attribute_in(&both, 2).and_then(number), Some(258));
        assert_eq!(attribute_in(&both, 3), None);
    }

    #[test]
    fn damaged_answers_end_the_search() {
        for bytes in [&[][..], &[0], &[0; 4], &[3, 0, 1, 0], &[255, 0, 2, 0, 1]] {
            assert_eq!(attribute_in(bytes, 1), None, "{bytes:?}");
            assert!(message(bytes).is_none(), "{bytes:?}");
        }
    }

    fn sent(kind: i32, flags: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        let mut bytes = Vec::from(length.to_ne_bytes());
        bytes.extend(u16::try_from(kind).unwrap().to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_dump_that_was_interrupted_or_failed_is_none_that_is_whole() {
        const OBJECT: i32 = 10 << 8;
        let good = 0_i32.to_ne_bytes();
        let object = || sent(OBJECT, 2, &[2, 0, 0, 0]);
        let whole = [object(), sent(libc::NLMSG_DONE, 2, &good)].concat();
        let objects = answer(whole.as_slice()).unwrap();
        assert_eq!(objects, Some(vec![vec![2, 0, 0, 0]]));
        for flags in [[0x12, 2, 2], [2, 0x12, 2], [2, 2, 0x12]] {
            let changed = [
                sent(OBJECT, flags[0], &[2, 0, 0, 0]),
                sent(OBJECT, flags[1], &[2, 0, 0, 0]),
                sent(libc::NLMSG_DONE, flags[2], &good),
            ];
            assert_eq!(answer(changed.concat().as_slice()).unwrap(), None);
        }
        let no_memory = (-libc::ENOMEM).to_ne_bytes();
        for kind in [libc::NLMSG_DONE, libc::NLMSG_ERROR] {
            let failed = [object(), sent(kind, 2, &no_memory)].concat();
            let error = answer(failed.as_slice()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
        }
        assert!(answer(object().as_slice()).is_err(), "it breaks off");
    }
}
