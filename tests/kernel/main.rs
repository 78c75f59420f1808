//! Tests on a real kernel, in network namespaces of their own. They need root: `make test` runs them.
//!
//! Plain `cargo test` leaves this target out (`test = false` in Cargo.toml), so that it passes without root.
//! `make test-one T=netns::apply` runs some of them.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot look must fail loudly, in its helpers too"
)]

#[macro_use]
mod hosts;

mod cli;
mod docs;
mod lab_itself;
mod netns;
mod promises;
