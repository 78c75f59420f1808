//! Locks an address, such as the EC2 instance metadata service, to named OS users.
//!
//! ```text
//! argv, configuration -> policy (names resolved to ids) -> desired rules --+
//!                                                                          +-> plan -> transaction
//! firewall read-out ---------------------------------> observed rules -----+   -> read back
//!                                                                              -> probes -> findings
//! ```
//! One direction, no way back. Left of the plan everything is pure data:
//!
//! - [`cli`]: the command line as types
//! - [`config`]: the configuration: TOML text -> policies with names not looked up yet
//! - [`policy`]: address, subjects, policy: validated once, at the edge
//! - [`ruleset`]: the firewall as data: desired, parse, plan, render
//! - [`verify`]: what was seen -> findings
//! - [`exit_code`]: what the findings mean to a script
//!
//! The crate `trust_policy` is independent of all this: it builds and checks trust policies of IAM roles.
//!
//! Effects live in [`sys`], which decides nothing; [`commands`] wires the two together.
#![warn(unreachable_pub)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod exit_code;
mod logging;
pub mod policy;
pub mod ruleset;
pub mod sys;
pub mod verify;
