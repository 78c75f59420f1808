//! The expressions of another tool's rule (linux/netfilter/nf_tables.h), as far as they decide
//! whether the rule rewrites a destination.
//!
//! An expression with an unknown name, attribute or value becomes [`Expression::Unknown`]: it may
//! have any effect.

use nix::libc;

use super::strict_text;
use crate::ruleset::netlink::attributes::{ANY, all, each_once, find, number};
use crate::ruleset::targets;

/// The total size of the registers in bytes.
pub(super) const REGISTERS: usize = 64;
/// A value or a verdict (NFTA_DATA_VALUE, NFTA_DATA_VERDICT).
const VALUE: u16 = 1;
const VERDICT: u16 = 2;

/// The offset of a value in the registers, in bytes.
pub(super) type Register = usize;

/// The source of the value that an expression loads into a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Load {
    /// Bytes of the packet.
    Payload(Part),
    /// A property of the packet (enum nft_meta_keys).
    Meta(u32),
    /// The route type of the destination, such as `local`.
    TypeOfDestination,
    /// The result of another expression, of this name. Its length is not known.
    Other(String),
}

/// A part of the packet: its header (enum nft_payload_bases), and offset and length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) base: u32,
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// The comparison of a register with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Where the evaluation continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// With the next expression.
    Continue,
    /// With the next rule.
    Break,
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

impl Verdict {
    /// Reads the content of NFTA_DATA_VERDICT.
    pub(super) fn read(verdict: &[u8]) -> Option<Self> {
        // NFTA_VERDICT_CODE, _CHAIN
        each_once(verdict, 2)?;
        let code = number(find(verdict, 1)?)?.cast_signed();
        let chain = || Some(strict_text(find(verdict, 2)?)?.to_owned());
        Some(match code {
            libc::NFT_CONTINUE => Self::Continue,
            libc::NFT_BREAK => Self::Break,
            libc::NF_ACCEPT => Self::Accept,
            libc::NF_DROP => Self::Drop,
            libc::NFT_RETURN => Self::Return,
            libc::NFT_JUMP => Self::Jump(chain()?),
            libc::NFT_GOTO => Self::Goto(chain()?),
            _ => return None,
        })
    }
}

/// What a lookup returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Whether the set contains the key. If not, the rule does not match.
    Membership,
    /// A verdict.
    Verdict,
    /// A value for this register.
    Value(Register),
}

/// How a rule rewrites the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rewrite {
    /// By destination NAT: the family if it rewrites packets of one family only, and the registers
    /// with address and port.
    Destination(Option<u32>, Option<Register>, Option<Register>),
    /// To this host, with the register that contains the port.
    Redirect(Option<Register>),
    /// To a socket on this host.
    Tproxy,
    /// By the iptables target of this name.
    Xt(String),
}

/// An expression of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    Load(Register, Load),
    /// Computes `to = (from & mask) ^ xor`.
    Mask {
        from: Register,
        to: Register,
        mask: Vec<u8>,
        xor: Vec<u8>,
    },
    Compare(Register, Comparison, Vec<u8>),
    /// Checks that the register is between the two values or, with `true`, that it is not.
    Range(Register, bool, [Vec<u8>; 2]),
    Lookup {
        set: String,
        from: Register,
        found: Found,
        negated: bool,
    },
    Constant(Register, Vec<u8>),
    Verdict(Verdict),
    Rewrite(Rewrite),
    /// Writes a register into the packet.
    Write(Part),
    /// An iptables match: its name, revision and struct.
    XtMatch(String, u32, Vec<u8>),
    /// Does not change the destination. The rule may continue after it.
    Harmless(String),
    /// Refuses the packet.
    Reject,
    /// An unknown or damaged expression, by name.
    Unknown(String),
}

impl Expression {
    /// The expressions of a rule; `None` if the list is damaged.
    pub(super) fn read_all(list: &[u8]) -> Option<Vec<Self>> {
        let read = |element: Option<(u16, &[u8])>| {
            // NFTA_LIST_ELEM; NFTA_EXPR_NAME, _DATA
            let (1, expression) = element? else {
                return None;
            };
            each_once(expression, 2)?;
            let name = strict_text(find(expression, 1)?)?;
            let data = find(expression, 2).unwrap_or_default();
            let known = Self::read(name, data);
            Some(known.unwrap_or_else(|| Self::Unknown(name.to_owned())))
        };
        all(list).map(read).collect()
    }

