//! Lockdowns and an observation -> transactions.
//!
//! Every change is planned by [`install`], [`clear`] or [`remove`]. [`Wanted`] is what policies want on
//! this host, [`Attempts`] decides what follows a refusal. The functions of `choice` decide which layers a lockdown gets ([`choose_layers`]), which half of the IMDS pair an `--only`
//! leaves ([`cut_off_halves`]), and what replaces a layer that the host refuses ([`fallback`]).
//!
//! New rules are installed before old ones are removed: a caller runs [`install`] until it returns
//! an empty plan, and only then [`clear`]. Nothing is planned for a place that could not be read,
//! and the plan for an unchanged host is empty.

mod attempts;
mod choice;
mod iptables;
mod nftables;
mod wanted;

use std::fmt;

pub use self::attempts::Attempts;
pub use self::choice::{
    CannotLock, Fallback, Refused, choose_layers, cut_off_halves, fallback, first_lockdown,
    lockdown_for, may_lack_security,
};
pub use self::iptables::{edits, removal};
pub use self::nftables::operations;
pub use self::wanted::{Rejected, Wanted};
use super::iptables::{Edit, TableEdits, render};
use super::model::{ChainName, Rule, Ruleset, Spec, Table, Variant};
use super::nftables::{Operation, OwnTable};
use super::{Layer, Lockdown, NotRead, Observation, OwnChain, Reason};
use crate::policy::{Address, Family, Target};

/// A place that holds rules: the scope of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The tables of one family of one iptables variant.
    Iptables(Variant, Family),
    /// Our nftables table.
    Nftables,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iptables(_, family) => write!(f, "{family}"),
            Self::Nftables => f.write_str("nftables"),
        }
    }
}

/// A change of one place. For each table, it takes effect at one instant or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// Edits of the tables of one family of one iptables variant, in order.
    Iptables(Variant, Family, Vec<TableEdits>),
    /// Operations on our nftables table, in order.
    Nftables(Vec<Operation>),
    /// Removes our chains, and the rules that lead to them, from a table of iptables-nft that
    /// iptables cannot show: over netlink, by name.
    Named(Family, Layer, Vec<ChainName>),
}

impl Transaction {
    /// The place that it changes.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Iptables(variant, family, _) => Place::Iptables(*variant, *family),
            Self::Nftables(_) => Place::Nftables,
            Self::Named(family, ..) => Place::Iptables(Variant::Nft, *family),
        }
    }

    /// The change as the input of `iptables-restore --noflush` or of `nft -f -`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Iptables(_, family, tables) => render::transaction(*family, tables),
            Self::Nftables(operations) => super::nftables::render::transaction(operations),
            Self::Named(family, layer, chains) => {
                super::nftables::render::removal(*family, layer.name(), chains)
            }
        }
    }

    /// The transaction; `None` if no table has edits.
    fn iptables(variant: Variant, family: Family, mut tables: Vec<TableEdits>) -> Option<Self> {
        tables.retain(|table| !table.edits.is_empty());
        (!tables.is_empty()).then_some(Self::Iptables(variant, family, tables))
    }

    /// The transaction; `None` without operations.
    fn nftables(operations: Vec<Operation>) -> Option<Self> {
        (!operations.is_empty()).then_some(Self::Nftables(operations))
    }
}

/// Transactions in steps. The transactions of a step are independent and may run at the same time.
/// A step may run only after the previous step succeeded completely.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The steps, each with at least one transaction.
    pub steps: Vec<Vec<Transaction>>,
}

impl Plan {
    fn new(steps: impl IntoIterator<Item = Vec<Transaction>>) -> Self {
        let steps = steps.into_iter().filter(|step| !step.is_empty()).collect();
        Self { steps }
    }

    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Every transaction, in order.
    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.steps.iter().flatten()
    }
}

