//! Whether another tool's chain rewrites the destination of packets to an address.
//!
//! Conservative: a match that is not understood may match, and only rules that certainly concern
//! other packets are ruled out. An earlier `accept` or `return` is ignored. So the order of rules
//! and chains does not matter, and each chain is judged once.

use std::collections::BTreeSet;

use nix::libc;

use super::expression::{Comparison, Expression, Found, Rewrite, Verdict};
use super::packet::{Packet, Registers, equal, order, within};
use super::{Contents, NatChain, text};
use crate::policy::Address;

/// Whether a chain rewrites the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It does not rewrite the destination.
    Untouched,
    /// It may rewrite the destination, by this rule.
    Rewritten(String),
    /// It is not known, for this reason.
    Unknown(String),
}

/// Chains and sets that have to be read before all chains can be judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    /// Names of chains.
    pub chains: BTreeSet<String>,
    /// Names of sets and maps.
    pub sets: BTreeSet<String>,
}

impl Missing {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.sets.is_empty()
    }
}

/// Judges a chain and all chains that it leads to.
#[must_use]
pub fn judge(contents: &Contents, chain: &str, address: Address) -> Answer {
    let walk = Walk::from(contents, chain, address);
    match walk {
        Walk {
            rewritten: Some(rule),
            ..
        } => Answer::Rewritten(rule),
        Walk {
            unknown: Some(reason),
            ..
        } => Answer::Unknown(reason),
        Walk { missing, .. } => {
            let mut names = missing.chains.iter().chain(&missing.sets);
            match names.next() {
                None => Answer::Untouched,
                Some(name) => Answer::Unknown(format!("{name} was not read")),
            }
        }
    }
}

/// The chains and sets that have to be read before `chains` can be judged for the addresses.
#[must_use]
pub fn missing(contents: &Contents, chains: &[NatChain], addresses: &[Address]) -> Missing {
    let mut all = Missing::default();
    for &address in addresses {
        for chain in chains {
            let walk = Walk::from(contents, &chain.name, address);
            if walk.rewritten.is_none() {
                all.chains.extend(walk.missing.chains);
                all.sets.extend(walk.missing.sets);
            }
        }
    }
    all
}

/// A walk through the chains that packets to an address can reach.
struct Walk<'a> {
    contents: &'a Contents,
    packet: Packet,
    /// Chains that remain to be judged.
    next: Vec<String>,
    /// Chains that were reached.
    reached: BTreeSet<String>,
    missing: Missing,
    rewritten: Option<String>,
    unknown: Option<String>,
}

/// Whether the rule can still affect the packets after an expression.
enum Step {
    /// It can.
    Continue,
    /// It cannot: the rule ends, or only other packets match.
    End,
}

impl<'a> Walk<'a> {
    fn from(contents: &'a Contents, chain: &str, address: Address) -> Self {
        let mut walk = Self {
            contents,
            packet: Packet::to(address),
            next: Vec::new(),
            reached: BTreeSet::new(),
            missing: Missing::default(),
            rewritten: None,
            unknown: None,
        };
        walk.lead_to(chain);
        while let (Some(chain), None) = (walk.next.pop(), &walk.rewritten) {
            match contents.chains.get(&chain) {
                None => {
                    walk.missing.chains.insert(chain);
                }
                Some(rules) => rules.iter().for_each(|rule| walk.rule(&rule.expressions)),
            }
        }
        walk
    }

    fn lead_to(&mut self, chain: &str) {
        if !self.reached.contains(chain) {
            self.reached.insert(chain.to_owned());
            self.next.push(chain.to_owned());
        }
    }

    fn rule(&mut self, expressions: &[Expression]) {
        let mut registers = Registers::default();
        for expression in expressions {
            match self.expression(expression, &mut registers, expressions) {
                Step::Continue => {}
                Step::End => return,
            }
        }
    }

    fn expression(
        &mut self,
        expression: &Expression,
        registers: &mut Registers,
        rule: &[Expression],
    ) -> Step {
        let step = |known: Option<bool>| match known {
            Some(false) => Step::End,
            Some(true) | None => Step::Continue,
        };
        match expression {
            Expression::Load(to, load) => registers.load(*to, load, self.packet),
            Expression::Mask {
                from,
                to,
                mask,
                xor,
            } => registers.mask(*from, *to, mask, xor),
            Expression::Constant(to, bytes) => {
                registers.set(*to, bytes.iter().copied().map(super::packet::Byte::Is));
            }
            Expression::Compare(from, comparison, value) => {
                return step(compare(registers, *from, *comparison, value));
            }
            Expression::Range(from, negated, [first, last]) => {
                let bytes = registers.get(*from, first.len());
                let inside = bytes.and_then(|bytes| within(bytes, first, last));
                return step(inside.map(|inside| inside != *negated));
            }
            Expression::Lookup { .. } => return self.look_up(expression, registers, rule),
            Expression::Verdict(verdict) => return self.verdict(verdict),
            Expression::Rewrite(rewrite) => {
                let other_family = matches!(
                    rewrite,
                    Rewrite::Destination(Some(family), ..) if *family != u32::from(self.packet.family())
                );
                if !other_family {
                    self.rewrites(rule);
                }
            }
            Expression::Write(part) if self.packet.destination_is_in(*part) => self.rewrites(rule),
            Expression::XtMatch(name, revision, info) => {
                return step(xt_match(name, *revision, info, self.packet));
            }
            Expression::Write(_) | Expression::Harmless(_) => {}
            Expression::Reject => return Step::End,
            Expression::Unknown(name) => {
                let reason = format!(
                    "`{}` contains the unknown expression {name}",
                    text::rule(rule)
                );
                self.unknown.get_or_insert(reason);
                // Its effect on the registers is not known either.
                registers.forget(0);
            }
        }
        Step::Continue
    }

