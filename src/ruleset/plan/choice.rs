//! Which layers a policy gets on this host, which half of the IMDS pair an `--only` leaves, and
//! what replaces a layer that the host refuses.

use thiserror::Error;

use super::Place;
use crate::policy::{Address, Family, Policy, Target};
use crate::ruleset::desired::nftables_obstacle;
use crate::ruleset::{
    Layer, LayerChoice, Layers, LayersByFamily, Lockdown, NotRead, Observation, installed,
    installed_elsewhere,
};

/// Why a policy cannot be installed on this host.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CannotLock {
    /// The kernel has no IP of this family, and the target has no other address.
    #[error("this kernel has no {0}, so {1} cannot be locked")]
    NoFamily(Family, Target),
    /// The chosen layers include `nftables`, which cannot express the policy.
    #[error("layer nftables cannot be used: {0}")]
    NotForNftables(&'static str),
    /// The policy requires iptables, which is not installed.
    #[error("layer nftables cannot be used ({0}), and iptables is not installed")]
    NeedsIptables(&'static str),
    /// The chosen layers require iptables, which is not installed.
    #[error("iptables is not installed")]
    NoIptables,
    /// The chosen layers include `nftables`, and the kernel has no nf_tables.
    #[error("this kernel has no nf_tables, which layer nftables requires")]
    NoNfTables,
    /// It could not be read whether the kernel has nf_tables, or whether the host has iptables.
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

/// The layers that the policy gets.
///
/// # Errors
/// The host or the policy does not permit the choice.
pub fn choose_layers(
    choice: LayerChoice,
    policy: &Policy,
    seen: &Observation,
) -> Result<Layers, CannotLock> {
    let obstacle = nftables_obstacle(policy);
    let layers = match (choice, obstacle) {
        (LayerChoice::These(layers), Some(why)) if layers.has(Layer::Nftables) => {
            return Err(CannotLock::NotForNftables(why));
        }
        (LayerChoice::These(layers), _) => layers,
        (LayerChoice::Auto, Some(why)) => {
            if seen.variant.is_none() {
                return Err(without_iptables(seen, CannotLock::NeedsIptables(why)));
            }
            Layers::FILTER_AND_SECURITY
        }
        // A reload of firewalld flushes all iptables rules, those of iptables-legacy too, but no
        // foreign nftables table.
        (LayerChoice::Auto, None) => match (seen.variant, seen.nf_tables.clone()?) {
            (None, true) => Layers::NFTABLES,
            (Some(_), true) => Layers::FILTER_AND_NFTABLES,
            (_, false) => Layers::FILTER_AND_SECURITY,
        },
    };
    if layers.need_iptables() && seen.variant.is_none() {
        return Err(without_iptables(seen, CannotLock::NoIptables));
    }
    if layers.has(Layer::Nftables) && !seen.nf_tables.clone()? {
        return Err(CannotLock::NoNfTables);
    }
    Ok(layers)
}

/// The layers of each family: with `auto`, a family whose layer `filter` cannot be used gets
/// `nftables` alone.
fn by_family(
    choice: LayerChoice,
    policy: &Policy,
    layers: Layers,
    seen: &Observation,
) -> LayersByFamily {
    let mut by_family = LayersByFamily::both(layers);
    if choice == LayerChoice::Auto && may_be_alone(policy, seen) {
        for family in Family::ALL {
            if layers.need_iptables() && seen.unusable(Layer::Filter, family).is_some() {
                by_family.set(family, Layers::NFTABLES);
            }
        }
    }
    by_family
}

/// Whether layer `nftables` can hold the policy without any other layer.
fn may_be_alone(policy: &Policy, seen: &Observation) -> bool {
    nftables_obstacle(policy).is_none() && matches!(seen.nf_tables, Ok(true))
}

/// The lockdown that layer `nftables` can hold before anything else is read; `None` if the choice
/// or the policy does not permit this layer.
#[must_use]
pub fn first_lockdown(
    policy: &Policy,
    choice: LayerChoice,
    has_iptables: bool,
    families: &[Family],
) -> Option<Lockdown> {
    let layers = match choice {
        LayerChoice::These(layers) => layers,
        LayerChoice::Auto if has_iptables => Layers::FILTER_AND_NFTABLES,
        LayerChoice::Auto => Layers::NFTABLES,
    };
    let exists = match policy.target.addresses() {
        [address] => families.contains(&address.family()),
        _ => true,
    };
    // A choice that this host cannot have is refused later, and must change nothing.
    let possible = has_iptables || !layers.need_iptables();
    let holds =
        exists && possible && layers.has(Layer::Nftables) && nftables_obstacle(policy).is_none();
    holds.then(|| Lockdown {
        policy: policy.clone(),
        layers: LayersByFamily::both(layers),
    })
}

/// Why iptables cannot be used: its rules could not be read, else it is not installed.
fn without_iptables(seen: &Observation, not_installed: CannotLock) -> CannotLock {
    let mut families = seen.known_families().into_iter();
    let unread = families.find_map(|family| seen.table(Layer::Filter, family).err());
    unread.cloned().map_or(not_installed, CannotLock::NotRead)
}

/// The lockdown of the policy, in the layers that it gets.
///
/// # Errors
/// The host or the policy does not permit the choice, or the kernel has no IP of the family of the
/// only address.
pub fn lockdown_for(
    policy: &Policy,
    choice: LayerChoice,
    seen: &Observation,
) -> Result<Lockdown, CannotLock> {
    if let [address] = policy.target.addresses()
        && !seen.has(address.family())
    {
        let target = policy.target.clone();
        return Err(CannotLock::NoFamily(address.family(), target));
    }
    let layers = choose_layers(choice, policy, seen)?;
    Ok(Lockdown {
        layers: by_family(choice, policy, layers, seen),
        policy: policy.clone(),
    })
}

/// What is left of the installed lockdowns of which `targets` takes over an address: the other half
/// of an IMDS pair, which keeps its list and its layers. A half that the other variant holds moves
/// to the variant in use.
///
/// # Errors
/// The host does not permit the layers for a half that has to move.
pub fn cut_off_halves(
    targets: &[&Target],
    choice: LayerChoice,
    seen: &Observation,
) -> Result<Vec<Lockdown>, CannotLock> {
    let left = |lockdown: &Lockdown| {
        let mut targets = targets.iter();
        let left =
            targets.try_fold(lockdown.policy.clone(), |left, target| left.without(target))?;
        (left != lockdown.policy).then_some(left)
    };
    let own = installed(seen).lockdowns;
    let covered = |address: &Address| {
        own.iter()
            .any(|lockdown| lockdown.policy.target.addresses().contains(address))
    };
    let mut halves: Vec<Lockdown> = own
        .iter()
        .filter(|lockdown| !targets.contains(&&lockdown.policy.target))
        .filter_map(|lockdown| {
            let policy = left(lockdown)?;
            let mut layers = lockdown.layers;
            if choice == LayerChoice::Auto && may_be_alone(&policy, seen) {
                for family in Family::ALL {
                    if layers.of(family).need_iptables()
                        && seen.unusable(Layer::Filter, family).is_some()
                    {
                        layers.set(family, Layers::NFTABLES);
                    }
                }
            }
            Some(Lockdown { policy, layers })
        })
        .collect();
    let elsewhere = installed_elsewhere(seen).lockdowns;
    for policy in elsewhere.iter().filter_map(left) {
        if !policy.target.addresses().iter().any(covered) {
            let layers = choose_layers(choice, &policy, seen)?;
            let layers = by_family(choice, &policy, layers, seen);
            halves.push(Lockdown { policy, layers });
        }
    }
    Ok(halves)
}

/// The refusal of a transaction by a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The place.
    pub place: Place,
    /// How many times in a row it refused, at least 1.
    pub times: usize,
    /// Whether the kernel has the iptables table `security` in the family of the place; `None` if
    /// that was not checked or could not be determined.
    pub has_security: Option<bool>,
}

/// Lockdowns with fewer or other layers, to try after a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The lockdowns.
    pub lockdowns: Vec<Lockdown>,
    /// What changed and why, for the log.
    pub reason: &'static str,
    /// The family in which iptables is given up.
    pub gave_up: Option<Family>,
}

