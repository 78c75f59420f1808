//! The change from what is in force to a policy, on the system.
//!
//! Fails closed: each table is swapped whole, and nothing that stands is taken away before what
//! replaces it stands. Enforcing what is in force changes nothing.

use tracing::{debug, info, warn};

use super::CommandError;
use super::layers::choose;
use crate::cli::LayersChoice;
use crate::policy::{Address, Family, Policy, Target};
use crate::ruleset::model::Ruleset;
use crate::ruleset::nftables::OwnTable;
use crate::ruleset::transaction::{self, Place, Transaction};
use crate::ruleset::{LaidLayers, Layer, Layers, Lock};
use crate::sys::firewall::{Firewall, FirewallError};
use crate::verify::{Observation, in_force, in_force_elsewhere};

/// How often a transaction is tried. Another tool may change the rules between our look and our
/// change; then nothing is changed, and we look again.
const TRIES: usize = 4;

/// Policies in force, as far as each place went.
pub(super) struct Applied {
    /// The locks that were asked for.
    pub(super) locks: Vec<Lock>,
    pub(super) seen: Observation,
    pub(super) changed: bool,
    pub(super) failures: Vec<String>,
}

/// What is to be in force afterwards.
pub(super) struct Wanted {
    /// What was asked for.
    pub(super) locks: Vec<Lock>,
    /// The halves of IMDS pairs that an `--only` among them cuts off.
    halves: Vec<Lock>,
}

impl Wanted {
    /// These, and nothing else is changed for them.
    pub(super) fn just(locks: Vec<Lock>) -> Self {
        Self {
            locks,
            halves: Vec::new(),
        }
    }

