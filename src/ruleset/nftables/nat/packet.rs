//! What is known about packets to an address, byte by byte, and about the registers that a rule
//! loads from them.

use std::cmp::Ordering;
use std::net::IpAddr;

use nix::libc;

use super::expression::{Load, Part, REGISTERS, Register};
use crate::policy::Address;

/// What is known about a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Byte {
    /// The byte may have any value.
    Any,
    /// The byte has this value.
    Is(u8),
    /// The byte has any value except this one.
    Not(u8),
}

impl Byte {
    fn equals(self, other: u8) -> Option<bool> {
        match self {
            Self::Is(byte) => Some(byte == other),
            Self::Not(byte) if byte == other => Some(false),
            Self::Any | Self::Not(_) => None,
        }
    }
}

/// Whether the bytes equal the value; `None` if that is not known.
pub(super) fn equal(bytes: &[Byte], value: &[u8]) -> Option<bool> {
    if bytes.len() != value.len() {
        return None;
    }
    let mut known = Some(true);
    for (byte, value) in bytes.iter().zip(value) {
        match byte.equals(*value) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => known = None,
        }
    }
    known
}

/// The order of the bytes and the value, as numbers in network byte order; `None` if that is not
/// known.
pub(super) fn order(bytes: &[Byte], value: &[u8]) -> Option<Ordering> {
    if bytes.len() != value.len() {
        return None;
    }
    for (byte, value) in bytes.iter().zip(value) {
        match byte {
            Byte::Is(byte) if byte == value => {}
            Byte::Is(byte) => return Some(byte.cmp(value)),
            Byte::Any | Byte::Not(_) => return None,
        }
    }
    Some(Ordering::Equal)
}

/// Whether the bytes are between `first` and `last`, both included; `None` if that is not known.
pub(super) fn within(bytes: &[Byte], first: &[u8], last: &[u8]) -> Option<bool> {
    let above = order(bytes, first).map(Ordering::is_ge);
    let below = order(bytes, last).map(Ordering::is_le);
    match (above, below) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// Packets to an address. Packets to the metadata service are TCP to port 80, and the address is
/// never local. Of packets to other addresses, only the address is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    address: IpAddr,
    imds: bool,
}

impl Packet {
    pub(super) fn to(address: Address) -> Self {
        Self {
            address: address.ip(),
            imds: address.is_imds(),
        }
    }

    /// The family of the packets (NFPROTO_IPV4, NFPROTO_IPV6).
    pub(super) fn family(self) -> u8 {
        let family = match self.address {
            IpAddr::V4(_) => libc::NFPROTO_IPV4,
            IpAddr::V6(_) => libc::NFPROTO_IPV6,
        };
        family.to_be_bytes()[3]
    }

    pub(super) fn is_to_imds(self) -> bool {
        self.imds
    }

    fn protocol(self) -> Byte {
        if self.imds {
            Byte::Is(libc::IPPROTO_TCP.to_be_bytes()[3])
        } else {
            Byte::Any
        }
    }

    /// The destination address in the IP header (RFC 791, section 3.1; RFC 8200, section 3).
    fn address_part(self) -> Part {
        let (offset, length) = match self.address {
            IpAddr::V4(_) => (16, 4),
            IpAddr::V6(_) => (24, 16),
        };
        Part {
            base: NETWORK,
            offset,
            length,
        }
    }

    /// Whether the part overlaps the destination address or the destination port.
    pub(super) fn destination_is_in(self, part: Part) -> bool {
        [self.address_part(), PORT]
            .iter()
            .any(|one| one.overlaps(part))
    }

    fn byte(self, base: u32, at: usize) -> Byte {
        let address = self.address_part();
        let protocol = match self.address {
            IpAddr::V4(_) => 9,
            IpAddr::V6(_) => 6,
        };
        if base == TRANSPORT && self.imds {
            let port = at.checked_sub(PORT.offset);
            let port = port.and_then(|at| 80_u16.to_be_bytes().get(at).copied());
            return port.map_or(Byte::Any, Byte::Is);
        }
        if base != NETWORK {
            return Byte::Any;
        }
        if at == protocol {
            return self.protocol();
        }
        let at = at.checked_sub(address.offset);
        let byte = at.and_then(|at| match self.address {
            IpAddr::V4(address) => address.octets().get(at).copied(),
            IpAddr::V6(address) => address.octets().get(at).copied(),
        });
        byte.map_or(Byte::Any, Byte::Is)
    }
}

