//! The expressions of an nf_tables rule (linux/netfilter/nf_tables.h).
//!
//! The expressions of our rules are read in full. They use one register, as those of nft do. Any
//! other expression is read by name only.

use nix::libc;

use crate::ruleset::model::Counters;
use crate::ruleset::netlink::attributes::{
    all, find, long_number, nest, number, put, put_number, put_text, text,
};

/// An element of a list (NFTA_LIST_ELEM).
const ELEMENT: u16 = 1;
/// The name and the attributes of an expression (NFTA_EXPR_NAME, NFTA_EXPR_DATA).
const NAME: u16 = 1;
const DATA: u16 = 2;
/// A value or a verdict (NFTA_DATA_VALUE, NFTA_DATA_VERDICT).
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
/// The register that our rules load and compare: the first one, with 16 bytes.
const REGISTER: u32 = unsigned(libc::NFT_REG_1);

/// A property of a packet that the expression `meta` loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meta {
    /// The IP family, one byte.
    Family,
    /// The transport protocol, one byte.
    Protocol,
    /// The uid of the socket's file, in host byte order. A packet without one does not match.
    Uid,
    /// The gid of the socket's file, in host byte order. A packet without one does not match.
    Gid,
}

impl Meta {
    const ALL: [Self; 4] = [Self::Family, Self::Protocol, Self::Uid, Self::Gid];

    /// The number of the property (enum nft_meta_keys).
    fn key(self) -> u32 {
        unsigned(match self {
            Self::Family => libc::NFT_META_NFPROTO,
            Self::Protocol => libc::NFT_META_L4PROTO,
            Self::Uid => libc::NFT_META_SKUID,
            Self::Gid => libc::NFT_META_SKGID,
        })
    }
}

/// The header from which the expression `payload` loads bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// The IP header.
    Network,
    /// The transport header, such as that of TCP.
    Transport,
}

impl Header {
    /// The number of the header (enum nft_payload_bases).
    fn base(self) -> u32 {
        unsigned(match self {
            Self::Network => libc::NFT_PAYLOAD_NETWORK_HEADER,
            Self::Transport => libc::NFT_PAYLOAD_TRANSPORT_HEADER,
        })
    }
}

/// A comparison of the register with a value. If it is false, the rule does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
}

impl Comparison {
    const ALL: [Self; 4] = [Self::Equal, Self::NotEqual, Self::AtMost, Self::AtLeast];

    /// The number of the comparison (enum nft_cmp_ops).
    fn op(self) -> u32 {
        unsigned(match self {
            Self::Equal => libc::NFT_CMP_EQ,
            Self::NotEqual => libc::NFT_CMP_NEQ,
            Self::AtMost => libc::NFT_CMP_LTE,
            Self::AtLeast => libc::NFT_CMP_GTE,
        })
    }
}

/// The answer to a refused packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A TCP reset.
    Reset,
    /// A port-unreachable message, ICMP or ICMPv6 by the packet's family.
    PortUnreachable,
}

impl Answer {
    const ALL: [Self; 2] = [Self::Reset, Self::PortUnreachable];

    /// The numbers of the type (enum nft_reject_types) and of its code (enum nft_reject_inet_code).
    fn codes(self) -> (u32, u8) {
        match self {
            Self::Reset => (unsigned(libc::NFT_REJECT_TCP_RST), 0),
            Self::PortUnreachable => (unsigned(libc::NFT_REJECT_ICMPX_UNREACH), 1),
        }
    }
}

/// An expression of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Loads a property of the packet.
    Meta(Meta),
    /// Loads bytes of the packet, with offset and length in bytes.
    Payload(Header, u32, u32),
    /// Converts the loaded number of four bytes to network byte order, in which it can be compared
    /// by size.
    ToNetworkOrder,
    /// Keeps only these bits of the one loaded byte.
    Mask(u8),
    /// Compares the loaded bytes.
    Compare(Comparison, Bytes),
    /// Counts the packet.
    Counter(Counters),
    /// Drops the packet.
    Drop,
    /// Continues in the chain that called this one.
    Return,
    /// Continues in another chain, which can return.
    Jump(String),
    /// Continues in another chain, which does not return to this one.
    Goto(String),
    /// Refuses the packet.
    Reject(Answer),
    /// Any other expression, by name.
    Other(String),
}

