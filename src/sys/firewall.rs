//! Reads and changes the firewall of the host: iptables and nftables together.
//!
//! Programs that do not depend on each other run at the same time. [`crate::ruleset::reading`] decides
//! what is read.

use std::io;
use std::sync::Arc;

use tracing::info;

use super::error::FirewallError;
use super::iptables::Iptables;
use super::kernel::{LegacyTables, legacy_table_names, legacy_tables};
use super::netlink::{self, State};
use super::nftables;
use super::program::Running;
use crate::policy::{Address, Family};
use crate::ruleset::iptables::render;
use crate::ruleset::model::{ChainName, Hook, Ruleset, Variant};
use crate::ruleset::nftables::OwnTable;
use crate::ruleset::nftables::nat::NatTable;
use crate::ruleset::nftables::object::NativeChain;
use crate::ruleset::plan::{Place, Transaction};
use crate::ruleset::reading::{self, Reading, Tables, UnreadTables};
use crate::ruleset::{
    Layer, Layers, Native, NotRead, Observation, OwnChain, Readable, Reason, Unusable,
};

/// The firewall of this host.
#[derive(Debug)]
pub struct Firewall {
    families: Vec<Family>,
    wait: u32,
    iptables: Option<Iptables>,
    /// Why it is not known whether this host has iptables.
    unknown: Option<Arc<FirewallError>>,
}

/// A program that reads rules of iptables; `None` if there are no rules to read.
type Started = Result<Option<(Iptables, Running)>, Arc<FirewallError>>;