    fn rewrites(&mut self, rule: &[Expression]) {
        self.rewritten.get_or_insert_with(|| text::rule(rule));
    }

    fn verdict(&mut self, verdict: &Verdict) -> Step {
        if let Some(chain) = verdict.chain() {
            self.lead_to(chain);
        }
        match verdict {
            Verdict::Continue | Verdict::Jump(_) => Step::Continue,
            Verdict::Break
            | Verdict::Accept
            | Verdict::Drop
            | Verdict::Return
            | Verdict::Goto(_) => Step::End,
        }
    }

    fn look_up(
        &mut self,
        lookup: &Expression,
        registers: &mut Registers,
        rule: &[Expression],
    ) -> Step {
        let Expression::Lookup {
            set: name,
            from,
            found,
            negated,
        } = lookup
        else {
            return Step::Continue;
        };
        let Some(set) = self.contents.sets.get(name) else {
            self.missing.sets.insert(name.clone());
            return Step::End;
        };
        let key = registers.get(*from, set.key_length());
        let result = key.filter(|_| set.is_constant()).map(|key| set.find(key));
        let any = result.as_ref().and_then(|result| result.any);
        match (found, result) {
            (Found::Membership, _) => {}
            (Found::Value(to), _) => registers.forget(*to),
            (Found::Verdict, Some(result)) => {
                for element in result.elements {
                    match element.verdict() {
                        Some(verdict) => {
                            self.verdict(&verdict);
                        }
                        None => self.unclear(format!("the map {name} has an unknown verdict")),
                    }
                }
            }
            (Found::Verdict, None) => {
                let rule = text::rule(rule);
                self.unclear(format!("the elements of the map {name} in `{rule}` change"));
            }
        }
        match any {
            Some(any) if any == *negated => Step::End,
            _ => Step::Continue,
        }
    }

    fn unclear(&mut self, reason: String) {
        self.unknown.get_or_insert(reason);
    }
}

fn compare(
    registers: &Registers,
    from: usize,
    comparison: Comparison,
    value: &[u8],
) -> Option<bool> {
    let bytes = registers.get(from, value.len())?;
    let order = || order(bytes, value);
    match comparison {
        Comparison::Equal => equal(bytes, value),
        Comparison::NotEqual => equal(bytes, value).map(|equal| !equal),
        Comparison::Less => order().map(std::cmp::Ordering::is_lt),
        Comparison::AtMost => order().map(std::cmp::Ordering::is_le),
        Comparison::Greater => order().map(std::cmp::Ordering::is_gt),
        Comparison::AtLeast => order().map(std::cmp::Ordering::is_ge),
    }
}

/// Whether an iptables match matches the packet; `None` if that is not known. Only matches on the
/// destination port and on the type of the destination are read (linux/netfilter/xt_tcpudp.h,
/// xt_addrtype.h).
fn xt_match(name: &str, revision: u32, info: &[u8], packet: Packet) -> Option<bool> {
    if !packet.is_to_imds() {
        return None;
    }
    let short = |at: usize| Some(u16::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    match (name, revision) {
        // struct xt_tcp: spts, dpts, option, flg_mask, flg_cmp, invflags; XT_TCP_INV_DSTPT
        ("tcp", 0) => {
            let inside = (short(4)?..=short(6)?).contains(&80);
            let ports = inside != (info.get(11)? & 2 != 0);
            // Its other conditions are not read.
            (!ports).then_some(false)
        }
        ("udp" | "icmp" | "icmp6", _) => Some(false),
        // struct xt_addrtype_info_v1: source, dest, flags; XT_ADDRTYPE_LOCAL, _INVERT_DEST
        ("addrtype", 1) => {
            let flags = u32::from_ne_bytes(*info.get(4..)?.first_chunk()?);
            let local = 1 << u16::from(libc::RTN_LOCAL);
            (short(2)? == local && flags & 2 == 0).then_some(false)
        }
        _ => None,
    }
}