/// What to try after a refusal; `None` to try the same lockdowns again.
#[must_use]
pub fn fallback(
    lockdowns: &[Lockdown],
    choice: LayerChoice,
    refused: Refused,
    seen: &Observation,
) -> Option<Fallback> {
    let mut lockdowns = lockdowns.to_vec();
    let mut gave_up = None;
    let reason = match refused.place {
        Place::Nftables => {
            // A single refusal may come from a concurrent change by another tool.
            if refused.times < 2 || choice != LayerChoice::Auto || seen.variant.is_none() {
                return None;
            }
            for lockdown in &mut lockdowns {
                lockdown.layers = LayersByFamily::both(Layers::FILTER_AND_SECURITY);
            }
            "the kernel refuses layer nftables; layer security replaces it"
        }
        Place::Iptables(_, family) => {
            if refused.has_security != Some(false) {
                if refused.times < 2 || !can_give_up(&lockdowns, choice, family, seen) {
                    return None;
                }
                for lockdown in &mut lockdowns {
                    lockdown.layers.set(family, Layers::NFTABLES);
                }
                gave_up = Some(family);
                return Some(Fallback {
                    lockdowns,
                    reason: "iptables refuses layer filter; layer nftables is installed alone",
                    gave_up,
                });
            }
            for lockdown in &mut lockdowns {
                if let Some(rest) = lockdown.layers.of(family).without(Layer::Security) {
                    lockdown.layers.set(family, rest);
                }
            }
            "this kernel has no table `security`; layer filter is installed alone"
        }
    };
    Some(Fallback {
        lockdowns,
        reason,
        gave_up,
    })
}

/// Whether layer `nftables` may replace all layers of the family. If iptables holds rules for an
/// address, it keeps them, and its refusal is an error: two different lists would refuse everybody
/// who is not on both.
fn can_give_up(
    lockdowns: &[Lockdown],
    choice: LayerChoice,
    family: Family,
    seen: &Observation,
) -> bool {
    choice == LayerChoice::Auto
        && lockdowns.iter().all(|lockdown| {
            let mut addresses = lockdown.policy.target.addresses().iter();
            lockdown.layers.of(family).has(Layer::Nftables)
                && may_be_alone(&lockdown.policy, seen)
                && addresses.all(|&address| !in_iptables(address, seen))
        })
}

/// Whether iptables holds rules for the address, or may do so.
fn in_iptables(address: Address, seen: &Observation) -> bool {
    let mut layers = Layer::OF_IPTABLES.into_iter();
    layers.any(|layer| match seen.table(layer, address.family()) {
        Ok(table) => table.is_some_and(|table| table.locked_addresses().contains(&address)),
        Err(_) => true,
    })
}

/// Whether a refusal by the place may mean that the kernel lacks the table `security`.
#[must_use]
pub fn may_lack_security(lockdowns: &[Lockdown], place: Place) -> Option<Family> {
    let Place::Iptables(_, family) = place else {
        return None;
    };
    let uses = |lockdown: &Lockdown| lockdown.layers.of(family).has(Layer::Security);
    lockdowns.iter().any(uses).then_some(family)
}
