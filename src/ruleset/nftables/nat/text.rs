//! Another tool's rule in a syntax close to that of nft, for people to read. Other expressions are
//! shown by name, in `<>`.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use nix::libc;

use super::expression::{Comparison, Expression, Found, Load, Part, Register, Rewrite, Verdict};

/// The syntax of a value.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Ipv4,
    Ipv6,
    Number,
    Protocol,
    Family,
    RouteType,
    Interface,
    Bytes,
}

/// The content of a register.
#[derive(Debug, Clone)]
enum Held {
    /// A loaded value: its name, the syntax of values to compare it with, and their suffix.
    Loaded(String, Kind, String),
    Constant(Vec<u8>),
}

/// The text of a rule.
pub(super) fn rule(expressions: &[Expression]) -> String {
    let mut writer = Writer::default();
    let texts: Vec<String> = expressions
        .iter()
        .filter_map(|expression| writer.expression(expression))
        .collect();
    texts.join(" ")
}

#[derive(Default)]
struct Writer {
    /// The content of the registers, in the order in which they were loaded.
    held: Vec<(Register, Held)>,
}

impl Writer {
    /// The text of an expression; `None` if it only loads a register, which a later text shows.
    fn expression(&mut self, expression: &Expression) -> Option<String> {
        Some(match expression {
            Expression::Load(to, load) => {
                let (text, kind) = loaded(load);
                self.hold(*to, Held::Loaded(text, kind, String::new()));
                return None;
            }
            Expression::Constant(to, bytes) => {
                self.hold(*to, Held::Constant(bytes.clone()));
                return None;
            }
            Expression::Mask {
                from,
                to,
                mask,
                xor,
            } => {
                let held = self.masked(*from, mask, xor);
                self.hold(*to, held);
                return None;
            }
            Expression::Compare(from, comparison, bytes) => {
                let (text, kind, suffix) = self.loaded(*from);
                format!("{text} {}{}{suffix}", sign(*comparison), value(kind, bytes))
            }
            Expression::Range(from, negated, [first, last]) => {
                let (text, kind, _) = self.loaded(*from);
                let sign = if *negated { "!= " } else { "" };
                format!("{text} {sign}{}-{}", value(kind, first), value(kind, last))
            }
            Expression::Lookup {
                set,
                from,
                found,
                negated,
            } => return self.lookup(set, *from, *found, *negated),
            Expression::Verdict(verdict) => self::verdict(verdict),
            Expression::Rewrite(rewrite) => self.rewrite(rewrite),
            Expression::Write(part) => format!("{} set", payload(*part).0),
            Expression::XtMatch(name, ..) => format!("<match {name}>"),
            Expression::Reject => "reject".to_owned(),
            Expression::Harmless(name) if name == "counter" => name.clone(),
            Expression::Harmless(name) | Expression::Unknown(name) => format!("<{name}>"),
        })
    }

    fn masked(&mut self, from: Register, mask: &[u8], xor: &[u8]) -> Held {
        let (text, kind, _) = self.loaded(from);
        if xor.iter().any(|byte| *byte != 0) {
            let text = format!("{text} & {} ^ {}", hex(mask), hex(xor));
            return Held::Loaded(text, kind, String::new());
        }
        match (kind, prefix_length(mask)) {
            (Kind::Ipv4 | Kind::Ipv6, Some(length)) => {
                Held::Loaded(text, kind, format!("/{length}"))
            }
            _ => Held::Loaded(format!("{text} & {}", hex(mask)), kind, String::new()),
        }
    }

    fn lookup(&mut self, set: &str, from: Register, found: Found, negated: bool) -> Option<String> {
        let key = self.key(from);
        let sign = if negated { "!= " } else { "" };
        match found {
            Found::Membership => Some(format!("{key} {sign}@{set}")),
            Found::Verdict => Some(format!("{key} vmap @{set}")),
            Found::Value(to) => {
                let text = format!("{key} map @{set}");
                self.hold(to, Held::Loaded(text, Kind::Bytes, String::new()));
                None
            }
        }
    }

    fn hold(&mut self, register: Register, held: Held) {
        self.held.retain(|(known, _)| *known != register);
        self.held.push((register, held));
    }

