//! Which layers a policy gets on this host.

use super::CommandError;
use crate::cli::LayersChoice;
use crate::policy::Policy;
use crate::ruleset::model::Variant;
use crate::ruleset::{Layer, Layers, desired};
use crate::sys::firewall::Firewall;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// What this host can give.
    Auto,
    /// Just these.
    These(Layers),
}

impl From<LayersChoice> for Choice {
    fn from(choice: LayersChoice) -> Self {
        match choice {
            LayersChoice::Auto => Self::Auto,
            LayersChoice::These(layers) => Self::These(layers),
        }
    }
}

impl Choice {
    /// The layers that the policy is to be laid down in.
    ///
    /// # Errors
    /// A program that they need is not there, or nftables cannot express the policy.
    pub(super) fn layers(
        self,
        policy: &Policy,
        firewall: &Firewall,
    ) -> Result<Layers, CommandError> {
        let obstacle = desired::not_for_nftables(policy);
        let layers = match (self, firewall.variant(), obstacle) {
            (Self::These(layers), _, Some(why)) if layers.has(Layer::Nftables) => {
                return Err(CommandError::NotForNftables(why));
            }
            (Self::These(layers), ..) => layers,
            (Self::Auto, None, None) if firewall.need_nft().is_ok() => Layers::NFTABLES,
            (Self::Auto, Some(Variant::Nft), None) if firewall.need_nft().is_ok() => {
                Layers::FILTER_AND_NFTABLES
            }
            (Self::Auto, ..) => Layers::FILTER_AND_SECURITY,
        };
        if layers.need_iptables() {
            firewall.need_iptables()?;
        }
        if layers.has(Layer::Nftables) {
            firewall.need_nft()?;
        }
        Ok(layers)
    }
}
