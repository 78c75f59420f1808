//! The guarantees under stress, on a real kernel and with both variants of iptables: never open, no collateral,
//! refused at once; while lists change, while other tools change rules, and when `apply` is killed.
//!
//! Every test that counts packets that get through shows first that packets get through without a lockdown.

mod support;

mod at_once;
mod configured;
mod killed;
mod meddling;
mod never_collateral;
mod never_open;
mod routed;
mod sockets;
mod variants;
