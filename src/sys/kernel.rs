//! What this kernel and this machine have.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::policy::Family;

/// Whether the kernel has IPv6 at all. Interfaces without an IPv6 address do not matter.
///
/// # Errors
/// The socket that would tell cannot be made for another reason, such as too many open files, or
/// because a sandbox refuses it.
pub fn has_ipv6() -> io::Result<bool> {
    let socket = socket(
        AddressFamily::Inet6,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    );
    match socket {
        Ok(_) => Ok(true),
        // socket(2): the implementation does not support the address family. A seccomp filter
        // (systemd's RestrictAddressFamilies=) says the same, but the kernel's settings for IPv6
        // are there then.
        Err(Errno::EAFNOSUPPORT) => {
            std::fs::metadata("/proc/sys/net")?;
            match std::fs::metadata("/proc/sys/net/ipv6") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
                Ok(_) => Err(io::Error::other(
                    "the kernel has it, but this process may not open IPv6 sockets: a sandbox \
                     such as RestrictAddressFamilies= must let AF_INET6 through",
                )),
            }
        }
        Err(errno) => Err(errno.into()),
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
/// The list is there but cannot be read, or `/proc/net` is not there.
pub fn legacy_tables(family: Family) -> io::Result<LegacyTables> {
    let path = match family {
        Family::V4 => "/proc/net/ip_tables_names",
        Family::V6 => "/proc/net/ip6_tables_names",
    };
    match std::fs::read_to_string(Path::new(path)) {
        Ok(names) if names.trim().is_empty() => Ok(LegacyTables::None),
        Ok(_) => Ok(LegacyTables::InUse),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Every kernel has this one beside it.
            std::fs::metadata("/proc/net/dev")?;
            Ok(LegacyTables::NotLoaded)
        }
        Err(error) => Err(error),
    }
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
    let is = |wanted: &[&str]| wanted.iter().any(|id| ids.contains(id));
    if is(&["debian", "ubuntu"]) {
        "`apt-get install iptables`"
    } else if is(&["amzn", "fedora", "rhel", "centos"]) {
        "`dnf install iptables-nft` (older releases: `yum install iptables`)"
    } else if is(&["suse", "opensuse", "sles"]) {
        "`zypper install iptables`"
    } else if is(&["alpine"]) {
        "`apk add iptables`"
    } else if is(&["arch"]) {
        "`pacman -S iptables-nft`"
    } else {
        "the package iptables of this distribution"
    }
}
