//! The configuration: TOML text -> policies whose names are not looked up yet. No look-ups, no I/O.
//!
//! `config.toml` and the drop-ins beside it count as one text: entries for one address are one
//! lockdown, whose users and groups are those of all of them, and whose options those of the first:
//! a drop-in cannot widen what `config.toml` says. Whatever cannot be understood is an
//! error with its place; nothing is skipped.
#![forbid(unsafe_code)]

mod edit;
mod parse;

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use crate::policy::{Address, AddressError, SubjectError};

pub use edit::with_lockdown;
pub use parse::parse;

/// The table of a lockdown.
const LOCKDOWN: &str = "lockdown";

/// A key of `[[lockdown]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub form: &'static str,
    /// What it means, in one paragraph.
    pub meaning: &'static str,
}

/// All keys of `[[lockdown]]`: what is accepted, and the manual page.
pub const KEYS: [Key; 5] = [
    Key {
        name: "address",
        form: "\"ADDRESS\"",
        meaning: "The address to lock: IPv4 or IPv6. Either address of the metadata service \
                  (169.254.169.254, fd00:ec2::254) locks both. Required.",
    },
    Key {
        name: "users",
        form: "[\"NAME\", UID, \"UID-UID\"]",
        meaning: "Allowed users: names, uids, or ranges of uids. Without users and groups, nobody is \
                  allowed.",
    },
    Key {
        name: "groups",
        form: "[\"NAME\", GID]",
        meaning: "Groups whose members are allowed, including supplementary members.",
    },
    Key {
        name: "forwarded",
        form: "\"refuse\" or \"allow\"",
        meaning: "How to treat packets that this host routes or bridges for containers and VMs. \
                  The default is \"refuse\".",
    },
    Key {
        name: "only",
        form: "true or false",
        meaning: "Whether to leave out the other address of the metadata service. The default is \
                  false.",
    },
];

/// One file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is called in messages.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    file: String,
    line: usize,
    column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Source {
    /// Line and column, both from 1, of a span; of the file's beginning if there is none.
    fn place(&self, span: Option<Range<usize>>) -> Place {
        let start = span.map_or(0, |span| span.start);
        let before = self.text.get(..start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: self.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before
                .get(line_start..)
                .map_or(0, |line| line.chars().count())
                + 1,
        }
    }
}

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: {reason}")]
pub struct ConfigError {
    place: Place,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum Reason {
    #[error("{0}")]
    NotToml(String),
    #[error("there is no key `{key}` here{}", did_you_mean(*near))]
    UnknownKey {
        key: String,
        near: Option<&'static str>,
    },
    #[error("[[{LOCKDOWN}]] needs an address, such as address = \"169.254.169.254\"")]
    NoAddress,
    #[error("`{key}` takes {takes}, this is {is}")]
    WrongType {
        key: &'static str,
        takes: &'static str,
        is: &'static str,
    },
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error(
        "`{key}` is not what holds by {other} for this address; leave it out here, or say the same there"
    )]
    Contradiction { key: &'static str, other: Place },
    #[error(
        "{0} is locked by {1} already, with the other address of the metadata service; give both entries the same `only`"
    )]
    Overlap(Address, Place),
}

fn did_you_mean(near: Option<&'static str>) -> String {
    match near {
        Some(key) => format!("; did you mean `{key}`?"),
        None => String::new(),
    }
}
