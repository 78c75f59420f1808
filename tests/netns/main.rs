//! The lockdown on a real kernel, in network namespaces: what each command does to the firewall, and what the
//! firewall then does to sockets of real users. Most tests run with both variants of iptables and on a host without it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot look must fail loudly, in its helpers too"
)]

/// Tests of one promise each, run on the named hosts.
macro_rules! on_hosts {
    ($kinds:tt $(fn $name:ident($lab:ident) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports, reason = "not every test needs all that its file does")]
            use super::*;

            fn check($lab: &lab::Lab) $body

            one_test_a_host! { $kinds }
        }
    )*};
}

macro_rules! one_test_a_host {
    ([$($kind:ident),*]) => {$(
        #[test]
        fn $kind() {
            check(&crate::support::$kind());
        }
    )*};
}

/// With both variants of iptables, in the layers that such a host gets by itself.
macro_rules! on_both_variants {
    ($($tests:tt)*) => { on_hosts! { [nft, legacy] $($tests)* } };
}

/// With both variants of iptables, in `filter` and `security`.
macro_rules! in_filter_and_security {
    ($($tests:tt)*) => { on_hosts! { [nft_security, legacy_security] $($tests)* } };
}

/// With both variants of iptables, and on a host that has nftables alone.
macro_rules! on_every_host {
    ($($tests:tt)*) => { on_hosts! { [nft, legacy, alone] $($tests)* } };
}

/// With the layer nftables: behind `filter`, and alone.
macro_rules! with_nftables {
    ($($tests:tt)*) => { on_hosts! { [nft, alone] $($tests)* } };
}

mod addresses;
mod apply;
mod boot;
mod busy;
mod config;
mod drift;
#[path = "../corpus/netlink/dump.rs"]
mod dump;
mod enable;
mod foreign;
mod forwarded;
mod kernel;
mod layers;
mod long_lists;
mod nat;
mod native;
mod own_table;
mod remove;
mod saved;
mod status;
mod support;
mod unseen;
mod variants;
mod verify;
