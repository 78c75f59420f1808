//! The whole firewall of the host: iptables and nft, looked at and changed together.
//!
//! Programs that do not depend on each other run at the same time, nft, which takes longest, the
//! first of them.

mod error;

use std::io;

pub use self::error::FirewallError;
use super::iptables::Iptables;
use super::kernel::{LegacyTables, legacy_tables};
use super::netlink::{self, NativeChain};
use super::nftables::{self, Nft};
use super::program::Running;
use super::services::Starting;
use crate::policy::Family;
use crate::ruleset::model::{ChainName, Ruleset, Variant};
use crate::ruleset::nftables::nat::{NatChain, NatTable};
use crate::ruleset::nftables::{OwnTable, TABLE};
use crate::ruleset::transaction::{Place, Transaction};
use crate::verify::{Native, NativeTable, Observation, Seen};

/// The firewall of this host.
#[derive(Debug)]
pub struct Firewall {
    families: Vec<Family>,
    wait: u32,
    iptables: Option<Iptables>,
    nft: Option<Nft>,
}

impl Firewall {
    /// Finds the programs of `variant` (`None`: whatever `iptables` means on this host, if it is
    /// there) for the families, and nft. They wait at most `wait` seconds, and at least one, for
    /// the xtables lock.
    ///
    /// # Errors
    /// A program of iptables is missing, or the variant cannot be told. That there is no iptables
    /// at all, or no nft, is no error.
    pub fn find(
        variant: Option<Variant>,
        families: &[Family],
        wait: u32,
    ) -> Result<Self, FirewallError> {
        let variant = match variant {
            Some(variant) => Some(variant),
            None => Iptables::host_variant(wait)?,
        };
        let iptables = variant.map(|variant| Iptables::find(variant, families, wait));
        Ok(Self {
            families: families.to_vec(),
            wait,
            iptables: iptables.transpose()?,
            nft: Nft::find(),
        })
    }

    /// Which iptables is in use; `None` on a host without iptables.
    #[must_use]
    pub fn variant(&self) -> Option<Variant> {
        self.iptables.as_ref().map(Iptables::variant)
    }

    /// Makes sure that there is an iptables.
    ///
    /// # Errors
    /// There is none: what to install.
    pub fn need_iptables(&self) -> Result<(), FirewallError> {
        self.iptables
            .as_ref()
            .map(|_| ())
            .ok_or_else(Iptables::missing)
    }

    /// Makes sure that there is nft.
    ///
    /// # Errors
    /// There is none: what to install.
    pub fn need_nft(&self) -> Result<(), FirewallError> {
        self.nft.as_ref().map(|_| ()).ok_or_else(nftables::missing)
    }

    /// Whether a change would bring the first legacy tables into being on a host whose `iptables`
    /// is iptables-nft.
    #[must_use]
    pub fn brings_legacy_to_nft_host(&self) -> bool {
        let unused =
            |family| matches!(legacy_tables(family), Ok(tables) if tables != LegacyTables::InUse);
        self.variant() == Some(Variant::Legacy)
            && self.families.iter().all(|&family| unused(family))
            && matches!(Iptables::host_variant(self.wait), Ok(Some(Variant::Nft)))
    }

    /// Reads every family of this variant, our table of nftables and, where they have rules, the
    /// other variants: all at the same time. Changes nothing, and brings no legacy table into being.
    #[must_use]
    pub fn observe(&self) -> Observation {
        let kernel = Kernel::ask();
        let table = self.start_table(&kernel);
        let own = self.start_own(&kernel);
        // Without iptables, what iptables-nft may have left counts as our own layers.
        let other = self.variant().map_or(Variant::Legacy, Variant::other);
        let others: Vec<_> = self
            .families
            .iter()
            .filter_map(|&family| Some((family, self.start_other(other, family, &kernel)?)))
            .collect();
        let nat = self.start_nat(&kernel);
        let starting = Starting::look();
        Observation {
            variant: self.variant(),
            families: self.finish_own(own),
            nftables: self.finish_table(table, &kernel),
            other: others
                .into_iter()
                .map(|(family, look)| (other, family, finish_other(family, look)))
                .collect(),
            native: self.finish_nat(nat).and_then(|nat| {
                let tables = kernel.tables?;
                Ok(Native { tables, nat })
            }),
            flush: starting.flush(),
            firewalld: starting.firewalld(),
        }
    }

    /// Reads our own layers again, after a change that concerned them alone.
    #[must_use]
    pub fn observe_again(&self, before: Observation) -> Observation {
        let kernel = Kernel::ask();
        let table = self.start_table(&kernel);
        let own = self.start_own(&kernel);
        Observation {
            families: self.finish_own(own),
            nftables: self.finish_table(table, &kernel),
            ..before
        }
    }

