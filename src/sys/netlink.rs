//! Reads and changes `nf_tables` over netlink.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};

use crate::policy::{Address, Family};
use crate::ruleset::model::ObservedRule;
use crate::ruleset::netlink::attributes::{find, number, put_text};
use crate::ruleset::netlink::{
    ACKNOWLEDGE, DUMP, INTERRUPTED, Message, OBJECT, REQUEST, messages, of_nftables, put_message,
};
use crate::ruleset::nftables::nat::{self, Contents, Elements, NatRule, NatTable, Set};
use crate::ruleset::nftables::object::{self, Leads, NativeChain, NativeRule, NativeTable};
use crate::ruleset::nftables::{TABLE, decode};
use crate::ruleset::{NotRead, Readable};

/// How often objects are read again if other tools change them meanwhile.
const TRIES: usize = 10;
/// The size of the read buffer, in bytes. The kernel returns at most 32 KiB at once (af_netlink.c).
const BUFFER: usize = 1 << 16;
/// The limit for the objects in one reply. No host has so many.
const MAX_OBJECTS: usize = 1 << 20;

/// The tables and chains of `nf_tables` at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The tables of the families `ip`, `ip6` and `inet`.
    pub(super) tables: Vec<NativeTable>,
    /// The chains in these tables.
    pub(super) chains: Vec<NativeChain>,
    /// The number that the kernel increments with each change.
    generation: u32,
}

impl State {
    /// No tables.
    pub(super) const EMPTY: Self = Self {
        tables: Vec::new(),
        chains: Vec::new(),
        generation: 0,
    };

    /// Our table, if it exists.
    pub(super) fn ours(&self) -> Option<&NativeTable> {
        let mut tables = self.tables.iter();
        tables.find(|table| decode::is_ours(table.families, &table.name))
    }
}

/// Reads the tables and chains; `None` if this kernel has no `nf_tables`.
///
/// # Errors
/// The kernel could not be read, returned something unknown, or other tools kept changing the tables.
pub(super) fn state() -> io::Result<Option<State>> {
    let Some(mut socket) = open()? else {
        return Ok(None);
    };
    for _ in 0..TRIES {
        let Some(generation) = read_generation(&mut socket)? else {
            return Ok(None);
        };
        let tables = request_objects(
            &mut socket,
            libc::NFT_MSG_GETTABLE,
            DUMP,
            Scope::ALL,
            NativeTable::read,
        )?;
        let chains = request_objects(
            &mut socket,
            libc::NFT_MSG_GETCHAIN,
            DUMP,
            Scope::ALL,
            NativeChain::read,
        )?;
        if read_generation(&mut socket)? == Some(generation) {
            return Ok(Some(State {
                tables,
                chains,
                generation,
            }));
        }
    }
    Err(always_changed())
}

/// Reads the rules of our table, each with the name of its chain; `None` if anything has changed since
/// `state` was read.
///
/// # Errors
/// The kernel could not be read, returned something unknown, or other tools kept changing the tables.
pub(super) fn own_rules(state: &State) -> io::Result<Option<Vec<(String, ObservedRule)>>> {
    let ours = |object: &[u8]| {
        let rule = NativeRule::read(object)?;
        let ours = decode::is_ours(rule.families, &rule.table);
        Some(ours.then(|| (rule.chain.clone(), decode::rule(rule))))
    };
    let mut socket = open()?.ok_or(Errno::EPROTONOSUPPORT)?;
    if read_generation(&mut socket)? != Some(state.generation) {
        return Ok(None);
    }
    let scope = Scope {
        table: Some(TABLE),
        ..Scope::ALL
    };
    let rules = request_objects(&mut socket, libc::NFT_MSG_GETRULE, DUMP, scope, ours)?;
    let unchanged = read_generation(&mut socket)? == Some(state.generation);
    // Older kernels return the rules of all tables.
    Ok(unchanged.then(|| rules.into_iter().flatten().collect()))
}

