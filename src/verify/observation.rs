//! Everything that was read from the firewall in one look.

use crate::policy::{Address, Family};
use crate::ruleset::Layer;
use crate::ruleset::model::{Ruleset, Table, Variant};
use crate::ruleset::nftables::OwnTable;
use crate::ruleset::nftables::nat::NatTable;
use crate::ruleset::nftables::object::NativeTable;

/// One family as one variant shows it, or why it could not be read.
pub type Seen = Result<Ruleset, String>;

/// What nf_tables holds that iptables does not show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Native {
    /// The tables of the two IP families and of both, those of iptables-nft among them.
    pub tables: Vec<NativeTable>,
    /// The tables that may rewrite an address before our rules see it.
    pub nat: Vec<NatTable>,
}

/// Another tool's file that takes rules away which it did not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flush {
    /// There is no such file, or nothing runs it.
    No,
    /// nftables.service is enabled, and this file of it says `flush ruleset`.
    Yes(String),
    /// The same, and a drop-in of it runs this program again.
    Mended,
    /// It could not be read.
    Unknown(String),
}

/// One look at the firewall.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The iptables that the lockdown uses; `None` on a host without iptables.
    pub variant: Option<Variant>,
    /// The families that this kernel has, as that variant shows them; empty without iptables.
    pub families: Vec<(Family, Seen)>,
    /// The same families as the variants not used show them, where these have rules at all.
    pub other: Vec<(Variant, Family, Seen)>,
    /// Our table of nftables, if there is one, or why it could not be read.
    pub nftables: Result<Option<OwnTable>, String>,
    /// What nf_tables holds besides, or why it could not be asked.
    pub native: Result<Native, String>,
    /// Whether nftables.service flushes everything.
    pub flush: Flush,
    /// Whether firewalld starts at boot, or why that is not known.
    pub firewalld: Result<bool, String>,
}

impl Observation {
    /// Whether this kernel has the family.
    #[must_use]
    pub fn has(&self, family: Family) -> bool {
        self.families.iter().any(|(known, _)| *known == family)
    }

    /// The families that this kernel has.
    #[must_use]
    pub fn known_families(&self) -> Vec<Family> {
        self.families.iter().map(|(family, _)| *family).collect()
    }

    /// The table of the layer, in which the rules for addresses of the family are: `None` where it
    /// is not in use.
    ///
    /// # Errors
    /// Why it could not be read.
    pub fn table(&self, layer: Layer, family: Family) -> Result<Option<&Table>, &String> {
        match layer {
            Layer::Nftables => {
                let own = self.nftables.as_ref()?;
                Ok(own.as_ref().map(|own| &own.table))
            }
            Layer::Filter | Layer::Security => {
                let seen = self.families.iter().find(|(known, _)| *known == family);
                match seen {
                    None => Ok(None),
                    Some((_, seen)) => Ok(seen.as_ref()?.table(layer.name())),
                }
            }
        }
    }

    /// The tables of all layers that could be read, each with the families of its addresses.
    pub fn own_tables(&self) -> impl Iterator<Item = (Family, &Table)> {
        self.families.iter().flat_map(move |&(family, _)| {
            Layer::ALL
                .into_iter()
                .filter_map(move |layer| Some((family, self.table(layer, family).ok()??)))
        })
    }

    /// Whether the kernel has switched the layer's table off.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn is_dormant(&self, layer: Layer, family: Family) -> Result<bool, &String> {
        match layer {
            Layer::Nftables => Ok(matches!(&self.nftables, Ok(Some(own)) if own.dormant)),
            // Legacy tables cannot be.
            _ if self.variant != Some(Variant::Nft) => Ok(false),
            Layer::Filter | Layer::Security => {
                let mut tables = self.native.as_ref()?.tables.iter();
                Ok(tables.any(|table| {
                    table.is_of(family) && table.name == layer.name() && table.dormant
                }))
            }
        }
    }

    /// Whether the layer's table goes with the process that made it.
    #[must_use]
    pub fn goes_with_its_owner(&self, layer: Layer) -> bool {
        layer == Layer::Nftables && matches!(&self.nftables, Ok(Some(own)) if own.owned)
    }

    /// Whether firewalld has its rules here: its own table, or its chains in that of iptables.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn has_firewalld(&self) -> Result<bool, &String> {
        let chain = |ruleset: &Ruleset| {
            ruleset
                .table(Layer::Filter.name())
                .is_some_and(|filter| filter.chain("INPUT_direct").is_some())
        };
        if self.read().any(chain) {
            return Ok(true);
        }
        let mut tables = self.native.as_ref()?.tables.iter();
        Ok(tables.any(|table| table.name == "firewalld"))
    }

    /// Why layers could not be read.
    pub fn unread(&self) -> impl Iterator<Item = &String> {
        self.families
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().err())
            .chain(self.nftables.as_ref().err())
    }

    /// The same of the variants not used.
    pub fn unread_of_other(&self) -> impl Iterator<Item = &String> {
        self.other
            .iter()
            .filter_map(|(.., seen)| seen.as_ref().err())
    }

    /// The rulesets that could be read, of the variant in use.
    pub fn read(&self) -> impl Iterator<Item = &Ruleset> {
        self.families
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().ok())
    }

    /// The rulesets that could be read, of the variants not used.
    pub fn read_of_other(&self) -> impl Iterator<Item = (Variant, &Ruleset)> {
        self.other
            .iter()
            .filter_map(|(variant, _, seen)| Some((*variant, seen.as_ref().ok()?)))
    }

    /// The addresses that variants not used lock, as far as they could be read: each once.
    #[must_use]
    pub fn locked_by_other(&self) -> Vec<(Variant, Address)> {
        let mut addresses: Vec<(Variant, Address)> = self
            .read_of_other()
            .flat_map(|(variant, ruleset)| {
                ruleset
                    .locked_addresses()
                    .into_iter()
                    .map(move |address| (variant, address))
            })
            .collect();
        addresses.sort_unstable_by_key(|&(variant, address)| (address, variant));
        addresses.dedup();
        addresses
    }
}
