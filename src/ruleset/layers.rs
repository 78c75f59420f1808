//! Layers: the independent mechanisms that enforce the whole decision.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::policy::Family;

/// An independent mechanism in the kernel that enforces the whole decision. A refusal in any layer
/// refuses the packet.
///
/// The order is that in which a packet passes the layers: `filter` has priority 0
/// (linux/netfilter_ipv4.h), `nftables` has 50, and `security` has 50 with iptables-legacy and 150
/// with iptables-nft. An ACCEPT ends only the table that contains it, not the later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The iptables table `filter`, which can refuse at once and which `iptables -S` shows.
    Filter,
    /// Our own nftables table `inet ip_lockdown`. No other tool's rules or flushes affect it,
    /// except `nft flush ruleset`.
    Nftables,
    /// The iptables table `security`, which hardly any other tool changes.
    Security,
}

impl Layer {
    /// Every layer, in the order in which a packet passes them.
    pub const ALL: [Self; 3] = [Self::Filter, Self::Nftables, Self::Security];

    /// The layers that are tables of iptables.
    pub const OF_IPTABLES: [Self; 2] = [Self::Filter, Self::Security];

    /// Its name. A layer of iptables has the name of its table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nftables => "nftables",
            Self::Security => "security",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The layers of a lockdown: at least one.
///
/// Written with commas, in the order in which a packet passes them: `filter,nftables`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layers {
    // One bit for each layer, at the position of its discriminant.
    bits: u8,
}

impl Layers {
    /// The default with iptables, on a kernel with nf_tables.
    pub const FILTER_AND_NFTABLES: Self = Self::FILTER.with(Layer::Nftables);
    /// The default with iptables, on a kernel without nf_tables and for policies with groups.
    pub const FILTER_AND_SECURITY: Self = Self::FILTER.with(Layer::Security);
    /// The default on a host without iptables.
    pub const NFTABLES: Self = Self { bits: 0 }.with(Layer::Nftables);
    /// What is left on a kernel without any second layer.
    pub const FILTER: Self = Self { bits: 0 }.with(Layer::Filter);

    /// One layer.
    #[must_use]
    pub const fn of(layer: Layer) -> Self {
        Self { bits: 0 }.with(layer)
    }

    /// Whether the layer is included.
    #[must_use]
    pub const fn has(self, layer: Layer) -> bool {
        self.bits & (1 << layer as u8) != 0
    }

    /// These layers and `layer`.
    #[must_use]
    pub const fn with(self, layer: Layer) -> Self {
        Self {
            bits: self.bits | 1 << layer as u8,
        }
    }

    /// These layers without `layer`; `None` if no layer is left.
    #[must_use]
    pub fn without(self, layer: Layer) -> Option<Self> {
        let bits = self.bits & !(1 << layer as u8);
        (bits != 0).then_some(Self { bits })
    }

    /// The layers, in the order in which a packet passes them.
    #[must_use]
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Layer> {
        Layer::ALL.into_iter().filter(move |&layer| self.has(layer))
    }

    /// Whether any of them is a table of iptables.
    #[must_use]
    pub fn need_iptables(self) -> bool {
        Layer::OF_IPTABLES.into_iter().any(|layer| self.has(layer))
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Layer::name).collect();
        f.pad(&names.join(","))
    }
}

/// Which layers a lockdown should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerChoice {
    /// The best ones that this host supports.
    #[default]
    Auto,
    /// Exactly these layers.
    These(Layers),
}

impl FromStr for LayerChoice {
    type Err = LayersError;

    fn from_str(text: &str) -> Result<Self, LayersError> {
        match text {
            "auto" => Ok(Self::Auto),
            layers => layers.parse().map(Self::These),
        }
    }
}

impl fmt::Display for LayerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::These(layers) => layers.fmt(f),
        }
    }
}

/// Why a text is not a valid list of layers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LayersError {
    /// There is no layer of this name.
    #[error(
        "there is no layer \"{0}\"; use filter, nftables and security, separated by commas, or auto"
    )]
    Unknown(String),
    /// A layer is listed twice.
    #[error("layer {0} is listed twice")]
    Twice(Layer),
    /// `security` is listed without `filter`.
    #[error(
        "layer security can only drop packets, so it requires layer filter, which refuses them at once"
    )]
    Slow,
}

impl FromStr for Layers {
    type Err = LayersError;

    fn from_str(text: &str) -> Result<Self, LayersError> {
        let mut layers: Option<Self> = None;
        for word in text.split(',') {
            let layer = Layer::ALL
                .into_iter()
                .find(|layer| layer.name() == word)
                .ok_or_else(|| LayersError::Unknown(word.escape_debug().to_string()))?;
            layers = Some(match layers {
                None => Self { bits: 0 }.with(layer),
                Some(known) if known.has(layer) => return Err(LayersError::Twice(layer)),
                Some(known) => known.with(layer),
            });
        }
        match layers {
            None => Err(LayersError::Unknown(String::new())),
            Some(layers) if layers.has(Layer::Security) && !layers.has(Layer::Filter) => {
                Err(LayersError::Slow)
            }
            Some(layers) => Ok(layers),
        }
    }
}

impl Serialize for Layers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The layers of each family. A kernel may have a table for one family and not for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct LayersByFamily {
    ipv4: Layers,
    ipv6: Layers,
}

impl LayersByFamily {
    /// The same layers for both families.
    #[must_use]
    pub fn both(layers: Layers) -> Self {
        Self {
            ipv4: layers,
            ipv6: layers,
        }
    }

    /// The layers of one family.
    #[must_use]
    pub fn of(self, family: Family) -> Layers {
        match family {
            Family::V4 => self.ipv4,
            Family::V6 => self.ipv6,
        }
    }

    /// Sets the layers of one family.
    pub fn set(&mut self, family: Family, layers: Layers) {
        match family {
            Family::V4 => self.ipv4 = layers,
            Family::V6 => self.ipv6 = layers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_in_any_order_and_written_in_one() {
        let layers: Layers = "security,filter".parse().unwrap();
        assert_eq!(layers, Layers::FILTER_AND_SECURITY);
        assert_eq!(layers.to_string(), "filter,security");
        assert_eq!(layers.without(Layer::Security), Some(Layers::FILTER));
        assert_eq!(Layers::FILTER.without(Layer::Filter), None);
        for wrong in [
            "",
            "filter,",
            "nat",
            "Filter",
            "filter,filter",
            "filter nftables",
            "security",
            "nftables,security",
        ] {
            assert!(wrong.parse::<Layers>().is_err(), "{wrong}");
        }
    }
}
