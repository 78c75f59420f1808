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
    let table = |object: &[u8]| {
        let families = families_of(object);
        (!families.is_empty()).then_some(())?;
        let name = text(attribute(object, 1)?);
        let flags = attribute(object, 2).and_then(number).unwrap_or_default();
        Some(NativeTable {
            families,
            name,
            dormant: flags & 1 != 0,
        })
    };
    Ok(dump(GET_TABLE)?
        .iter()
        .filter_map(|object| table(object))
        .collect())
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
    let chain = |object: &[u8]| {
        let families = families_of(object);
        (!families.is_empty()).then_some(())?;
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
    Ok(dump(GET_CHAIN)?
        .iter()
        .filter_map(|object| chain(object))
        .collect())
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
    let mut objects = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = socket.read(&mut buffer)?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            return Err(unclear());
        }
        while !rest.is_empty() {
            let (kind, message) = message(rest).ok_or_else(unclear)?;
            match i32::from(kind) {
                libc::NLMSG_DONE => return Ok(objects),
                libc::NLMSG_ERROR => {
                    let code = message
                        .get(HEADER..HEADER + 4)
                        .and_then(|four| four.try_into().ok());
                    let code = code.map(i32::from_ne_bytes).ok_or_else(unclear)?;
                    return match Errno::from_raw(-code) {
                        // nfnetlink.c: nobody answers for that subsystem: no nf_tables.
                        Errno::EINVAL | Errno::EOPNOTSUPP => Ok(objects),
                        errno => Err(errno.into()),
                    };
                }
                _ => objects.push(message.get(HEADER..).unwrap_or_default().to_vec()),
            }
            rest = rest.get(aligned(message.len())..).unwrap_or_default();
        }
        if objects.len() > MAX_OBJECTS {
            return Err(unclear());
        }
    }
}

fn unclear() -> io::Error {
    io::Error::other("the kernel's answer to a netlink dump is not understood")
}

/// The first message: its type, and all of it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    let length = usize::try_from(length)
        .ok()
        .filter(|&length| length >= HEADER)?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    Some((kind, bytes.get(..length)?))
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
            assert_eq!(message(bytes), None, "{bytes:?}");
        }
    }
}
