//! Promises of the pure modules, tested with a small model of the kernel.
//!
//! ```text
//! any foreign rules, any damage -> Kernel --save--> parse -> plan -> render --restore--> Kernel
//!                                    |                                                     |
//!                                  packets                                              packets
//! ```
//! The model does not use the program's types: it reads the text that `iptables-restore` would read, and evaluates
//! the words of each rule for a packet.
mod any;
mod host;
mod kernel;
mod packet;
pub(crate) mod restore;

// The promises.
mod codec;
mod long_lists;
mod never_collateral;
mod never_open;
mod nftables;
mod round_trip;
mod same_input_same_state;
mod words;
