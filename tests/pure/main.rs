//! Tests that need neither root nor a kernel: parsing, planning, rendering and encoding, and the pages of the documentation.
//!
//! `cargo test` runs them; so does `make check`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod corpus;
mod docs;
mod fuzz;
mod golden;
mod model;
mod nat_corpus;
mod plan;
mod rooms;
mod trust_policy;
