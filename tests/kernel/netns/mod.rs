//! The lockdown on a real kernel, in network namespaces: what each command does to the firewall, and what the
//! firewall then does to sockets of real users. Most tests run with both variants of iptables and on a host without it.

mod addresses;
mod apply;
mod beside;
mod boot;
mod busy;
pub(crate) mod config;
mod drift;
pub(crate) mod enable;
mod foreign;
mod forwarded;
mod healthy;
mod kernel;
mod layers;
mod long_lists;
mod names;
mod nat;
mod native;
mod next_boot;
mod own_table;
mod places;
mod probes;
mod remove;
mod status;
pub(crate) mod support;
mod unseen;
mod variants;
mod verify;
mod ways_around;
