//! Expressions of `nf_tables`: what a rule is made of in the kernel (linux/netfilter/nf_tables.h).
//!
//! Those that our rules need, with one register, as nft itself writes them; any other is known by
//! its name alone.

use nix::libc;

use crate::ruleset::model::Counters;
use crate::ruleset::netlink::attributes::{
    all, find, long_number, nest, number, put, put_number, put_text, text,
};

/// NFTA_LIST_ELEM
const ELEMENT: u16 = 1;
/// NFTA_EXPR_NAME, NFTA_EXPR_DATA
const NAME: u16 = 1;
const DATA: u16 = 2;
/// NFTA_DATA_VALUE, NFTA_DATA_VERDICT
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
/// The register that is loaded and compared: all 16 bytes of the first.
const REGISTER: u32 = unsigned(libc::NFT_REG_1);

/// What is loaded of a packet that nft calls `meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meta {
    /// The IP family, a byte.
    Family,
    /// The protocol in the IP packet, a byte.
    Protocol,
    /// The uid of the socket's file, in this machine's order; without one the rule ends.
    Uid,
    /// The same for the gid.
    Gid,
}

impl Meta {
    const ALL: [Self; 4] = [Self::Family, Self::Protocol, Self::Uid, Self::Gid];

    /// enum nft_meta_keys
    fn key(self) -> u32 {
        unsigned(match self {
            Self::Family => libc::NFT_META_NFPROTO,
            Self::Protocol => libc::NFT_META_L4PROTO,
            Self::Uid => libc::NFT_META_SKUID,
            Self::Gid => libc::NFT_META_SKGID,
        })
    }
}

/// Which part of the packet bytes are loaded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// The IP header.
    Network,
    /// What follows it.
    Transport,
}

impl Header {
    /// enum nft_payload_bases
    fn base(self) -> u32 {
        unsigned(match self {
            Self::Network => libc::NFT_PAYLOAD_NETWORK_HEADER,
            Self::Transport => libc::NFT_PAYLOAD_TRANSPORT_HEADER,
        })
    }
}

/// How the register is compared; if it does not hold, the rule ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
}

impl Comparison {
    const ALL: [Self; 4] = [Self::Equal, Self::NotEqual, Self::AtMost, Self::AtLeast];

    /// enum nft_cmp_ops
    fn op(self) -> u32 {
        unsigned(match self {
            Self::Equal => libc::NFT_CMP_EQ,
            Self::NotEqual => libc::NFT_CMP_NEQ,
            Self::AtMost => libc::NFT_CMP_LTE,
            Self::AtLeast => libc::NFT_CMP_GTE,
        })
    }
}

/// What a refused packet is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A TCP reset.
    Reset,
    /// Port unreachable, as the packet's family says it.
    PortUnreachable,
}

impl Answer {
    const ALL: [Self; 2] = [Self::Reset, Self::PortUnreachable];

    /// enum nft_reject_types, and of the second one enum nft_reject_inet_code.
    fn codes(self) -> (u32, u8) {
        match self {
            Self::Reset => (unsigned(libc::NFT_REJECT_TCP_RST), 0),
            Self::PortUnreachable => (unsigned(libc::NFT_REJECT_ICMPX_UNREACH), 1),
        }
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Loads a property of the packet.
    Meta(Meta),
    /// Loads bytes of the packet: offset and length.
    Payload(Header, u32, u32),
    /// Turns a loaded number of four bytes into network order, in which it can be compared by size.
    ToNetworkOrder,
    /// Keeps these bits of the one loaded byte.
    Mask(u8),
    /// Compares what is loaded.
    Compare(Comparison, Bytes),
    /// Counts.
    Counter(Counters),
    /// Drops the packet.
    Drop,
    /// Ends the chain.
    Return,
    /// Goes on in a chain, and comes back.
    Jump(String),
    /// Goes on in a chain.
    Goto(String),
    /// Refuses the packet.
    Reject(Answer),
    /// Anything else, by its name.
    Other(String),
}

/// What is compared with: at most the 16 bytes of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes {
    bytes: [u8; 16],
    length: usize,
}

