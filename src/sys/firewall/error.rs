//! What can go wrong with the firewall's programs, in words for the user.

use std::io;

use thiserror::Error;

use crate::ruleset::parse::ParseError;
use crate::sys::SEARCH_PATH;
use crate::sys::program::ProgramError;

/// Why the firewall could not be looked at or changed.
#[derive(Debug, Error)]
pub enum FirewallError {
    /// A program is not there.
    #[error("{program} is not in {}; install {package}", SEARCH_PATH.join(", "))]
    Missing {
        /// Its name.
        program: String,
        /// Where it comes from.
        package: &'static str,
    },
    /// It gave no exit code.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Another process held the xtables lock.
    #[error(
        "{program} could not get its turn within {wait} s, since another process is changing \
         the firewall (exit code 4): {stderr}: run it again"
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
    #[error("cannot understand what {program} printed: {source}")]
    Rubbish {
        /// The program.
        program: String,
        /// The first thing that is wrong with it.
        #[source]
        source: ParseError,
    },
    /// It may have left something out.
    #[error("{program} may not have shown everything, for it complained: {stderr}")]
    Incomplete {
        /// The program.
        program: String,
        /// What it said.
        stderr: String,
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
    /// There is nothing that has the layer.
    #[error("this kernel has no nf_tables, which the layer nftables needs")]
    NoNftables,
    /// It does not say which variant it is.
    #[error("cannot tell which variant {program} is: {reason}; say --variant nft or legacy")]
    NoVariant {
        /// The program.
        program: String,
        /// What it did instead.
        reason: String,
    },
    /// The kernel does not tell which tables there are.
    #[error("cannot tell which tables are in use: {0}")]
    TablesInUse(String),
}
