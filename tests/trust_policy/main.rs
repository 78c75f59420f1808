//! Trust policies: what is built, letter by letter; what is found, code by code; and what holds of anything.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed; the program under test is started here, without a lab"
)]

mod any;
mod documents;
mod findings;
mod program;
mod properties;
