//! A policy and the layers that enforce it.

use super::desired::{LockedAddress, desired};
use super::{Layer, LayersByFamily};
use crate::policy::{Address, Family, Policy};

/// A policy, and the layers in which it is, or is to be, installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockdown {
    /// The policy.
    pub policy: Policy,
    /// Its layers, by family.
    pub layers: LayersByFamily,
}

impl Lockdown {
    /// The chains that it needs in the layer for its addresses of the family.
    pub(super) fn wants(&self, layer: Layer, family: Family) -> Vec<LockedAddress> {
        match self.layers.of(family) {
            layers if layers.has(layer) => desired(&self.policy, layers, layer, family),
            _ => Vec::new(),
        }
    }

    /// Its addresses that the layer is not to enforce.
    pub(super) fn lacks(&self, layer: Layer) -> impl Iterator<Item = Address> {
        self.policy
            .target
            .addresses()
            .iter()
            .copied()
            .filter(move |address| !self.layers.of(address.family()).has(layer))
    }
}
