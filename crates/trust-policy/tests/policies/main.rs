//! What is built, letter by letter; what is found, code by code; and what holds for any input.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod any;
mod check;
mod documents;
mod properties;
