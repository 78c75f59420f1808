//! Everything that was read from the firewall in one pass.

use super::model::{Ruleset, Table, Variant};
use super::nftables::OwnTable;
use super::nftables::nat::NatTable;
use super::nftables::object::NativeTable;
use super::not_read::NotRead;
use super::{Layer, LayerChoice, Reason, Unusable};
use crate::policy::{Address, Family};

/// The nf_tables content that iptables does not show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Native {
    /// The tables of the families `ip`, `ip6` and `inet`, including those of iptables-nft.
    pub tables: Vec<NativeTable>,
    /// The tables that may rewrite an address before packets reach our rules.
    pub nat: Vec<NatTable>,
}

/// The firewall as read in one pass.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The iptables variant in use; `None` on a host without iptables.
    pub variant: Option<Variant>,
    /// The families that this kernel has, with the rules of the variant in use. Without iptables
    /// the rulesets are empty.
    pub families: Vec<(Family, Result<Ruleset, NotRead>)>,
    /// The layers of iptables that cannot be used, although the rest of the family was read.
    pub unusable: Vec<Unusable>,
    /// The rules of the other variant, for each family in which it has any.
    pub other: Vec<(Variant, Family, Result<Ruleset, NotRead>)>,
    /// Whether this kernel has nf_tables.
    pub nf_tables: Result<bool, NotRead>,
    /// Our nftables table; `None` where it does not exist.
    pub nftables: Result<Option<OwnTable>, NotRead>,
    /// The other nf_tables content.
    pub native: Result<Native, NotRead>,
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

    /// The table of the layer that holds the rules for addresses of the family; `None` where it is
    /// not in use.
    ///
    /// # Errors
    /// The table could not be read.
    pub fn table(&self, layer: Layer, family: Family) -> Result<Option<&Table>, &NotRead> {
        match layer {
            Layer::Nftables => {
                let own = self.nftables.as_ref()?;
                Ok(own.as_ref().map(|own| &own.table))
            }
            Layer::Filter | Layer::Security => {
                let unusable = self.unusable.iter();
                if let Some(reason) = unusable.clone().find_map(|one| one.not_read(layer, family)) {
                    return Err(reason);
                }
                let seen = self.families.iter().find(|(known, _)| *known == family);
                match seen {
                    None => Ok(None),
                    Some((_, seen)) => Ok(seen.as_ref()?.table(layer.name())),
                }
            }
        }
    }

    /// The tables of all layers that could be read, each with the family of its addresses.
    pub fn own_tables(&self) -> impl Iterator<Item = (Family, &Table)> {
        self.families.iter().flat_map(move |&(family, _)| {
            Layer::ALL
                .into_iter()
                .filter_map(move |layer| Some((family, self.table(layer, family).ok()??)))
        })
    }

    /// Whether the layer's table is dormant: the kernel ignores its rules.
    ///
    /// # Errors
    /// The flag could not be read.
    pub fn is_dormant(&self, layer: Layer, family: Family) -> Result<bool, &NotRead> {
        match layer {
            Layer::Nftables => Ok(matches!(&self.nftables, Ok(Some(own)) if own.dormant)),
            // Legacy tables have no such flag.
            _ if self.variant != Some(Variant::Nft) => Ok(false),
            Layer::Filter | Layer::Security => {
                let mut tables = self.native.as_ref()?.tables.iter();
                Ok(tables.any(|table| {
                    table.is_of(family) && table.name == layer.name() && table.dormant
                }))
            }
        }
    }

    /// Whether the layer's table disappears with the process that created it (`flags owner`).
    #[must_use]
    pub fn is_owned(&self, layer: Layer) -> bool {
        layer == Layer::Nftables && matches!(&self.nftables, Ok(Some(own)) if own.owned)
    }

    /// Whether firewalld has rules on this host: a table of its own, or chains in an iptables
    /// table.
    ///
    /// # Errors
    /// The tables could not be read.
    pub fn has_firewalld(&self) -> Result<bool, &NotRead> {
        let has_chains = |ruleset: &Ruleset| {
            ruleset
                .table(Layer::Filter.name())
                .is_some_and(|filter| filter.chain("INPUT_direct").is_some())
        };
        if self.read().any(has_chains) {
            return Ok(true);
        }
        let mut tables = self.native.as_ref()?.tables.iter();
        Ok(tables.any(|table| table.name == "firewalld"))
    }

    /// Why the layer cannot be used in the family; `None` if it can, as far as known.
    #[must_use]
    pub fn unusable(&self, layer: Layer, family: Family) -> Option<&Unusable> {
        let mut unusable = self.unusable.iter();
        unusable.find(|one| one.family == family && one.layers.has(layer))
    }

    /// Leaves out unusable layers that were not chosen and hold nothing of ours: nobody misses
    /// them.
    pub fn disregard_others(&mut self, choice: LayerChoice) {
        if let LayerChoice::These(layers) = choice {
            self.unusable.retain(|one| {
                let chosen = one.layers.iter().any(|layer| layers.has(layer));
                chosen || !one.holds_nothing()
            });
        }
    }

    /// Replaces what could not be read. What refused our rules is kept.
    pub fn read_again(&mut self, unusable: Vec<Unusable>) {
        let refused = |one: &Unusable| matches!(one.reason, Reason::Refused { .. });
        self.unusable.retain(refused);
        for one in unusable {
            if !self.unusable.contains(&one) {
                self.unusable.push(one);
            }
        }
    }

    /// The layers that could not be read.
    pub fn unread(&self) -> impl Iterator<Item = &NotRead> {
        self.families
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().err())
            .chain(self.unusable.iter().filter_map(|one| match &one.reason {
                Reason::NotRead(reason) => Some(reason),
                Reason::Refused { .. } => None,
            }))
            .chain(self.nftables.as_ref().err())
    }

    /// What could not be read and may hold rules of ours.
    pub fn unread_that_may_hold(&self) -> impl Iterator<Item = &NotRead> {
        let empty = self.unusable.iter().filter(|one| one.holds_nothing());
        let empty: Vec<&Reason> = empty.map(|one| &one.reason).collect();
        self.unread().filter(move |reason| {
            let of = |one: &&Reason| matches!(one, Reason::NotRead(known) if known == *reason);
            !empty.iter().any(of)
        })
    }

    /// Why it is not known whether a layer holds rules for the address.
    #[must_use]
    pub fn unread_for(&self, address: Address) -> Option<&NotRead> {
        let family = address.family();
        Layer::ALL.into_iter().find_map(|layer| {
            let reason = self.table(layer, family).err()?;
            let unusable = self.unusable(layer, family);
            unusable
                .is_none_or(|one| one.may_hold(address))
                .then_some(reason)
        })
    }

    /// The rules of the other variant that could not be read.
    pub fn unread_of_other(&self) -> impl Iterator<Item = &NotRead> {
        self.other
            .iter()
            .filter_map(|(.., seen)| seen.as_ref().err())
    }

    /// The rulesets of the variant in use that could be read.
    pub fn read(&self) -> impl Iterator<Item = &Ruleset> {
        self.families
            .iter()
            .filter_map(|(_, seen)| seen.as_ref().ok())
    }

    /// The rulesets of the other variant that could be read.
    pub fn read_of_other(&self) -> impl Iterator<Item = (Variant, &Ruleset)> {
        self.other
            .iter()
            .filter_map(|(variant, _, seen)| Some((*variant, seen.as_ref().ok()?)))
    }

    /// The rulesets of both variants that could be read.
    pub fn rulesets(&self) -> impl Iterator<Item = (Variant, &Ruleset)> {
        let own = self
            .variant
            .into_iter()
            .flat_map(|variant| self.read().map(move |ruleset| (variant, ruleset)));
        own.chain(self.read_of_other())
    }

    /// The addresses that the other variant locks, each once, as far as it could be read.
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

    /// The addresses for which any layer of any variant holds one of our chains, each once.
    #[must_use]
    pub fn locked_addresses(&self) -> Vec<Address> {
        let of_iptables = self
            .rulesets()
            .flat_map(|(_, ruleset)| ruleset.locked_addresses());
        let of_nftables = self.nftables.iter().flatten();
        let by_name = self.unusable.iter().filter_map(|one| one.ours.as_ref());
        let by_name = by_name.flatten().map(|own| own.chain.address);
        let mut addresses: Vec<Address> = of_iptables
            .chain(by_name)
            .chain(of_nftables.flat_map(|own| own.table.locked_addresses()))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}
