//! What this kernel and this machine offer.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::policy::Family;

/// Whether the kernel has IPv6 at all. Interfaces without an IPv6 address do not matter.
///
/// # Errors
/// The socket for the test cannot be made for another reason, such as too many open files or a
/// sandbox.
pub fn has_ipv6() -> io::Result<bool> {
    let socket = socket(
        AddressFamily::Inet6,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    );
    match socket {
        Ok(_) => Ok(true),
        // The kernel has no IPv6, or a seccomp filter (systemd's RestrictAddressFamilies=) returns
        // the same code. In the second case the kernel's IPv6 settings exist.
        Err(Errno::EAFNOSUPPORT) => {
            std::fs::metadata("/proc/sys/net")?;
            match std::fs::metadata("/proc/sys/net/ipv6") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
                Ok(_) => Err(io::Error::other(
                    "the kernel has IPv6, but this process must not open IPv6 sockets: a sandbox such as \
                     RestrictAddressFamilies= has to allow AF_INET6",
                )),
            }
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The state of the iptables-legacy tables of one family in this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyTables {
    /// Some table exists.
    InUse,
    /// No table exists, so no legacy rule does.
    None,
    /// The module is not loaded, so no legacy rule exists.
    NotLoaded,
}

/// Reads the state without creating a table (net/netfilter/x_tables.c lists the existing tables in
/// `/proc/net/ip_tables_names` and `ip6_tables_names`).
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
            // Present on every kernel: /proc/net itself is readable.
            std::fs::metadata("/proc/net/dev")?;
            Ok(LegacyTables::NotLoaded)
        }
        Err(error) => Err(error),
    }
}

/// The text of `os-release(5)`; empty where there is none.
#[must_use]
pub fn os_release() -> String {
    std::fs::read_to_string("/etc/os-release")
        .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default()
}