/// Reads into the tables what packets to the addresses can reach; `None` if anything has changed since
/// `state` was read. A table that cannot be read contains the reason.
///
/// # Errors
/// The kernel could not be read, returned something unknown, or other tools kept changing the tables.
pub(super) fn read_nat(
    state: &State,
    mut tables: Vec<NatTable>,
    addresses: &[Address],
) -> io::Result<Option<Vec<NatTable>>> {
    if tables.is_empty() {
        return Ok(Some(tables));
    }
    let mut socket = open()?.ok_or(Errno::EPROTONOSUPPORT)?;
    if read_generation(&mut socket)? != Some(state.generation) {
        return Ok(None);
    }
    for table in &mut tables {
        let of_table: Vec<Address> = addresses
            .iter()
            .filter(|address| table.families.contains(&address.family()))
            .copied()
            .collect();
        let contents = contents(&mut socket, table, &of_table);
        table.contents = contents.map_err(|error| NotRead::new(Readable::NfTables, error));
    }
    let unchanged = read_generation(&mut socket)? == Some(state.generation);
    Ok(unchanged.then_some(tables))
}

/// Reads the chains and sets that packets to the addresses can reach, until none is missing.
fn contents(socket: &mut File, table: &NatTable, addresses: &[Address]) -> io::Result<Contents> {
    // In a name that is not UTF-8, bytes were replaced. The kernel does not know the resulting name.
    let names = table.chains.iter().map(|chain| &chain.name);
    if names
        .chain([&table.name])
        .any(|name| name.contains(char::REPLACEMENT_CHARACTER))
    {
        return Err(unknown_message());
    }
    let mut contents = Contents::default();
    loop {
        let missing = nat::missing(&contents, &table.chains, addresses);
        if missing.is_empty() {
            return Ok(contents);
        }
        for name in missing.chains {
            // Older kernels return the rules of all chains.
            let scope = Scope::part(table, &name);
            let rules = request_objects(socket, libc::NFT_MSG_GETRULE, DUMP, scope, |object| {
                let (chain, rule) = NatRule::read(object)?;
                Some((chain == name).then_some(rule))
            })?;
            let rules: Vec<NatRule> = rules.into_iter().flatten().collect();
            contents.chains.insert(name, rules);
        }
        for name in missing.sets {
            let scope = Scope::part(table, &name);
            let set = request_objects(socket, libc::NFT_MSG_GETSET, ACKNOWLEDGE, scope, Set::read)?;
            let set = set.into_iter().find(|(known, _)| *known == name);
            let (_, set) = set.ok_or_else(unknown_message)?;
            let elements = request_objects(
                socket,
                libc::NFT_MSG_GETSETELEM,
                DUMP,
                scope,
                Elements::read,
            )?;
            contents.sets.insert(name, set.with(elements));
        }
    }
}

/// The rules of a table of one IP family that lead to other chains.
///
/// # Errors
/// The kernel could not be read, returned something unknown, or other tools kept changing the tables.
pub(super) fn leads(family: Family, table: &str) -> io::Result<Vec<Leads>> {
    let mut socket = open()?.ok_or(Errno::EPROTONOSUPPORT)?;
    // The kernel learns the size of the buffer.
    read_generation(&mut socket)?;
    let scope = Scope {
        family: object::number_of(&[family]),
        table: Some(table),
        part: None,
    };
    let of_table = |object: &[u8]| {
        let rule = NativeRule::read(object)?;
        let of_table = rule.families == [family] && rule.table == table;
        Some(of_table.then_some(Leads::read(object)?))
    };
    let rules = request_objects(&mut socket, libc::NFT_MSG_GETRULE, DUMP, scope, of_table)?;
    // Older kernels return the rules of all tables.
    let rules = rules.into_iter().flatten();
    Ok(rules.filter(|rule| !rule.to.is_empty()).collect())
}

