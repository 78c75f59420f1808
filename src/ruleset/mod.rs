//! The firewall as data: what is wanted, what was read, and the step from one to the other.
//!
//! ```text
//! policy -> desired -----------------+
//!                                    +-> plan -> transaction -> (iptables-restore, netlink)
//! (iptables-save) -> parse --> model +
//! (netlink) -------> decode -> model +
//! ```
//! Only [`render`] writes iptables syntax; only [`parse`], by [`words`], reads it; what the kernel
//! is told over netlink is in [`nftables`], framed by [`netlink`]. Nothing here looks at or changes the system.
#![forbid(unsafe_code)]

pub mod desired;
mod layers;
mod lock;
pub mod model;
pub mod netlink;
pub mod nftables;
pub mod parse;
pub mod plan;
pub mod render;
mod stamp;
pub(crate) mod targets;
pub mod transaction;
mod tree;
pub mod words;

pub use layers::{LaidLayers, Layer, Layers, LayersError};
pub use lock::Lock;
pub use stamp::Stamp;