/// The headers from which parts are loaded (enum nft_payload_bases).
const NETWORK: u32 = libc::NFT_PAYLOAD_NETWORK_HEADER.cast_unsigned();
const TRANSPORT: u32 = libc::NFT_PAYLOAD_TRANSPORT_HEADER.cast_unsigned();
/// The destination port of TCP, UDP and similar protocols.
const PORT: Part = Part {
    base: TRANSPORT,
    offset: 2,
    length: 2,
};

impl Part {
    fn overlaps(self, other: Self) -> bool {
        let ends_after_start = |one: Self, two: Self| {
            let end = one.offset.saturating_add(one.length);
            end > two.offset
        };
        self.base == other.base && ends_after_start(self, other) && ends_after_start(other, self)
    }
}

/// The registers of a rule. They may contain anything before the rule loads them: another rule may
/// have used them.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    bytes: [Byte; REGISTERS],
    /// Where the name or the index of an interface is that is not `lo`.
    outside: Option<Register>,
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            bytes: [Byte::Any; REGISTERS],
            outside: None,
        }
    }
}

impl Registers {
    /// The first `length` bytes from a register on; `None` if the registers have fewer.
    pub(super) fn get(&self, from: Register, length: usize) -> Option<&[Byte]> {
        self.bytes.get(from..from.checked_add(length)?)
    }

    /// Stores a value. The kernel pads it with zeros to a multiple of four bytes.
    pub(super) fn set(&mut self, to: Register, bytes: impl IntoIterator<Item = Byte>) {
        self.outside = None;
        let places = self.bytes.get_mut(to..).unwrap_or_default();
        let mut length = 0;
        for (place, byte) in places.iter_mut().zip(bytes) {
            *place = byte;
            length += 1;
        }
        let rest = places.iter_mut().take(usize::next_multiple_of(length, 4));
        rest.skip(length).for_each(|place| *place = Byte::Is(0));
    }

    /// Stores an unknown value. Its length is unknown too, so all later registers become unknown.
    /// (The parts of a concatenation are loaded in the order of their registers.)
    pub(super) fn forget(&mut self, to: Register) {
        self.outside = None;
        let places = self.bytes.get_mut(to..).unwrap_or_default();
        places.fill(Byte::Any);
    }

    /// Whether the register contains the name or the index of an interface that is not `lo`.
    pub(super) fn is_outside(&self, from: Register) -> bool {
        self.outside == Some(from)
    }

    pub(super) fn load(&mut self, to: Register, load: &Load, packet: Packet) {
        match load {
            Load::Payload(part) if part.length <= REGISTERS => {
                let (base, first) = (part.base, part.offset);
                let byte = |at: usize| packet.byte(base, first.saturating_add(at));
                self.set(to, (0..part.length).map(byte));
            }
            Load::Meta(key) => match key.cast_signed() {
                libc::NFT_META_NFPROTO => self.set(to, [Byte::Is(packet.family())]),
                libc::NFT_META_L4PROTO => self.set(to, [packet.protocol()]),
                libc::NFT_META_PROTOCOL => {
                    let kind = match packet.address {
                        IpAddr::V4(_) => libc::ETH_P_IP,
                        IpAddr::V6(_) => libc::ETH_P_IPV6,
                    };
                    let [.., high, low] = kind.to_be_bytes();
                    self.set(to, [high, low].map(Byte::Is));
                }
                // Packets of this host have no input interface, and forwarded ones come from outside.
                libc::NFT_META_IIF | libc::NFT_META_IIFNAME => {
                    self.forget(to);
                    self.outside = Some(to);
                }
                // The metadata service is never behind the loopback interface.
                libc::NFT_META_OIF | libc::NFT_META_OIFNAME if packet.imds => {
                    self.forget(to);
                    self.outside = Some(to);
                }
                _ => self.forget(to),
            },
            Load::TypeOfDestination if packet.imds => {
                // The type is a number below 256 in host byte order, and not RTN_LOCAL.
                let local = u32::from(libc::RTN_LOCAL).to_ne_bytes();
                let byte = |byte| match byte {
                    0 => Byte::Is(0),
                    byte => Byte::Not(byte),
                };
                self.set(to, local.map(byte));
            }
            Load::Payload(_) | Load::TypeOfDestination | Load::Other(_) => self.forget(to),
        }
    }

