//! Reads and changes the firewall of the host: iptables and nftables together.
//!
//! Programs that do not depend on each other run at the same time.

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
    /// Finds the iptables programs of `variant` for the families; `None` means the variant of `iptables`
    /// on this host. They wait at most `wait` seconds for the xtables lock, at least one second.
    ///
    /// # Errors
    /// A program is missing, or its variant is unknown. If `variant` is `None`, a host without iptables
    /// is not an error.
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

    /// The iptables variant in use; `None` on a host without iptables.
    #[must_use]
    pub fn variant(&self) -> Option<Variant> {
        self.iptables.as_ref().map(Iptables::variant)
    }

    /// The error for a host without iptables. It contains the command that installs iptables.
    #[must_use]
    pub fn iptables_missing() -> FirewallError {
        Iptables::missing()
    }

    /// The variant of `iptables` on this host; `None` if there is no iptables.
    ///
    /// # Errors
    /// The variant is unknown.
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

    /// Reads all families of the variant in use, our nftables table, and the other variant if it has
    /// tables. Changes nothing, and creates no legacy table.
    ///
    /// Of other tools' NAT tables, it reads only the chains that packets to the metadata service, to
    /// locked addresses, and to `more` addresses can reach.
    #[must_use]
    pub fn observe(&self, more: &[Address]) -> Observation {
        let kernel = Kernel::read();
        let own = self.start_own(&kernel);
        // Without iptables, the other variant is legacy: rules of iptables-nft belong to the layers in use.
        let other = self.variant().map_or(Variant::Legacy, Variant::other);
        let others: Vec<_> = self
            .families
            .iter()
            .filter_map(|&family| Some((family, self.start_other(other, family, &kernel)?)))
            .collect();
        // The kernel is read while the programs run, for the addresses that are known so far.
        let nftables = kernel.own_table();
        let known = addresses(more, &nftables, []);
        let nat = self.nat(&kernel, &known, &|_| false);
        let families = self.finish_own(own);
        let other: Vec<_> = others
            .into_iter()
            .map(|(family, started)| (other, family, finish_other(other, family, started)))
            .collect();
        let rulesets = families.iter().map(|(_, ruleset)| ruleset);
        let rulesets = rulesets.chain(other.iter().map(|(.., ruleset)| ruleset));
        let all = addresses(more, &nftables, rulesets);
        // The kernel is asked for tables of iptables-nft that could not be read.
        let own = families
            .iter()
            .map(|(family, read)| (self.variant(), *family, read));
        let others = other.iter();
        let others = others.map(|(variant, family, read)| (Some(*variant), *family, read));
        let unread: Vec<(Family, Option<&[String]>)> = own
            .chain(others)
            .filter(|(variant, ..)| *variant == Some(Variant::Nft))
            .map(|(_, family, read)| (family, read.as_ref().ok().map(|read| &*read.hidden)))
            .filter(|(_, hidden)| hidden.is_none_or(|hidden| !hidden.is_empty()))
            .collect();
        let is_unread = |chain: &NativeChain| {
            unread.iter().any(|(family, hidden)| {
                chain.families == [*family]
                    && hidden.is_none_or(|hidden| hidden.contains(&chain.table))
            })
        };
        let nat = if known == all && unread.is_empty() {
            nat
        } else {
            self.nat(&kernel, &all, &is_unread)
        };
        Observation {
            variant: self.variant(),
            nf_tables: kernel.has_nf_tables(),
            native: nat.and_then(|nat| {
                let tables = kernel.state()?.tables.clone();
                Ok(Native { tables, nat })
            }),
            families,
            nftables,
            other,
        }
    }

    /// Reads the layers in use again, after a change that affects only them.
    pub fn observe_again(&self, seen: &mut Observation) {
        let kernel = Kernel::read();
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

    /// The command line that [`Self::run`] runs for the place. For nftables it is an equivalent one,
    /// because `run` sends netlink messages.
    ///
    /// # Errors
    /// The programs of the place are missing.
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

    /// Whether this kernel supports the iptables table in the family. With the legacy variant the query
    /// creates the table, so call this only before a change of the table.
    ///
    /// # Errors
    /// iptables is missing, could not be run, or failed for another reason.
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

    /// Starts to read the families of the variant in use. If a family has no table, it has no rules, and
    /// no program is started (`Ok(None)`).
    fn start_own(&self, kernel: &Kernel) -> Vec<(Family, Result<Option<Running>, FirewallError>)> {
        let start = |family| {
            let Some(iptables) = &self.iptables else {
                // Our chains exist, but only iptables can read them.
                if kernel.has_chain_of_ours(family)? {
                    return Err(Iptables::missing());
                }
                return Ok(None);
            };
            match kernel.in_use(iptables.variant(), family) {
                Ok(false) => Ok(None),
                Ok(true) => iptables.start_read(family).map(Some),
                // The list of tables cannot be read. iptables-nft-save reads the kernel itself, and reports
                // a failure. iptables-legacy-save would print no table.
                Err(_) if iptables.variant() == Variant::Nft => {
                    iptables.start_read(family).map(Some)
                }
                Err(error) => Err(error),
            }
        };
        self.families
            .iter()
            .map(|&family| (family, start(family)))
            .collect()
    }

    fn finish_own(
        &self,
        started: Vec<(Family, Result<Option<Running>, FirewallError>)>,
    ) -> Vec<(Family, Result<Ruleset, NotRead>)> {
        // Without iptables, only chains of iptables-nft can be ours.
        let variant = self.variant().unwrap_or(Variant::Nft);
        started
            .into_iter()
            .map(|(family, started)| {
                let ruleset = started.and_then(|running| match running {
                    None => Ok(Ruleset::empty(family)),
                    Some(running) => self.iptables()?.read(family, running),
                });
                let ruleset = ruleset.map_err(|error| not_read(variant, family, error));
                (family, ruleset)
            })
            .collect()
    }

    /// Starts to read the variant that is not in use; `None` if it has no tables.
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

    /// Other tools' tables that may change destinations, with the chains that packets to these addresses
    /// can reach, and the chains of iptables that it could not read.
    fn nat(
        &self,
        kernel: &Kernel,
        addresses: &[Address],
        is_unread: &impl Fn(&NativeChain) -> bool,
    ) -> Result<Vec<NatTable>, NotRead> {
        let skip = |chain: &NativeChain| {
            chain.is_of_iptables() && self.iptables.is_some() && !is_unread(chain)
        };
        nftables::nat_tables(kernel.state()?, skip, addresses)
            .map_err(|error| NotRead::new(Readable::NfTables, error))
    }
}

