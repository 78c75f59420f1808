//! The lockdown on a real kernel, in network namespaces: what each command does to the firewall, and what the
//! firewall then does to sockets of real users. Most tests run with both variants of iptables and on a host without it.

mod addresses;
mod apply;
mod boot;
mod busy;
mod config;
mod drift;
mod enable;
mod foreign;
mod forwarded;
mod kernel;
mod layers;
mod long_lists;
mod nat;
mod native;
mod own_table;
mod places;
mod remove;
mod status;
mod support;
mod unseen;
mod variants;
mod verify;
