//! The names of our chains.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::policy::Address;

/// A built-in chain in which a lockdown has its jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Packets that this host sends.
    Output,
    /// Packets that this host routes or bridges for other hosts.
    Forward,
}

impl Hook {
    /// Both hooks.
    pub const ALL: [Self; 2] = [Self::Output, Self::Forward];

    /// The built-in chain, as iptables calls it.
    #[must_use]
    pub fn chain(self) -> &'static str {
        match self {
            Self::Output => "OUTPUT",
            Self::Forward => "FORWARD",
        }
    }

    /// The prefix of the names of our chains below it.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Output => "IPL",
            Self::Forward => "IPF",
        }
    }
}

/// The name of one of our chains: `IPL-<address>` below OUTPUT, `IPF-<address>` below FORWARD, and
/// `IPL<part>-<address>` for a sub-chain below `IPL-<address>`.
///
/// Chain names have at most 28 bytes (`XT_EXTENSION_MAXNAMELEN` - 1, linux/netfilter/x_tables.h).
/// An IPv6 address too long for that is written as its 16 bytes in base64url (RFC 4648), 22
/// characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainName {
    /// The built-in chain that leads to it.
    pub hook: Hook,
    /// The address that it locks.
    pub address: Address,
    /// The number of a sub-chain. Only chains below OUTPUT have sub-chains.
    part: Option<Part>,
}

const MAX_NAME: usize = 28;

impl ChainName {
    /// The chain that the built-in chain jumps to.
    #[must_use]
    pub fn root(hook: Hook, address: Address) -> Self {
        Self {
            hook,
            address,
            part: None,
        }
    }

    /// A sub-chain of the chain that OUTPUT jumps to.
    #[must_use]
    pub fn sub(address: Address, part: Part) -> Self {
        Self {
            hook: Hook::Output,
            address,
            part: Some(part),
        }
    }

    /// Whether it is the chain that the built-in chain jumps to, and not a sub-chain.
    #[must_use]
    pub fn is_root(self) -> bool {
        self.part.is_none()
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hook.prefix())?;
        if let Some(part) = self.part {
            part.fmt(f)?;
        }
        f.write_str("-")?;
        match self.address.ip() {
            // At most 21 bytes, a part included.
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(ip) => {
                let before = self.hook.prefix().len() + self.part.map_or(0, |_| Part::DIGITS) + 1;
                let text = ip.to_string();
                if before + text.len() <= MAX_NAME {
                    f.write_str(&text)
                } else {
                    f.write_str(&BASE64URL_NOPAD.encode(&ip.octets()))
                }
            }
        }
    }
}

/// The name is not that of one of our chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

impl FromStr for ChainName {
    type Err = NotOurs;

    fn from_str(name: &str) -> Result<Self, NotOurs> {
        let (hook, rest) = Hook::ALL
            .into_iter()
            .find_map(|hook| Some((hook, name.strip_prefix(hook.prefix())?)))
            .ok_or(NotOurs)?;
        let (part, rest) = rest.split_once('-').ok_or(NotOurs)?;
        let part = match (part, hook) {
            ("", _) => None,
            (part, Hook::Output) => Some(part.parse()?),
            (_, Hook::Forward) => return Err(NotOurs),
        };
        let address = match rest.parse::<Address>() {
            Ok(address) => address,
            Err(_) => BASE64URL_NOPAD
                .decode(rest.as_bytes())
                .ok()
                .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
                .map(|bytes| IpAddr::from(bytes).into())
                .ok_or(NotOurs)?,
        };
        let parsed = Self {
            hook,
            address,
            part,
        };
        (parsed.to_string() == name)
            .then_some(parsed)
            .ok_or(NotOurs)
    }
}

/// The number of a sub-chain, `00` to `zz`: two digits of base 36.
///
/// Beside a long IPv6 address, a name has room for two digits only. In base 32 they would give
/// 1,024 numbers, too few for the longest list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part(u16);

impl Part {
    const BASE: u16 = 36;
    const DIGITS: usize = 2;

    /// All numbers, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::BASE * Self::BASE).map(Self)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for digit in [self.0 / Self::BASE, self.0 % Self::BASE] {
            let digit = char::from_digit(digit.into(), Self::BASE.into()).ok_or(fmt::Error)?;
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl FromStr for Part {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        u16::from_str_radix(text, Self::BASE.into())
            .ok()
            .filter(|&number| number < Self::BASE * Self::BASE)
            .map(Self)
            .filter(|part| part.to_string() == text)
            .ok_or(NotOurs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_names_are_short_enough_and_read_back() {
        for text in [
            "169.254.169.254",
            "fd00:ec2::254",
            // Its text fits into a name without a part, and not into one with a part.
            "2001:db8::1:2222:3333:44",
            "2001:db8:1234:5678:9abc:def0:1234:5678",
            "2001:db8:0:0:1:2:3:4",
        ] {
            let address = text.parse().unwrap();
            let roots = Hook::ALL.map(|hook| ChainName::root(hook, address));
            let subs = Part::all().map(|part| ChainName::sub(address, part));
            for name in roots.into_iter().chain(subs) {
                let written = name.to_string();
                assert!(written.len() <= 28, "{written}");
                assert_eq!(written.parse(), Ok(name));
            }
        }
    }

    #[test]
    fn sub_chains_are_numbered_in_order() {
        let written: Vec<String> = Part::all().map(|part| part.to_string()).collect();
        assert_eq!(written.len(), 1296);
        assert!(written.is_sorted());
        assert_eq!(
            [&written[0], &written[35], &written[36], &written[1295]],
            ["00", "0z", "10", "zz"]
        );
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "OUTPUT",
            "IPL-",
            "IPL",
            "IPL-x",
            "IPL-169.254.169.254 ",
            "IPL-fd00:0ec2::254",
            "ipl-1.2.3.4",
            "IPL-AAAAAAAAAAAAAAAAAAAAAA",
            "IPL00",
            "IPL0-1.2.3.4",
            "IPL000-1.2.3.4",
            "IPL0A-1.2.3.4",
            "IPL+1-1.2.3.4",
            "IPL--1.2.3.4",
            "IPLé-1.2.3.4",
            "IPF00-1.2.3.4",
            "IPL00-2001:db8::1:2222:3333:44",
        ] {
            assert_eq!(name.parse::<ChainName>(), Err(NotOurs), "{name}");
        }
    }
}
