//! iptables syntax for the [`model`](super::model): edits, parser and renderer.
//!
//! Only [`render`] writes iptables syntax; only [`parse`], with [`tokens`], reads it, and [`fit`] for
//! foreign rules.

mod edit;
pub mod fit;
pub mod parse;
pub mod render;
pub mod tokens;

pub use edit::{Edit, TableEdits};
