//! The whole firewall of the host: iptables and nftables, looked at and changed together.
//!
//! Programs that do not depend on each other run at the same time.

mod error;

pub use self::error::FirewallError;
use super::iptables::Iptables;
use super::kernel::{LegacyTables, legacy_tables};
use super::netlink::{self, State};
use super::nftables;
use super::program::Running;
use super::services::Starting;
use crate::policy::{Address, Family, IMDS_V4, IMDS_V6};
use crate::ruleset::model::{ChainName, Ruleset, Variant};
use crate::ruleset::nftables::nat::NatTable;
use crate::ruleset::nftables::object::NativeChain;
use crate::ruleset::nftables::{OwnTable, TABLE};
use crate::ruleset::transaction::{Place, Transaction};
use crate::verify::{Native, Observation, Seen};

/// The firewall of this host.
#[derive(Debug)]
pub struct Firewall {
    families: Vec<Family>,
    wait: u32,
    iptables: Option<Iptables>,
}

impl Firewall {
    /// Finds the programs of `variant` (`None`: whatever `iptables` means on this host, if it is
    /// there) for the families. They wait at most `wait` seconds, and at least one, for the xtables
    /// lock.
    ///
    /// # Errors
    /// A program of iptables is missing, or the variant cannot be told. That there is no iptables
    /// at all is no error.
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
    ///
    /// Other tools' tables are read as far as packets to the metadata service, to locked addresses
    /// and to those in `asked` can reach them.
    #[must_use]
    pub fn observe(&self, asked: &[Address]) -> Observation {
        let kernel = Kernel::ask();
        let own = self.start_own(&kernel);
        // Without iptables, what iptables-nft may have left counts as our own layers.
        let other = self.variant().map_or(Variant::Legacy, Variant::other);
        let others: Vec<_> = self
            .families
            .iter()
            .filter_map(|&family| Some((family, self.start_other(other, family, &kernel)?)))
            .collect();
        let nftables = kernel.own_table();
        let starting = Starting::look();
        let early = addresses(asked, &nftables, []);
        let nat = self.nat(&kernel, &early);
        let families = self.finish_own(own);
        let other: Vec<(Variant, Family, Seen)> = others
            .into_iter()
            .map(|(family, look)| (other, family, finish_other(family, look)))
            .collect();
        let seen = families.iter().map(|(_, seen)| seen);
        let seen = seen.chain(other.iter().map(|(.., seen)| seen));
        let all = addresses(asked, &nftables, seen);
        Observation {
            variant: self.variant(),
            native: self.native(kernel, nat, &early, &all),
            families,
            nftables,
            other,
            flush: starting.flush(),
            firewalld: starting.firewalld(),
        }
    }

    /// Reads again, after a change that concerned our own layers alone, these, and other tools'
    /// tables as far as packets to the addresses that are locked now can reach them.
    #[must_use]
    pub fn observe_again(&self, before: Observation) -> Observation {
        let kernel = Kernel::ask();
        let own = self.start_own(&kernel);
        let nftables = kernel.own_table();
        let early = addresses(&[], &nftables, []);
        let nat = self.nat(&kernel, &early);
        let families = self.finish_own(own);
        let seen = families.iter().map(|(_, seen)| seen);
        let seen = seen.chain(before.other.iter().map(|(.., seen)| seen));
        let all = addresses(&[], &nftables, seen);
        Observation {
            native: self.native(kernel, nat, &early, &all),
            families,
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

    /// Other tools' tables that rewrite addresses, as far as packets to these can reach them.
    fn nat(&self, kernel: &Kernel, addresses: &[Address]) -> Result<Vec<NatTable>, String> {
        let state = kernel.state.as_ref().map_err(Clone::clone)?;
        let shown = |chain: &NativeChain| chain.is_nat_of_iptables() && self.iptables.is_some();
        nftables::nat_tables(state, shown, addresses).map_err(|error| error.to_string())
    }

    /// What the kernel holds besides our own layers, with `nat` as it was read for the addresses
    /// known early: read again if there are more.
    fn native(
        &self,
        kernel: Kernel,
        nat: Result<Vec<NatTable>, String>,
        early: &[Address],
        all: &[Address],
    ) -> Result<Native, String> {
        let nat = match early == all {
            true => nat?,
            false => self.nat(&kernel, all)?,
        };
        let tables = kernel.state?.tables;
        Ok(Native { tables, nat })
    }
}

/// The addresses of the metadata service, those that are locked, and those asked about.
fn addresses<'a>(
    asked: &[Address],
    own: &Result<Option<OwnTable>, String>,
    seen: impl IntoIterator<Item = &'a Seen>,
) -> Vec<Address> {
    let of_own = own.as_ref().ok().and_then(Option::as_ref);
    let of_own = of_own.map(|own| own.table.locked_addresses());
    let of_iptables = seen.into_iter().filter_map(|seen| seen.as_ref().ok());
    let locked = of_own
        .into_iter()
        .chain(of_iptables.map(Ruleset::locked_addresses));
    let mut all: Vec<Address> = locked.flatten().collect();
    all.extend([IMDS_V4, IMDS_V6]);
    all.extend(asked);
    all.sort_unstable();
    all.dedup();
    all
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