    /// Stores `to = (from & mask) ^ xor`.
    pub(super) fn mask(&mut self, from: Register, to: Register, mask: &[u8], xor: &[u8]) {
        let Some(bytes) = self.get(from, mask.len()) else {
            return self.forget(to);
        };
        let bits = mask.iter().zip(xor);
        let bytes: Vec<Byte> = bytes
            .iter()
            .zip(bits)
            .map(|(byte, (mask, xor))| match (byte, mask, xor) {
                (_, 0, xor) => Byte::Is(*xor),
                (Byte::Is(byte), mask, xor) => Byte::Is(byte & mask ^ xor),
                (byte, 0xff, 0) => *byte,
                _ => Byte::Any,
            })
            .collect();
        self.set(to, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{IMDS_V4, IMDS_V6};

    fn loaded(address: Address, load: &Load, length: usize) -> Vec<Byte> {
        let mut registers = Registers::default();
        registers.load(16, load, Packet::to(address));
        registers.get(16, length).unwrap().to_vec()
    }

    fn payload(base: u32, offset: usize, length: usize) -> Load {
        Load::Payload(Part {
            base,
            offset,
            length,
        })
    }

    #[test]
    fn what_is_known_of_a_packet_is_loaded_with_zeros_behind_it() {
        let is = |bytes: &[u8]| bytes.iter().copied().map(Byte::Is).collect::<Vec<_>>();
        let v4 = payload(NETWORK, 16, 4);
        assert_eq!(loaded(IMDS_V4, &v4, 4), is(&[169, 254, 169, 254]));
        let network = payload(NETWORK, 16, 2);
        assert_eq!(loaded(IMDS_V4, &network, 4), is(&[169, 254, 0, 0]));
        let v6 = payload(NETWORK, 24, 4);
        assert_eq!(loaded(IMDS_V6, &v6, 4), is(&[0xfd, 0, 0x0e, 0xc2]));
        let port = payload(TRANSPORT, 2, 2);
        assert_eq!(loaded(IMDS_V4, &port, 4), is(&[0, 80, 0, 0]));
        let protocol = Load::Meta(libc::NFT_META_L4PROTO.cast_unsigned());
        assert_eq!(loaded(IMDS_V6, &protocol, 4), is(&[6, 0, 0, 0]));
        let family = Load::Meta(libc::NFT_META_NFPROTO.cast_unsigned());
        assert_eq!(loaded(IMDS_V6, &family, 1), is(&[10]));
        let ethernet = Load::Meta(libc::NFT_META_PROTOCOL.cast_unsigned());
        assert_eq!(loaded(IMDS_V6, &ethernet, 2), is(&[0x86, 0xdd]));
    }

    #[test]
    fn of_packets_to_other_addresses_port_and_protocol_are_not_known() {
        let other: Address = "192.0.2.1".parse().unwrap();
        for load in [
            payload(TRANSPORT, 2, 2),
            payload(NETWORK, 12, 2),
            payload(NETWORK, usize::MAX, 2),
            Load::Meta(libc::NFT_META_MARK.cast_unsigned()),
            Load::Other("ct".to_owned()),
            Load::TypeOfDestination,
        ] {
            assert_eq!(loaded(other, &load, 2), [Byte::Any; 2], "{load:?}");
        }
    }

    #[test]
    fn imds_is_never_local_and_whatever_else() {
        let kind = loaded(IMDS_V4, &Load::TypeOfDestination, 4);
        let local = u32::from(libc::RTN_LOCAL).to_ne_bytes();
        let unicast = u32::from(libc::RTN_UNICAST).to_ne_bytes();
        assert_eq!(equal(&kind, &local), Some(false));
        assert_eq!(equal(&kind, &unicast), None);
    }

    #[test]
    fn bytes_are_compared_as_far_as_they_are_known() {
        let partly = [Byte::Is(5), Byte::Any];
        assert_eq!(order(&partly, &[4, 9]), Some(Ordering::Greater));
        assert_eq!(order(&partly, &[5, 9]), None);
        assert_eq!(within(&partly, &[4, 0], &[4, 9]), Some(false));
        assert_eq!(within(&partly, &[4, 0], &[6, 0]), Some(true));
        assert_eq!(within(&partly, &[4, 0], &[5, 9]), None);
        assert_eq!(equal(&partly, &[6, 1]), Some(false));
        assert_eq!(equal(&partly, &[5, 1]), None);
        assert_eq!(equal(&partly, &[5]), None, "of another length");
    }

    #[test]
    fn registers_beyond_the_last_are_not_there() {
        let mut registers = Registers::default();
        registers.set(60, [Byte::Is(1); 8]);
        assert_eq!(registers.get(60, 4), Some(&[Byte::Is(1); 4][..]));
        assert_eq!(registers.get(60, 5), None);
        assert_eq!(registers.get(usize::MAX, 2), None);
        registers.mask(60, 0, &[0xff; 8], &[0; 8]);
        registers.set(usize::MAX, [Byte::Is(1)]);
        registers.forget(usize::MAX);
    }
}