impl Bytes {
    /// `None` if they are more than 16.
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
    /// Appends it to the list of a rule's expressions.
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
            // Nothing writes what it does not know.
            Self::Other(name) => expression(list, name, |_| {}),
        }
    }

    /// The expressions in the list of a rule; `None` if it is no such list.
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

    /// The two comparisons that are one expression where nft 1.1 wrote the rule.
    fn read_range(name: &str, data: &[u8]) -> Option<[Self; 2]> {
        // NFTA_RANGE_SREG, _OP, _FROM_DATA, _TO_DATA
        let is = |kind, wanted| (find(data, kind).and_then(number)? == wanted).then_some(());
        let value = |kind| Bytes::new(find(find(data, kind)?, VALUE)?);
        (name == "range" && all(data).count() == 4).then_some(())?;
        is(1, REGISTER)?;
        is(2, unsigned(libc::NFT_RANGE_EQ))?;
        Some([
            Self::Compare(Comparison::AtLeast, value(3)?),
            Self::Compare(Comparison::AtMost, value(4)?),
        ])
    }

    /// The expression, if it is one of those that are known in all that they say.
    fn read(name: &str, data: &[u8]) -> Option<Self> {
        let get = |kind| find(data, kind).and_then(number);
        let is = |kind, wanted: u32| (get(kind)? == wanted).then_some(());
        let value = |kind| find(find(data, kind)?, VALUE);
        // None says more than the attributes that are looked at here.
        let only = |most: u16| {
            let kinds = all(data)
                .map_while(|attribute| attribute)
                .map(|(kind, _)| kind);
            kinds.max().is_none_or(|kind| kind <= most).then_some(())
        };
        Some(match name {
            "meta" => {
                is(1, REGISTER)?;
                only(2)?;
                let key = get(2)?;
                Self::Meta(Meta::ALL.into_iter().find(|meta| meta.key() == key)?)
            }
            "payload" => {
                is(1, REGISTER)?;
                only(4)?;
                let base = get(2)?;
                let headers = [Header::Network, Header::Transport];
                let header = headers.into_iter().find(|header| header.base() == base)?;
                Self::Payload(header, get(3)?, get(4)?)
            }
            "byteorder" => {
                is(1, REGISTER)?;
                is(2, REGISTER)?;
                is(3, unsigned(libc::NFT_BYTEORDER_HTON))?;
                is(4, 4)?;
                is(5, 4)?;
                only(5)?;
                Self::ToNetworkOrder
            }
            "bitwise" => {
                is(1, REGISTER)?;
                is(2, REGISTER)?;
                is(3, 1)?;
                // NFTA_BITWISE_OP, which newer kernels tell: NFT_BITWISE_MASK_XOR.
                get(6).is_none_or(|op| op == 0).then_some(())?;
                only(6)?;
                (value(5)? == [0]).then_some(())?;
                match value(4)? {
                    &[mask] => Self::Mask(mask),
                    _ => return None,
                }
            }
            "cmp" => {
                is(1, REGISTER)?;
                only(3)?;
                let op = get(2)?;
                let comparison = Comparison::ALL.into_iter().find(|one| one.op() == op)?;
                Self::Compare(comparison, Bytes::new(value(3)?)?)
            }
            "counter" => Self::Counter(Counters {
                bytes: find(data, 1).and_then(long_number)?,
                packets: find(data, 2).and_then(long_number)?,
            }),
            "immediate" => {
                is(1, unsigned(libc::NFT_REG_VERDICT))?;
                only(2)?;
                let verdict = find(find(data, 2)?, VERDICT)?;
                let code = number(find(verdict, 1)?)?.cast_signed();
                let chain = || find(verdict, 2).map(text);
                match code {
                    libc::NF_DROP => Self::Drop,
                    libc::NFT_RETURN => Self::Return,
                    libc::NFT_JUMP => Self::Jump(chain()?),
                    libc::NFT_GOTO => Self::Goto(chain()?),
                    libc::NF_ACCEPT => Self::Other("accept".to_owned()),
                    _ => return None,
                }
            }
            "reject" => {
                only(2)?;
                let kind = get(1)?;
                let code = match find(data, 2) {
                    // The kernel does not tell a reset's code.
                    None => 0,
                    Some(&[code]) => code,
                    Some(_) => return None,
                };
                let answers = Answer::ALL.into_iter();
                let answer = { answers }.find(|answer| answer.codes() == (kind, code))?;
                Self::Reject(answer)
            }
            _ => return None,
        })
    }
}

fn expression(list: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    nest(list, ELEMENT, |list| {
        put_text(list, NAME, name);
        nest(list, DATA, data);
    });
}

/// The constants of the kernel are all small and positive; C has them as `int`.
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
