//! `nf_tables`, asked and changed over netlink.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};

use crate::policy::Address;
use crate::ruleset::model::ObservedRule;
use crate::ruleset::netlink::attributes::{find, number, put_text};
use crate::ruleset::netlink::{
    ACKNOWLEDGE, DUMP, INTERRUPTED, Message, OBJECT, REQUEST, messages, of_nftables, put_message,
};
use crate::ruleset::nftables::nat::{self, Contents, Elements, NatRule, NatTable, Set};
use crate::ruleset::nftables::object::{self, NativeChain, NativeRule, NativeTable};
use crate::ruleset::nftables::{TABLE, decode};

/// How often is asked again while others change what is asked for.
const TRIES: usize = 10;
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
        let tables = ask(
            &mut socket,
            libc::NFT_MSG_GETTABLE,
            DUMP,
            Of::ALL,
            NativeTable::read,
        )?;
        let chains = ask(
            &mut socket,
            libc::NFT_MSG_GETCHAIN,
            DUMP,
            Of::ALL,
            NativeChain::read,
        )?;
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
    let of = Of {
        table: Some(TABLE),
        ..Of::ALL
    };
    let rules = ask(&mut socket, libc::NFT_MSG_GETRULE, DUMP, of, ours)?;
    let unchanged = ask_generation(&mut socket)? == Some(state.generation);
    // Older kernels send the rules of all tables.
    Ok(unchanged.then(|| rules.into_iter().flatten().collect()))
}

/// What packets to the addresses can reach in the tables of `state`, read into them; `None` if
/// anything was changed since that state. A table that cannot be read holds the reason.
///
/// # Errors
/// As of [`state`].
pub(super) fn read_nat(
    state: &State,
    mut tables: Vec<NatTable>,
    addresses: &[Address],
) -> io::Result<Option<Vec<NatTable>>> {
    if tables.is_empty() {
        return Ok(Some(tables));
    }
    let mut socket = open()?.ok_or(Errno::EPROTONOSUPPORT)?;
    if ask_generation(&mut socket)? != Some(state.generation) {
        return Ok(None);
    }
    for table in &mut tables {
        let of_table: Vec<Address> = addresses
            .iter()
            .filter(|address| table.families.contains(&address.family()))
            .copied()
            .collect();
        let contents = contents(&mut socket, table, &of_table);
        table.contents = contents.map_err(|error| error.to_string());
    }
    let unchanged = ask_generation(&mut socket)? == Some(state.generation);
    Ok(unchanged.then_some(tables))
}

/// Reads chains and sets of the table until nothing is missing.
fn contents(socket: &mut File, table: &NatTable, addresses: &[Address]) -> io::Result<Contents> {
    // A name that is not UTF-8 was read with replacements, and nothing has it.
    let names = table.chains.iter().map(|chain| &chain.name);
    if names
        .chain([&table.name])
        .any(|name| name.contains(char::REPLACEMENT_CHARACTER))
    {
        return Err(unclear());
    }
    let mut contents = Contents::default();
    loop {
        let missing = nat::missing(&contents, &table.chains, addresses);
        if missing.is_empty() {
            return Ok(contents);
        }
        for name in missing.chains {
            // Older kernels send the rules of all chains.
            let of = Of::part(table, &name);
            let rules = ask(socket, libc::NFT_MSG_GETRULE, DUMP, of, |object| {
                let (chain, rule) = NatRule::read(object)?;
                Some((chain == name).then_some(rule))
            })?;
            let rules: Vec<NatRule> = rules.into_iter().flatten().collect();
            contents.chains.insert(name, rules);
        }
        for name in missing.sets {
            let of = Of::part(table, &name);
            let set = ask(socket, libc::NFT_MSG_GETSET, ACKNOWLEDGE, of, Set::read)?;
            let set = set.into_iter().find(|(known, _)| *known == name);
            let (_, set) = set.ok_or_else(unclear)?;
            let elements = ask(socket, libc::NFT_MSG_GETSETELEM, DUMP, of, Elements::read)?;
            contents.sets.insert(name, set.with(elements));
        }
    }
}

