//! What has to be read, by which program, and for which addresses.

use std::io;
use std::sync::Arc;

use super::NotRead;
use super::model::{ChainName, Ruleset, Variant};
use super::nftables::OwnTable;
use super::nftables::object::{NativeChain, NativeTable};
use super::{Layer, Layers, OwnChain, Reason, Unusable};
use crate::policy::{Address, Family, IMDS_V4, IMDS_V6};

/// Whether something exists in one family.
type Exists = Result<bool, Arc<io::Error>>;

/// The tables of one family, as the kernel lists them.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Whether nf_tables has a table of this family, as iptables-nft creates it.
    pub nft: Exists,
    /// Whether iptables-legacy has a table.
    pub legacy: Exists,
    /// Whether nf_tables has a chain with one of our names.
    pub ours: Exists,
}

/// How to read the rules of one family.
#[derive(Debug, Clone)]
pub enum Reading {
    /// There are no rules.
    Empty,
    /// The program of the variant reads them.
    Program,
    /// Rules exist that only iptables can read, and it is not installed.
    NeedsIptables,
    /// It is not known whether there are rules.
    Unknown(Arc<io::Error>),
}

impl Tables {
    /// How to read the rules of the variant in use; `None` on a host without iptables.
    #[must_use]
    pub fn reading(&self, variant: Option<Variant>) -> Reading {
        match variant {
            None => match &self.ours {
                Ok(false) => Reading::Empty,
                Ok(true) => Reading::NeedsIptables,
                Err(error) => Reading::Unknown(Arc::clone(error)),
            },
            // iptables-nft-save reads the kernel itself, and reports a failure. iptables-legacy-save
            // would print no table.
            Some(Variant::Nft) if self.nft.is_err() => Reading::Program,
            Some(variant) => self.reading_other(variant),
        }
    }

    /// Whether it is known that no table of the family holds a chain of ours: iptables-nft has none
    /// with such a name, and iptables-legacy has no table.
    #[must_use]
    pub fn hold_nothing(&self) -> bool {
        matches!((&self.ours, &self.legacy), (Ok(false), Ok(false)))
    }

    /// How to read the rules of the variant that is not in use.
    #[must_use]
    pub fn reading_other(&self, variant: Variant) -> Reading {
        let exists = match variant {
            Variant::Nft => &self.nft,
            Variant::Legacy => &self.legacy,
        };
        match exists {
            Ok(false) => Reading::Empty,
            Ok(true) => Reading::Program,
            Err(error) => Reading::Unknown(Arc::clone(error)),
        }
    }
}

/// The variant that is read beside the one in use. On a host without iptables that is legacy: rules of
/// iptables-nft belong to the layers in use.
#[must_use]
pub fn other(variant: Option<Variant>) -> Variant {
    variant.map_or(Variant::Legacy, Variant::other)
}

/// Whether a table is one that iptables-nft may have created in the family.
#[must_use]
pub fn has_table(tables: &[NativeTable], family: Family) -> bool {
    tables.iter().any(|table| table.is_of(family))
}

/// Whether a chain of the family has one of our names.
#[must_use]
pub fn has_chain_of_ours(chains: &[NativeChain], family: Family) -> bool {
    chains
        .iter()
        .any(|chain| chain.families == [family] && chain.name.parse::<ChainName>().is_ok())
}

/// The tables of iptables.
pub const TABLES: [&str; 5] = ["filter", "security", "nat", "mangle", "raw"];

/// The tables of iptables in which other tools may change destinations before our rules.
pub const TABLES_OF_OTHERS: [&str; 3] = ["nat", "mangle", "raw"];

/// Tables of iptables-nft that iptables did not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadTables<'a> {
    family: Family,
    /// Their names; `None` for all tables of the family.
    names: Option<&'a [String]>,
}

/// The tables that iptables-nft did not read: all, or those that `nft` has changed. The variant is
/// `None` on a host without iptables.
pub fn unread_tables<'a>(
    read: impl Iterator<Item = (Option<Variant>, Family, &'a Result<Ruleset, NotRead>)>,
) -> Vec<UnreadTables<'a>> {
    read.filter(|(variant, ..)| *variant == Some(Variant::Nft))
        .map(|(_, family, read)| UnreadTables {
            family,
            names: read.as_ref().ok().map(|read| &*read.hidden),
        })
        .filter(|unread| unread.names.is_none_or(|names| !names.is_empty()))
        .collect()
}

