//! `nf_tables`, asked and changed over netlink (linux/netfilter/nfnetlink.h, netlink.h).
//!
//! All numbers in headers are in this machine's order, all in attributes in network order.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};

use crate::ruleset::model::ObservedRule;
use crate::ruleset::nftables::attributes::{aligned, find, number, put_text};
use crate::ruleset::nftables::object::{self, NativeChain, NativeRule, NativeTable};
use crate::ruleset::nftables::{TABLE, decode};

/// NLM_F_REQUEST, and with NLM_F_DUMP.
const REQUEST: u16 = 0x1;
const DUMP: u16 = REQUEST | 0x300;
/// NLM_F_DUMP_INTR: something was changed while the dump was made.
const INTERRUPTED: u16 = 0x10;
/// How often is asked again while others change what is asked for.
const TRIES: usize = 10;
/// struct nlmsghdr: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// What one read gets at most. The kernel fills 32 KiB (af_netlink.c).
const BUFFER: usize = 1 << 16;
/// More objects than any host has; a kernel that sends more is not understood.
const MAX_OBJECTS: usize = 1 << 20;

/// What `nf_tables` held at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The tables of the two IP families, and of both.
    pub(super) tables: Vec<NativeTable>,
    /// The chains of the two IP families, and of both.
    pub(super) chains: Vec<NativeChain>,
    /// Each change of whatever rule gives it another number.
    generation: u32,
}

impl State {
    /// Nothing at all.
    pub(super) const EMPTY: Self = Self {
        tables: Vec::new(),
        chains: Vec::new(),
        generation: 0,
    };

    /// Our table.
    pub(super) fn ours(&self) -> Option<&NativeTable> {
        let mut tables = self.tables.iter();
        tables.find(|table| decode::is_ours(table.families, &table.name))
    }
}

/// The tables and chains; `None` if this kernel has no `nf_tables`.
///
/// # Errors
/// The kernel could not be asked, or its answer is not understood.
pub(super) fn state() -> io::Result<Option<State>> {
    let Some(mut socket) = open()? else {
        return Ok(None);
    };
    for _ in 0..TRIES {
        let Some(generation) = ask_generation(&mut socket)? else {
            return Ok(None);
        };
        let tables = dump(&mut socket, libc::NFT_MSG_GETTABLE, None, NativeTable::read)?;
        let chains = dump(&mut socket, libc::NFT_MSG_GETCHAIN, None, NativeChain::read)?;
        if ask_generation(&mut socket)? == Some(generation) {
            return Ok(Some(State {
                tables,
                chains,
                generation,
            }));
        }
    }
    Err(always_changed())
}

/// The rules of our table, each with the name of its chain; `None` if anything was changed since
/// that state.
///
/// # Errors
/// As of [`state`].
pub(super) fn own_rules(state: &State) -> io::Result<Option<Vec<(String, ObservedRule)>>> {
    let ours = |object: &[u8]| {
        let rule = NativeRule::read(object)?;
        let ours = decode::is_ours(rule.families, &rule.table);
        Some(ours.then(|| (rule.chain.clone(), decode::rule(rule))))
    };
    let mut socket = open()?.ok_or(Errno::EPROTONOSUPPORT)?;
    if ask_generation(&mut socket)? != Some(state.generation) {
        return Ok(None);
    }
    let rules = dump(&mut socket, libc::NFT_MSG_GETRULE, Some(TABLE), ours)?;
    let unchanged = ask_generation(&mut socket)? == Some(state.generation);
    // Older kernels send the rules of all tables.
    Ok(unchanged.then(|| rules.into_iter().flatten().collect()))
}

