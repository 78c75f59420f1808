//! Which layers a policy gets on this host.

use super::CommandError;
use crate::cli::LayersChoice;
use crate::policy::Policy;
use crate::ruleset::{Layer, Layers, desired};
use crate::sys::firewall::{Firewall, FirewallError};

/// The layers that the policy is to be laid down in.
///
/// # Errors
/// What they need is not there, or nftables cannot express the policy.
pub(super) fn choose(
    choice: LayersChoice,
    policy: &Policy,
    firewall: &Firewall,
) -> Result<Layers, CommandError> {
    let obstacle = desired::not_for_nftables(policy);
    let layers = match (choice, obstacle) {
        (LayersChoice::These(layers), Some(why)) if layers.has(Layer::Nftables) => {
            return Err(CommandError::NotForNftables(why));
        }
        (LayersChoice::These(layers), _) => layers,
        (LayersChoice::Auto, Some(why)) => {
            let needed = firewall.need_iptables();
            needed.map_err(|error| CommandError::NeedsIptables(why, error))?;
            Layers::FILTER_AND_SECURITY
        }
        // Rules of whatever `iptables` is here go with each reload of firewalld, those of
        // iptables-legacy too; a table of nftables stands.
        (LayersChoice::Auto, None) => match (firewall.variant(), firewall.need_nftables()) {
            (None, Ok(())) => Layers::NFTABLES,
            (Some(_), Ok(())) => Layers::FILTER_AND_NFTABLES,
            (_, Err(FirewallError::NoNftables)) => Layers::FILTER_AND_SECURITY,
            (_, Err(error)) => return Err(error.into()),
        },
    };
    if layers.need_iptables() {
        firewall.need_iptables()?;
    }
    if layers.has(Layer::Nftables) {
        firewall.need_nftables()?;
    }
    Ok(layers)
}