impl Firewall {
    /// Finds the iptables programs of `variant` for the families; `None` means the variant of `iptables`
    /// on this host. They wait at most `wait` seconds for the xtables lock, at least one second.
    ///
    /// # Errors
    /// A program is missing, or its variant is unknown. If `variant` is `None`, neither a host without
    /// iptables is an error, nor one whose `iptables` cannot be used: its rules are then unread.
    pub fn find(
        variant: Option<Variant>,
        families: &[Family],
        wait: u32,
    ) -> Result<Self, FirewallError> {
        let (variant, unknown) = match variant {
            Some(variant) => (Some(variant), None),
            None => match Iptables::host_variant(wait) {
                Ok(variant) => (variant, None),
                Err(error) => (None, Some(Arc::new(error))),
            },
        };
        let iptables = variant.map(|variant| Iptables::find(variant, families, wait));
        Ok(Self {
            families: families.to_vec(),
            wait,
            iptables: iptables.transpose()?,
            unknown,
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

    /// The families that the kernel has.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.families
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
        let other = reading::other(self.variant());
        let others: Vec<_> = self
            .families
            .iter()
            .map(|&family| (family, kernel.tables(family).reading_other(other)))
            .filter(|(_, reading)| !matches!(reading, Reading::Empty))
            .map(|(family, reading)| (family, self.start_read(other, family, reading)))
            .collect();
        // The kernel is read while the programs run, for the addresses that are known so far.
        let nftables = kernel.own_table();
        let own_table = nftables.as_ref().ok().and_then(Option::as_ref);
        let known = reading::nat_addresses(more, own_table, []);
        let nat = self.nat(&kernel, &known, &[]);
        let Own { families, unusable } = self.finish_own(own, &kernel, &known);
        let other: Vec<_> = others
            .into_iter()
            .map(|(family, started)| {
                let read = finish_read(other, family, started);
                // What the kernel lists by name is known all the same.
                let read = match kernel.tables(family).ours {
                    Ok(false) if other == Variant::Nft => {
                        read.or_else(|_| Ok(kernel.hidden(other, family)))
                    }
                    _ => read,
                };
                (other, family, read)
            })
            .collect();
        let rulesets = families.iter().map(|(_, ruleset)| ruleset);
        let rulesets = rulesets.chain(other.iter().map(|(.., ruleset)| ruleset));
        let all = reading::nat_addresses(more, own_table, rulesets.flatten());
        // The kernel is asked for tables of iptables-nft that could not be read.
        let own = families
            .iter()
            .map(|(family, read)| (self.variant(), *family, read));
        let others = other.iter();
        let others = others.map(|(variant, family, read)| (Some(*variant), *family, read));
        let unread = reading::unread_tables(own.chain(others));
        let nat = if known == all && unread.is_empty() {
            nat
        } else {
            self.nat(&kernel, &all, &unread)
        };
        Observation {
            variant: self.variant(),
            nf_tables: kernel.has_nf_tables(),
            native: nat.and_then(|nat| {
                let tables = kernel.state()?.tables.clone();
                Ok(Native { tables, nat })
            }),
            families,
            unusable,
            nftables,
            other,
        }
    }

    /// Whether it is known, without any program, that no iptables table and no table of ours holds a
    /// chain of ours: there is none by name, and no iptables-legacy table exists.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        let kernel = Kernel::read();
        let no_own_table = matches!(kernel.own_table(), Ok(None));
        let mut families = self.families.iter();
        no_own_table && families.all(|&family| kernel.tables(family).hold_nothing())
    }

    /// Reads our nftables table and nothing else.
    ///
    /// # Errors
    /// It could not be read, or the kernel has no nf_tables.
    pub fn own_table(&self) -> Result<Option<OwnTable>, NotRead> {
        let kernel = Kernel::read();
        if kernel.has_nf_tables()? {
            kernel.own_table()
        } else {
            let missing = io::Error::other("this kernel has no nf_tables");
            Err(NotRead::new(Readable::NfTables, missing))
        }
    }

    /// Reads the layers in use again, after a change that affects only them.
    pub fn observe_again(&self, seen: &mut Observation) {
        let kernel = Kernel::read();
        let own = self.start_own(&kernel);
        seen.nftables = kernel.own_table();
        let own_table = seen.nftables.as_ref().ok().and_then(Option::as_ref);
        let known = reading::nat_addresses(&[], own_table, []);
        let own = self.finish_own(own, &kernel, &known);
        seen.families = own.families;
        seen.read_again(own.unusable);
    }

    /// Runs the transactions at the same time; those of iptables-legacy one after the other.
    #[must_use]
    pub fn run(&self, transactions: &[Transaction]) -> Vec<(Place, Result<(), FirewallError>)> {
        let mut started = Vec::new();
        // iptables-legacy-restore holds the xtables lock while it looks up ids as names, which can take
        // longer than the next one waits for the lock. So these run one after the other.
        let mut of_legacy = Vec::new();
        let mut of_nftables = None;
        let mut named = Vec::new();
        for transaction in transactions {
            match transaction {
                Transaction::Named(family, layer, chains) => {
                    let result = nftables::remove_named(*family, layer.name(), chains);
                    named.push((transaction.place(), result));
                }
                Transaction::Nftables(operations) => of_nftables = Some(operations),
                Transaction::Iptables(variant, family, tables) => {
                    let input = render::transaction(*family, tables);
                    let programs = self.programs(*variant, *family);
                    let start = move |programs: Iptables| {
                        let running = programs.start_transaction(*family, &input)?;
                        Ok((programs, *family, running))
                    };
                    match variant {
                        Variant::Legacy => {
                            of_legacy.push((transaction.place(), programs, start));
                        }
                        Variant::Nft => {
                            started.push((transaction.place(), programs.and_then(start)));
                        }
                    }
                }
            }
        }
        let of_nftables =
            of_nftables.map(|operations| (Place::Nftables, nftables::run(operations)));
        let of_legacy = of_legacy
            .into_iter()
            .map(|(place, programs, start)| (place, programs.and_then(start)));
        // Lazily: each is finished before the next one starts.
        let of_iptables = started.into_iter().chain(of_legacy);
        let of_iptables = of_iptables.map(|(place, started)| {
            let result = started.and_then(|(programs, family, running): (Iptables, _, _)| {
                programs.finish_transaction(family, running)
            });
            (place, result)
        });
        of_iptables.chain(of_nftables).chain(named).collect()
    }

    /// The command line that [`Self::run`] runs for the place. For nftables it is an equivalent one,
    /// because `run` sends netlink messages.
    ///
    /// # Errors
    /// The programs of the place are missing.
    pub fn command_line(&self, place: Place) -> Result<Vec<String>, FirewallError> {
        match place {
            Place::Nftables => Ok(["nft", "-f", "-"].map(str::to_owned).to_vec()),
            Place::Iptables(variant, family) => {
                Ok(self.programs(variant, family)?.transaction_command(family))
            }
        }
    }

    /// Whether this kernel supports the iptables table in the family. With the legacy variant the query
    /// creates the table, so call this only before a change of the table.
    ///
    /// # Errors
    /// iptables is missing, could not be run, or failed for another reason.
    pub fn has_table(&self, family: Family, table: &str) -> Result<bool, FirewallError> {
        let iptables = self.iptables.as_ref().ok_or_else(Iptables::missing)?;
        iptables.has_table(family, table)
    }

    /// The programs of the variant.
    fn programs(&self, variant: Variant, family: Family) -> Result<Iptables, FirewallError> {
        match &self.iptables {
            Some(own) if own.variant() == variant => Ok(own.clone()),
            _ => Iptables::find(variant, &[family], self.wait),
        }
    }

    /// The variant whose rules are read as those of the layers in use. Without iptables, only chains of
    /// iptables-nft can be ours.
    fn own_variant(&self) -> Variant {
        self.variant().unwrap_or(Variant::Nft)
    }

    /// Starts to read the families of the variant in use.
    fn start_own(&self, kernel: &Kernel) -> Vec<(Family, Started)> {
        let start = |family| {
            if let Some(error) = &self.unknown {
                return Err(Arc::clone(error));
            }
            if let Some(iptables) = &self.iptables {
                iptables.has_programs(family)?;
            }
            let reading = kernel.tables(family).reading(self.variant());
            self.start_read(self.own_variant(), family, reading)
        };
        let families = self.families.iter();
        families.map(|&family| (family, start(family))).collect()
    }

    /// Reads the started families. If iptables cannot list a family as a whole, its tables are read one
    /// by one. `addresses` are those whose chains are looked up by name in a table that iptables cannot
    /// show.
    fn finish_own(
        &self,
        started: Vec<(Family, Started)>,
        kernel: &Kernel,
        addresses: &[Address],
    ) -> Own {
        let mut own = Own::default();
        let variant = self.own_variant();
        for (family, started) in started {
            if variant == Variant::Nft && self.iptables.is_some() {
                let misplaced = kernel.chains().ok();
                let misplaced = misplaced.and_then(|chains| reading::misplaced(chains, family));
                own.unusable.extend(misplaced);
            }
            let ruleset = match started {
                Ok(Some((programs, running))) => match programs.read(family, running) {
                    Ok(ruleset) => Ok(ruleset),
                    Err(error) => {
                        info!("{error}; reading table by table");
                        let (ruleset, unusable) =
                            self.table_by_table(&programs, family, kernel, addresses);
                        own.unusable.extend(unusable);
                        Ok(ruleset)
                    }
                },
                // The programs cannot be run. What the kernel lists by name is known all the same.
                Err(error) if !matches!(*error, FirewallError::TablesInUse(_)) => {
                    let help = error.help();
                    let place = Readable::Iptables(variant, family);
                    own.unusable.push(Unusable {
                        family,
                        layers: Layers::FILTER_AND_SECURITY,
                        reason: Reason::NotRead(NotRead::new(place, error).help(help)),
                        ours: self.ours(family, &Layer::OF_IPTABLES, kernel, addresses),
                    });
                    Ok(kernel.hidden(variant, family))
                }
                started => finish_read(variant, family, started),
            };
            own.families.push((family, ruleset));
        }
        own
    }

    /// The tables of a family, read one by one, as far as iptables can show them, and the layers that it
    /// cannot show.
    fn table_by_table(
        &self,
        programs: &Iptables,
        family: Family,
        kernel: &Kernel,
        addresses: &[Address],
    ) -> (Ruleset, Vec<Unusable>) {
        let mut ruleset = Ruleset::empty(family);
        let mut unusable = Vec::new();
        let variant = programs.variant();
        for layer in Layer::OF_IPTABLES {
            let read = match kernel.has_table(variant, family, layer.name()) {
                Ok(false) => continue,
                Ok(true) => programs.table(family, layer.name()),
                Err(error) => Err(error),
            };
            match read {
                Ok(table) => ruleset.tables.push(table),
                Err(error) => {
                    let help = error.help();
                    let place = Readable::Table(variant, family, layer);
                    ruleset.hidden.push(layer.name().to_owned());
                    unusable.push(Unusable {
                        family,
                        layers: Layers::of(layer),
                        reason: Reason::NotRead(NotRead::new(place, error).help(help)),
                        ours: self.ours(family, &[layer], kernel, addresses),
                    });
                }
            }
        }
        for table in reading::TABLES_OF_OTHERS {
            // The kernel itself lists the tables of iptables-nft.
            let read = match (variant, kernel.has_table(variant, family, table)) {
                (_, Ok(false)) => continue,
                (Variant::Legacy, _) => programs.table(family, table).ok(),
                (Variant::Nft, _) => None,
            };
            match read {
                Some(table) => ruleset.tables.push(table),
                None => ruleset.hidden.push(table.to_owned()),
            }
        }
        (ruleset, unusable)
    }

    /// Our chains in these tables, by name; `None` if they cannot be determined.
    fn ours(
        &self,
        family: Family,
        layers: &[Layer],
        kernel: &Kernel,
        addresses: &[Address],
    ) -> Option<Vec<OwnChain>> {
        let iptables = match &self.iptables {
            Some(iptables) if iptables.variant() == Variant::Legacy => iptables,
            _ => {
                let chains = kernel.chains().ok()?;
                return Some(reading::own_chains(chains, family, layers));
            }
        };
        let mut ours = Vec::new();
        for &layer in layers {
            let has_table = kernel.has_table(Variant::Legacy, family, layer.name());
            if !has_table.ok()? {
                continue;
            }
            let of_family = addresses.iter().filter(|one| one.family() == family);
            for &address in of_family {
                for hook in Hook::ALL {
                    let root = ChainName::root(hook, address);
                    ours.extend(iptables.own_chains(family, layer, root).ok()?);
                }
            }
        }
        Some(ours)
    }

    fn start_read(&self, variant: Variant, family: Family, reading: Reading) -> Started {
        match reading {
            Reading::Empty => Ok(None),
            Reading::Program => {
                let programs = self.programs(variant, family)?;
                let running = programs.start_read(family)?;
                Ok(Some((programs, running)))
            }
            Reading::NeedsIptables => Err(Iptables::missing().into()),
            Reading::Unknown(error) => Err(FirewallError::TablesInUse(error).into()),
        }
    }

    /// Other tools' tables that may change destinations, with the chains that packets to these addresses
    /// can reach, and the chains of iptables that it could not read.
    fn nat(
        &self,
        kernel: &Kernel,
        addresses: &[Address],
        unread: &[UnreadTables<'_>],
    ) -> Result<Vec<NatTable>, NotRead> {
        let skip =
            |chain: &NativeChain| reading::is_read_by_iptables(chain, self.variant(), unread);
        nftables::nat_tables(kernel.state()?, skip, addresses)
            .map_err(|error| NotRead::new(Readable::NfTables, error))
    }
}

/// What was read of the variant in use.
#[derive(Default)]
struct Own {
    families: Vec<(Family, Result<Ruleset, NotRead>)>,
    unusable: Vec<Unusable>,
}

fn finish_read(variant: Variant, family: Family, started: Started) -> Result<Ruleset, NotRead> {
    let ruleset = started.and_then(|started| match started {
        None => Ok(Ruleset::empty(family)),
        Some((programs, running)) => Ok(programs.read(family, running)?),
    });
    ruleset.map_err(|error| {
        let help = error.help();
        NotRead::new(Readable::Iptables(variant, family), error).help(help)
    })
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

    /// All chains.
    fn chains(&self) -> Result<&[NativeChain], Arc<io::Error>> {
        match &self.0 {
            Ok(state) => Ok(&state.as_ref().unwrap_or(&EMPTY).chains),
            Err(error) => Err(Arc::clone(error)),
        }
    }

    /// Whether the variant has this table of the family.
    fn has_table(
        &self,
        variant: Variant,
        family: Family,
        name: &str,
    ) -> Result<bool, FirewallError> {
        let has_table = match (variant, &self.0) {
            (Variant::Legacy, _) => legacy_table_names(family)
                .map(|names| names.iter().any(|known| known == name))
                .map_err(Arc::new),
            (Variant::Nft, Ok(state)) => {
                let mut tables = state.as_ref().unwrap_or(&EMPTY).tables.iter();
                Ok(tables.any(|table| table.is_of(family) && table.name == name))
            }
            (Variant::Nft, Err(error)) => Err(Arc::clone(error)),
        };
        has_table.map_err(FirewallError::TablesInUse)
    }

    /// The rules of a variant that iptables cannot show.
    fn hidden(&self, variant: Variant, family: Family) -> Ruleset {
        let may_exist = |name: &&str| !matches!(self.has_table(variant, family, name), Ok(false));
        let names = reading::TABLES.into_iter().filter(may_exist);
        Ruleset {
            hidden: names.map(str::to_owned).collect(),
            ..Ruleset::empty(family)
        }
    }

    /// The tables of the family.
    fn tables(&self, family: Family) -> Tables {
        let state = || match &self.0 {
            Ok(state) => Ok(state.as_ref().unwrap_or(&EMPTY)),
            Err(error) => Err(Arc::clone(error)),
        };
        Tables {
            nft: state().map(|state| reading::has_table(&state.tables, family)),
            legacy: legacy_tables(family)
                .map(|tables| tables == LegacyTables::InUse)
                .map_err(Arc::new),
            ours: state().map(|state| reading::has_chain_of_ours(&state.chains, family)),
        }
    }
}