    /// # Errors
    /// The host does not have what the layers need.
    pub(super) fn new(
        locks: Vec<Lock>,
        choice: LayersChoice,
        firewall: &Firewall,
        seen: &Observation,
    ) -> Result<Self, CommandError> {
        let targets: Vec<&Target> = locks.iter().map(|lock| &lock.policy.target).collect();
        let halves = cut_off(&targets, choice, firewall, seen)?;
        Ok(Self { locks, halves })
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Lock> {
        [self.locks.as_slice(), &self.halves].concat()
    }
}

/// The policy in the layers that it is to be laid in.
///
/// # Errors
/// This kernel does not have the family of the only address, or the host not what the layers need.
pub(super) fn lock_of(
    policy: &Policy,
    choice: LayersChoice,
    firewall: &Firewall,
    seen: &Observation,
) -> Result<Lock, CommandError> {
    if let [address] = policy.target.addresses()
        && !seen.has(address.family())
    {
        let target = policy.target.clone();
        return Err(CommandError::NoFamily(address.family(), target));
    }
    let layers = LaidLayers::both(choose(choice, policy, firewall)?);
    let policy = policy.clone();
    Ok(Lock { policy, layers })
}

/// The locks that lose an address to `targets`, as they are without it: with `--only`, the other
/// half of the IMDS pair keeps its list and its layers. What another variant holds moves to this
/// one.
///
/// # Errors
/// The host does not have what the layers need.
pub(super) fn cut_off(
    targets: &[&Target],
    choice: LayersChoice,
    firewall: &Firewall,
    seen: &Observation,
) -> Result<Vec<Lock>, CommandError> {
    let left = |lock: &Lock| {
        let mut targets = targets.iter();
        let left = targets.try_fold(lock.policy.clone(), |left, target| left.without(target))?;
        (left != lock.policy).then_some(left)
    };
    let own = in_force(seen).locks;
    let covered = |address: &Address| {
        own.iter()
            .any(|lock| lock.policy.target.addresses().contains(address))
    };
    let mut halves: Vec<Lock> = own
        .iter()
        .filter(|lock| !targets.contains(&&lock.policy.target))
        .filter_map(|lock| {
            Some(Lock {
                policy: left(lock)?,
                layers: lock.layers,
            })
        })
        .collect();
    for policy in in_force_elsewhere(seen).locks.iter().filter_map(left) {
        if !policy.target.addresses().iter().any(covered) {
            let layers = LaidLayers::both(choose(choice, &policy, firewall)?);
            halves.push(Lock { policy, layers });
        }
    }
    Ok(halves)
}

/// Puts the locks in force.
pub(super) fn enforce(
    wanted: &Wanted,
    mut seen: Observation,
    choice: LayersChoice,
    firewall: &Firewall,
) -> Applied {
    let mut locks = wanted.all();
    let held = holds_any(&locks, &seen);
    let mut changed = false;
    let mut stands = false;
    let mut failures: Vec<(Place, FirewallError)> = Vec::new();
    for attempt in 1..=TRIES {
        let transactions = laying(&locks, &seen);
        if transactions.is_empty() {
            stands = true;
            failures.clear();
            break;
        }
        debug!(attempt, ?transactions, "laying");
        let laid = |table: &Option<OwnTable>| {
            let own = table.as_ref().map(|own| own.table.own_chains().next());
            own.flatten().is_some()
        };
        let order = match (holds_any(&locks, &seen), &seen.nftables) {
            (false, _) => Order::Together,
            (true, Ok(table)) if !laid(table) => Order::NftablesFirst,
            (true, _) => Order::NftablesLast,
        };
        failures = lay(firewall, transactions, order, &mut changed);
        seen = firewall.observe_again(seen);
        // Only a transaction that was refused may fare better after a new look. One that went
        // through may have been undone since.
        if !failures.iter().all(|(_, error)| refused(error)) {
            break;
        }
        for (place, error) in &failures {
            // Once may be chance.
            let again = attempt > 1;
            give_way(
                &mut locks,
                *place,
                error,
                again && choice == LayersChoice::Auto,
                firewall,
            );
        }
    }
    if !held && failures.iter().any(|(_, error)| refused(error)) {
        // Whatever stops one table need not stop the other: better locked by one than by none.
        // Where some stand, they keep their list: two lists would both have to be passed.
        let rest = of_each_family(&seen, |ruleset| {
            transaction::laying_layer(&locks, Layer::Filter, ruleset)
        });
        // What is refused here has been told of already.
        let _ = run(firewall, &rest, &mut changed);
        seen = firewall.observe_again(seen);
    }
    let mut failures: Vec<String> = failures
        .iter()
        .map(|(place, error)| format!("{place}: {error}; what stood still stands"))
        .chain(unread(&seen))
        .collect();
    // Only what stands takes the place of what stands elsewhere.
    if failures.is_empty() && (stands || laying(&locks, &seen).is_empty()) {
        let stale = clearing(&locks, &seen);
        if !stale.is_empty() {
            info!("taking away what stands in other layers or another variant");
            debug!(?stale, "clearing");
            let refused = run(firewall, &stale, &mut changed);
            failures.extend(
                refused
                    .iter()
                    .map(|(place, error)| format!("{place}: {error}")),
            );
            seen = firewall.observe(&[]);
        }
    }
    locks.truncate(wanted.locks.len());
    Applied {
        locks,
        seen,
        changed,
        failures,
    }
}

/// When nftables is changed: layers with different lists refuse whoever is not on both.
#[derive(Clone, Copy)]
enum Order {
    /// Nothing of ours is there yet: one layer is better than none.
    Together,
    /// Nothing of ours is in nftables yet, and what is elsewhere says what layers there are: only
    /// when this one is laid does it say otherwise.
    NftablesFirst,
    /// What iptables refuses is not to be in nftables either.
    NftablesLast,
}

/// Runs the transactions in that order, the second part only after the first; those that failed.
fn lay(
    firewall: &Firewall,
    transactions: Vec<Transaction>,
    order: Order,
    changed: &mut bool,
) -> Vec<(Place, FirewallError)> {
    let (of_nftables, of_iptables): (Vec<_>, Vec<_>) = transactions
        .into_iter()
        .partition(|transaction| transaction.place() == Place::Nftables);
    let parts = match order {
        Order::Together => [[of_iptables, of_nftables].concat(), Vec::new()],
        Order::NftablesFirst => [of_nftables, of_iptables],
        Order::NftablesLast => [of_iptables, of_nftables],
    };
    let mut failures = Vec::new();
    for part in parts {
        if failures.is_empty() {
            failures = run(firewall, &part, changed);
        }
    }
    failures
}

/// Whether any layer that could be read has rules for the locks' addresses.
fn holds_any(locks: &[Lock], seen: &Observation) -> bool {
    let held: Vec<Address> = seen
        .own_tables()
        .flat_map(|(_, table)| table.locked_addresses())
        .collect();
    let mut addresses = locks.iter().flat_map(|lock| lock.policy.target.addresses());
    addresses.any(|address| held.contains(address))
}

/// The families in which something may be changed. Beside a layer that cannot be read, those that
/// can keep their lists, if they have any: layers with different lists refuse whoever is not on
/// both.
fn to_change(locks: &[Lock], seen: &Observation) -> Vec<Family> {
    let held = holds_any(locks, seen);
    let readable = |family| {
        let mut layers = Layer::ALL.into_iter();
        layers.all(|layer| seen.table(layer, family).is_ok())
    };
    seen.known_families()
        .into_iter()
        .filter(|&family| !held || readable(family))
        .collect()
}

/// Runs the transactions; those that failed.
fn run(
    firewall: &Firewall,
    transactions: &[Transaction],
    changed: &mut bool,
) -> Vec<(Place, FirewallError)> {
    let mut failures = Vec::new();
    for (place, result) in firewall.run(transactions) {
        match result {
            Ok(()) => *changed = true,
            Err(error) => failures.push((place, error)),
        }
    }
    failures
}

/// Where the kernel or a program cannot give a layer, the next best takes its place.
fn give_way(
    locks: &mut [Lock],
    place: Place,
    refusal: &FirewallError,
    may_do_without_it: bool,
    firewall: &Firewall,
) {
    match place {
        Place::Nftables => {
            if may_do_without_it && firewall.need_iptables().is_ok() {
                warn!(
                    "nftables cannot give the second layer, `security` takes its place: {refusal}"
                );
                for lock in locks {
                    lock.layers = LaidLayers::both(Layers::FILTER_AND_SECURITY);
                }
            }
        }
        Place::Iptables(_, family) => {
            let has_security = |lock: &Lock| lock.layers.of(family).has(Layer::Security);
            if !locks.iter().any(has_security) {
                return;
            }
            match firewall.has_table(family, Layer::Security.name()) {
                Ok(true) => {}
                Ok(false) => {
                    info!("{family}: this kernel has no table `security`");
                    for lock in locks {
                        if let Some(rest) = lock.layers.of(family).without(Layer::Security) {
                            lock.layers.set(family, rest);
                        }
                    }
                }
                // Nobody knows: what was refused stays refused, and what stands stands.
                Err(error) => warn!("{family}: cannot tell whether there is a backstop: {error}"),
            }
        }
    }
}

fn refused(error: &FirewallError) -> bool {
    matches!(
        error,
        FirewallError::Failed { .. } | FirewallError::Refused { .. }
    )
}

/// What of our own layers could not be read, so that nothing could be done there.
pub(super) fn unread(seen: &Observation) -> Vec<String> {
    let of_iptables = seen
        .families
        .iter()
        .filter_map(|(family, seen)| Some(format!("{family}: {}", seen.as_ref().err()?)));
    of_iptables
        .chain(seen.nftables.as_ref().err().cloned())
        .collect()
}

/// What has to be laid; a place with nothing to do, or that could not be read, has none.
pub(super) fn laying(locks: &[Lock], seen: &Observation) -> Vec<Transaction> {
    let families = to_change(locks, seen);
    let mut all = of_each_family(seen, |ruleset| match families.contains(&ruleset.family) {
        true => transaction::laying(locks, ruleset),
        false => String::new(),
    });
    if let Ok(table) = &seen.nftables {
        let commands = transaction::laying_nftables(locks, &families, table.as_ref());
        all.extend(Transaction::of_nftables(commands));
    }
    all
}

/// What has to go once the locks stand: rules for their addresses in layers they are not laid in,
/// and in the other variants. Two lists would both have to be passed.
pub(super) fn clearing(locks: &[Lock], seen: &Observation) -> Vec<Transaction> {
    let mut all = of_each_family(seen, |ruleset| transaction::clearing(locks, ruleset));
    if let Ok(table) = &seen.nftables {
        let commands = transaction::clearing_nftables(locks, table.as_ref());
        all.extend(Transaction::of_nftables(commands));
    }
    let addresses: Vec<Address> = locks
        .iter()
        .flat_map(|lock| lock.policy.target.addresses().to_vec())
        .collect();
    all.extend(seen.read_of_other().filter_map(|(variant, ruleset)| {
        let input = transaction::removing(&addresses, ruleset);
        Transaction::of_iptables(variant, ruleset.family, input)
    }));
    all
}

fn of_each_family(seen: &Observation, text: impl Fn(&Ruleset) -> String) -> Vec<Transaction> {
    let Some(variant) = seen.variant else {
        return Vec::new();
    };
    seen.read()
        .filter_map(|ruleset| Transaction::of_iptables(variant, ruleset.family, text(ruleset)))
        .collect()
}