    fn read(name: &str, data: &[u8]) -> Option<Self> {
        let data = Data::whole(data)?;
        match name {
            "payload" => payload(&data),
            "meta" => meta(&data),
            "fib" => fib(&data),
            "bitwise" => bitwise(&data),
            "cmp" => compare(&data),
            "range" => range(&data),
            "lookup" => lookup(&data),
            "immediate" => immediate(&data),
            "nat" => nat(&data),
            // NFTA_REDIR_REG_PROTO_MIN
            "redir" => {
                data.only(3)?;
                let port = data.optional_register(1).ok()?;
                Some(Self::Rewrite(Rewrite::Redirect(port)))
            }
            "tproxy" => Some(Self::Rewrite(Rewrite::Tproxy)),
            "reject" => Some(Self::Reject),
            "match" => xt_match(&data),
            "target" => xt_target(&data),
            // Without NFTA_CT_DREG or NFTA_EXTHDR_DREG they only write, and never to the
            // destination.
            "ct" | "exthdr" if data.find(1).is_none() => Some(Self::Harmless(name.to_owned())),
            // NFTA_CT_DREG, _EXTHDR_, _RT_, _OSF_, _NG_, _XFRM_
            "ct" | "exthdr" | "rt" | "osf" | "numgen" | "xfrm" => {
                Some(other(name, data.register(1)?))
            }
            // NFTA_HASH_DREG, _SOCKET_, _TUNNEL_, _BYTEORDER_
            "hash" | "socket" | "tunnel" | "byteorder" => Some(other(name, data.register(2)?)),
            // `inner` runs another expression on a header inside a tunnel.
            "inner" => Some(other(name, 0)),
            "connlimit" | "counter" | "dup" | "dynset" | "flow_offload" | "last" | "limit"
            | "log" | "masq" | "notrack" | "objref" | "queue" | "quota" | "secmark"
            | "synproxy" => Some(Self::Harmless(name.to_owned())),
            _ => None,
        }
    }
}

/// The attribute does not have a valid value.
struct Damaged;

/// The attributes of an expression.
struct Data<'a>(&'a [u8]);

impl<'a> Data<'a> {
    /// `None` if the attributes are damaged.
    fn whole(data: &'a [u8]) -> Option<Self> {
        each_once(data, ANY)?;
        Some(Self(data))
    }

    fn find(&self, kind: u16) -> Option<&'a [u8]> {
        find(self.0, kind)
    }

    /// `None` if there are attributes of higher types, as a newer kernel may send.
    fn only(&self, most: u16) -> Option<()> {
        each_once(self.0, most)
    }

    fn number(&self, kind: u16) -> Option<u32> {
        number(self.find(kind)?)
    }

    /// The number, 0 if the attribute is missing; `None` if the value is damaged.
    fn optional(&self, kind: u16) -> Option<u32> {
        self.find(kind).map_or(Some(0), number)
    }

    fn length(&self, kind: u16) -> Option<usize> {
        usize::try_from(self.number(kind)?).ok()
    }

    fn value(&self, kind: u16) -> Option<Vec<u8>> {
        let data = self.find(kind)?;
        each_once(data, VALUE)?;
        Some(find(data, VALUE)?.to_vec())
    }

    fn register(&self, kind: u16) -> Option<Register> {
        register(self.number(kind)?)
    }

    /// The register; `Ok(None)` if the attribute is missing.
    fn optional_register(&self, kind: u16) -> Result<Option<Register>, Damaged> {
        let read = |value| number(value).and_then(register).ok_or(Damaged);
        self.find(kind).map(read).transpose()
    }
}

/// The offset of a register. The registers 1 to 4 have 16 bytes each; 8 to 23 are aliases of the
/// same memory with four bytes each (enum nft_registers).
fn register(number: u32) -> Option<Register> {
    let number = usize::try_from(number).ok()?;
    match number {
        1..=4 => Some((number - 1) * 16),
        8..=23 => Some((number - 8) * 4),
        _ => None,
    }
}

fn other(name: &str, to: Register) -> Expression {
    Expression::Load(to, Load::Other(name.to_owned()))
}

fn payload(data: &Data<'_>) -> Option<Expression> {
    // NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN, _SREG; for writes, three more for checksums
    data.only(8)?;
    let part = Part {
        base: data.number(2)?,
        offset: data.length(3)?,
        length: data.length(4)?,
    };
    match (
        data.optional_register(1).ok()?,
        data.optional_register(5).ok()?,
    ) {
        (Some(to), None) => Some(Expression::Load(to, Load::Payload(part))),
        (None, Some(_)) => Some(Expression::Write(part)),
        _ => None,
    }
}

fn meta(data: &Data<'_>) -> Option<Expression> {
    // NFTA_META_DREG, _KEY, _SREG
    data.only(3)?;
    let key = data.number(2)?;
    match (
        data.optional_register(1).ok()?,
        data.optional_register(3).ok()?,
    ) {
        (Some(to), None) => Some(Expression::Load(to, Load::Meta(key))),
        (None, Some(_)) => Some(Expression::Harmless("meta set".to_owned())),
        _ => None,
    }
}

