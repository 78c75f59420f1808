//! The kinds of host that a promise is tested on, and a macro for each group of them.

use lab::{Lab, Variant};

/// Tests of one promise each, run on each of the named hosts: either whole functions, or the name of one.
macro_rules! on_hosts {
    ($kinds:tt $(fn $name:ident($lab:ident) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports, reason = "not every test needs all that its file does")]
            use super::*;

            fn check($lab: &lab::Lab) $body

            one_test_a_host! { $kinds }
        }
    )*};
    ($kinds:tt $name:ident) => {
        mod $name {
            use super::$name as check;

            one_test_a_host! { $kinds }
        }
    };
}

macro_rules! one_test_a_host {
    ([$($kind:ident),*]) => {$(
        #[test]
        fn $kind() {
            check(&crate::hosts::$kind());
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

/// A host with iptables-nft and nft.
#[track_caller]
pub(crate) fn nft() -> Lab {
    Lab::new(Variant::Nft)
}

/// A host with iptables-legacy and nft.
#[track_caller]
pub(crate) fn legacy() -> Lab {
    Lab::new(Variant::Legacy)
}

/// A host with iptables-nft, locked as on a kernel without the layer nftables.
#[track_caller]
pub(crate) fn nft_security() -> Lab {
    Lab::with_layers(Variant::Nft, "filter,security")
}

/// A host with iptables-legacy, locked as on a kernel without nf_tables.
#[track_caller]
pub(crate) fn legacy_security() -> Lab {
    Lab::with_layers(Variant::Legacy, "filter,security")
}

/// A host without iptables.
#[track_caller]
pub(crate) fn alone() -> Lab {
    Lab::without_iptables()
}