    /// Runs the transactions at the same time.
    #[must_use]
    pub fn run(&self, transactions: &[Transaction]) -> Vec<(Place, Result<(), FirewallError>)> {
        let (of_nftables, of_iptables): (Vec<_>, Vec<_>) = transactions
            .iter()
            .partition(|transaction| transaction.place == Place::Nftables);
        let started: Vec<_> = of_nftables
            .into_iter()
            .chain(of_iptables)
            .map(|Transaction { place, input }| (*place, self.start(*place, input)))
            .collect();
        started
            .into_iter()
            .map(|(place, started)| (place, started.and_then(Started::finish)))
            .collect()
    }

    /// The command line that [`Self::run`] runs for the place.
    ///
    /// # Errors
    /// Its programs are missing.
    pub fn command_line(&self, place: Place) -> Result<Vec<String>, FirewallError> {
        match place {
            Place::Nftables => Ok(self.nft()?.transaction_command()),
            Place::Iptables(variant, family) if Some(variant) == self.variant() => {
                Ok(self.iptables()?.transaction_command(family))
            }
            Place::Iptables(variant, family) => {
                let other = Iptables::find(variant, &[family], self.wait)?;
                Ok(other.transaction_command(family))
            }
        }
    }

    /// Whether this kernel has the table of iptables in the family. With the legacy variant the
    /// question itself brings the table into being, so it is asked only on the way to writing it.
    ///
    /// # Errors
    /// iptables could not be asked, or could not tell.
    pub fn has_table(&self, family: Family, table: &str) -> Result<bool, FirewallError> {
        self.iptables()?.has_table(family, table)
    }

    fn iptables(&self) -> Result<&Iptables, FirewallError> {
        self.iptables.as_ref().ok_or_else(Iptables::missing)
    }

    fn nft(&self) -> Result<&Nft, FirewallError> {
        self.nft.as_ref().ok_or_else(nftables::missing)
    }

    fn start(&self, place: Place, input: &str) -> Result<Started<'_>, FirewallError> {
        match place {
            Place::Nftables => {
                let nft = self.nft()?;
                Ok(Started::Nft(nft, nft.start_transaction(input)?))
            }
            Place::Iptables(variant, family) if Some(variant) == self.variant() => {
                let iptables = self.iptables()?;
                let running = iptables.start_transaction(family, input)?;
                Ok(Started::Own(iptables, family, running))
            }
            Place::Iptables(variant, family) => {
                let other = Iptables::find(variant, &[family], self.wait)?;
                let running = other.start_transaction(family, input)?;
                Ok(Started::Other(other, family, running))
            }
        }
    }

    /// Where no table is in use there is no rule, and no program has to say so.
    fn start_own(&self, kernel: &Kernel) -> Vec<(Family, Result<Option<Running>, FirewallError>)> {
        let look = |family| {
            let Some(iptables) = &self.iptables else {
                // Tables of these names are made with nft too; what we never laid is not missed.
                return match kernel.has_chain_of_ours(family) {
                    true => Err(Iptables::missing()),
                    false => Ok(None),
                };
            };
            match kernel.in_use(iptables.variant(), family) {
                Ok(false) => Ok(None),
                Ok(true) => iptables.start_read(family).map(Some),
                // iptables-nft-save asks the kernel again and says so if it cannot; where the lists
                // of legacy tables cannot be read, iptables-legacy-save shows none.
                Err(_) if iptables.variant() == Variant::Nft => {
                    iptables.start_read(family).map(Some)
                }
                Err(error) => Err(error),
            }
        };
        self.families
            .iter()
            .map(|&family| (family, look(family)))
            .collect()
    }

    fn finish_own(
        &self,
        looks: Vec<(Family, Result<Option<Running>, FirewallError>)>,
    ) -> Vec<(Family, Seen)> {
        looks
            .into_iter()
            .map(|(family, look)| {
                let seen = look.and_then(|running| match running {
                    None => Ok(Ruleset::empty(family)),
                    Some(running) => self.iptables()?.read(family, running),
                });
                (family, seen.map_err(|error| error.to_string()))
            })
            .collect()
    }

    fn start_table(&self, kernel: &Kernel) -> Result<Option<Running>, FirewallError> {
        match &kernel.tables {
            Ok(tables) if !tables.iter().any(is_ours) => Ok(None),
            Ok(_) => Ok(Some(self.nft()?.start_read()?)),
            Err(error) => Err(FirewallError::TablesInUse(error.clone())),
        }
    }

    fn finish_table(
        &self,
        look: Result<Option<Running>, FirewallError>,
        kernel: &Kernel,
    ) -> Result<Option<OwnTable>, String> {
        let read = |running| {
            let mut own = self.nft()?.read(running)?;
            own.dormant = kernel
                .tables
                .iter()
                .flatten()
                .any(|table| is_ours(table) && table.dormant);
            Ok(own)
        };
        let own = look.and_then(|running| running.map(read).transpose());
        // Another tool may have taken it away between the kernel's list and ours.
        own.or_else(|error| match netlink::tables() {
            Ok(tables) if !tables.iter().any(is_ours) => Ok(None),
            _ => Err(format!("the table inet {TABLE} of nftables: {error}")),
        })
    }

    /// A variant not used, where it has rules.
    fn start_other(
        &self,
        variant: Variant,
        family: Family,
        kernel: &Kernel,
    ) -> Option<Result<(Iptables, Running), FirewallError>> {
        let start = || {
            let other = Iptables::find(variant, &[family], self.wait)?;
            let running = other.start_read(family)?;
            Ok((other, running))
        };
        match kernel.in_use(variant, family) {
            Ok(false) => None,
            Ok(true) => Some(start()),
            Err(error) => Some(Err(error)),
        }
    }

    fn start_nat(&self, kernel: &Kernel) -> Result<Vec<StartedNat>, String> {
        let chains = kernel.chains.as_ref().map_err(Clone::clone)?;
        let mut tables: Vec<StartedNat> = Vec::new();
        for chain in chains {
            let Some(local) = chain.translates else {
                continue;
            };
            let shown_by_iptables = chain.is_of_iptables && self.iptables.is_some();
            if shown_by_iptables {
                continue;
            }
            let name = chain.name.clone();
            let known = tables
                .iter_mut()
                .find(|table| table.families == chain.families && table.name == chain.table);
            match known {
                Some(table) => table.chains.push(NatChain { name, local }),
                None => tables.push(StartedNat {
                    families: chain.families,
                    name: chain.table.clone(),
                    chains: vec![NatChain { name, local }],
                    look: self.start_list(chain.families, &chain.table),
                }),
            }
        }
        Ok(tables)
    }

    fn start_list(&self, families: &[Family], table: &str) -> Result<Running, FirewallError> {
        let family = match families {
            [Family::V4] => "ip",
            [Family::V6] => "ip6",
            _ => "inet",
        };
        // nft joins its arguments and reads them as one command line.
        match nftables::is_plain(table) {
            true => Ok(self.nft()?.start_list(family, table)?),
            false => Err(FirewallError::OddName(table.escape_debug().to_string())),
        }
    }

    fn finish_nat(&self, tables: Result<Vec<StartedNat>, String>) -> Result<Vec<NatTable>, String> {
        let gone = |started: &StartedNat| {
            let is_it = |table: &NativeTable| {
                table.name == started.name && table.families == started.families
            };
            netlink::tables().is_ok_and(|tables| !tables.iter().any(is_it))
        };
        let finish = |mut started: StartedNat| {
            let look = std::mem::replace(&mut started.look, Err(nftables::missing()));
            let listing = look.and_then(|running| self.nft()?.listed(running));
            // A tool that lays its table anew takes it away first.
            if listing.is_err() && gone(&started) {
                return None;
            }
            Some(NatTable {
                families: started.families,
                name: started.name,
                chains: started.chains,
                listing: listing.map_err(|error| error.to_string()),
            })
        };
        Ok(tables?.into_iter().filter_map(finish).collect())
    }
}

