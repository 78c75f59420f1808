//! Tables, chains and rules of a netlink dump -> values.
//!
//! An object consists of struct nfgenmsg and attributes (linux/netfilter/nf_tables.h). A damaged
//! object is read as `None`.

use nix::libc;

use super::PRIORITY;
use super::expression::Expression;
use crate::policy::Family;
use crate::ruleset::netlink::OBJECT;
use crate::ruleset::netlink::attributes::{find, long_number, number, text};

/// A table of nf_tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeTable {
    /// The IP families whose packets pass it: one, or both for family `inet`.
    pub families: &'static [Family],
    /// Its name.
    pub name: String,
    /// Whether it is dormant (`flags dormant`): the kernel ignores its rules.
    pub dormant: bool,
    /// Whether the process that created it owns it (`flags owner`): the table ends with that
    /// process, and no other process can change it.
    pub owned: bool,
    /// The number of its chains, sets and other objects.
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

    /// Whether only packets of this IP family pass it, as for the tables of iptables-nft.
    #[must_use]
    pub fn is_of(&self, family: Family) -> bool {
        self.families == [family]
    }
}

/// A chain of nf_tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeChain {
    /// The IP families whose packets pass it.
    pub families: &'static [Family],
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The attachment to a hook, if it is a base chain.
    pub base: Option<Base>,
    /// Whether it has rules, or may have rules because the kernel does not report their number.
    pub has_rules: bool,
}

/// The attachment of a base chain to a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// The number of the hook (enum nf_inet_hooks).
    pub hook: u32,
    /// The priority: chains with lower numbers run first.
    pub priority: i32,
    /// Whether its policy is `accept`.
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

    /// Where it may change destinations before our rules; `None` for a chain that cannot.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        let base = self.base.as_ref()?;
        // NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT
        let local = match base.hook {
            0 => false,
            3 => true,
            _ => return None,
        };
        let translates = base.kind == "nat";
        // Other chains can write to packets, and lead them to a local socket (`tproxy`). Those that
        // run after our rules see only packets that these have passed.
        let early = translates || base.priority < PRIORITY;
        let stage = Stage { local, translates };
        (self.has_rules && early).then_some(stage)
    }

    /// Whether it has the name of a built-in chain of iptables' table `filter` in which our jumps are,
    /// and another type, hook or priority (NF_IP_PRI_FILTER).
    #[must_use]
    pub fn is_misplaced(&self) -> bool {
        let hook = match &*self.name {
            "FORWARD" => 2,
            "OUTPUT" => 3,
            _ => return false,
        };
        self.base
            .as_ref()
            .is_none_or(|base| base.kind != "filter" || base.hook != hook || base.priority != 0)
    }

    /// Whether its name, type, hook and priority are those of a built-in chain of iptables-nft that
    /// packets pass before `filter` (linux/netfilter_ipv4.h).
    #[must_use]
    pub fn is_of_iptables(&self) -> bool {
        let Some(base) = &self.base else {
            return false;
        };
        let (kind, priority) = match (&*self.table, &*self.name) {
            ("nat", "OUTPUT" | "PREROUTING") => ("nat", -100),
            ("mangle", "PREROUTING") => ("filter", -150),
            ("mangle", "OUTPUT") => ("route", -150),
            ("raw", "OUTPUT" | "PREROUTING") => ("filter", -300),
            ("filter", "OUTPUT") => ("filter", 0),
            _ => return false,
        };
        let hook = if self.name == "OUTPUT" { 3 } else { 0 };
        self.families.len() == 1
            && (&*base.kind, base.hook, base.priority) == (kind, hook, priority)
    }
}

/// Where a chain may change destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Whether packets that this host sends pass it; otherwise, those that it receives.
    pub local: bool,
    /// Whether its type is `nat`.
    pub translates: bool,
}

/// A rule of nf_tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeRule {
    /// The IP families whose packets pass it.
    pub families: &'static [Family],
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its matches and statements.
    pub(crate) expressions: Vec<Expression>,
    /// Its comment.
    pub(crate) comment: Comment,
}

/// The user data of a rule, which the kernel stores but does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Comment {
    /// No user data.
    None,
    /// A comment.
    Text(String),
    /// Other user data.
    Other,
}

impl Comment {
    /// The type of a comment, NFTNL_UDATA_RULE_COMMENT (libnftnl/udata.h). Type and length have one
    /// byte each; a text with a zero byte at its end follows.
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

/// A rule of nf_tables, as far as it leads to other chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leads {
    /// Its chain.
    pub(crate) chain: String,
    /// The number by which the kernel deletes it.
    pub(crate) handle: u64,
    /// The chains that it jumps or goes to.
    pub(crate) to: Vec<String>,
}

impl Leads {
    /// Reads a rule.
    pub(crate) fn read(object: &[u8]) -> Option<Self> {
        // NFTA_RULE_CHAIN, _HANDLE, _EXPRESSIONS
        let attributes = object.get(OBJECT..)?;
        let list = find(attributes, 4).unwrap_or_default();
        let to = |expression| match expression {
            Expression::Jump(to) | Expression::Goto(to) => Some(to),
            _ => None,
        };
        Some(Self {
            chain: text(find(attributes, 2)?),
            handle: long_number(find(attributes, 3)?)?,
            to: Expression::read_all(list)?
                .into_iter()
                .filter_map(to)
                .collect(),
        })
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

/// The IP families of an object: both for NFPROTO_INET, none for families such as `arp` or
/// `bridge`.
#[must_use]
pub fn families(object: &[u8]) -> &'static [Family] {
    match object.first() {
        Some(1) => &Family::ALL,
        Some(2) => &[Family::V4],
        Some(10) => &[Family::V6],
        _ => &[],
    }
}

/// The number of the nf_tables family for these IP families: the inverse of [`families`].
#[must_use]
pub(crate) fn number_of(families: &[Family]) -> u8 {
    match families {
        [Family::V4] => 2,
        [Family::V6] => 10,
        _ => 1,
    }
}