/// Whether iptables reads this chain, so that it is not read over netlink too.
#[must_use]
pub fn is_read_by_iptables(
    chain: &NativeChain,
    variant: Option<Variant>,
    unread: &[UnreadTables<'_>],
) -> bool {
    let is_unread = unread.iter().any(|unread| {
        let named = unread
            .names
            .is_none_or(|names| names.contains(&chain.table));
        named && chain.families == [unread.family]
    });
    variant.is_some() && chain.is_of_iptables() && !is_unread
}

/// Our chains in these tables of iptables-nft, by name.
#[must_use]
pub fn own_chains(chains: &[NativeChain], family: Family, layers: &[Layer]) -> Vec<OwnChain> {
    let own = |chain: &NativeChain| {
        let mut layers = layers.iter();
        Some(OwnChain {
            layer: *layers.find(|layer| layer.name() == chain.table)?,
            chain: chain.name.parse().ok()?,
            jump: false,
        })
    };
    let of_family = chains.iter().filter(|chain| chain.families == [family]);
    of_family.filter_map(own).collect()
}

/// Whether iptables-nft cannot add our jumps to table `filter`, because a chain there has the name of a
/// built-in chain, but not its hook and priority.
#[must_use]
pub fn misplaced(chains: &[NativeChain], family: Family) -> Option<Unusable> {
    let table = Layer::Filter.name();
    let chain = chains
        .iter()
        .find(|chain| chain.families == [family] && chain.table == table && chain.is_misplaced())?;
    let at = match &chain.base {
        Some(base) => format!("with type {}, priority {}", base.kind, base.priority),
        None => "without a hook".to_owned(),
    };
    let name = &chain.name;
    Some(Unusable {
        family,
        layers: Layers::FILTER,
        reason: Reason::Refused {
            message: format!(
                "iptables-nft cannot use the table {table} ({family}): `nft` made its chain {name} {at}"
            ),
            help: "move that chain to a table of its own, then apply the lockdown again; or set \
                   `layers = [\"nftables\"]` in the configuration"
                .to_owned(),
        },
        ours: Some(own_chains(chains, family, &[Layer::Filter])),
    })
}

/// The addresses for which NAT rules are read: the metadata service, all locked addresses, and `more`.
#[must_use]
pub fn nat_addresses<'a>(
    more: &[Address],
    own: Option<&OwnTable>,
    rulesets: impl IntoIterator<Item = &'a Ruleset>,
) -> Vec<Address> {
    let of_iptables = rulesets.into_iter().flat_map(Ruleset::locked_addresses);
    let mut all: Vec<Address> = of_iptables.collect();
    all.extend(own.iter().flat_map(|own| own.table.locked_addresses()));
    all.extend([IMDS_V4, IMDS_V6]);
    all.extend(more);
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Exists {
        Err(Arc::new(io::Error::other("no")))
    }

    fn tables(nft: Exists, legacy: Exists, ours: Exists) -> Tables {
        Tables { nft, legacy, ours }
    }

    #[test]
    fn no_program_runs_for_a_family_without_tables() {
        let empty = tables(Ok(false), Ok(false), Ok(false));
        for variant in [None, Some(Variant::Nft), Some(Variant::Legacy)] {
            assert!(matches!(empty.reading(variant), Reading::Empty));
        }
        let nft = tables(Ok(true), Ok(false), Ok(true));
        assert!(matches!(nft.reading(Some(Variant::Nft)), Reading::Program));
        assert!(matches!(nft.reading(Some(Variant::Legacy)), Reading::Empty));
        assert!(matches!(nft.reading(None), Reading::NeedsIptables));
    }

    #[test]
    fn an_unreadable_list_of_tables_is_never_an_empty_one() {
        let unknown = tables(failed(), failed(), failed());
        let nft = unknown.reading(Some(Variant::Nft));
        assert!(matches!(nft, Reading::Program), "{nft:?}");
        for reading in [
            unknown.reading(Some(Variant::Legacy)),
            unknown.reading(None),
            unknown.reading_other(Variant::Nft),
            unknown.reading_other(Variant::Legacy),
        ] {
            assert!(matches!(reading, Reading::Unknown(_)), "{reading:?}");
        }
    }

    #[test]
    fn nat_rules_are_read_for_each_address_once() {
        let more: Vec<Address> = ["10.0.0.1", "169.254.169.254"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        assert_eq!(nat_addresses(&more, None, []).len(), 3);
    }
}
