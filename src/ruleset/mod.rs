//! The firewall as data: what is wanted, what was read, and the step from one to the other.
//!
//! ```text
//! policy -> desired ----------------+
//!                                   +-> plan -> transaction -> (iptables-restore)
//! (iptables-save) -> parse -> model +
//! ```
//! Only [`render`] writes iptables syntax; only [`parse`], by [`words`], reads it. Nothing here
//! looks at or changes the system.
#![forbid(unsafe_code)]

pub mod desired;
pub mod model;
pub mod parse;
pub mod plan;
pub mod render;
mod stamp;
pub mod transaction;
pub mod words;

pub use stamp::{Backstop, Backstops, Stamp};