/// The number of the last change; `None` if this kernel has no `nf_tables`.
fn ask_generation(socket: &mut File) -> io::Result<Option<u32>> {
    socket.write_all(&request(libc::NFT_MSG_GETGEN, REQUEST, None))?;
    let mut buffer = vec![0; BUFFER];
    let length = socket.read(&mut buffer)?;
    let bytes = buffer.get(..length).unwrap_or_default();
    let Message { kind, bytes, .. } = message(bytes).ok_or_else(unclear)?;
    match error(kind, bytes)? {
        // nfnetlink.c: nobody answers for that subsystem.
        Some(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(None),
        Some(errno) => Err(errno.into()),
        None => {
            // NFTA_GEN_ID
            let attributes = bytes.get(HEADER + object::HEADER..).unwrap_or_default();
            let generation = find(attributes, 1).and_then(number);
            generation.map(Some).ok_or_else(unclear)
        }
    }
}

/// Why the kernel did not take a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The number of the message; 0 stands for the whole.
    pub(super) message: u32,
    /// Its reason.
    pub(super) errno: Errno,
}

/// Sends a transaction ([`crate::ruleset::nftables::encode::transaction`]). When this returns, all
/// of it is in force, or nothing.
///
/// # Errors
/// The kernel could not be asked, or did not answer.
pub(super) fn transact(batch: &[u8]) -> io::Result<Result<(), Refusal>> {
    let mut socket = open()?.ok_or(Errno::EPROTONOSUPPORT)?;
    // It has to be sent as one. Beyond net.core.wmem_max only the host's root may go, not that of a
    // user namespace; what does not fit is refused as such.
    let _ = setsockopt(&socket, sockopt::SndBufForce, &batch.len())
        .or_else(|_| setsockopt(&socket, sockopt::SndBuf, &batch.len()));
    socket.write_all(batch)?;
    // Writing does not return before the kernel has done all and answered (af_netlink.c, "unicast
    // to the kernel"), so nothing is waited for.
    let mut answered = false;
    let mut refusal = None;
    let mut overrun = false;
    let mut buffer = vec![0; BUFFER];
    loop {
        let received = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT);
        let mut rest = match received {
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(Errno::EAGAIN) => break,
            Err(Errno::EINTR) => continue,
            // Said before any answer is given: there were more than there is room for. All but one
            // are refusals, and the first one says why.
            Err(Errno::ENOBUFS) => {
                overrun = true;
                continue;
            }
            Err(errno) => return Err(errno.into()),
        };
        while !rest.is_empty() {
            let Message {
                kind,
                sequence,
                bytes,
                ..
            } = message(rest).ok_or_else(unclear)?;
            if i32::from(kind) == libc::NLMSG_ERROR {
                answered = true;
                if let Some(errno) = error(kind, bytes)? {
                    refusal.get_or_insert(Refusal {
                        message: sequence,
                        errno,
                    });
                }
            }
            rest = rest.get(aligned(bytes.len())..).unwrap_or_default();
        }
    }
    let errno = Errno::ENOBUFS;
    let refusal = refusal.or_else(|| overrun.then_some(Refusal { message: 0, errno }));
    match (refusal, answered) {
        (Some(refusal), _) => Ok(Err(refusal)),
        (None, true) => Ok(Ok(())),
        (None, false) => Err(io::Error::other("the kernel did not answer a transaction")),
    }
}

/// A socket; `None` on a kernel without nfnetlink.
fn open() -> io::Result<Option<File>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    );
    match socket {
        Err(Errno::EPROTONOSUPPORT) => Ok(None),
        socket => Ok(Some(File::from(socket?))),
    }
}

/// A question: NFNL_SUBSYS_NFTABLES and one of enum nf_tables_msg_types.
fn request(kind: libc::c_int, flags: u16, table: Option<&str>) -> Vec<u8> {
    let kind = u16::try_from(kind).unwrap_or_default();
    let mut bytes = vec![0; 4];
    bytes.extend((10 << 8 | kind).to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8 + object::HEADER]);
    if let Some(table) = table {
        // NFTA_RULE_TABLE
        put_text(&mut bytes, 1, table);
    }
    let length = u32::try_from(bytes.len()).unwrap_or_default();
    for (place, byte) in bytes.iter_mut().zip(length.to_ne_bytes()) {
        *place = byte;
    }
    bytes
}