/// The number of the last change; `None` if this kernel has no `nf_tables`.
fn ask_generation(socket: &mut File) -> io::Result<Option<u32>> {
    socket.write_all(&request(libc::NFT_MSG_GETGEN, 0, Of::ALL))?;
    let mut buffer = vec![0; BUFFER];
    let length = socket.read(&mut buffer)?;
    let bytes = buffer.get(..length).unwrap_or_default();
    let message = messages(bytes).next().flatten().ok_or_else(unclear)?;
    match error(&message)? {
        // nfnetlink.c: nobody answers for that subsystem.
        Some(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(None),
        Some(errno) => Err(errno.into()),
        None => {
            // NFTA_GEN_ID
            let attributes = message.payload.get(OBJECT..).unwrap_or_default();
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
        let bytes = match received {
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
        for message in messages(bytes) {
            let message = message.ok_or_else(unclear)?;
            if i32::from(message.kind) == libc::NLMSG_ERROR {
                answered = true;
                if let Some(errno) = error(&message)? {
                    refusal.get_or_insert(Refusal {
                        message: message.sequence,
                        errno,
                    });
                }
            }
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

/// What is asked for.
#[derive(Debug, Clone, Copy)]
struct Of<'a> {
    /// NFPROTO_UNSPEC: of every family.
    family: u8,
    table: Option<&'a str>,
    /// A chain or a set.
    part: Option<&'a str>,
}

impl<'a> Of<'a> {
    const ALL: Self = Self {
        family: 0,
        table: None,
        part: None,
    };

    fn part(table: &'a NatTable, part: &'a str) -> Self {
        Self {
            family: object::number_of(table.families),
            table: Some(&table.name),
            part: Some(part),
        }
    }
}

/// A question: one of enum nf_tables_msg_types.
fn request(kind: libc::c_int, flags: u16, of: Of<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = (of_nftables(kind), REQUEST | flags, 0);
    put_message(&mut bytes, head, [of.family, 0, 0, 0], |bytes| {
        // NFTA_RULE_TABLE, _CHAIN; NFTA_SET_TABLE, _NAME; NFTA_SET_ELEM_LIST_TABLE, _SET
        for (kind, name) in (1..).zip([of.table, of.part]) {
            if let Some(name) = name {
                put_text(bytes, kind, name);
            }
        }
    });
    bytes
}

/// All objects of a kind that work in an IP family, as `read` reads them; with the flags of a dump,
/// or with [`ACKNOWLEDGE`] the one of that name.
///
/// The socket has to have been read from: only then does the kernel know how much one read gets,
/// and before it takes a page for that (af_netlink.c, `max_recvmsg_len`). A rule that does not fit
/// where a part of the answer begins ends the list, with no word of the rest.
fn ask<T>(
    socket: &mut File,
    kind: libc::c_int,
    flags: u16,
    of: Of<'_>,
    read: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    for _ in 0..TRIES {
        socket.write_all(&request(kind, flags, of))?;
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
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Err(unclear());
        }
        for message in messages(bytes) {
            let message = message.ok_or_else(unclear)?;
            whole &= message.flags & INTERRUPTED == 0;
            match (i32::from(message.kind), error(&message)?) {
                (_, Some(errno)) => return Err(errno.into()),
                (libc::NLMSG_DONE | libc::NLMSG_ERROR, None) => {
                    return Ok(whole.then_some(objects));
                }
                (_, None) => {
                    let object = message.payload;
                    if !object::families(object).is_empty() {
                        objects.push(read(object).ok_or_else(unclear)?);
                    }
                }
            }
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

/// The error that a message of NLMSG_ERROR or NLMSG_DONE carries, if it is one and carries one.
fn error(message: &Message<'_>) -> io::Result<Option<Errno>> {
    if !message.is_answer() {
        return Ok(None);
    }
    match message.error().ok_or_else(unclear)? {
        0 => Ok(None),
        code => Ok(Some(Errno::from_raw(code))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(kind: i32, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (object, rest) = payload.split_first_chunk().unwrap();
        let kind = u16::try_from(kind).unwrap();
        put_message(&mut bytes, (kind, flags, 0), *object, |bytes| {
            bytes.extend(rest);
        });
        bytes
    }

    #[test]
    fn a_dump_that_was_interrupted_or_failed_is_none_that_is_whole() {
        const RULE: i32 = 10 << 8;
        let read = |object: &[u8]| Some(object.to_vec());
        let answer = |bytes: &[u8]| answer(bytes, &read);
        let good = 0_i32.to_ne_bytes();
        let object = || sent(RULE, 2, &[2, 0, 0, 0]);
        let whole = [object(), sent(libc::NLMSG_DONE, 2, &good)].concat();
        let objects = answer(&whole).unwrap();
        assert_eq!(objects, Some(vec![vec![2, 0, 0, 0]]));
        for flags in [[0x12, 2, 2], [2, 0x12, 2], [2, 2, 0x12]] {
            let changed = [
                sent(RULE, flags[0], &[2, 0, 0, 0]),
                sent(RULE, flags[1], &[2, 0, 0, 0]),
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
