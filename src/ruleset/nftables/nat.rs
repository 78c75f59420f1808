//! Other tools' tables of nftables that rewrite addresses.
//!
//! ```text
//! (netlink) -> expression, set -> Contents -> judge: does a chain rewrite this address?
//!                  ^                             |
//!                  +------ missing: read it -----+
//! ```
//! Only chains and sets that packets to the address can reach are read: a host may have tens of
//! thousands of them.

mod expression;
mod judge;
mod packet;
mod set;
mod text;

use std::collections::HashMap;

use self::expression::Expression;
pub use self::judge::{Answer, Missing, judge, missing};
pub use self::set::{Elements, Set};
use super::object::NativeChain;
use crate::policy::Family;
use crate::ruleset::netlink::OBJECT;
use crate::ruleset::netlink::attributes::{ANY, each_once, find};

/// A table of nftables that rewrites addresses and that iptables does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatTable {
    /// The IP families whose packets it meets.
    pub families: &'static [Family],
    /// Its name.
    pub name: String,
    /// Its chains that packets meet before `filter`.
    pub chains: Vec<NatChain>,
    /// What was read of it, or why that could not be read.
    pub contents: Result<Contents, String>,
}

/// A chain at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatChain {
    /// Its name.
    pub name: String,
    /// Whether it meets packets made on this host (else those from elsewhere).
    pub local: bool,
}

/// Chains and sets of a table, as far as they were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The rules of each chain, in order.
    pub chains: HashMap<String, Vec<NatRule>>,
    /// The sets and maps.
    pub sets: HashMap<String, Set>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatRule {
    expressions: Vec<Expression>,
}

impl NatRule {
    /// Reads a rule from a dump, with the name of its chain; `None` if it is damaged.
    #[must_use]
    pub fn read(object: &[u8]) -> Option<(String, Self)> {
        // NFTA_RULE_CHAIN, _EXPRESSIONS
        let attributes = object.get(OBJECT..)?;
        each_once(attributes, ANY)?;
        let chain = strict_text(find(attributes, 2)?)?.to_owned();
        let expressions = Expression::read_all(find(attributes, 4)?)?;
        Some((chain, Self { expressions }))
    }

    /// The rule in words close to those of nft.
    #[must_use]
    pub fn text(&self) -> String {
        text::rule(&self.expressions)
    }
}

/// The tables of the chains that rewrite destinations, without those chains that are `shown`
/// elsewhere; nothing is read of them yet.
#[must_use]
pub fn tables(chains: &[NativeChain], shown: impl Fn(&NativeChain) -> bool) -> Vec<NatTable> {
    let mut tables: Vec<NatTable> = Vec::new();
    for chain in chains {
        let Some(local) = chain.translates() else {
            continue;
        };
        if shown(chain) {
            continue;
        }
        let name = chain.name.clone();
        let known = tables
            .iter_mut()
            .find(|table| table.families == chain.families && table.name == chain.table);
        match known {
            Some(table) => table.chains.push(NatChain { name, local }),
            None => tables.push(NatTable {
                families: chain.families,
                name: chain.table.clone(),
                chains: vec![NatChain { name, local }],
                contents: Ok(Contents::default()),
            }),
        }
    }
    tables
}

/// A name, without the zero at its end. One that is not UTF-8 could not be asked for.
fn strict_text(value: &[u8]) -> Option<&str> {
    let text = value.strip_suffix(&[0])?;
    let text = std::str::from_utf8(text).ok()?;
    (!text.contains('\0')).then_some(text)
}