/// The plan that installs the lockdowns in their layers; empty if they are installed.
#[must_use]
pub fn install(lockdowns: &[Lockdown], seen: &Observation) -> Plan {
    let held = holds_any(lockdowns, seen);
    let families = families_to_change(lockdowns, seen, held);
    let of_iptables = per_family(seen, |ruleset| {
        // The backstop is installed before `filter`.
        let layers = Layer::OF_IPTABLES.into_iter().rev();
        layers
            .filter(|_| families.contains(&ruleset.family))
            .map(|layer| install_edits(lockdowns, layer, ruleset))
            .collect()
    });
    let of_nftables = seen.nftables.as_ref().ok().and_then(|table| {
        let wanted: Vec<_> = families
            .iter()
            .flat_map(|&family| {
                lockdowns
                    .iter()
                    .flat_map(move |lockdown| lockdown.wants(Layer::Nftables, family))
            })
            .collect();
        Transaction::nftables(operations(&wanted, &[], table.as_ref()))
    });
    let of_nftables = Vec::from_iter(of_nftables);
    let nftables_is_empty = match &seen.nftables {
        Ok(None) => true,
        Ok(Some(own)) => own.table.own_chains().next().is_none(),
        Err(_) => false,
    };
    // Two layers with different lists refuse everybody who is not on both lists, so an interrupted
    // change must not leave two lists.
    Plan::new(match (held, nftables_is_empty) {
        // Nothing is locked yet: one layer is better than none.
        (false, _) => [[of_iptables, of_nftables].concat(), Vec::new()],
        // nftables gets its first rules. The marker in iptables, which lists all layers, is
        // rewritten only after these rules are installed.
        (true, true) => [of_nftables, of_iptables],
        // If iptables refuses the change, nftables must not get it either.
        (true, false) => [of_iptables, of_nftables],
    })
}

/// The plan that installs the lockdowns in one iptables layer only, for a host that refused a
/// complete transaction and on which nothing is locked yet.
#[must_use]
pub fn install_alone(lockdowns: &[Lockdown], layer: Layer, seen: &Observation) -> Plan {
    Plan::new([per_family(seen, |ruleset| {
        vec![install_edits(lockdowns, layer, ruleset)]
    })])
}

/// The plan that removes stale rules for the lockdowns' addresses: from the layers that the
/// lockdowns do not use, and from the other variant. A packet would have to pass both lists. To be
/// run only after the lockdowns are installed.
#[must_use]
pub fn clear(lockdowns: &[Lockdown], seen: &Observation) -> Plan {
    let without = |layer| -> Vec<Address> {
        let lacks = lockdowns.iter().flat_map(|lockdown| lockdown.lacks(layer));
        lacks.collect()
    };
    let mut transactions = per_family(seen, |ruleset| {
        let layers = Layer::OF_IPTABLES.into_iter();
        layers
            .filter_map(|layer| {
                let table = ruleset.table(layer.name())?;
                Some(removal_edits(&without(layer), table))
            })
            .collect()
    });
    transactions.extend(remove_by_name(seen, |layer, address| {
        without(layer).contains(&address)
    }));
    transactions.extend(remove_from_nftables(&without(Layer::Nftables), seen));
    let all: Vec<Address> = lockdowns
        .iter()
        .flat_map(|lockdown| lockdown.policy.target.addresses().to_vec())
        .collect();
    transactions.extend(seen.read_of_other().filter_map(|(variant, ruleset)| {
        Transaction::iptables(variant, ruleset.family, remove_all(&all, ruleset))
    }));
    Plan::new([transactions])
}

