//! Addresses and targets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// The IPv4 address of the EC2 instance metadata service (AWS: "Access instance metadata").
pub const IMDS_V4: Address = Address(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)));

/// The IPv6 address of the EC2 instance metadata service, `fd00:ec2::254`.
pub const IMDS_V6: Address = Address(IpAddr::V6(Ipv6Addr::new(
    0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254,
)));

/// An IP address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Family {
    /// IPv4, which `iptables` filters.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6, which `ip6tables` filters.
    #[serde(rename = "ipv6")]
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// One IP address that can be locked.
///
/// An IPv4-mapped IPv6 address becomes the IPv4 address in it, to which the kernel sends the packets
/// (RFC 4291, section 2.5.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(IpAddr);

impl Address {
    /// The address as a type of the standard library.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// The family of the address.
    #[must_use]
    pub fn family(self) -> Family {
        match self.0 {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Whether this is an address of the metadata service: [`IMDS_V4`] or [`IMDS_V6`].
    #[must_use]
    pub fn is_imds(self) -> bool {
        self.other_imds_address().is_some()
    }

    fn other_imds_address(self) -> Option<Self> {
        match self {
            IMDS_V4 => Some(IMDS_V6),
            IMDS_V6 => Some(IMDS_V4),
            _ => None,
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Self(ip.to_canonical())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is not an address that can be locked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// The empty string.
    #[error("the address is empty")]
    Empty,
    /// An address with a prefix length.
    #[error("\"{0}\" is a network; only single addresses can be locked")]
    Network(String),
    /// An IPv6 address with a scope.
    #[error("\"{0}\" has a scope (the part after %)")]
    Scoped(String),
    /// 0.0.0.0 or ::.
    #[error("\"{0}\" is the unspecified address, to which no packet is sent")]
    Unspecified(String),
    /// Another text, such as a host name.
    #[error("\"{0}\" is not an IP address")]
    NotAnAddress(String),
}

impl AddressError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::Empty | Self::Unspecified(_) => "give an IP address such as 169.254.169.254",
            Self::Network(_) => {
                "give one address, without the /prefix; the network may contain other services, such as \
                 the VPC's DNS and time servers"
            }
            Self::Scoped(_) => "give the address without the scope",
            Self::NotAnAddress(_) => {
                "give an IP address such as 169.254.169.254; host names are not looked up, because their \
                 addresses can change"
            }
        };
        Some(help.to_owned())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.escape_debug().to_string();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        match bare.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => Err(AddressError::Unspecified(shown())),
            Ok(ip) => Ok(ip.into()),
            Err(_) if starts_with_address(bare, '/') => Err(AddressError::Network(shown())),
            Err(_) if starts_with_address(bare, '%') => Err(AddressError::Scoped(shown())),
            Err(_) => Err(AddressError::NotAnAddress(shown())),
        }
    }
}

fn starts_with_address(text: &str, mark: char) -> bool {
    text.split_once(mark)
        .is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok())
}

/// The addresses of one lockdown: one address, or the two addresses of the metadata service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    addresses: Vec<Address>,
    only: bool,
}

impl Target {
    /// The target of `address`. For an address of the metadata service it is the pair, unless `only`
    /// is set; for any other address it is this address.
    #[must_use]
    pub fn new(address: Address, only: bool) -> Self {
        match address.other_imds_address() {
            Some(other) if !only => {
                let mut addresses = vec![address, other];
                addresses.sort_unstable();
                Self {
                    addresses,
                    only: false,
                }
            }
            other => Self {
                addresses: vec![address],
                only: other.is_some(),
            },
        }
    }

    /// The addresses, one or two, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Whether this is one address of the metadata service without the other (`--only`).
    #[must_use]
    pub fn only(&self) -> bool {
        self.only
    }

    /// Whether the two targets have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let mut addresses = self.addresses.iter();
        addresses.any(|address| other.addresses.contains(address))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            if index > 0 {
                f.write_str(" and ")?;
            }
            address.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, AddressError> {
        text.parse()
    }

    #[test]
    fn each_kind_of_invalid_address_has_its_own_error() {
        assert_eq!(parse(""), Err(AddressError::Empty));
        assert!(matches!(
            parse("169.254.0.0/16"),
            Err(AddressError::Network(_))
        ));
        assert!(matches!(
            parse("fd00:ec2::/64"),
            Err(AddressError::Network(_))
        ));
        assert!(matches!(
            parse("fe80::1%eth0"),
            Err(AddressError::Scoped(_))
        ));
        assert!(matches!(
            parse("0.0.0.0"),
            Err(AddressError::Unspecified(_))
        ));
        assert!(matches!(parse("::"), Err(AddressError::Unspecified(_))));
        for text in [
            "instance-data",
            "169.254.169",
            "169.254.169.256",
            "0251.0376.0251.0376",
            " 1.2.3.4",
            "1.2.3.4\n",
            "fd00:ec2::254::",
            "[1.2.3.4",
            "/",
            "%",
        ] {
            assert!(
                matches!(parse(text), Err(AddressError::NotAnAddress(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_error_contains_no_control_characters() {
        let message = parse("a\u{1b}[2J\n").unwrap_err().to_string();
        assert!(!message.contains(['\u{1b}', '\n']), "{message:?}");
    }

    #[test]
    fn a_mapped_address_becomes_the_ipv4_address_in_it() {
        assert_eq!(parse("::ffff:169.254.169.254"), Ok(IMDS_V4));
        assert_eq!(parse("[fd00:ec2::254]"), Ok(IMDS_V6));
        assert_eq!(parse("fd00:0ec2:0:0:0:0:0:0254"), Ok(IMDS_V6));
    }

    #[test]
    fn either_imds_address_means_both_unless_only_is_set() {
        let both = Target::new(IMDS_V4, false);
        assert_eq!(both, Target::new(IMDS_V6, false));
        assert_eq!(both.addresses(), [IMDS_V4, IMDS_V6]);
        assert_eq!(Target::new(IMDS_V6, true).addresses(), [IMDS_V6]);
        let other = parse("192.0.2.1").unwrap();
        assert_eq!(Target::new(other, true), Target::new(other, false));
    }
}
