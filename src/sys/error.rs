//! Errors of the firewall's programs and of the kernel.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::ruleset::iptables::parse::ParseError;
use crate::sys::SEARCH_PATH;
use crate::sys::program::ProgramError;

/// Why the firewall could not be looked at or changed.
#[derive(Debug, Error)]
pub enum FirewallError {
    /// A program is not there.
    #[error("{program} is not in {}", SEARCH_PATH.join(", "))]
    Missing {
        /// Its name.
        program: String,
        /// The command that installs its package.
        install: &'static str,
    },
    /// It gave no exit code.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Another process held the xtables lock.
    #[error(
        "{program} did not get the xtables lock within {wait} s, since another process is changing \
         the firewall (exit code 4): {stderr}"
    )]
    Busy {
        /// The program.
        program: String,
        /// How long it waited, in seconds.
        wait: u32,
        /// What it said.
        stderr: String,
    },
    /// It ended with an error.
    #[error("{program} failed with exit code {code}: {stderr}")]
    Failed {
        /// The program.
        program: String,
        /// Its exit code.
        code: i32,
        /// What it said.
        stderr: String,
    },
    /// What it printed is no ruleset.
    #[error("cannot parse the output of {program}: {source}")]
    Rubbish {
        /// The program.
        program: String,
        /// The first thing that is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The kernel did not take a change of our table of nftables.
    #[error("the kernel refused {what}: {source}")]
    Refused {
        /// The part of it that was refused, as nft writes it.
        what: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// It does not say which variant it is.
    #[error("cannot determine which variant {program} is: {reason}")]
    NoVariant {
        /// The program.
        program: String,
        /// What it did instead.
        reason: String,
    },
    /// It is not known which tables exist.
    #[error("cannot determine which tables are in use: {0}")]
    TablesInUse(#[source] Arc<io::Error>),
}

impl FirewallError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Missing { install, .. } => Some(format!("install it: {install}")),
            Self::Busy { .. } => Some("run it again, or wait longer with --wait".to_owned()),
            Self::NoVariant { .. } => Some("use --variant nft or --variant legacy".to_owned()),
            _ => None,
        }
    }

    /// Whether the place refused the change, so that another attempt after a new look may succeed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Refused { .. })
    }
}
