//! The promises under stress, on a real kernel and with both variants of iptables: never open, never collateral,
//! refused fast; while lists change, while others meddle, and when `apply` is killed.
//!
//! Every test that counts what gets through shows first that something would, if nothing stood in the way.

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
