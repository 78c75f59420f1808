//! The program as its callers meet it: words that are wrong, programs that misbehave, privileges that are missing.
//! Each has its own message and exit code, and none of it changes what stands.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot look must fail loudly, in its helpers too"
)]

mod locks;
mod output;
mod privileges;
mod programs;
#[path = "../netns/saved.rs"]
mod saved;
mod support;
mod words;