/// A value to compare with: at most the 16 bytes of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes {
    bytes: [u8; 16],
    length: usize,
}

impl Bytes {
    /// `None` if there are more than 16 bytes.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut padded = [0; 16];
        padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self {
            bytes: padded,
            length: bytes.len(),
        })
    }

    pub(crate) fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(bytes: [u8; N]) -> Self {
        const { assert!(N <= 16, "a register has 16 bytes") };
        let mut padded = [0; 16];
        for (place, byte) in padded.iter_mut().zip(bytes) {
            *place = byte;
        }
        Self {
            bytes: padded,
            length: N,
        }
    }
}

impl Expression {
    /// Appends the expression to the list of a rule's expressions.
    pub(crate) fn write(&self, list: &mut Vec<u8>) {
        let verdict = |list: &mut Vec<u8>, code, chain: Option<&str>| {
            expression(list, "immediate", |data| {
                // NFTA_IMMEDIATE_DREG, _DATA; NFTA_VERDICT_CODE, _CHAIN
                put_number(data, 1, unsigned(libc::NFT_REG_VERDICT));
                nest(data, 2, |data| {
                    nest(data, VERDICT, |data| {
                        put(data, 1, &i32::to_be_bytes(code));
                        if let Some(chain) = chain {
                            put_text(data, 2, chain);
                        }
                    });
                });
            });
        };
        match self {
            Self::Meta(meta) => expression(list, "meta", |data| {
                // NFTA_META_DREG, _KEY
                put_number(data, 1, REGISTER);
                put_number(data, 2, meta.key());
            }),
            Self::Payload(header, offset, length) => expression(list, "payload", |data| {
                // NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN
                for (kind, number) in (1..).zip([REGISTER, header.base(), *offset, *length]) {
                    put_number(data, kind, number);
                }
            }),
            Self::ToNetworkOrder => expression(list, "byteorder", |data| {
                // NFTA_BYTEORDER_SREG, _DREG, _OP, _LEN, _SIZE
                let op = unsigned(libc::NFT_BYTEORDER_HTON);
                for (kind, number) in (1..).zip([REGISTER, REGISTER, op, 4, 4]) {
                    put_number(data, kind, number);
                }
            }),
            Self::Mask(mask) => expression(list, "bitwise", |data| {
                // NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR
                for (kind, number) in (1..).zip([REGISTER, REGISTER, 1]) {
                    put_number(data, kind, number);
                }
                nest(data, 4, |data| put(data, VALUE, &[*mask]));
                nest(data, 5, |data| put(data, VALUE, &[0]));
            }),
            Self::Compare(comparison, bytes) => expression(list, "cmp", |data| {
                // NFTA_CMP_SREG, _OP, _DATA
                put_number(data, 1, REGISTER);
                put_number(data, 2, comparison.op());
                nest(data, 3, |data| put(data, VALUE, bytes.get()));
            }),
            Self::Counter(counters) => expression(list, "counter", |data| {
                // NFTA_COUNTER_BYTES, _PACKETS
                put(data, 1, &counters.bytes.to_be_bytes());
                put(data, 2, &counters.packets.to_be_bytes());
            }),
            Self::Drop => verdict(list, libc::NF_DROP, None),
            Self::Return => verdict(list, libc::NFT_RETURN, None),
            Self::Jump(chain) => verdict(list, libc::NFT_JUMP, Some(chain)),
            Self::Goto(chain) => verdict(list, libc::NFT_GOTO, Some(chain)),
            Self::Reject(answer) => expression(list, "reject", |data| {
                // NFTA_REJECT_TYPE, _ICMP_CODE
                let (kind, code) = answer.codes();
                put_number(data, 1, kind);
                put(data, 2, &[code]);
            }),
            // Our rules have no such expression.
            Self::Other(name) => expression(list, name, |_| {}),
        }
    }

