//! The whole firewall of the host: iptables and nftables, looked at and changed together.
//!
//! Programs that do not depend on each other run at the same time.

mod error;

pub use self::error::FirewallError;
use super::iptables::Iptables;
use super::kernel::{LegacyTables, legacy_tables};
use super::netlink::{self, State};
use super::nftables::{self, Nft};
use super::program::Running;
use super::services::Starting;
use crate::policy::Family;
use crate::ruleset::model::{ChainName, Ruleset, Variant};
use crate::ruleset::nftables::nat::{NatChain, NatTable};
use crate::ruleset::nftables::object::NativeTable;
use crate::ruleset::nftables::{OwnTable, TABLE};
use crate::ruleset::transaction::{Place, Transaction};
use crate::verify::{Native, Observation, Seen};

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

    /// Makes sure that this kernel has nf_tables.
    ///
    /// # Errors
    /// It has not, or could not be asked.
    pub fn need_nftables(&self) -> Result<(), FirewallError> {
        match netlink::generation() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(FirewallError::NoNftables),
            Err(error) => Err(FirewallError::TablesInUse(error.to_string())),
        }
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
        let own = self.start_own(&kernel);
        // Without iptables, what iptables-nft may have left counts as our own layers.
        let other = self.variant().map_or(Variant::Legacy, Variant::other);
        let others: Vec<_> = self
            .families
            .iter()
            .filter_map(|&family| Some((family, self.start_other(other, family, &kernel)?)))
            .collect();
        let nat = self.start_nat(&kernel);
        let nftables = kernel.own_table();
        let starting = Starting::look();
        Observation {
            variant: self.variant(),
            families: self.finish_own(own),
            nftables,
            other: others
                .into_iter()
                .map(|(family, look)| (other, family, finish_other(family, look)))
                .collect(),
            native: self.finish_nat(nat).and_then(|nat| {
                let tables = kernel.state?.tables;
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
        let own = self.start_own(&kernel);
        let nftables = kernel.own_table();
        Observation {
            families: self.finish_own(own),
            nftables,
            ..before
        }
    }

    /// Runs the transactions at the same time.
    #[must_use]
    pub fn run(&self, transactions: &[Transaction]) -> Vec<(Place, Result<(), FirewallError>)> {
        let mut started = Vec::new();
        let mut of_nftables = None;
        for transaction in transactions {
            match transaction {
                Transaction::Nftables(commands) => of_nftables = Some(commands),
                Transaction::Iptables(variant, family, input) => {
                    started.push((transaction.place(), self.start(*variant, *family, input)));
                }
            }
        }
        let of_nftables = of_nftables.map(|commands| (Place::Nftables, nftables::run(commands)));
        let finish = |(place, started): (_, Result<Started<'_>, _>)| {
            (place, started.and_then(Started::finish))
        };
        let of_iptables = started.into_iter().map(finish);
        of_iptables.chain(of_nftables).collect()
    }

    /// The command line that [`Self::run`] runs for the place; of nftables, one that does the same.
    ///
    /// # Errors
    /// Its programs are missing.
    pub fn command_line(&self, place: Place) -> Result<Vec<String>, FirewallError> {
        match place {
            Place::Nftables => Ok(["nft", "-f", "-"].map(str::to_owned).to_vec()),
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

    fn start(
        &self,
        variant: Variant,
        family: Family,
        input: &str,
    ) -> Result<Started<'_>, FirewallError> {
        if Some(variant) == self.variant() {
            let iptables = self.iptables()?;
            let running = iptables.start_transaction(family, input)?;
            Ok(Started::Own(iptables, family, running))
        } else {
            let other = Iptables::find(variant, &[family], self.wait)?;
            let running = other.start_transaction(family, input)?;
            Ok(Started::Other(other, family, running))
        }
    }

    /// Where no table is in use there is no rule, and no program has to say so.
    fn start_own(&self, kernel: &Kernel) -> Vec<(Family, Result<Option<Running>, FirewallError>)> {
        let look = |family| {
            let Some(iptables) = &self.iptables else {
                // Tables of these names are made with nft too; what we never laid is not missed.
                return match kernel.has_chain_of_ours(family)? {
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
        let state = kernel.state.as_ref().map_err(Clone::clone)?;
        let mut tables: Vec<StartedNat> = Vec::new();
        for chain in &state.chains {
            let Some(local) = chain.translates() else {
                continue;
            };
            let shown_by_iptables = chain.is_nat_of_iptables() && self.iptables.is_some();
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
            let tables = Kernel::ask().state.map(|state| state.tables);
            tables.is_ok_and(|tables| !tables.iter().any(is_it))
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

/// A table of someone else that is being read.
struct StartedNat {
    families: &'static [Family],
    name: String,
    chains: Vec<NatChain>,
    look: Result<Running, FirewallError>,
}

/// A transaction that is under way.
enum Started<'a> {
    Own(&'a Iptables, Family, Running),
    Other(Iptables, Family, Running),
}

impl Started<'_> {
    fn finish(self) -> Result<(), FirewallError> {
        match self {
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
    state: Result<State, String>,
}

impl Kernel {
    fn ask() -> Self {
        let state = netlink::state().map_err(|error| error.to_string());
        Self {
            // What a kernel does not have holds nothing.
            state: state.map(Option::unwrap_or_default),
        }
    }

    /// Our table, if there is one, or why it could not be read.
    fn own_table(&self) -> Result<Option<OwnTable>, String> {
        let state = self.state.as_ref().map_err(Clone::clone);
        let own = state.and_then(|state| nftables::own_table(state).map_err(|e| e.to_string()));
        own.map_err(|error| format!("the table inet {TABLE} of nftables: {error}"))
    }

    /// Whether tables of the variant's kind are in use in the family.
    fn in_use(&self, variant: Variant, family: Family) -> Result<bool, FirewallError> {
        match variant {
            Variant::Legacy => legacy_tables(family)
                .map(|tables| tables == LegacyTables::InUse)
                .map_err(|error| FirewallError::TablesInUse(error.to_string())),
            Variant::Nft => match &self.state {
                Ok(state) => Ok(state.tables.iter().any(|table| table.is_of(family))),
                Err(error) => Err(FirewallError::TablesInUse(error.clone())),
            },
        }
    }

    /// Whether a table of the family has a chain of our names.
    fn has_chain_of_ours(&self, family: Family) -> Result<bool, FirewallError> {
        let state = self.state.as_ref();
        let state = state.map_err(|error| FirewallError::TablesInUse(error.clone()))?;
        Ok(state
            .chains
            .iter()
            .any(|chain| chain.families == [family] && chain.name.parse::<ChainName>().is_ok()))
    }
}
