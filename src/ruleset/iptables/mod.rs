//! iptables syntax for the [`model`](super::model): edits, parser and renderer.
//!
//! Only [`render`] writes iptables syntax; only [`parse`], with [`tokens`], reads it.

mod edit;
pub mod parse;
pub mod render;
pub mod tokens;

pub use edit::{Edit, TableEdits};
