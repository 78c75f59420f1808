//! Reads and changes the firewall of the host: iptables and nftables together.
//!
//! Programs that do not depend on each other run at the same time.

use std::io;
use std::sync::Arc;

use tracing::{debug, info};

use super::error::FirewallError;
use super::iptables::Iptables;
use super::kernel::{LegacyTables, legacy_table_names, legacy_tables};
use super::netlink::{self, State};
use super::nftables;
use super::program::{ProgramError, Running};
use crate::policy::{Address, Family, IMDS_V4, IMDS_V6};
use crate::ruleset::iptables::render;
use crate::ruleset::model::{ChainName, Hook, Ruleset, Variant};
use crate::ruleset::nftables::OwnTable;
use crate::ruleset::nftables::nat::NatTable;
use crate::ruleset::nftables::object::NativeChain;
use crate::ruleset::plan::{Place, Transaction};
use crate::ruleset::{
    Layer, Layers, Native, NotRead, Observation, OwnChain, Readable, Reason, Unusable,
};

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
        let nat = self.nat(&kernel, &known, &[]);
        let Own {
            families,
            unusable,
            without_nat,
        } = self.finish_own(own, &kernel, &known);
        let other: Vec<_> = others
            .into_iter()
            .map(|(family, started)| (other, family, finish_other(other, family, started)))
            .collect();
        let rulesets = families.iter().map(|(_, ruleset)| ruleset);
        let rulesets = rulesets.chain(other.iter().map(|(.., ruleset)| ruleset));
        let all = addresses(more, &nftables, rulesets);
        let nat = if known == all && without_nat.is_empty() {
            nat
        } else {
            self.nat(&kernel, &all, &without_nat)
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
        let no_chain = families.all(|&family| {
            let own = kernel.own_chains(family, &Layer::OF_IPTABLES);
            let legacy = kernel.in_use(Variant::Legacy, family);
            own.is_ok_and(|own| own.is_empty()) && matches!(legacy, Ok(false))
        });
        no_own_table && no_chain
    }

    /// Reads our nftables table and nothing else.
    ///
    /// # Errors
    /// It could not be read, or the kernel has no nf_tables.
    pub fn own_table(&self) -> Result<Option<OwnTable>, NotRead> {
        let kernel = Kernel::read();
        match kernel.has_nf_tables()? {
            true => kernel.own_table(),
            false => {
                let missing = io::Error::other("this kernel has no nf_tables");
                Err(NotRead::new(Readable::NfTables, missing))
            }
        }
    }

    /// Reads the layers in use again, after a change that affects only them.
    pub fn observe_again(&self, seen: &mut Observation) {
        let kernel = Kernel::read();
        let own = self.start_own(&kernel);
        seen.nftables = kernel.own_table();
        let known = addresses(&[], &seen.nftables, []);
        let own = self.finish_own(own, &kernel, &known);
        seen.families = own.families;
        let refused = |one: &Unusable| matches!(one.reason, Reason::Refused { .. });
        seen.unusable.retain(refused);
        seen.unusable.extend(own.unusable);
        seen.unusable.dedup();
    }

    /// Runs the transactions at the same time.
    #[must_use]
    pub fn run(&self, transactions: &[Transaction]) -> Vec<(Place, Result<(), FirewallError>)> {
        let mut started = Vec::new();
        let mut of_nftables = None;
        let mut named = Vec::new();
        for transaction in transactions {
            match transaction {
                Transaction::Named(family, layer, chains) => {
                    named.push((transaction.place(), *family, layer.name(), chains));
                }
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
        let named = named.into_iter().map(|(place, family, table, chains)| {
            (place, nftables::remove_named(family, table, chains))
        });
        let named: Vec<_> = named.collect();
        let of_iptables = started.into_iter().map(finish);
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
                if kernel.own_chains(family, &Layer::OF_IPTABLES)?.is_empty() {
                    return Ok(None);
                }
                return Err(Iptables::missing());
            };
            iptables.has_programs(family)?;
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

    /// Reads the started families. If iptables cannot list a family as a whole, its tables are read one
    /// by one. `addresses` are those whose chains are looked up by name in a table that iptables cannot
    /// show.
    fn finish_own(
        &self,
        started: Vec<(Family, Result<Option<Running>, FirewallError>)>,
        kernel: &Kernel,
        addresses: &[Address],
    ) -> Own {
        let mut own = Own::default();
        for (family, started) in started {
            let mut error = None;
            let ruleset = match started {
                Ok(None) => Ruleset::empty(family),
                Ok(Some(running)) => {
                    let read = self
                        .iptables()
                        .and_then(|iptables| iptables.read(family, running));
                    match read {
                        Ok(ruleset) => ruleset,
                        Err(failed) => {
                            warn_if_slow(&failed);
                            own.without_nat.push(family);
                            self.table_by_table(family, kernel, addresses, &mut own.unusable)
                        }
                    }
                }
                Err(failed) => {
                    error = Some(failed);
                    Ruleset::empty(family)
                }
            };
            own.unusable
                .extend(kernel.misplaced(self.variant(), family));
            let ruleset = match error {
                // Only the programs are missing: what the kernel lists by name is known all the same.
                Some(error @ FirewallError::Missing { .. }) => {
                    own.without_nat.push(family);
                    // Without iptables, only chains of iptables-nft can be ours.
                    let variant = self.variant().unwrap_or(Variant::Nft);
                    own.unusable.push(Unusable {
                        family,
                        layers: Layers::FILTER_AND_SECURITY,
                        ours: self.ours(family, &Layer::OF_IPTABLES, kernel, addresses),
                        reason: Reason::NotRead(not_read(variant, family, error)),
                    });
                    Ok(ruleset)
                }
                Some(error) => {
                    let variant = self.variant().unwrap_or(Variant::Nft);
                    Err(not_read(variant, family, error))
                }
                None => Ok(ruleset),
            };
            own.families.push((family, ruleset));
        }
        own
    }

    /// The tables of a family, read one by one, as far as iptables can show them; the others are
    /// `unusable`.
    fn table_by_table(
        &self,
        family: Family,
        kernel: &Kernel,
        addresses: &[Address],
        unusable: &mut Vec<Unusable>,
    ) -> Ruleset {
        let mut ruleset = Ruleset::empty(family);
        let variant = self.variant().unwrap_or(Variant::Nft);
        for layer in Layer::OF_IPTABLES {
            let read = match kernel.has_table(variant, family, layer.name()) {
                Ok(false) => continue,
                Ok(true) => self
                    .iptables()
                    .and_then(|iptables| iptables.table(family, layer.name())),
                Err(error) => Err(error),
            };
            match read {
                Ok(table) => ruleset.tables.push(table),
                Err(error) => {
                    let help = error.help();
                    let place = Readable::Table(variant, family, layer);
                    unusable.push(Unusable {
                        family,
                        layers: Layers::of(layer),
                        reason: Reason::NotRead(NotRead::new(place, error).help(help)),
                        ours: self.ours(family, &[layer], kernel, addresses),
                    });
                }
            }
        }
        // The kernel itself lists the table nat of iptables-nft.
        if variant == Variant::Legacy
            && !matches!(kernel.has_table(variant, family, "nat"), Ok(false))
        {
            match self
                .iptables()
                .and_then(|iptables| iptables.table(family, "nat"))
            {
                Ok(table) => ruleset.tables.push(table),
                Err(_) => ruleset.hidden.push("nat".to_owned()),
            }
        }
        ruleset
    }

    /// Our chains in these tables, by name; `None` if they cannot be determined.
    fn ours(
        &self,
        family: Family,
        layers: &[Layer],
        kernel: &Kernel,
        addresses: &[Address],
    ) -> Option<Vec<OwnChain>> {
        if self.variant() != Some(Variant::Legacy) {
            return kernel.own_chains(family, layers).ok();
        }
        let mut ours = Vec::new();
        for &layer in layers {
            if !kernel
                .has_table(Variant::Legacy, family, layer.name())
                .ok()?
            {
                continue;
            }
            let of_family = addresses.iter().filter(|one| one.family() == family);
            for &address in of_family {
                for hook in Hook::ALL {
                    let root = ChainName::root(hook, address);
                    let iptables = self.iptables().ok()?;
                    ours.extend(iptables.own_chains(family, layer, root).ok()?);
                }
            }
        }
        Some(ours)
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

    /// Other tools' NAT tables, with the chains that packets to these addresses can reach.
    fn nat(
        &self,
        kernel: &Kernel,
        addresses: &[Address],
        without_nat: &[Family],
    ) -> Result<Vec<NatTable>, NotRead> {
        // iptables has read these chains already.
        let skip = |chain: &NativeChain| {
            chain.is_nat_of_iptables()
                && self.iptables.is_some()
                && !without_nat.iter().any(|family| chain.families == [*family])
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

/// What was read of the variant in use.
#[derive(Default)]
struct Own {
    families: Vec<(Family, Result<Ruleset, NotRead>)>,
    unusable: Vec<Unusable>,
    /// The families whose table `nat` iptables has not shown.
    without_nat: Vec<Family>,
}

/// Logs which program is too slow. Its work is done in another way.
fn warn_if_slow(error: &FirewallError) {
    match error {
        FirewallError::Program(ProgramError::TimedOut { .. }) => {
            info!("{error}; reading table by table");
        }
        _ => debug!("{error}; reading table by table"),
    }
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

    /// Whether the variant has this table of the family.
    fn has_table(
        &self,
        variant: Variant,
        family: Family,
        name: &str,
    ) -> Result<bool, FirewallError> {
        match variant {
            Variant::Legacy => {
                let names = legacy_table_names(family);
                let names = names.map_err(|error| FirewallError::TablesInUse(Arc::new(error)))?;
                Ok(names.iter().any(|known| known == name))
            }
            Variant::Nft => {
                let mut tables = self.tables_and_chains()?.tables.iter();
                Ok(tables.any(|table| table.is_of(family) && table.name == name))
            }
        }
    }

    /// Our chains in these tables of iptables-nft.
    fn own_chains(&self, family: Family, layers: &[Layer]) -> Result<Vec<OwnChain>, FirewallError> {
        let chains = self.tables_and_chains()?.chains.iter();
        let own = |chain: &NativeChain| {
            let mut layers = layers.iter();
            Some(OwnChain {
                layer: *layers.find(|layer| layer.name() == chain.table)?,
                chain: chain.name.parse().ok()?,
                jump: false,
            })
        };
        Ok(chains
            .filter(|chain| chain.families == [family])
            .filter_map(own)
            .collect())
    }

    /// A chain of table `filter` that has the name of a built-in chain of iptables, and is not at its
    /// hook: iptables-nft cannot add a rule to it.
    fn misplaced(&self, variant: Option<Variant>, family: Family) -> Option<Unusable> {
        if variant != Some(Variant::Nft) {
            return None;
        }
        let mut chains = self.tables_and_chains().ok()?.chains.iter();
        let chain = chains.find(|chain| {
            let table = Layer::Filter.name();
            chain.families == [family] && chain.table == table && chain.is_misplaced()
        })?;
        let at = match &chain.base {
            Some(base) => format!("at priority {} of hook {}", base.priority, base.hook),
            None => "without a hook".to_owned(),
        };
        Some(Unusable {
            family,
            layers: Layers::FILTER,
            reason: Reason::Refused {
                message: format!(
                    "iptables-nft cannot use the table filter ({family}), because `nft` made its chain {} {at}",
                    chain.name
                ),
                help:
                    "move that chain to a table of its own, then apply the lockdown again; or set \
                       `layers = [\"nftables\"]` in the configuration"
                        .to_owned(),
            },
            ours: self.own_chains(family, &[Layer::Filter]).ok(),
        })
    }

    fn tables_and_chains(&self) -> Result<&State, FirewallError> {
        match &self.0 {
            Ok(state) => Ok(state.as_ref().unwrap_or(&EMPTY)),
            Err(error) => Err(FirewallError::TablesInUse(Arc::clone(error))),
        }
    }
}