/// The addresses of the metadata service, all locked addresses, and `more`.
fn addresses<'a>(
    more: &[Address],
    own: &Result<Option<OwnTable>, NotRead>,
    rulesets: impl IntoIterator<Item = &'a Result<Ruleset, NotRead>>,
) -> Vec<Address> {
    let of_own = own.as_ref().ok().and_then(Option::as_ref);
    let of_own = of_own.map(|own| own.table.locked_addresses());
    let of_iptables = rulesets
        .into_iter()
        .filter_map(|ruleset| ruleset.as_ref().ok());
    let locked = of_own
        .into_iter()
        .chain(of_iptables.map(Ruleset::locked_addresses));
    let mut all: Vec<Address> = locked.flatten().collect();
    all.extend([IMDS_V4, IMDS_V6]);
    all.extend(more);
    all.sort_unstable();
    all.dedup();
    all
}

/// A transaction that is running.
enum Started<'a> {
    Own(&'a Iptables, Family, Running),
    Other(Iptables, Family, Running),
}

impl Started<'_> {
    fn finish(self) -> Result<(), FirewallError> {
        match self {
            Self::Own(iptables, family, running) => iptables.finish_transaction(family, running),
            Self::Other(iptables, family, running) => iptables.finish_transaction(family, running),
        }
    }
}

fn finish_other(
    variant: Variant,
    family: Family,
    started: Result<(Iptables, Running), FirewallError>,
) -> Result<Ruleset, NotRead> {
    started
        .and_then(|(iptables, running)| iptables.read(family, running))
        .map_err(|error| not_read(variant, family, error))
}

fn not_read(variant: Variant, family: Family, error: FirewallError) -> NotRead {
    let help = error.help();
    NotRead::new(Readable::Iptables(variant, family), error).help(help)
}

/// The tables and chains of nf_tables; `None` if the kernel has no nf_tables.
struct Kernel(Result<Option<State>, Arc<io::Error>>);

/// The state of a kernel without nf_tables.
static EMPTY: State = State::EMPTY;

impl Kernel {
    fn read() -> Self {
        Self(netlink::state().map_err(Arc::new))
    }

    fn state(&self) -> Result<&State, NotRead> {
        match &self.0 {
            Ok(state) => Ok(state.as_ref().unwrap_or(&EMPTY)),
            Err(error) => Err(NotRead::new(Readable::NfTables, Arc::clone(error))),
        }
    }

    /// Whether this kernel has nf_tables.
    fn has_nf_tables(&self) -> Result<bool, NotRead> {
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

    /// Whether the variant has a table of the family.
    fn in_use(&self, variant: Variant, family: Family) -> Result<bool, FirewallError> {
        match variant {
            Variant::Legacy => legacy_tables(family)
                .map(|tables| tables == LegacyTables::InUse)
                .map_err(|error| FirewallError::TablesInUse(Arc::new(error))),
            Variant::Nft => {
                let mut tables = self.tables_and_chains()?.tables.iter();
                Ok(tables.any(|table| table.is_of(family)))
            }
        }
    }

    /// Whether a table of the family contains a chain with one of our names.
    fn has_chain_of_ours(&self, family: Family) -> Result<bool, FirewallError> {
        let mut chains = self.tables_and_chains()?.chains.iter();
        Ok(chains
            .any(|chain| chain.families == [family] && chain.name.parse::<ChainName>().is_ok()))
    }

    fn tables_and_chains(&self) -> Result<&State, FirewallError> {
        match &self.0 {
            Ok(state) => Ok(state.as_ref().unwrap_or(&EMPTY)),
            Err(error) => Err(FirewallError::TablesInUse(Arc::clone(error))),
        }
    }
}