/// The plan that removes all our rules and chains for `addresses` from every layer and variant;
/// with `everything`, also our nftables table if it could not be read. From a table that iptables
/// cannot show, and from those of iptables-nft in the families that `refused`, they are removed by
/// name. Every place is a transaction of its own, and none depends on another.
#[must_use]
pub fn remove(
    addresses: &[Address],
    everything: bool,
    refused: &[Family],
    seen: &Observation,
) -> Plan {
    let mut transactions = Vec::new();
    for (variant, ruleset) in seen.rulesets() {
        let family = ruleset.family;
        if variant == Variant::Nft && refused.contains(&family) {
            transactions.extend(named(addresses, ruleset));
        } else {
            let edits = remove_all(addresses, ruleset);
            transactions.extend(Transaction::iptables(variant, family, edits));
        }
    }
    transactions.extend(remove_by_name(seen, |_, address| {
        addresses.contains(&address)
    }));
    transactions.extend(match &seen.nftables {
        // The whole table can be deleted without reading it.
        Err(_) if everything => Some(Transaction::Nftables(vec![Operation::DeleteTable])),
        _ => remove_from_nftables(addresses, seen),
    });
    Plan::new([transactions])
}

/// The removal of our chains by name, from the tables that were read.
fn named(addresses: &[Address], ruleset: &Ruleset) -> Vec<Transaction> {
    let of_layer = |layer: Layer| {
        let chains = ruleset.table(layer.name())?.own_chains();
        let chains: Vec<ChainName> = chains
            .map(|(chain, _)| chain)
            .filter(|chain| addresses.contains(&chain.address))
            .collect();
        let named = Transaction::Named(ruleset.family, layer, chains.clone());
        (!chains.is_empty()).then_some(named)
    };
    Layer::OF_IPTABLES
        .into_iter()
        .filter_map(of_layer)
        .collect()
}

/// The removal of our chains, as far as they are known, from the tables that iptables cannot show.
fn remove_by_name(
    seen: &Observation,
    is_removed: impl Fn(Layer, Address) -> bool,
) -> Vec<Transaction> {
    let mut transactions = Vec::new();
    for unusable in &seen.unusable {
        for layer in unusable.layers.iter() {
            if unusable.not_read(layer, unusable.family).is_none() {
                continue;
            }
            let ours: Vec<OwnChain> = unusable
                .ours
                .iter()
                .flatten()
                .filter(|own| own.layer == layer && is_removed(layer, own.chain.address))
                .copied()
                .collect();
            if ours.is_empty() {
                continue;
            }
            transactions.extend(match seen.variant {
                // iptables-legacy removes rules from a table that it cannot list.
                Some(Variant::Legacy) => Transaction::iptables(
                    Variant::Legacy,
                    unusable.family,
                    vec![TableEdits {
                        table: layer.name().to_owned(),
                        edits: removal_by_name(&ours),
                    }],
                ),
                Some(Variant::Nft) | None => {
                    let chains = ours.iter().map(|own| own.chain).collect();
                    Some(Transaction::Named(unusable.family, layer, chains))
                }
            });
        }
    }
    transactions
}

fn removal_by_name(ours: &[OwnChain]) -> Vec<Edit> {
    let jumps = ours.iter().filter(|own| own.jump).map(|own| Edit::Delete {
        chain: own.chain.hook.chain().to_owned(),
        spec: Spec::Own(Rule::Jump(own.chain)),
    });
    let chains = ours.iter().map(|own| Edit::Remove { chain: own.chain });
    jumps.chain(chains).collect()
}

fn remove_from_nftables(addresses: &[Address], seen: &Observation) -> Option<Transaction> {
    let table = seen.nftables.as_ref().ok()?.as_ref()?;
    Transaction::nftables(operations(&[], addresses, Some(table)))
}

fn install_edits(lockdowns: &[Lockdown], layer: Layer, ruleset: &Ruleset) -> TableEdits {
    let wanted: Vec<_> = lockdowns
        .iter()
        .flat_map(|lockdown| lockdown.wants(layer, ruleset.family))
        .collect();
    TableEdits {
        table: layer.name().to_owned(),
        edits: edits(&wanted, ruleset.table(layer.name())),
    }
}

fn removal_edits(addresses: &[Address], table: &Table) -> TableEdits {
    TableEdits {
        table: table.name.clone(),
        edits: removal(addresses, table),
    }
}