/// All objects of a kind that work in an IP family, as `read` reads them.
///
/// The socket has to have been read from: only then does the kernel know how much one read gets,
/// and before it takes a page for that (af_netlink.c, `max_recvmsg_len`). A rule that does not fit
/// where a part of the answer begins ends the list, with no word of the rest.
fn dump<T>(
    socket: &mut File,
    kind: libc::c_int,
    table: Option<&str>,
    read: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    for _ in 0..TRIES {
        socket.write_all(&request(kind, DUMP, table))?;
        if let Some(objects) = answer(&mut *socket, &read)? {
            return Ok(objects);
        }
    }
    Err(always_changed())
}

/// The objects in the kernel's answer; `None` if they changed while it listed them, so that
/// some may be missing.
fn answer<T>(
    mut socket: impl Read,
    read: &impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<Vec<T>>> {
    let mut objects = Vec::new();
    let mut whole = true;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = socket.read(&mut buffer)?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            return Err(unclear());
        }
        while !rest.is_empty() {
            let message = message(rest).ok_or_else(unclear)?;
            let Message { kind, bytes, .. } = message;
            whole &= message.flags & INTERRUPTED == 0;
            match (i32::from(kind), error(kind, bytes)?) {
                (_, Some(errno)) => return Err(errno.into()),
                (libc::NLMSG_DONE, None) => return Ok(whole.then_some(objects)),
                (_, None) => {
                    let object = bytes.get(HEADER..).unwrap_or_default();
                    if !object::families(object).is_empty() {
                        objects.push(read(object).ok_or_else(unclear)?);
                    }
                }
            }
            rest = rest.get(aligned(bytes.len())..).unwrap_or_default();
        }
        if objects.len() > MAX_OBJECTS {
            return Err(unclear());
        }
    }
}

pub(super) fn always_changed() -> io::Error {
    io::Error::other("the firewall was changed all the time while the kernel listed it")
}

pub(super) fn unclear() -> io::Error {
    io::Error::other("the kernel's answer over netlink is not understood")
}

/// A netlink message.
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    /// All of it.
    bytes: &'a [u8],
}

/// The first message.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let two = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let four = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(four(0)?).ok()?;
    (length >= HEADER).then_some(Message {
        kind: two(4)?,
        flags: two(6)?,
        sequence: four(8)?,
        bytes: bytes.get(..length)?,
    })
}

/// The error that a message of NLMSG_ERROR or NLMSG_DONE carries, if it is one and carries one.
fn error(kind: u16, bytes: &[u8]) -> io::Result<Option<Errno>> {
    if !matches!(i32::from(kind), libc::NLMSG_ERROR | libc::NLMSG_DONE) {
        return Ok(None);
    }
    let code = bytes.get(HEADER..HEADER + 4);
    let code = code.and_then(|code| code.try_into().ok());
    let code = code.and_then(|code| i32::from_ne_bytes(code).checked_neg());
    match code.ok_or_else(unclear)? {
        0 => Ok(None),
        code => Ok(Some(Errno::from_raw(code))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_messages_are_none() {
        for bytes in [&[][..], &[0], &[0; 15], &[200, 0, 0, 0, 1, 1, 1, 1]] {
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
        let read = |object: &[u8]| Some(object.to_vec());
        let answer = |bytes: &[u8]| answer(bytes, &read);
        let good = 0_i32.to_ne_bytes();
        let object = || sent(OBJECT, 2, &[2, 0, 0, 0]);
        let whole = [object(), sent(libc::NLMSG_DONE, 2, &good)].concat();
        let objects = answer(&whole).unwrap();
        assert_eq!(objects, Some(vec![vec![2, 0, 0, 0]]));
        for flags in [[0x12, 2, 2], [2, 0x12, 2], [2, 2, 0x12]] {
            let changed = [
                sent(OBJECT, flags[0], &[2, 0, 0, 0]),
                sent(OBJECT, flags[1], &[2, 0, 0, 0]),
                sent(libc::NLMSG_DONE, flags[2], &good),
            ];
            assert_eq!(answer(&changed.concat()).unwrap(), None);
        }
        let no_memory = (-libc::ENOMEM).to_ne_bytes();
        for kind in [libc::NLMSG_DONE, libc::NLMSG_ERROR] {
            let failed = [object(), sent(kind, 2, &no_memory)].concat();
            let error = answer(&failed).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
        }
        assert!(answer(&object()).is_err(), "it breaks off");
    }
}
