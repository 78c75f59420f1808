//! Everything that was read from the firewall in one look.

use crate::policy::{Address, Family};
use crate::ruleset::model::{Ruleset, Table, Variant};

/// One family as one variant shows it, or why it could not be read.
pub type Seen = Result<Ruleset, String>;

/// One look at the firewall.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The variant that the lockdown uses.
    pub variant: Variant,
    /// The families that this kernel has, as that variant shows them.
    pub families: Vec<(Family, Seen)>,
    /// The same families as the other variant shows them; empty where it has no rules at all.
    pub other: Vec<(Family, Seen)>,
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