    /// The expressions of a rule; `None` if the list is damaged.
    pub(crate) fn read_all(list: &[u8]) -> Option<Vec<Self>> {
        let mut expressions = Vec::new();
        for element in all(list) {
            let (ELEMENT, expression) = element? else {
                return None;
            };
            let name = text(find(expression, NAME)?);
            let data = find(expression, DATA).unwrap_or_default();
            if let Some(both) = Self::read_range(&name, data) {
                expressions.extend(both);
            } else {
                let known = Self::read(&name, data);
                expressions.push(known.unwrap_or(Self::Other(name)));
            }
        }
        Some(expressions)
    }

    /// The two comparisons for which nft 1.1 writes a single expression, `range`.
    fn read_range(name: &str, data: &[u8]) -> Option<[Self; 2]> {
        // NFTA_RANGE_SREG, _OP, _FROM_DATA, _TO_DATA
        if name != "range" || all(data).count() != 4 {
            return None;
        }
        let data = Data(data);
        data.is(1, REGISTER)?;
        data.is(2, unsigned(libc::NFT_RANGE_EQ))?;
        Some([
            Self::Compare(Comparison::AtLeast, Bytes::new(data.value(3)?)?),
            Self::Compare(Comparison::AtMost, Bytes::new(data.value(4)?)?),
        ])
    }

    /// The expression, if all of its attributes are known.
    fn read(name: &str, data: &[u8]) -> Option<Self> {
        let data = Data(data);
        match name {
            "meta" => data.meta(),
            "payload" => data.payload(),
            "byteorder" => data.byteorder(),
            "bitwise" => data.bitwise(),
            "cmp" => data.compare(),
            "counter" => data.counter(),
            "immediate" => data.immediate(),
            "reject" => data.reject(),
            _ => None,
        }
    }
}

/// The attributes of an expression.
struct Data<'a>(&'a [u8]);

impl<'a> Data<'a> {
    fn number(&self, kind: u16) -> Option<u32> {
        find(self.0, kind).and_then(number)
    }