/// Reads the number of the last change; `None` if this kernel has no `nf_tables`.
fn read_generation(socket: &mut File) -> io::Result<Option<u32>> {
    socket.write_all(&request(libc::NFT_MSG_GETGEN, 0, Scope::ALL))?;
    let mut buffer = vec![0; BUFFER];
    let length = socket.read(&mut buffer)?;
    let bytes = buffer.get(..length).unwrap_or_default();
    let message = messages(bytes)
        .next()
        .flatten()
        .ok_or_else(unknown_message)?;
    match error(&message)? {
        // The subsystem does not exist (nfnetlink.c).
        Some(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(None),
        Some(errno) => Err(errno.into()),
        None => {
            // NFTA_GEN_ID
            let attributes = message.payload.get(OBJECT..).unwrap_or_default();
            let generation = find(attributes, 1).and_then(number);
            generation.map(Some).ok_or_else(unknown_message)
        }
    }
}

/// Why the kernel refused a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The number of the refused message; 0 for the whole transaction.
    pub(super) message: u32,
    /// The reason.
    pub(super) errno: Errno,
}

/// Sends a transaction ([`crate::ruleset::nftables::encode::transaction`]). The kernel makes all of its
/// changes or none.
///
/// # Errors
/// The transaction could not be sent, or its result is unknown.
pub(super) fn transact(batch: &[u8]) -> io::Result<Result<(), Refusal>> {
    let mut socket = open()?.ok_or(Errno::EPROTONOSUPPORT)?;
    // A transaction is one datagram, so it must fit into the send buffer. Only root of the host, not of a
    // user namespace, can exceed net.core.wmem_max; a larger transaction is refused.
    let _ = setsockopt(&socket, sockopt::SndBufForce, &batch.len())
        .or_else(|_| setsockopt(&socket, sockopt::SndBuf, &batch.len()));
    socket.write_all(batch)?;
    // The kernel processes the transaction and sends its reply before write returns (af_netlink.c,
    // "unicast to the kernel"), so there is nothing to wait for.
    let mut replied = false;
    let mut refusal = None;
    let mut overrun = false;
    let mut buffer = vec![0; BUFFER];
    loop {
        let received = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT);
        let bytes = match received {
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(Errno::EAGAIN) => break,
            Err(Errno::EINTR) => continue,
            // The receive buffer was too small for all replies. All but one of them are refusals, and
            // the buffer contains the first. The kernel returns this error before the replies.
            Err(Errno::ENOBUFS) => {
                overrun = true;
                continue;
            }
            Err(errno) => return Err(errno.into()),
        };
        for message in messages(bytes) {
            let message = message.ok_or_else(unknown_message)?;
            if i32::from(message.kind) == libc::NLMSG_ERROR {
                replied = true;
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
    match (refusal, replied) {
        (Some(refusal), _) => Ok(Err(refusal)),
        (None, true) => Ok(Ok(())),
        (None, false) => Err(io::Error::other(
            "the kernel did not reply to a transaction",
        )),
    }
}

/// Opens a socket; `None` if this kernel has no nfnetlink.
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

/// Which objects a request returns.
#[derive(Debug, Clone, Copy)]
struct Scope<'a> {
    /// 0 is NFPROTO_UNSPEC: every family.
    family: u8,
    table: Option<&'a str>,
    /// A chain or set in the table.
    part: Option<&'a str>,
}

impl<'a> Scope<'a> {
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

/// The bytes of a request. `kind` is from enum nf_tables_msg_types.
fn request(kind: libc::c_int, flags: u16, scope: Scope<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = (of_nftables(kind), REQUEST | flags, 0);
    put_message(&mut bytes, head, [scope.family, 0, 0, 0], |bytes| {
        // NFTA_RULE_TABLE, _CHAIN; NFTA_SET_TABLE, _NAME; NFTA_SET_ELEM_LIST_TABLE, _SET
        for (kind, name) in (1..).zip([scope.table, scope.part]) {
            if let Some(name) = name {
                put_text(bytes, kind, name);
            }
        }
    });
    bytes
}

/// Requests objects, and returns those of the IP families, parsed by `read`. The flag [`DUMP`] requests
/// all objects of a kind; [`ACKNOWLEDGE`] requests the object that `scope` names.
///
/// The socket must have been read from before: the kernel then knows the size of the buffer. Otherwise
/// it returns one page at once (af_netlink.c, `max_recvmsg_len`), and if a rule does not fit into a
/// page, it ends the list there without an error.
fn request_objects<T>(
    socket: &mut File,
    kind: libc::c_int,
    flags: u16,
    scope: Scope<'_>,
    read: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    for _ in 0..TRIES {
        socket.write_all(&request(kind, flags, scope))?;
        if let Some(objects) = reply(&mut *socket, &read)? {
            return Ok(objects);
        }
    }
    Err(always_changed())
}

/// The objects in the reply of the kernel; `None` if they changed while the kernel listed them, so that
/// some may be missing.
fn reply<T>(
    mut socket: impl Read,
    read: &impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<Vec<T>>> {
    let mut objects = Vec::new();
    let mut complete = true;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = socket.read(&mut buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Err(unknown_message());
        }
        for message in messages(bytes) {
            let message = message.ok_or_else(unknown_message)?;
            complete &= message.flags & INTERRUPTED == 0;
            match (i32::from(message.kind), error(&message)?) {
                (_, Some(errno)) => return Err(errno.into()),
                (libc::NLMSG_DONE | libc::NLMSG_ERROR, None) => {
                    return Ok(complete.then_some(objects));
                }
                (_, None) => {
                    let object = message.payload;
                    if !object::families(object).is_empty() {
                        objects.push(read(object).ok_or_else(unknown_message)?);
                    }
                }
            }
        }
        if objects.len() > MAX_OBJECTS {
            return Err(unknown_message());
        }
    }
}

pub(super) fn always_changed() -> io::Error {
    io::Error::other("other tools kept changing nf_tables while the kernel listed it")
}

pub(super) fn unknown_message() -> io::Error {
    io::Error::other("the kernel returned an unknown netlink message")
}

/// The error in a message of the type NLMSG_ERROR or NLMSG_DONE, if there is one.
fn error(message: &Message<'_>) -> io::Result<Option<Errno>> {
    if !message.is_answer() {
        return Ok(None);
    }
    match message.error().ok_or_else(unknown_message)? {
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
    fn an_interrupted_or_failed_dump_is_not_complete() {
        const RULE: i32 = 10 << 8;
        let read = |object: &[u8]| Some(object.to_vec());
        let reply = |bytes: &[u8]| reply(bytes, &read);
        let good = 0_i32.to_ne_bytes();
        let object = || sent(RULE, 2, &[2, 0, 0, 0]);
        let complete = [object(), sent(libc::NLMSG_DONE, 2, &good)].concat();
        let objects = reply(&complete).unwrap();
        assert_eq!(objects, Some(vec![vec![2, 0, 0, 0]]));
        for flags in [[0x12, 2, 2], [2, 0x12, 2], [2, 2, 0x12]] {
            let changed = [
                sent(RULE, flags[0], &[2, 0, 0, 0]),
                sent(RULE, flags[1], &[2, 0, 0, 0]),
                sent(libc::NLMSG_DONE, flags[2], &good),
            ];
            assert_eq!(reply(&changed.concat()).unwrap(), None);
        }
        let no_memory = (-libc::ENOMEM).to_ne_bytes();
        for kind in [libc::NLMSG_DONE, libc::NLMSG_ERROR] {
            let failed = [object(), sent(kind, 2, &no_memory)].concat();
            let error = reply(&failed).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
        }
        assert!(reply(&object()).is_err(), "the reply is cut off");
    }
}
