//! What this kernel and this machine have.

use std::io::{Read, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::policy::Family;

/// Whether the kernel has IPv6 at all. Interfaces without an IPv6 address do not matter.
///
/// # Errors
/// The socket that would tell cannot be made for another reason, such as too many open files.
pub fn has_ipv6() -> Result<bool, Errno> {
    match socket(
        AddressFamily::Inet6,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    ) {
        Ok(_) => Ok(true),
        // socket(2): the implementation does not support the address family.
        Err(Errno::EAFNOSUPPORT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// What the kernel says of the legacy tables of one family in this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyTables {
    /// Some table is in use.
    InUse,
    /// No table is in use: there can be no legacy rule.
    None,
    /// The code for them is not loaded: there can be no legacy rule.
    NotLoaded,
}

/// Looks without bringing any legacy table into being (net/netfilter/x_tables.c lists the tables
/// that exist in `/proc/net/ip_tables_names` and `ip6_tables_names`).
///
/// # Errors
/// The list is there but cannot be read.
pub fn legacy_tables(family: Family) -> std::io::Result<LegacyTables> {
    let path = match family {
        Family::V4 => "/proc/net/ip_tables_names",
        Family::V6 => "/proc/net/ip6_tables_names",
    };
    match std::fs::read_to_string(Path::new(path)) {
        Ok(names) if names.trim().is_empty() => Ok(LegacyTables::None),
        Ok(_) => Ok(LegacyTables::InUse),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(LegacyTables::NotLoaded),
        Err(error) => Err(error),
    }
}

/// Whether any nftables table of the family, such as those that iptables-nft keeps its rules in,
/// exists in this network namespace. Asks the kernel itself: a dump of tables over netlink
/// (linux/netfilter/nf_tables.h), of which the first answer is enough.
///
/// # Errors
/// The kernel could not be asked, or its answer is none.
pub fn has_nft_tables(family: Family) -> std::io::Result<bool> {
    // NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE; NLM_F_REQUEST | NLM_F_DUMP.
    const GET_TABLE: u16 = 10 << 8 | 1;
    const FLAGS: u16 = 0x1 | 0x300;
    let socket = match socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    ) {
        Err(Errno::EPROTONOSUPPORT) => return Ok(false),
        socket => std::fs::File::from(socket?),
    };
    let family = match family {
        // NFPROTO_IPV4 and NFPROTO_IPV6, linux/netfilter.h.
        Family::V4 => 2,
        Family::V6 => 10,
    };
    // struct nlmsghdr: length, type, flags, sequence, port; then struct nfgenmsg: family,
    // version, resource.
    let mut request = Vec::from(20_u32.to_ne_bytes());
    request.extend(GET_TABLE.to_ne_bytes());
    request.extend(FLAGS.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([family, 0, 0, 0]);
    (&socket).write_all(&request)?;
    let mut answer = vec![0; 1 << 15];
    let length = (&socket).read(&mut answer)?;
    answer.truncate(length);
    let unclear = || std::io::Error::other("the answer to a netlink dump is too short");
    let at = |from: usize| {
        answer
            .get(from..from + 4)
            .and_then(|four| four.try_into().ok())
    };
    // The type and the flags, two bytes each, in this machine's order.
    let kind: [u8; 4] = at(4).ok_or_else(unclear)?;
    let kind = i32::from(u16::from_ne_bytes([kind[0], kind[1]]));
    if kind == libc::NLMSG_DONE {
        return Ok(false);
    }
    if kind == libc::NLMSG_ERROR {
        let errno = Errno::from_raw(-at(16).map(i32::from_ne_bytes).ok_or_else(unclear)?);
        return match errno {
            // nfnetlink.c: nobody answers for that subsystem, so nf_tables is not there.
            Errno::EINVAL | Errno::EOPNOTSUPP => Ok(false),
            errno => Err(errno.into()),
        };
    }
    Ok(true)
}

/// The command that installs iptables on this distribution (`os-release(5)`).
#[must_use]
pub fn how_to_install_iptables() -> &'static str {
    let release = std::fs::read_to_string("/etc/os-release")
        .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let ids: Vec<&str> = release
        .lines()
        .filter_map(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
        })
        .flat_map(|value| value.trim_matches(['"', '\'']).split(' '))
        .collect();
    let is = |id| ids.contains(&id);
    if is("debian") || is("ubuntu") {
        "`apt-get install iptables`"
    } else if is("amzn") || is("fedora") || is("rhel") || is("centos") {
        "`dnf install iptables-nft` (older releases: `yum install iptables`)"
    } else if is("suse") || is("opensuse") || is("sles") {
        "`zypper install iptables`"
    } else if is("alpine") {
        "`apk add iptables`"
    } else if is("arch") {
        "`pacman -S iptables-nft`"
    } else {
        "the package iptables of this distribution"
    }
}
