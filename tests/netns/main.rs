//! The lockdown on a real kernel, in network namespaces: what each command does to the firewall, and what the
//! firewall then does to sockets of real users. Every test runs with both variants of iptables.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot look must fail loudly, in its helpers too"
)]

/// Tests of one promise each, run with iptables-nft and with iptables-legacy.
macro_rules! on_both_variants {
    ($(fn $name:ident($lab:ident) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports, reason = "not every test needs all that its file does")]
            use super::*;

            fn check($lab: &lab::Lab) $body

            #[test]
            fn nft() {
                check(&crate::support::host(lab::Variant::Nft));
            }

            #[test]
            fn legacy() {
                check(&crate::support::host(lab::Variant::Legacy));
            }
        }
    )*};
}

mod addresses;
mod apply;
mod drift;
mod foreign;
mod forwarded;
mod kernel;
mod remove;
mod saved;
mod status;
mod support;
mod unseen;
mod variants;
mod verify;