/// The edits that remove the addresses from every table. The backstop goes last.
fn remove_all(addresses: &[Address], ruleset: &Ruleset) -> Vec<TableEdits> {
    let (backstop, rest): (Vec<_>, Vec<_>) = ruleset
        .tables
        .iter()
        .map(|table| removal_edits(addresses, table))
        .partition(|edits| edits.table == Layer::Security.name());
    [rest, backstop].concat()
}

/// One transaction for each family of the variant in use that could be read.
fn per_family(seen: &Observation, edits: impl Fn(&Ruleset) -> Vec<TableEdits>) -> Vec<Transaction> {
    let Some(variant) = seen.variant else {
        return Vec::new();
    };
    seen.read()
        .filter_map(|ruleset| Transaction::iptables(variant, ruleset.family, edits(ruleset)))
        .collect()
}

fn is_wanted(lockdowns: &[Lockdown], layer: Layer, family: Family) -> bool {
    lockdowns.iter().any(|lockdown| {
        let mut addresses = lockdown.policy.target.addresses().iter();
        lockdown.layers.of(family).has(layer) && addresses.any(|one| one.family() == family)
    })
}

/// What could not be read, and hinders the lockdowns: a layer that they use, or one that may hold
/// another list.
#[must_use]
pub fn obstacles<'a>(lockdowns: &[Lockdown], seen: &'a Observation) -> Vec<&'a NotRead> {
    let unused = seen.unusable.iter().filter(|one| {
        let mut layers = one.layers.iter();
        one.ours.is_some() && !layers.any(|layer| is_wanted(lockdowns, layer, one.family))
    });
    let unused: Vec<&Reason> = unused.map(|one| &one.reason).collect();
    let is_unused = |reason: &NotRead| {
        let mut unused = unused.iter();
        unused.any(|one| matches!(one, Reason::NotRead(known) if known == reason))
    };
    seen.unread().filter(|&reason| !is_unused(reason)).collect()
}

/// The transaction that installs the lockdowns in our own nftables table, before anything slow is
/// read; `None` if the table holds rules for any of their addresses.
#[must_use]
pub fn install_first(lockdowns: &[Lockdown], own: Option<&OwnTable>) -> Option<Transaction> {
    let held = own.map(|own| own.table.locked_addresses());
    let held = held.unwrap_or_default();
    let targets = lockdowns.iter().map(|lockdown| &lockdown.policy.target);
    if targets
        .flat_map(Target::addresses)
        .any(|one| held.contains(one))
    {
        return None;
    }
    let wanted: Vec<_> = lockdowns
        .iter()
        .flat_map(|lockdown| Family::ALL.map(|family| lockdown.wants(Layer::Nftables, family)))
        .flatten()
        .collect();
    Transaction::nftables(operations(&wanted, &[], own))
}

/// Whether any layer that could be read has rules for the lockdowns' addresses.
#[must_use]
pub fn holds_any(lockdowns: &[Lockdown], seen: &Observation) -> bool {
    let held: Vec<Address> = seen
        .own_tables()
        .flat_map(|(_, table)| table.locked_addresses())
        .collect();
    let mut addresses = lockdowns
        .iter()
        .flat_map(|lockdown| lockdown.policy.target.addresses());
    addresses.any(|address| held.contains(address))
}

/// The families in which rules may change. If addresses are already `held` and a layer of a family
/// cannot be read, the other layers of this family keep their lists: with two different lists,
/// everybody who is not on both would be refused.
///
/// A layer that no lockdown uses, and whose chains of ours are known, is no obstacle: [`clear`]
/// removes them by name.
fn families_to_change(lockdowns: &[Lockdown], seen: &Observation, held: bool) -> Vec<Family> {
    let readable = |family| {
        let mut layers = Layer::ALL.into_iter();
        layers.all(|layer| {
            seen.table(layer, family).is_ok()
                || !is_wanted(lockdowns, layer, family)
                    && seen
                        .unusable(layer, family)
                        .is_some_and(|one| one.ours.is_some())
        })
    };
    seen.known_families()
        .into_iter()
        .filter(|&family| !held || readable(family))
        .collect()
}
