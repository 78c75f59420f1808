//! `ip-lockdown trust-policy` as its callers see it. The tests of the crate are in `crates/trust-policy/tests`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed; the program under test is started here, without a lab"
)]

mod program;
