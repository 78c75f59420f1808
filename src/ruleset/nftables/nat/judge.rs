//! Whether another tool's chain rewrites the destination of packets to an address.
//!
//! Rules are followed in order, as the kernel evaluates them, and each chain is judged once.
//! Conservative: a match that is not understood may match. A rule is ruled out only if it certainly
//! concerns other packets, or if an earlier rule certainly takes all packets to the address.

use std::collections::{BTreeMap, BTreeSet};

use nix::libc;

use super::expression::{Comparison, Expression, Found, Load, Rewrite, Verdict};
use super::packet::{Packet, Registers, equal, order, within};
use super::{Contents, NatChain, text};
use crate::policy::Address;

/// Whether a chain rewrites the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The chain does not rewrite the destination.
    Untouched,
    /// The chain may rewrite the destination, by this rule.
    Rewritten(String),
    /// It is not known whether the chain rewrites the destination, for this reason.
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
            // What comes before a rule that rewrites may exempt the address.
            let walk = Walk::from(contents, &chain.name, address);
            all.chains.extend(walk.missing.chains);
            all.sets.extend(walk.missing.sets);
        }
    }
    all
}

/// Expressions after which the rule always continues.
const ALWAYS_CONTINUE: [&str; 5] = ["counter", "last", "log", "meta set", "notrack"];
/// How deep nested chains are followed. The kernel allows 16 (NFT_JUMP_STACK_SIZE).
const MAX_DEPTH: usize = 64;

/// A walk through the chains that packets to an address can reach.
struct Walk<'a> {
    contents: &'a Contents,
    packet: Packet,
    /// Chains that were reached, and whether packets may return from them.
    reached: BTreeMap<String, bool>,
    missing: Missing,
    rewritten: Option<String>,
    unknown: Option<String>,
}

/// What happens to the packets after an expression or a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// All of them continue with the next expression.
    Continue,
    /// Some of them may continue with the next expression, and the others with the next rule.
    Perhaps,
    /// All of them continue with the next rule.
    Rule,
    /// All of them return to the calling chain.
    Return,
    /// None of them continues in this table.
    End,
    /// Some of them may return to the calling chain; the others continue with the next rule.
    MayReturn,
}

impl<'a> Walk<'a> {
    fn from(contents: &'a Contents, chain: &str, address: Address) -> Self {
        let mut walk = Self {
            contents,
            packet: Packet::to(address),
            reached: BTreeMap::new(),
            missing: Missing::default(),
            rewritten: None,
            unknown: None,
        };
        walk.chain(chain, 0);
        walk
    }

    /// Follows the packets through a chain. Returns whether some of them may return from it.
    fn chain(&mut self, name: &str, depth: usize) -> bool {
        if self.rewritten.is_some() {
            return true;
        }
        if let Some(returns) = self.reached.get(name) {
            return *returns;
        }
        // In a loop, which the kernel does not allow, packets may do anything.
        self.reached.insert(name.to_owned(), true);
        let Some(rules) = self.contents.chains.get(name) else {
            self.missing.chains.insert(name.to_owned());
            return true;
        };
        if depth >= MAX_DEPTH {
            self.unclear(format!("{} is nested too deep", name.escape_debug()));
            return true;
        }
        let mut returns = false;
        for rule in rules {
            let next = self.rule(&rule.expressions, depth);
            if self.rewritten.is_some() {
                return true;
            }
            match next {
                Next::Continue | Next::Perhaps | Next::Rule => {}
                Next::MayReturn => returns = true,
                Next::Return => return true,
                Next::End => {
                    self.reached.insert(name.to_owned(), returns);
                    return returns;
                }
            }
        }
        true
    }

    fn rule(&mut self, expressions: &[Expression], depth: usize) -> Next {
        let mut registers = Registers::default();
        let mut certain = true;
        for expression in expressions {
            let next = self.expression(expression, &mut registers, expressions, depth);
            match next {
                Next::Continue => {}
                Next::Perhaps => certain = false,
                Next::Return if !certain => return Next::MayReturn,
                Next::End if !certain => return Next::Rule,
                Next::Rule | Next::MayReturn | Next::Return | Next::End => return next,
            }
        }
        Next::Rule
    }

