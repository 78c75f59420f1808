//! The firewall as data: what is desired, what was observed, and the plan from one to the other.
//!
//! ```text
//! policy -> desired ----------------------------+
//!                                               +-> plan -> transactions -> (iptables-restore, netlink)
//! (iptables-save) -> iptables::parse --+        |
//! (netlink) -------> nftables::decode -+-> observation -> installed, counters
//! ```
//! [`plan`] is the one place that decides what changes: it takes lockdowns and an observation, and
//! returns transactions as data. [`iptables`] and [`nftables`] are the two dialects of [`model`].
//! Nothing here reads or changes the system.
#![forbid(unsafe_code)]

pub mod compare;
mod counters;
pub mod desired;
mod installed;
pub mod iptables;
mod layers;
mod lockdown;
mod marker;
pub mod model;
pub mod netlink;
pub mod nftables;
mod not_read;
mod observation;
pub mod plan;
pub mod reading;
pub mod targets;
mod tree;
mod unusable;

pub use counters::{Counted, counted};
pub use installed::{Installed, installed, installed_elsewhere, installed_for, installed_policies};
pub use layers::{Layer, LayerChoice, Layers, LayersByFamily, LayersError};
pub use lockdown::Lockdown;
pub use marker::Marker;
pub use not_read::{NotRead, Readable};
pub use observation::{Native, Observation};
pub use unusable::{OwnChain, Reason, Unusable};
