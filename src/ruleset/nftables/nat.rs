//! Other tools' nftables tables with chains that may change destinations, and whether they rewrite
//! an address.
//!
//! ```text
//! (netlink) -> expression, set -> Contents -> judge: does a chain rewrite this address?
//!                  ^                             |
//!                  +------ missing: read it -----+
//! ```
//! Only chains and sets that packets to the address can reach are read: a host may have tens of
//! thousands of chains.

mod expression;
mod judge;
mod packet;
mod set;
mod text;

use std::collections::HashMap;

use self::expression::Expression;
pub use self::judge::{Answer, Missing, judge, missing};
pub use self::set::{Elements, Set};
use super::decode::is_ours;
use super::object::{NativeChain, Stage};
use crate::policy::Family;
use crate::ruleset::NotRead;
use crate::ruleset::netlink::OBJECT;
use crate::ruleset::netlink::attributes::{ANY, each_once, find};

/// An nftables table with chains that may change destinations, and that iptables does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatTable {
    /// The IP families whose packets pass it.
    pub families: &'static [Family],
    /// Its name.
    pub name: String,
    /// Its chains that may change destinations before our rules.
    pub chains: Vec<NatChain>,
    /// The part of it that was read, or why it could not be read.
    pub contents: Result<Contents, NotRead>,
}

/// A base chain that may change destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatChain {
    /// Its name.
    pub name: String,
    /// Where it does so.
    pub stage: Stage,
}

/// The chains and sets of a table that were read so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The rules of each chain, in order, by the name of the chain.
    pub chains: HashMap<String, Vec<NatRule>>,
    /// The sets and maps by name.
    pub sets: HashMap<String, Set>,
}

/// A rule of another tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatRule {
    expressions: Vec<Expression>,
}

impl NatRule {
    /// Reads the name of the chain and the rule from an object of a dump; `None` if it is damaged.
    #[must_use]
    pub fn read(object: &[u8]) -> Option<(String, Self)> {
        // NFTA_RULE_CHAIN, _EXPRESSIONS
        let attributes = object.get(OBJECT..)?;
        each_once(attributes, ANY)?;
        let chain = strict_text(find(attributes, 2)?)?.to_owned();
        let expressions = Expression::read_all(find(attributes, 4)?)?;
        Some((chain, Self { expressions }))
    }

    /// The rule in a syntax close to that of nft.
    #[must_use]
    pub fn text(&self) -> String {
        text::rule(&self.expressions)
    }
}

/// The tables with chains that may change destinations, without any content yet: all but our own.
/// Chains for which `shown` is true are omitted, because the rulesets of iptables contain them.
#[must_use]
pub fn tables(chains: &[NativeChain], shown: impl Fn(&NativeChain) -> bool) -> Vec<NatTable> {
    let mut tables: Vec<NatTable> = Vec::new();
    for chain in chains {
        let Some(stage) = chain.stage() else {
            continue;
        };
        if shown(chain) || is_ours(chain.families, &chain.table) {
            continue;
        }
        let name = chain.name.clone();
        let known = tables
            .iter_mut()
            .find(|table| table.families == chain.families && table.name == chain.table);
        match known {
            Some(table) => table.chains.push(NatChain { name, stage }),
            None => tables.push(NatTable {
                families: chain.families,
                name: chain.table.clone(),
                chains: vec![NatChain { name, stage }],
                contents: Ok(Contents::default()),
            }),
        }
    }
    tables
}

/// A name without the zero byte at its end. `None` if it is not UTF-8: such a name cannot be
/// requested.
fn strict_text(value: &[u8]) -> Option<&str> {
    let text = value.strip_suffix(&[0])?;
    let text = std::str::from_utf8(text).ok()?;
    (!text.contains('\0')).then_some(text)
}
