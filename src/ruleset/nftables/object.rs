//! What the kernel tells of tables, chains and rules in a netlink dump -> values.
//!
//! An object is a struct nfgenmsg and attributes (linux/netfilter/nf_tables.h). One that cannot be
//! read is `None`.

use nix::libc;

use super::expression::Expression;
use crate::policy::Family;
use crate::ruleset::netlink::OBJECT;
use crate::ruleset::netlink::attributes::{find, number, text};

/// A table of `nf_tables`, as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeTable {
    /// The IP families whose packets it can meet: one, or both for family `inet`.
    pub families: &'static [Family],
    /// Its name.
    pub name: String,
    /// Whether its chains are switched off (`flags dormant`).
    pub dormant: bool,
    /// Whether it goes with the process that made it (`flags owner`), and nobody else changes it.
    pub owned: bool,
    /// How many chains, sets and other objects it has.
    pub objects: u32,
}

impl NativeTable {
    /// Reads a table.
    #[must_use]
    pub fn read(object: &[u8]) -> Option<Self> {
        // NFTA_TABLE_NAME, _FLAGS, _USE; NFT_TABLE_F_DORMANT, _OWNER
        let attributes = object.get(OBJECT..)?;
        let flags = number(find(attributes, 2)?)?;
        Some(Self {
            families: families(object),
            name: text(find(attributes, 1)?),
            dormant: flags & 1 != 0,
            owned: flags & 2 != 0,
            objects: number(find(attributes, 3)?)?,
        })
    }

    /// Whether it is of this IP family alone, as the tables of iptables-nft are.
    #[must_use]
    pub fn is_of(&self, family: Family) -> bool {
        self.families == [family]
    }
}

/// A chain of `nf_tables`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeChain {
    /// The IP families whose packets it meets.
    pub families: &'static [Family],
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where packets meet it, if they do without a jump.
    pub base: Option<Base>,
    /// Whether it has rules. A kernel that does not tell may have some.
    pub has_rules: bool,
}

/// How a chain stands at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// enum nf_inet_hooks
    pub hook: u32,
    /// When, among those at the same hook.
    pub priority: i32,
    /// Whether packets that reach its end go on.
    pub accepts: bool,
}

impl NativeChain {
    /// Reads a chain.
    #[must_use]
    pub fn read(object: &[u8]) -> Option<Self> {
        // NFTA_CHAIN_TABLE, _NAME, _HOOK, _POLICY, _USE, _TYPE; NFTA_HOOK_HOOKNUM, _PRIORITY
        let attributes = object.get(OBJECT..)?;
        let base = |hook| {
            Some(Base {
                kind: text(find(attributes, 7)?),
                hook: number(find(hook, 1)?)?,
                priority: number(find(hook, 2)?)?.cast_signed(),
                accepts: number(find(attributes, 5)?)?.cast_signed() == libc::NF_ACCEPT,
            })
        };
        Some(Self {
            families: families(object),
            table: text(find(attributes, 1)?),
            name: text(find(attributes, 3)?),
            base: match find(attributes, 4) {
                None => None,
                Some(hook) => Some(base(hook)?),
            },
            has_rules: find(attributes, 6).and_then(number) != Some(0),
        })
    }

    /// Whether it translates addresses before `filter`: of packets made on this host
    /// (NF_INET_LOCAL_OUT), or of others (NF_INET_PRE_ROUTING).
    #[must_use]
    pub fn translates(&self) -> Option<bool> {
        let base = self.base.as_ref()?;
        (base.kind == "nat" && self.has_rules).then_some(())?;
        match base.hook {
            0 => Some(false),
            3 => Some(true),
            _ => None,
        }
    }

    /// Whether it is a chain of the table `nat` of iptables-nft, by name, hook and priority
    /// (NF_IP_PRI_NAT_DST).
    #[must_use]
    pub fn is_nat_of_iptables(&self) -> bool {
        let as_named = matches!(
            (&*self.name, self.translates()),
            ("OUTPUT", Some(true)) | ("PREROUTING", Some(false))
        );
        let priority = self.base.as_ref().map(|base| base.priority);
        self.families.len() == 1 && self.table == "nat" && as_named && priority == Some(-100)
    }
}

/// A rule of `nf_tables`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeRule {
    /// The IP families whose packets it meets.
    pub families: &'static [Family],
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// What it does.
    pub(crate) expressions: Vec<Expression>,
    /// What nft calls its comment.
    pub(crate) comment: Comment,
}

/// What stands beside a rule in the kernel, for programs alone to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Comment {
    /// Nothing.
    None,
    /// A comment.
    Text(String),
    /// Something else.
    Other,
}

impl Comment {
    /// NFTNL_UDATA_RULE_COMMENT (libnftnl/udata.h): type and length, a byte each, and a text with a
    /// zero at its end.
    pub(super) const KIND: u8 = 0;

    fn read(data: &[u8]) -> Self {
        match data {
            [] => Self::None,
            [Self::KIND, length, comment @ .., 0] if usize::from(*length) == comment.len() + 1 => {
                String::from_utf8(comment.to_vec()).map_or(Self::Other, Self::Text)
            }
            _ => Self::Other,
        }
    }
}

impl NativeRule {
    /// Reads a rule.
    #[must_use]
    pub fn read(object: &[u8]) -> Option<Self> {
        // NFTA_RULE_TABLE, _CHAIN, _EXPRESSIONS, _USERDATA
        let attributes = object.get(OBJECT..)?;
        let list = find(attributes, 4).unwrap_or_default();
        Some(Self {
            families: families(object),
            table: text(find(attributes, 1)?),
            chain: text(find(attributes, 2)?),
            expressions: Expression::read_all(list)?,
            comment: Comment::read(find(attributes, 7).unwrap_or_default()),
        })
    }
}

/// The IP families in which an object works: NFPROTO_INET is both; of other families, none.
#[must_use]
pub fn families(object: &[u8]) -> &'static [Family] {
    match object.first() {
        Some(1) => &Family::ALL,
        Some(2) => &[Family::V4],
        Some(10) => &[Family::V6],
        _ => &[],
    }
}

/// The number of the family that works in these IP families, as [`families`] reads it.
#[must_use]
pub(crate) fn number_of(families: &[Family]) -> u8 {
    match families {
        [Family::V4] => 2,
        [Family::V6] => 10,
        _ => 1,
    }
}
