//! Tests that need neither root nor a kernel: what is parsed, planned, rendered and encoded, and what the pages say.
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
