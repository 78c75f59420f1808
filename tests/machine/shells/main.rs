//! How shells run the generated scripts, and how `man` renders the generated pages. Needs no root; needs bash, bash-completion, zsh, fish,
//! groff and man-db.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot look must fail loudly, in its helpers too"
)]

mod completions;
mod man_pages;
mod terminal;
