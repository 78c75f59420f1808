//! A policy with the layers it is laid down in.

use super::desired::{LockedAddress, desired};
use super::{LaidLayers, Layer};
use crate::policy::{Address, Family, Policy};

/// A policy, and the layers that it is, or is to be, laid down in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The policy.
    pub policy: Policy,
    /// Its layers, in each family.
    pub layers: LaidLayers,
}

impl Lock {
    /// What it wants in the layer for its addresses of the family.
    pub(super) fn wants(&self, layer: Layer, family: Family) -> Vec<LockedAddress> {
        match self.layers.of(family) {
            layers if layers.has(layer) => desired(&self.policy, layers, layer, family),
            _ => Vec::new(),
        }
    }

    /// Its addresses that are not locked in that layer.
    pub(super) fn lacks(&self, layer: Layer) -> impl Iterator<Item = Address> {
        self.policy
            .target
            .addresses()
            .iter()
            .copied()
            .filter(move |address| !self.layers.of(address.family()).has(layer))
    }
}
