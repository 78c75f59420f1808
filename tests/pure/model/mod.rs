//! Promises of the pure part, held against a small model of the kernel.
//!
//! ```text
//! any foreign rules, any damage -> Kernel --save--> parse -> plan -> render --restore--> Kernel
//!                                    |                                                     |
//!                                  packets                                              packets
//! ```
//! The model knows nothing of the product's types: it reads the text that `iptables-restore` would
//! be given, and lets packets run through rules as words.
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
