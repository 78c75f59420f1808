//! A policy and the layers that enforce it.

use super::desired::{LockedAddress, desired};
use super::{Layer, LayersByFamily};
use crate::policy::{Address, Family, Policy};

/// A policy, and the layers in which it is or should be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockdown {
    /// The policy.
    pub policy: Policy,
    /// Its layers, by family.
    pub layers: LayersByFamily,
}

impl Lockdown {
    /// The chains that the layer must contain for its addresses of the family.
    pub(super) fn wants(&self, layer: Layer, family: Family) -> Vec<LockedAddress> {
        let layers = self.layers.of(family);
        if !layers.has(layer) {
            return Vec::new();
        }
        desired(&self.policy, layers, layer, family)
    }

    /// Its addresses that the layer should not contain.
    pub(super) fn lacks(&self, layer: Layer) -> impl Iterator<Item = Address> {
        self.policy
            .target
            .addresses()
            .iter()
            .copied()
            .filter(move |address| !self.layers.of(address.family()).has(layer))
    }
}