fn is_ours(table: &NativeTable) -> bool {
    table.name == TABLE && table.families == Family::ALL
}

/// A table of someone else that is being read.
struct StartedNat {
    families: &'static [Family],
    name: String,
    chains: Vec<NatChain>,
    look: Result<Running, FirewallError>,
}

/// A transaction that is under way.
enum Started<'a> {
    Nft(&'a Nft, Running),
    Own(&'a Iptables, Family, Running),
    Other(Iptables, Family, Running),
}

impl Started<'_> {
    fn finish(self) -> Result<(), FirewallError> {
        match self {
            Self::Nft(nft, running) => nft.ended(running),
            Self::Own(iptables, family, running) => iptables.ended(family, running),
            Self::Other(iptables, family, running) => iptables.ended(family, running),
        }
    }
}

fn finish_other(family: Family, look: Result<(Iptables, Running), FirewallError>) -> Seen {
    look.and_then(|(iptables, running)| iptables.read(family, running))
        .map_err(|error| error.to_string())
}

/// What the kernel itself says of nf_tables, or why it does not.
struct Kernel {
    tables: Result<Vec<NativeTable>, String>,
    chains: Result<Vec<NativeChain>, String>,
}

impl Kernel {
    fn ask() -> Self {
        let told = |error: io::Error| error.to_string();
        Self {
            tables: netlink::tables().map_err(told),
            chains: netlink::chains().map_err(told),
        }
    }

    /// Whether tables of the variant's kind are in use in the family.
    fn in_use(&self, variant: Variant, family: Family) -> Result<bool, FirewallError> {
        match variant {
            Variant::Legacy => legacy_tables(family)
                .map(|tables| tables == LegacyTables::InUse)
                .map_err(|error| FirewallError::TablesInUse(error.to_string())),
            Variant::Nft => match &self.tables {
                Ok(tables) => Ok(tables.iter().any(|table| table.is_of(family))),
                Err(error) => Err(FirewallError::TablesInUse(error.clone())),
            },
        }
    }

    /// Whether a table of the family has a chain of our names, or cannot be looked at.
    fn has_chain_of_ours(&self, family: Family) -> bool {
        self.chains.as_ref().map_or(true, |chains| {
            chains
                .iter()
                .any(|chain| chain.families == [family] && chain.name.parse::<ChainName>().is_ok())
        })
    }
}