    fn take(&mut self, register: Register) -> Option<Held> {
        let at = self.held.iter().position(|(known, _)| *known == register)?;
        Some(self.held.remove(at).1)
    }

    fn loaded(&mut self, register: Register) -> (String, Kind, String) {
        match self.take(register) {
            Some(Held::Loaded(text, kind, suffix)) => (text, kind, suffix),
            Some(Held::Constant(bytes)) => (hex(&bytes), Kind::Bytes, String::new()),
            None => ("<register>".to_owned(), Kind::Bytes, String::new()),
        }
    }

    /// The key of a lookup: everything that was loaded into this register and later ones.
    fn key(&mut self, from: Register) -> String {
        let (key, rest) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(register, _)| *register >= from);
        self.held = rest;
        let key: Vec<(Register, Held)> = key;
        let parts = key.into_iter().map(|(_, held)| match held {
            Held::Loaded(text, _, suffix) => text + &suffix,
            Held::Constant(bytes) => hex(&bytes),
        });
        parts.collect::<Vec<_>>().join(" . ")
    }

    fn rewrite(&mut self, rewrite: &Rewrite) -> String {
        match rewrite {
            Rewrite::Tproxy => "tproxy".to_owned(),
            Rewrite::Xt(name) => format!("<target {name}>"),
            Rewrite::Redirect(None) => "redirect".to_owned(),
            Rewrite::Redirect(Some(port)) => format!("redirect to :{}", self.operand(*port)),
            Rewrite::Destination(family, address, port) => {
                let family = match family.map(u32::cast_signed) {
                    Some(libc::NFPROTO_IPV4) => " ip",
                    Some(libc::NFPROTO_IPV6) => " ip6",
                    _ => "",
                };
                let mut text = format!("dnat{family} to ");
                if let Some(address) = address {
                    text.push_str(&self.operand(*address));
                }
                if let Some(port) = port {
                    // Writing to a String cannot fail.
                    let _ = write!(text, ":{}", self.operand(*port));
                }
                text
            }
        }
    }

    /// An address or a port in a register.
    fn operand(&mut self, register: Register) -> String {
        match self.take(register) {
            Some(Held::Loaded(text, ..)) => text,
            Some(Held::Constant(bytes)) => match bytes.len() {
                4 => value(Kind::Ipv4, &bytes),
                16 => value(Kind::Ipv6, &bytes),
                _ => value(Kind::Number, &bytes),
            },
            None => "<register>".to_owned(),
        }
    }
}

fn loaded(load: &Load) -> (String, Kind) {
    match load {
        Load::Payload(part) => payload(*part),
        Load::TypeOfDestination => ("fib daddr type".to_owned(), Kind::RouteType),
        Load::Meta(key) => {
            let (name, kind) = match key.cast_signed() {
                libc::NFT_META_NFPROTO => ("nfproto", Kind::Family),
                libc::NFT_META_L4PROTO => ("l4proto", Kind::Protocol),
                libc::NFT_META_PROTOCOL => ("protocol", Kind::Bytes),
                libc::NFT_META_MARK => ("mark", Kind::Bytes),
                libc::NFT_META_IIF => ("iif", Kind::Bytes),
                libc::NFT_META_OIF => ("oif", Kind::Bytes),
                libc::NFT_META_IIFNAME => ("iifname", Kind::Interface),
                libc::NFT_META_OIFNAME => ("oifname", Kind::Interface),
                libc::NFT_META_SKUID => ("skuid", Kind::Bytes),
                libc::NFT_META_SKGID => ("skgid", Kind::Bytes),
                _ => return (format!("<meta {key}>"), Kind::Bytes),
            };
            (format!("meta {name}"), kind)
        }
        Load::Other(name) => (format!("<{name}>"), Kind::Bytes),
    }
}