    fn expression(
        &mut self,
        expression: &Expression,
        registers: &mut Registers,
        rule: &[Expression],
        depth: usize,
    ) -> Next {
        let next = |known: Option<bool>| match known {
            Some(false) => Next::Rule,
            Some(true) => Next::Continue,
            None => Next::Perhaps,
        };
        match expression {
            Expression::Load(to, load) => {
                registers.load(*to, load, self.packet);
                // Some loads end the rule if there is no value, such as `ct` without an entry.
                if matches!(load, Load::Other(_)) {
                    return Next::Perhaps;
                }
            }
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
                return next(compare(registers, *from, *comparison, value));
            }
            Expression::Range(from, negated, [first, last]) => {
                let bytes = registers.get(*from, first.len());
                let inside = bytes.and_then(|bytes| within(bytes, first, last));
                return next(inside.map(|inside| inside != *negated));
            }
            Expression::Lookup { .. } => return self.look_up(expression, registers, rule, depth),
            Expression::Verdict(verdict) => return self.verdict(verdict, depth),
            Expression::Rewrite(rewrite) => {
                let other_family = matches!(
                    rewrite,
                    Rewrite::Destination(Some(family), ..) if *family != u32::from(self.packet.family())
                );
                if !other_family {
                    self.rewrites(rule);
                }
                return Next::Perhaps;
            }
            Expression::Write(part) if self.packet.destination_is_in(*part) => self.rewrites(rule),
            Expression::XtMatch(name, revision, info) => {
                return next(xt_match(name, *revision, info, self.packet));
            }
            Expression::Write(_) => {}
            Expression::Harmless(name) if ALWAYS_CONTINUE.contains(&&**name) => {}
            Expression::Harmless(_) => return Next::Perhaps,
            Expression::Reject => return Next::End,
            Expression::Unknown(name) => {
                let reason = format!(
                    "`{}` contains the unknown expression {name}",
                    text::rule(rule)
                );
                self.unclear(reason);
                // Its effect on the registers is not known either.
                registers.forget(0);
                return Next::Perhaps;
            }
        }
        Next::Continue
    }

    fn rewrites(&mut self, rule: &[Expression]) {
        self.rewritten.get_or_insert_with(|| text::rule(rule));
    }

    fn verdict(&mut self, verdict: &Verdict, depth: usize) -> Next {
        match verdict {
            Verdict::Continue => Next::Continue,
            Verdict::Break => Next::Rule,
            Verdict::Accept | Verdict::Drop => Next::End,
            Verdict::Return => Next::Return,
            Verdict::Jump(chain) | Verdict::Goto(chain) => {
                match (self.chain(chain, depth + 1), verdict) {
                    (false, _) => Next::End,
                    (true, Verdict::Goto(_)) => Next::Return,
                    (true, _) => Next::Rule,
                }
            }
        }
    }

    fn look_up(
        &mut self,
        lookup: &Expression,
        registers: &mut Registers,
        rule: &[Expression],
        depth: usize,
    ) -> Next {
        let Expression::Lookup {
            set: name,
            from,
            found,
            negated,
        } = lookup
        else {
            return Next::Continue;
        };
        let Some(set) = self.contents.sets.get(name) else {
            self.missing.sets.insert(name.clone());
            return Next::Rule;
        };
        let key = registers.get(*from, set.key_length());
        let result = key.filter(|_| set.is_constant()).map(|key| set.find(key));
        let any = result.as_ref().and_then(|result| result.any);
        let mut verdicts = Vec::new();
        match (found, &result) {
            (Found::Membership, _) => {}
            (Found::Value(to), _) => registers.forget(*to),
            (Found::Verdict, Some(result)) => {
                for element in &result.elements {
                    match element.verdict() {
                        Some(verdict) => verdicts.push(self.verdict(&verdict, depth)),
                        None => self.unclear(format!("the map {name} has an unknown verdict")),
                    }
                }
            }
            (Found::Verdict, None) => {
                let rule = text::rule(rule);
                self.unclear(format!("the elements of the map {name} in `{rule}` change"));
            }
        }
        match (any, verdicts.as_slice()) {
            (Some(any), _) if any == *negated => Next::Rule,
            (Some(true), [verdict]) => *verdict,
            (_, verdicts) if verdicts.contains(&Next::Return) => Next::MayReturn,
            (Some(_), []) if *found != Found::Verdict => Next::Continue,
            _ => Next::Perhaps,
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
    if registers.is_outside(from) && (value == 1_u32.to_ne_bytes() || value.starts_with(b"lo\0")) {
        return match comparison {
            Comparison::Equal => Some(false),
            Comparison::NotEqual => Some(true),
            _ => None,
        };
    }
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
    if name == "comment" {
        return Some(true);
    }
    if !packet.is_to_imds() {
        return None;
    }
    let short = |at: usize| Some(u16::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    match (name, revision) {
        // struct xt_tcp: spts, dpts, option, flg_mask, flg_cmp, invflags; XT_TCP_INV_DSTPT
        ("tcp", 0) => {
            let inside = (short(4)?..=short(6)?).contains(&80);
            let ports = inside != (info.get(11)? & 2 != 0);
            let any_source = (short(0)?, short(2)?) == (0, u16::MAX) && info.get(11)? & 1 == 0;
            let no_more = any_source && info.get(8)? | info.get(9)? == 0;
            match (ports, no_more) {
                (false, _) => Some(false),
                (true, true) => Some(true),
                // Its other conditions are not read.
                (true, false) => None,
            }
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
