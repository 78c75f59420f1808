//! Reads interfaces and routes over rtnetlink, and the network settings in `/proc/sys/net`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::host::Network;
use crate::host::network::{FORCE_FORWARDING, FORWARDING, Link, SOURCE_ROUTES, Setting};
use crate::policy::{Address, Family};
use crate::ruleset::netlink::attributes::{find, put, text};
use crate::ruleset::netlink::{DUMP, REQUEST, messages, put_message};

/// The size of the read buffer, in bytes. The kernel returns at most 32 KiB at once (af_netlink.c).
const BUFFER: usize = 1 << 16;
/// The length of struct ifinfomsg and of struct rtmsg.
const IFINFOMSG: usize = 16;
const RTMSG: usize = 12;

/// Reads the network, with the routes to these addresses.
///
/// # Errors
/// A setting, the interfaces or a route could not be read.
pub fn read(addresses: &[Address]) -> io::Result<Network> {
    let mut socket = File::from(socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?);
    let mut routes = Vec::new();
    for &address in addresses {
        let index = route(&mut socket, address)?;
        routes.extend(index.map(|index| (address, index)));
    }
    Ok(Network {
        links: links(&mut socket)?,
        routes,
        settings: settings()?,
        bridged: bridged()?,
    })
}

fn links(socket: &mut File) -> io::Result<Vec<Link>> {
    let mut request = Vec::new();
    put_message(
        &mut request,
        (libc::RTM_GETLINK, REQUEST | DUMP, 0),
        [0; 4],
        |bytes| {
            bytes.extend([0; IFINFOMSG - 4]);
        },
    );
    socket.write_all(&request)?;
    let mut links = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = socket.read(&mut buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Err(unknown_message());
        }
        for message in messages(bytes) {
            let message = message.ok_or_else(unknown_message)?;
            if message.is_answer() {
                return match message.error() {
                    Some(0) => Ok(links),
                    Some(code) => Err(Errno::from_raw(code).into()),
                    None => Err(unknown_message()),
                };
            }
            links.push(link(message.payload).ok_or_else(unknown_message)?);
        }
    }
}

/// Reads an interface. Numbers of rtnetlink are in host byte order.
fn link(payload: &[u8]) -> Option<Link> {
    // IFLA_IFNAME, IFLA_MASTER, IFLA_LINKINFO; IFLA_INFO_KIND, IFLA_INFO_DATA;
    // IFLA_BR_NF_CALL_IPTABLES, IFLA_BR_NF_CALL_IP6TABLES (linux/if_link.h)
    let attributes = payload.get(IFINFOMSG..)?;
    let info = find(attributes, 18).unwrap_or_default();
    let data = find(info, 2).unwrap_or_default();
    let bridged = [(Family::V4, 36), (Family::V6, 37)];
    let bridged = bridged
        .into_iter()
        .filter(|(_, kind)| find(data, *kind) == Some(&[1]));
    let kind = find(info, 1).map(text);
    Some(Link {
        index: number(payload.get(4..8)?)?,
        name: text(find(attributes, 3)?),
        master: find(attributes, 10).and_then(number),
        bridged: match kind.as_deref() {
            Some("bridge") => bridged.map(|(family, _)| family).collect(),
            _ => Vec::new(),
        },
        kind,
    })
}

/// The index of the interface through which packets to the address leave; `None` without a route.
fn route(socket: &mut File, address: Address) -> io::Result<Option<u32>> {
    let (family, length, octets) = match address.ip() {
        IpAddr::V4(ip) => (2, 32, ip.octets().to_vec()),
        IpAddr::V6(ip) => (10, 128, ip.octets().to_vec()),
    };
    let mut request = Vec::new();
    let head = (libc::RTM_GETROUTE, REQUEST, 0);
    put_message(&mut request, head, [family, length, 0, 0], |bytes| {
        bytes.extend([0; RTMSG - 4]);
        // RTA_DST
        put(bytes, 1, &octets);
    });
    socket.write_all(&request)?;
    let mut buffer = vec![0; BUFFER];
    let length = socket.read(&mut buffer)?;
    let bytes = buffer.get(..length).unwrap_or_default();
    let message = messages(bytes).next().flatten();
    let message = message.ok_or_else(unknown_message)?;
    if message.is_answer() {
        return match message.error().map(Errno::from_raw) {
            // Without a route, and with one that refuses (`unreachable`, `prohibit`, `blackhole`).
            Some(
                Errno::ENETUNREACH
                | Errno::EHOSTUNREACH
                | Errno::EACCES
                | Errno::EINVAL
                | Errno::EAFNOSUPPORT,
            ) => Ok(None),
            Some(errno) => Err(errno.into()),
            None => Err(unknown_message()),
        };
    }
    // RTA_OIF
    let attributes = message.payload.get(RTMSG..).unwrap_or_default();
    Ok(find(attributes, 4).and_then(number))
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

fn unknown_message() -> io::Error {
    io::Error::other("the kernel returned an unknown netlink message")
}

/// The settings of all interfaces; those that this kernel does not have are left out.
fn settings() -> io::Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for (family, folder) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
        let folder = Path::new("/proc/sys/net").join(folder).join("conf");
        let interfaces = match std::fs::read_dir(&folder) {
            // A kernel without IPv6, or a sandbox without settings of the network.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            interfaces => interfaces?,
        };
        for interface in interfaces {
            let interface = interface?;
            let name = interface.file_name().to_string_lossy().into_owned();
            if name == "default" {
                continue;
            }
            let of_family = SOURCE_ROUTES.iter().filter(|(of, _)| *of == family);
            let names = [FORWARDING, FORCE_FORWARDING].into_iter();
            for setting in names.chain(of_family.map(|(_, name)| *name)) {
                if let Some(on) = is_on(&interface.path().join(setting))? {
                    settings.push(Setting {
                        family,
                        interface: name.clone(),
                        name: setting,
                        on,
                    });
                }
            }
        }
    }
    Ok(settings)
}

/// The families whose bridged packets pass the rules; none without br_netfilter.
fn bridged() -> io::Result<Vec<Family>> {
    let mut families = Vec::new();
    for (family, name) in [
        (Family::V4, "bridge-nf-call-iptables"),
        (Family::V6, "bridge-nf-call-ip6tables"),
    ] {
        let on = is_on(&Path::new("/proc/sys/net/bridge").join(name))?;
        families.extend((on == Some(true)).then_some(family));
    }
    Ok(families)
}

/// Whether a setting is not 0; `None` if this kernel, or an interface that is just removed, does not
/// have it.
fn is_on(path: &Path) -> io::Result<Option<bool>> {
    match std::fs::read_to_string(path) {
        Ok(value) => Ok(Some(value.trim() != "0")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_a_loopback_interface_and_settings() {
        let network = read(&["127.0.0.1".parse().unwrap()]).unwrap();
        let lo = network.links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!((lo.index, lo.master, &lo.kind), (1, None, &None));
        assert_eq!(network.routes[0].1, 1);
        let of_lo = |name| {
            let mut settings = network.settings.iter();
            settings.any(|setting| setting.interface == "lo" && setting.name == name)
        };
        assert!(of_lo(FORWARDING) && of_lo("accept_source_route"));
    }

    #[test]
    fn an_address_without_a_route_has_none() {
        // 240.0.0.0/4 is reserved; a default route leads there all the same.
        let network = read(&["240.0.0.1".parse().unwrap()]).unwrap();
        assert!(network.routes.len() <= 1);
        assert!(link(&[0; 20]).is_none());
    }
}