fn fib(data: &Data<'_>) -> Option<Expression> {
    // NFTA_FIB_DREG, _RESULT, _FLAGS; NFT_FIB_RESULT_ADDRTYPE; NFTA_FIB_F_DADDR
    let to = data.register(1)?;
    let known = data.only(3).is_some();
    match (data.number(2)?, data.number(3)?) {
        (3, 2) if known => Some(Expression::Load(to, Load::TypeOfDestination)),
        _ => Some(other("fib", to)),
    }
}

fn bitwise(data: &Data<'_>) -> Option<Expression> {
    // NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR, _OP; for other operations, more
    let to = data.register(2)?;
    // NFT_BITWISE_MASK_XOR
    if data.only(6).is_none() || data.optional(6)? != 0 {
        return Some(other("bitwise", to));
    }
    let (mask, xor) = (data.value(4)?, data.value(5)?);
    if mask.len() != xor.len() || data.length(3)? != mask.len() {
        return None;
    }
    Some(Expression::Mask {
        from: data.register(1)?,
        to,
        mask,
        xor,
    })
}

fn compare(data: &Data<'_>) -> Option<Expression> {
    // NFTA_CMP_SREG, _OP, _DATA; enum nft_cmp_ops
    data.only(3)?;
    let comparison = match data.number(2)? {
        0 => Comparison::Equal,
        1 => Comparison::NotEqual,
        2 => Comparison::Less,
        3 => Comparison::AtMost,
        4 => Comparison::Greater,
        5 => Comparison::AtLeast,
        _ => return None,
    };
    let (register, value) = (data.register(1)?, data.value(3)?);
    Some(Expression::Compare(register, comparison, value))
}

fn range(data: &Data<'_>) -> Option<Expression> {
    // NFTA_RANGE_SREG, _OP, _FROM_DATA, _TO_DATA; enum nft_range_ops
    data.only(4)?;
    let negated = match data.number(2)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let ends = [data.value(3)?, data.value(4)?];
    Some(Expression::Range(data.register(1)?, negated, ends))
}

fn lookup(data: &Data<'_>) -> Option<Expression> {
    // NFTA_LOOKUP_SET, _SREG, _DREG, _SET_ID, _FLAGS; NFT_LOOKUP_F_INV
    data.only(5)?;
    let negated = match data.optional(5)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let found = match data.find(3).map(number) {
        None => Found::Membership,
        Some(Some(0)) => Found::Verdict,
        Some(to) => Found::Value(register(to?)?),
    };
    Some(Expression::Lookup {
        set: strict_text(data.find(1)?)?.to_owned(),
        from: data.register(2)?,
        found,
        negated,
    })
}

fn immediate(data: &Data<'_>) -> Option<Expression> {
    // NFTA_IMMEDIATE_DREG, _DATA
    data.only(2)?;
    match data.number(1)? {
        0 => {
            let data = data.find(2)?;
            each_once(data, VERDICT)?;
            let verdict = Verdict::read(find(data, VERDICT)?)?;
            Some(Expression::Verdict(verdict))
        }
        to => Some(Expression::Constant(register(to)?, data.value(2)?)),
    }
}

fn nat(data: &Data<'_>) -> Option<Expression> {
    // NFTA_NAT_TYPE, _FAMILY, _REG_ADDR_MIN, _REG_ADDR_MAX, _REG_PROTO_MIN, _REG_PROTO_MAX, _FLAGS
    data.only(7)?;
    match data.number(1)?.cast_signed() {
        libc::NFT_NAT_SNAT => Some(Expression::Harmless("snat".to_owned())),
        libc::NFT_NAT_DNAT => {
            let family = data.number(2)?.cast_signed();
            let ip = family == libc::NFPROTO_IPV4 || family == libc::NFPROTO_IPV6;
            let family = ip.then_some(family.cast_unsigned());
            let (address, port) = (
                data.optional_register(3).ok()?,
                data.optional_register(5).ok()?,
            );
            let destination = Rewrite::Destination(family, address, port);
            Some(Expression::Rewrite(destination))
        }
        _ => None,
    }
}

fn xt_match(data: &Data<'_>) -> Option<Expression> {
    // NFTA_MATCH_NAME, _REV, _INFO
    let name = strict_text(data.find(1)?)?.to_owned();
    let (revision, info) = (data.number(2)?, data.find(3)?.to_vec());
    Some(Expression::XtMatch(name, revision, info))
}

fn xt_target(data: &Data<'_>) -> Option<Expression> {
    // NFTA_TARGET_NAME
    let name = strict_text(data.find(1)?)?;
    if targets::REWRITES.contains(&name) {
        return Some(Expression::Rewrite(Rewrite::Xt(name.to_owned())));
    }
    match name {
        "REJECT" => Some(Expression::Reject),
        "MASQUERADE" | "NFQUEUE" | "SNAT" | "SNPT" => Some(Expression::Harmless(name.to_owned())),
        name if targets::GOES_ON.contains(&name) => Some(Expression::Harmless(name.to_owned())),
        _ => None,
    }
}
