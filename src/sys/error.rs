//! Errors of firewall programs and of the kernel.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::ruleset::iptables::parse::ParseError;
use crate::sys::SEARCH_PATH;
use crate::sys::program::ProgramError;

/// Why the firewall could not be read or changed.
#[derive(Debug, Error)]
pub enum FirewallError {
    /// A program is missing.
    #[error("{program} is not in {}", SEARCH_PATH.join(", "))]
    Missing {
        /// The name of the program.
        program: String,
        /// The command that installs its package.
        install: &'static str,
    },
    /// A program returned no exit code.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A transaction with owner matches did not end in time.
    #[error(
        "{error}; iptables looks up each of the {lookups} ids in the name service of this host first, \
         which may be slow (see /etc/nsswitch.conf)"
    )]
    SlowLookups {
        /// The number of ids.
        lookups: u32,
        /// The time limit that the program exceeded.
        #[source]
        error: ProgramError,
    },
    /// Another process held the xtables lock.
    #[error(
        "{program} did not get the xtables lock within {wait} s, because another process is changing \
         the firewall (exit code 4): {stderr}"
    )]
    Busy {
        /// The program.
        program: String,
        /// How long the program waited, in seconds.
        wait: u32,
        /// What the program printed to standard error.
        stderr: String,
    },
    /// A program failed.
    #[error("{program} failed with exit code {code}: {stderr}")]
    Failed {
        /// The program.
        program: String,
        /// The exit code.
        code: i32,
        /// What the program printed to standard error.
        stderr: String,
    },
    /// The output of a program is not a ruleset.
    #[error("cannot parse the output of {program}: {source}")]
    Unparsable {
        /// The program.
        program: String,
        /// The first error in the output.
        #[source]
        source: ParseError,
    },
    /// The kernel refused a change of our nftables table.
    #[error("the kernel refused {what}: {source}")]
    Refused {
        /// The refused part, in the syntax of nft.
        what: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A transaction was not sent, or its reply was lost.
    #[error("the kernel did not answer a transaction: {0}")]
    Unanswered(#[source] io::Error),
    /// The variant of a program is unknown.
    #[error("cannot determine which variant {program} is: {reason}")]
    NoVariant {
        /// The program.
        program: String,
        /// How the program answered `--version`.
        reason: String,
    },
    /// The list of existing tables could not be read.
    #[error("cannot determine which tables are in use: {0}")]
    TablesInUse(#[source] Arc<io::Error>),
}

impl FirewallError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Program(error) => error.help(),
            Self::Missing { install, .. } => Some(format!("install it: {install}")),
            Self::Busy { .. } => Some("run it again, or wait longer with --wait".to_owned()),
            Self::SlowLookups { .. } => Some(
                "run `time getent passwd 0:0`, which is such a lookup; list uid ranges or groups instead \
                 of single users, or use --layers nftables, which needs no lookup"
                    .to_owned(),
            ),
            Self::NoVariant { .. } => Some("use --variant nft or --variant legacy".to_owned()),
            _ => None,
        }
    }

    /// Whether the change was refused. Another attempt, after the rules were read again, may succeed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Refused { .. })
    }
}