fn payload(part: Part) -> (String, Kind) {
    let (name, kind) = match (part.base.cast_signed(), part.offset, part.length) {
        (libc::NFT_PAYLOAD_NETWORK_HEADER, 12, 1..=4) => ("ip saddr", Kind::Ipv4),
        (libc::NFT_PAYLOAD_NETWORK_HEADER, 16, 1..=4) => ("ip daddr", Kind::Ipv4),
        (libc::NFT_PAYLOAD_NETWORK_HEADER, 9, 1) => ("ip protocol", Kind::Protocol),
        (libc::NFT_PAYLOAD_NETWORK_HEADER, 8, 2..=16) => ("ip6 saddr", Kind::Ipv6),
        (libc::NFT_PAYLOAD_NETWORK_HEADER, 24, 1..=16) => ("ip6 daddr", Kind::Ipv6),
        (libc::NFT_PAYLOAD_NETWORK_HEADER, 6, 1) => ("ip6 nexthdr", Kind::Protocol),
        (libc::NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2) => ("th sport", Kind::Number),
        (libc::NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2) => ("th dport", Kind::Number),
        (base, offset, length) => {
            // The syntax of nft for bytes without a name, with offset and length in bits.
            let base = match base {
                libc::NFT_PAYLOAD_LL_HEADER => "ll",
                libc::NFT_PAYLOAD_NETWORK_HEADER => "nh",
                libc::NFT_PAYLOAD_TRANSPORT_HEADER => "th",
                _ => "ih",
            };
            let bits = |bytes: usize| bytes.saturating_mul(8);
            let text = format!("@{base},{},{}", bits(offset), bits(length));
            return (text, Kind::Bytes);
        }
    };
    (name.to_owned(), kind)
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "",
        Comparison::NotEqual => "!= ",
        Comparison::Less => "< ",
        Comparison::AtMost => "<= ",
        Comparison::Greater => "> ",
        Comparison::AtLeast => ">= ",
    }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Continue => "continue".to_owned(),
        Verdict::Break => "<break>".to_owned(),
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {}", chain.escape_debug()),
        Verdict::Goto(chain) => format!("goto {}", chain.escape_debug()),
    }
}

fn value(kind: Kind, bytes: &[u8]) -> String {
    let known = match (kind, bytes) {
        (Kind::Ipv4, bytes) => {
            padded(bytes).map(|octets: [u8; 4]| network(Ipv4Addr::from(octets), bytes.len(), 4))
        }
        (Kind::Ipv6, bytes) => {
            padded(bytes).map(|octets: [u8; 16]| network(Ipv6Addr::from(octets), bytes.len(), 16))
        }
        (Kind::Number, [high, low]) => Some(u16::from_be_bytes([*high, *low]).to_string()),
        (Kind::Protocol, [6]) => Some("tcp".to_owned()),
        (Kind::Protocol, [17]) => Some("udp".to_owned()),
        (Kind::Protocol, [protocol]) => Some(protocol.to_string()),
        (Kind::Family, [2]) => Some("ipv4".to_owned()),
        (Kind::Family, [10]) => Some("ipv6".to_owned()),
        (Kind::RouteType, bytes) => {
            let kind: Option<[u8; 4]> = bytes.try_into().ok();
            kind.map(|kind| match u32::from_ne_bytes(kind) {
                1 => "unicast".to_owned(),
                2 => "local".to_owned(),
                3 => "broadcast".to_owned(),
                5 => "multicast".to_owned(),
                kind => kind.to_string(),
            })
        }
        (Kind::Interface, bytes) => {
            let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name);
            Some(format!("\"{}\"", name.escape_debug()))
        }
        _ => None,
    };
    known.unwrap_or_else(|| hex(bytes))
}

/// The address with these first bytes, and zeros after them.
fn padded<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    octets.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(octets)
}

fn network(address: impl std::fmt::Display, length: usize, whole: usize) -> String {
    if length == whole {
        address.to_string()
    } else {
        format!("{address}/{}", 8 * length)
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    format!("0x{}", digits.collect::<String>())
}

/// The prefix length of the mask; `None` if its one bits are not a prefix.
fn prefix_length(mask: &[u8]) -> Option<u32> {
    let ones = mask.iter().map(|byte| byte.leading_ones()).sum::<u32>();
    let set = mask.iter().map(|byte| byte.count_ones()).sum::<u32>();
    let whole = mask.iter().skip_while(|byte| **byte == 0xff);
    let holes = whole.skip(1).any(|byte| *byte != 0);
    (ones == set && !holes).then_some(ones)
}
