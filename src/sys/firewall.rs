//! The firewall of the host: iptables and nftables, read and changed together.
//!
//! Independent programs run at the same time.

use std::io;
use std::sync::Arc;

use super::error::FirewallError;
use super::iptables::Iptables;
use super::kernel::{LegacyTables, legacy_tables};
use super::netlink::{self, State};
use super::nftables;
use super::program::Running;
use crate::policy::{Address, Family, IMDS_V4, IMDS_V6};
use crate::ruleset::iptables::render;
use crate::ruleset::model::{ChainName, Ruleset, Variant};
use crate::ruleset::nftables::OwnTable;
use crate::ruleset::nftables::nat::NatTable;
use crate::ruleset::nftables::object::NativeChain;
use crate::ruleset::plan::{Place, Transaction};
use crate::ruleset::{Native, NotRead, Observation, Readable};

/// The firewall of this host.
#[derive(Debug)]
pub struct Firewall {
    families: Vec<Family>,
    wait: u32,
    iptables: Option<Iptables>,
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
        })
    }

    /// Which iptables is in use; `None` on a host without iptables.
    #[must_use]
    pub fn variant(&self) -> Option<Variant> {
        self.iptables.as_ref().map(Iptables::variant)
    }

    /// The error of a host without iptables, with the command that installs it.
    #[must_use]
    pub fn iptables_missing() -> FirewallError {
        Iptables::missing()
    }

    /// The variant of `iptables` on this host; `None` where it has none.
    ///
    /// # Errors
    /// The variant cannot be determined.
    pub fn host_variant(&self) -> Result<Option<Variant>, FirewallError> {
        Iptables::host_variant(self.wait)
    }

    /// Whether any iptables-legacy table exists.
    ///
    /// # Errors
    /// The list of tables cannot be read.
    pub fn has_legacy_tables(&self) -> io::Result<bool> {
        for &family in &self.families {
            if legacy_tables(family)? == LegacyTables::InUse {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads every family of the variant in use, our nftables table and, where it has rules, the
    /// other variant, all at the same time. Changes nothing, and creates no legacy table.
    ///
    /// NAT tables of other tools are read only as far as packets to the metadata service, to locked
    /// addresses and to those in `asked` can reach them.
    #[must_use]
    pub fn observe(&self, asked: &[Address]) -> Observation {
        let kernel = Kernel::ask();
        let own = self.start_own(&kernel);
        // Without iptables, rules that iptables-nft may have left count as our own layers.
        let other = self.variant().map_or(Variant::Legacy, Variant::other);
        let others: Vec<_> = self
            .families
            .iter()
            .filter_map(|&family| Some((family, self.start_other(other, family, &kernel)?)))
            .collect();
        // Read while the programs run, for the addresses that are known so far.
        let nftables = kernel.own_table();
        let known = addresses(asked, &nftables, []);
        let nat = self.nat(&kernel, &known);
        let families = self.finish_own(own);
        let other: Vec<_> = others
            .into_iter()
            .map(|(family, look)| (other, family, finish_other(other, family, look)))
            .collect();
        let seen = families.iter().map(|(_, seen)| seen);
        let seen = seen.chain(other.iter().map(|(.., seen)| seen));
        let all = addresses(asked, &nftables, seen);
        let nat = if known == all {
            nat
        } else {
            self.nat(&kernel, &all)
        };
        Observation {
            variant: self.variant(),
            nf_tables: kernel.is_there(),
            native: nat.and_then(|nat| {
                let tables = kernel.state()?.tables.clone();
                Ok(Native { tables, nat })
            }),
            families,
            nftables,
            other,
        }
    }

    /// Reads our own layers again, after a change of these alone.
    pub fn observe_again(&self, seen: &mut Observation) {
        let kernel = Kernel::ask();
        let own = self.start_own(&kernel);
        seen.nftables = kernel.own_table();
        seen.families = self.finish_own(own);
    }

    /// Runs the transactions at the same time.
    #[must_use]
    pub fn run(&self, transactions: &[Transaction]) -> Vec<(Place, Result<(), FirewallError>)> {
        let mut started = Vec::new();
        let mut of_nftables = None;
        for transaction in transactions {
            match transaction {
                Transaction::Nftables(operations) => of_nftables = Some(operations),
                Transaction::Iptables(variant, family, tables) => {
                    let input = render::transaction(*family, tables);
                    started.push((transaction.place(), self.start(*variant, *family, &input)));
                }
            }
        }
        let of_nftables =
            of_nftables.map(|operations| (Place::Nftables, nftables::run(operations)));
        let finish = |(place, started): (_, Result<Started<'_>, _>)| {
            (place, started.and_then(Started::finish))
        };
        let of_iptables = started.into_iter().map(finish);
        of_iptables.chain(of_nftables).collect()
    }

    /// The command line that [`Self::run`] runs for the place; for nftables, an equivalent one.
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

    /// Where no table is in use, there is no rule, and no program has to run.
    fn start_own(&self, kernel: &Kernel) -> Vec<(Family, Result<Option<Running>, FirewallError>)> {
        let look = |family| {
            let Some(iptables) = &self.iptables else {
                // Without iptables, only chains of ours would have to be read.
                return match kernel.has_chain_of_ours(family)? {
                    true => Err(Iptables::missing()),
                    false => Ok(None),
                };
            };
            match kernel.in_use(iptables.variant(), family) {
                Ok(false) => Ok(None),
                Ok(true) => iptables.start_read(family).map(Some),
                // iptables-nft-save asks the kernel itself and reports a failure. But where the list
                // of legacy tables cannot be read, iptables-legacy-save prints no table.
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
    ) -> Vec<(Family, Result<Ruleset, NotRead>)> {
        // Without iptables, the chains that count are those of iptables-nft.
        let variant = self.variant().unwrap_or(Variant::Nft);
        looks
            .into_iter()
            .map(|(family, look)| {
                let seen = look.and_then(|running| match running {
                    None => Ok(Ruleset::empty(family)),
                    Some(running) => self.iptables()?.read(family, running),
                });
                let seen = seen.map_err(|error| not_read(variant, family, error));
                (family, seen)
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

    /// NAT tables of other tools, as far as packets to these addresses can reach them.
    fn nat(&self, kernel: &Kernel, addresses: &[Address]) -> Result<Vec<NatTable>, NotRead> {
        let shown = |chain: &NativeChain| chain.is_nat_of_iptables() && self.iptables.is_some();
        nftables::nat_tables(kernel.state()?, shown, addresses)
            .map_err(|error| NotRead::new(Readable::NfTables, error))
    }
}

/// The addresses of the metadata service, those that are locked, and those in `asked`.
fn addresses<'a>(
    asked: &[Address],
    own: &Result<Option<OwnTable>, NotRead>,
    seen: impl IntoIterator<Item = &'a Result<Ruleset, NotRead>>,
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

fn finish_other(
    variant: Variant,
    family: Family,
    look: Result<(Iptables, Running), FirewallError>,
) -> Result<Ruleset, NotRead> {
    look.and_then(|(iptables, running)| iptables.read(family, running))
        .map_err(|error| not_read(variant, family, error))
}

fn not_read(variant: Variant, family: Family, error: FirewallError) -> NotRead {
    let help = error.help();
    NotRead::new(Readable::Iptables(variant, family), error).help(help)
}

/// What the kernel returned for nf_tables: `None` if it has no nf_tables.
struct Kernel(Result<Option<State>, Arc<io::Error>>);

/// A kernel without nf_tables holds nothing.
static EMPTY: State = State::EMPTY;

impl Kernel {
    fn ask() -> Self {
        Self(netlink::state().map_err(Arc::new))
    }

    fn state(&self) -> Result<&State, NotRead> {
        match &self.0 {
            Ok(state) => Ok(state.as_ref().unwrap_or(&EMPTY)),
            Err(error) => Err(NotRead::new(Readable::NfTables, Arc::clone(error))),
        }
    }

    /// Whether this kernel has nf_tables.
    fn is_there(&self) -> Result<bool, NotRead> {
        match &self.0 {
            Ok(state) => Ok(state.is_some()),
            Err(error) => Err(NotRead::new(Readable::NfTables, Arc::clone(error))),
        }
    }

    /// Our table, if it exists.
    fn own_table(&self) -> Result<Option<OwnTable>, NotRead> {
        let not_read = |error: Arc<io::Error>| NotRead::new(Readable::OwnTable, error);
        match &self.0 {
            Ok(None) => Ok(None),
            Ok(Some(state)) => {
                nftables::own_table(state).map_err(|error| not_read(Arc::new(error)))
            }
            Err(error) => Err(not_read(Arc::clone(error))),
        }
    }

    fn in_use(&self, variant: Variant, family: Family) -> Result<bool, FirewallError> {
        match variant {
            Variant::Legacy => legacy_tables(family)
                .map(|tables| tables == LegacyTables::InUse)
                .map_err(|error| FirewallError::TablesInUse(Arc::new(error))),
            Variant::Nft => {
                let mut tables = self.listed()?.tables.iter();
                Ok(tables.any(|table| table.is_of(family)))
            }
        }
    }

    /// Whether a table of the family has a chain with a name of ours.
    fn has_chain_of_ours(&self, family: Family) -> Result<bool, FirewallError> {
        let mut chains = self.listed()?.chains.iter();
        Ok(chains
            .any(|chain| chain.families == [family] && chain.name.parse::<ChainName>().is_ok()))
    }

    fn listed(&self) -> Result<&State, FirewallError> {
        match &self.0 {
            Ok(state) => Ok(state.as_ref().unwrap_or(&EMPTY)),
            Err(error) => Err(FirewallError::TablesInUse(Arc::clone(error))),
        }
    }
}