    fn value(&self, kind: u16) -> Option<&'a [u8]> {
        find(find(self.0, kind)?, VALUE)
    }

    /// `None` if the number of the attribute is another one.
    fn is(&self, kind: u16, wanted: u32) -> Option<()> {
        (self.number(kind)? == wanted).then_some(())
    }

    /// `None` if there are attributes of higher types, which would change the meaning.
    fn only(&self, most: u16) -> Option<()> {
        let kinds = all(self.0)
            .map_while(|attribute| attribute)
            .map(|(kind, _)| kind);
        kinds.max().is_none_or(|kind| kind <= most).then_some(())
    }

    fn meta(&self) -> Option<Expression> {
        // NFTA_META_DREG, _KEY
        self.is(1, REGISTER)?;
        self.only(2)?;
        let key = self.number(2)?;
        let meta = Meta::ALL.into_iter().find(|meta| meta.key() == key)?;
        Some(Expression::Meta(meta))
    }

    fn payload(&self) -> Option<Expression> {
        // NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN
        self.is(1, REGISTER)?;
        self.only(4)?;
        let base = self.number(2)?;
        let headers = [Header::Network, Header::Transport];
        let header = headers.into_iter().find(|header| header.base() == base)?;
        let (offset, length) = (self.number(3)?, self.number(4)?);
        Some(Expression::Payload(header, offset, length))
    }

    fn byteorder(&self) -> Option<Expression> {
        // NFTA_BYTEORDER_SREG, _DREG, _OP, _LEN, _SIZE
        let op = unsigned(libc::NFT_BYTEORDER_HTON);
        for (kind, wanted) in (1..).zip([REGISTER, REGISTER, op, 4, 4]) {
            self.is(kind, wanted)?;
        }
        self.only(5)?;
        Some(Expression::ToNetworkOrder)
    }

    fn bitwise(&self) -> Option<Expression> {
        // NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR, _OP
        for (kind, wanted) in (1..).zip([REGISTER, REGISTER, 1]) {
            self.is(kind, wanted)?;
        }
        self.only(6)?;
        // Only newer kernels report the operation. 0 is NFT_BITWISE_MASK_XOR.
        let is_mask_xor = self.number(6).is_none_or(|op| op == 0);
        match (self.value(4)?, self.value(5)?) {
            (&[mask], [0]) if is_mask_xor => Some(Expression::Mask(mask)),
            _ => None,
        }
    }

    fn compare(&self) -> Option<Expression> {
        // NFTA_CMP_SREG, _OP, _DATA
        self.is(1, REGISTER)?;
        self.only(3)?;
        let op = self.number(2)?;
        let comparison = Comparison::ALL.into_iter().find(|one| one.op() == op)?;
        let value = Bytes::new(self.value(3)?)?;
        Some(Expression::Compare(comparison, value))
    }

    fn counter(&self) -> Option<Expression> {
        // NFTA_COUNTER_BYTES, _PACKETS
        Some(Expression::Counter(Counters {
            bytes: find(self.0, 1).and_then(long_number)?,
            packets: find(self.0, 2).and_then(long_number)?,
        }))
    }

    fn immediate(&self) -> Option<Expression> {
        // NFTA_IMMEDIATE_DREG, _DATA; NFTA_VERDICT_CODE, _CHAIN
        self.is(1, unsigned(libc::NFT_REG_VERDICT))?;
        self.only(2)?;
        let verdict = find(find(self.0, 2)?, VERDICT)?;
        let code = number(find(verdict, 1)?)?.cast_signed();
        let chain = || find(verdict, 2).map(text);
        Some(match code {
            libc::NF_DROP => Expression::Drop,
            libc::NFT_RETURN => Expression::Return,
            libc::NFT_JUMP => Expression::Jump(chain()?),
            libc::NFT_GOTO => Expression::Goto(chain()?),
            libc::NF_ACCEPT => Expression::Other("accept".to_owned()),
            _ => return None,
        })
    }

    fn reject(&self) -> Option<Expression> {
        // NFTA_REJECT_TYPE, _ICMP_CODE
        self.only(2)?;
        let kind = self.number(1)?;
        let code = match find(self.0, 2) {
            // The kernel does not report the code of a reset.
            None => 0,
            Some(&[code]) => code,
            Some(_) => return None,
        };
        let mut answers = Answer::ALL.into_iter();
        let answer = answers.find(|answer| answer.codes() == (kind, code))?;
        Some(Expression::Reject(answer))
    }
}

fn expression(list: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    nest(list, ELEMENT, |list| {
        put_text(list, NAME, name);
        nest(list, DATA, data);
    });
}

/// Converts a kernel constant, which is small and positive but an `int` in C.
const fn unsigned(constant: libc::c_int) -> u32 {
    constant.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(op: libc::c_int, more: &[u16]) -> Vec<u8> {
        let mut list = Vec::new();
        expression(&mut list, "range", |data| {
            put_number(data, 1, REGISTER);
            put_number(data, 2, unsigned(op));
            for (kind, uid) in [(3, 1000_u32), (4, 1005)] {
                nest(data, kind, |data| put(data, VALUE, &uid.to_be_bytes()));
            }
            for kind in more {
                put_number(data, *kind, 0);
            }
        });
        list
    }

    #[test]
    fn a_range_is_two_comparisons() {
        let [first, last] = [1000_u32, 1005].map(|uid| uid.to_be_bytes().into());
        let read = Expression::read_all(&range(libc::NFT_RANGE_EQ, &[]));
        let both = vec![
            Expression::Compare(Comparison::AtLeast, first),
            Expression::Compare(Comparison::AtMost, last),
        ];
        assert_eq!(read, Some(both));
        for other in [
            range(libc::NFT_RANGE_NEQ, &[]),
            range(libc::NFT_RANGE_EQ, &[5]),
        ] {
            let read = Expression::read_all(&other);
            assert_eq!(read, Some(vec![Expression::Other("range".to_owned())]));
        }
    }
}
