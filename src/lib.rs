//! Locks an address, such as the EC2 instance metadata service, to named OS users.
//!
//! ```text
//! argv, configuration -> settings, requests -> policies -> desired ---+
//!                                                                     +-> plan -> transactions
//! system -> observed (firewall, host facts) --------------------------+     |
//!                              output <- findings <- probes <- read back <--+
//! ```
//! Data flows in one direction. Everything before the plan, and every check, is pure:
//!
//! - [`config`]: the configuration: TOML text -> requests, whose names are not resolved yet
//! - [`policy`]: address, subjects, policy: validated once, at the edge
//! - [`probe`]: who is probed, from which port, and the results
//! - [`ruleset`]: the firewall as data: desired, observed, plan
//! - [`host`]: what other tools of the host would do
//! - [`verify`]: observations -> findings
//! - [`exit_code`]: what the result means to a script
//!
//! Effects live in [`sys`], which decides nothing. [`engine`] calls the pure modules and `sys`, and
//! returns reports. [`output`] prints the reports. [`cli`] is the command line as types, and resolves it
//! once into what the two take. [`commands`] has one short module for each command, which connects the three.
//! Imports go in one direction only: `commands` -> `cli` -> `output`, `engine` -> `sys`, `verify` -> `host`,
//! `ruleset`, `probe` -> `policy`. The crate `trust_policy`, which builds and checks trust policies of
//! IAM roles, is independent of all this.
#![warn(unreachable_pub)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod engine;
pub mod exit_code;
pub mod host;
pub mod output;
pub mod policy;
pub mod probe;
pub mod ruleset;
pub mod sys;
pub mod verify;
