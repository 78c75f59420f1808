//! What could not be read, as a value with its place and source.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::Layer;
use super::model::Variant;
use super::nftables::TABLE;
use crate::policy::Family;

/// Something that can be read from the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Readable {
    /// The tables of one family of one iptables variant.
    Iptables(Variant, Family),
    /// The iptables table that is a layer, in one family of one variant.
    Table(Variant, Family, Layer),
    /// The tables and chains of nf_tables.
    NfTables,
    /// Our nftables table.
    OwnTable,
    /// The interfaces, routes and settings of the network.
    Network,
    /// The addresses of the network interfaces.
    Interfaces,
    /// A unit of systemd, with its drop-ins and its configuration.
    Unit(&'static str),
}

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iptables(variant, family) => {
                write!(f, "the {family} rules of iptables-{variant}")
            }
            Self::Table(variant, family, layer) => {
                write!(f, "the table {layer} ({family}) of iptables-{variant}")
            }
            Self::NfTables => f.write_str("the tables of nf_tables"),
            Self::OwnTable => write!(f, "the nftables table inet {TABLE}"),
            Self::Network => f.write_str("the interfaces and settings of the network"),
            Self::Interfaces => f.write_str("the addresses of this host"),
            Self::Unit(name) => f.write_str(name),
        }
    }
}

/// What could not be read, and why. It never means that there is nothing.
#[derive(Debug, Clone)]
pub struct NotRead {
    /// What could not be read.
    pub place: Readable,
    /// What to do about it.
    pub help: Option<String>,
    source: Arc<dyn Error + Send + Sync>,
}

impl NotRead {
    /// `place` could not be read because of `source`.
    pub fn new(place: Readable, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            place,
            help: None,
            source: Arc::from(source.into()),
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.place, self.source)
    }
}

impl Error for NotRead {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl PartialEq for NotRead {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place && self.source.to_string() == other.source.to_string()
    }
}

impl Eq for NotRead {}
