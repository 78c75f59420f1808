//! Everything that was read from the firewall in one look.

use crate::policy::{Address, Family};
use crate::ruleset::model::{Ruleset, Table, Variant};

/// One family as one variant shows it, or why it could not be read.
pub type Seen = Result<Ruleset, String>;

/// A table of nf_tables, as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeTable {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// Whether its chains are switched off (`flags dormant`).
    pub dormant: bool,
}

/// A chain of nf_tables that translates addresses and that iptables does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeNat {
    /// The families whose packets it meets.
    pub families: Vec<Family>,
    /// Whether it meets packets made on this host (else those from elsewhere).
    pub local: bool,
    /// Its table and its name.
    pub name: String,
}

/// What nf_tables holds that iptables does not show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Native {
    /// The tables of the two IP families, those of iptables-nft among them.
    pub tables: Vec<NativeTable>,
    /// The chains that may rewrite an address before our rules see it.
    pub nat: Vec<NativeNat>,
}

/// One look at the firewall.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The variant that the lockdown uses.
    pub variant: Variant,
    /// The families that this kernel has, as that variant shows them.
    pub families: Vec<(Family, Seen)>,
    /// The same families as the other variant shows them; empty where it has no rules at all.
    pub other: Vec<(Family, Seen)>,
    /// What nf_tables holds besides, or why it could not be asked.
    pub native: Result<Native, String>,
}

impl Observation {
    /// The family, `None` if this kernel does not have it.
    #[must_use]
    pub fn family(&self, family: Family) -> Option<&Seen> {
        self.families
            .iter()
            .find_map(|(known, seen)| (*known == family).then_some(seen))
    }

    /// The table of the family of `address`, where it was read and is in use.
    #[must_use]
    pub fn table(&self, address: Address, table: &str) -> Option<&Table> {
        self.family(address.family())?.as_ref().ok()?.table(table)
    }

    /// Whether the kernel has switched the table of iptables-nft off.
    #[must_use]
    pub fn is_dormant(&self, family: Family, name: &str) -> bool {
        self.variant == Variant::Nft
            && self.native.as_ref().is_ok_and(|native| {
                native
                    .tables
                    .iter()
                    .any(|table| table.family == family && table.name == name && table.dormant)
            })
    }

    /// Why families of the variant in use could not be read.
    pub fn unread(&self) -> impl Iterator<Item = &String> {
        self.families
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().err())
    }

    /// The same of the other variant.
    pub fn unread_of_other(&self) -> impl Iterator<Item = &String> {
        self.other
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().err())
    }

    /// The rulesets that could be read, of the variant in use.
    pub fn read(&self) -> impl Iterator<Item = &Ruleset> {
        self.families
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().ok())
    }

    /// The addresses that the other variant locks, as far as it could be read: each once.
    #[must_use]
    pub fn locked_by_other(&self) -> Vec<Address> {
        let mut addresses: Vec<Address> = self
            .other
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().ok())
            .flat_map(Ruleset::locked_addresses)
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}
