//! Features of this kernel, and the distribution.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::policy::Family;

/// Whether the kernel supports IPv6, even if no interface has an IPv6 address.
///
/// # Errors
/// An IPv6 socket cannot be opened for another reason, such as too many open files or a sandbox.
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
                    "the kernel has IPv6, but a sandbox forbids IPv6 sockets; RestrictAddressFamilies= \
                     must contain AF_INET6",
                )),
            }
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The addresses of all network interfaces, each with the name of its interface.
///
/// # Errors
/// The kernel did not list them.
pub fn interface_addresses() -> io::Result<Vec<(IpAddr, String)>> {
    let listed = getifaddrs()?.filter_map(|listed| {
        let address = listed.address?;
        let ip: IpAddr = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => v4.ip().into(),
            (_, Some(v6)) => v6.ip().into(),
            _ => return None,
        };
        Some((ip, listed.interface_name))
    });
    Ok(listed.collect())
}

/// The state of the iptables-legacy tables of one family in this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyTables {
    /// At least one table exists.
    InUse,
    /// No table exists, so there are no legacy rules.
    None,
    /// The module is not loaded, so there are no legacy rules.
    NotLoaded,
}

/// Reads the state without creating a table. `/proc/net/ip_tables_names` and `ip6_tables_names` list the
/// existing tables (net/netfilter/x_tables.c).
///
/// # Errors
/// The list cannot be read, or `/proc/net` does not exist.
pub fn legacy_tables(family: Family) -> io::Result<LegacyTables> {
    match std::fs::read_to_string(names_file(family)) {
        Ok(names) if names.trim().is_empty() => Ok(LegacyTables::None),
        Ok(_) => Ok(LegacyTables::InUse),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // This file exists on every kernel: without it, /proc/net is missing, not the module.
            std::fs::metadata("/proc/net/dev")?;
            Ok(LegacyTables::NotLoaded)
        }
        Err(error) => Err(error),
    }
}

/// The names of the existing iptables-legacy tables of the family.
///
/// # Errors
/// As for [`legacy_tables`].
pub fn legacy_table_names(family: Family) -> io::Result<Vec<String>> {
    if legacy_tables(family)? != LegacyTables::InUse {
        return Ok(Vec::new());
    }
    let names = std::fs::read_to_string(names_file(family))?;
    Ok(names.lines().map(|name| name.trim().to_owned()).collect())
}

fn names_file(family: Family) -> &'static Path {
    Path::new(match family {
        Family::V4 => "/proc/net/ip_tables_names",
        Family::V6 => "/proc/net/ip6_tables_names",
    })
}

/// The text of the `os-release(5)` file; empty if it cannot be read.
#[must_use]
pub fn os_release() -> String {
    std::fs::read_to_string("/etc/os-release")
        .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default()
}
