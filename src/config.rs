//! Parses the configuration: TOML texts -> requests. No lookups, no I/O.
//!
//! `config.toml` and its drop-ins are merged: all entries for one address are one lockdown. It allows
//! the users and groups of all of them, and has the options of the first one, so that a drop-in can
//! add users but cannot change options. `layers` and `variant` stand above all tables and hold for the
//! host; the first file sets them. Anything unknown is an error with file, line and column;
//! nothing is skipped.
#![forbid(unsafe_code)]

mod edit;
mod parse;
pub mod trust;

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use crate::policy::{Address, AddressError, SubjectError};
use crate::ruleset::model::VariantChoice;
use crate::ruleset::{LayerChoice, LayersError};

pub use edit::with_lockdown;
pub use parse::{host_settings, parse};

/// The name of the tables, one for each lockdown.
const LOCKDOWN: &str = "lockdown";

/// A key of `[[lockdown]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name of the key.
    pub name: &'static str,
    /// The form of the value.
    pub form: &'static str,
    /// The meaning, in one paragraph.
    pub meaning: &'static str,
}

/// All keys of `[[lockdown]]`. The parser accepts these, and the manual page lists them.
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
        meaning: "Allowed users: names, uids, or ranges of uids. A number is always an id; \
                  \"name:20001\" is the user whose name is 20001. Without users and groups, nobody is \
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
        meaning: "true: lock only this address, not the other address of the metadata service. The default is \
                  false.",
    },
];

/// The keys above all tables, which hold for the host.
pub const HOST_KEYS: [Key; 2] = [
    Key {
        name: "layers",
        form: "[\"LAYER\", ...] or \"auto\"",
        meaning: "The layers to install the rules in: filter, nftables and security, as with --layers, \
                  which overrides it. Beside a tool that inserts rules above those of all others, such \
                  as Calico, use [\"nftables\"]. The default is \"auto\".",
    },
    Key {
        name: "variant",
        form: "\"auto\", \"nft\" or \"legacy\"",
        meaning: "Which iptables to use, as with --variant, which overrides it. The default is \
                  \"auto\".",
    },
];

/// What a configuration sets for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostSettings {
    /// The layers to install the rules in.
    pub layers: LayerChoice,
    /// The iptables variant.
    pub variant: VariantChoice,
}

/// One file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name of the file in messages.
    pub name: String,
    /// The content of the file.
    pub text: String,
}

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    file: String,
    line: usize,
    column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Source {
    /// The start of the span; the start of the file if there is none. Line and column count from 1.
    fn position(&self, span: Option<Range<usize>>) -> Position {
        let start = span.map_or(0, |span| span.start);
        let before = self.text.get(..start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            file: self.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before
                .get(line_start..)
                .map_or(0, |line| line.chars().count())
                + 1,
        }
    }
}

/// An error in a configuration, and its position.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{position}: {reason}")]
pub struct ConfigError {
    position: Position,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum Reason {
    #[error("{0}")]
    NotToml(String),
    #[error("there is no key `{key}` here")]
    UnknownKey {
        key: String,
        near: Option<&'static str>,
    },
    #[error("`{key}` is set for the host, not for one [[{LOCKDOWN}]]")]
    HostKey { key: &'static str },
    #[error("[[{LOCKDOWN}]] has no address")]
    NoAddress,
    #[error("`{key}` must be {expected}, not {actual}")]
    WrongValue {
        key: &'static str,
        expected: &'static str,
        actual: String,
    },
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error("`{key}` conflicts with {other}, which configures the same address")]
    Conflict { key: &'static str, other: Position },
    #[error("`{key}` conflicts with {other}: the first file sets it for the host")]
    HostConflict { key: &'static str, other: Position },
    #[error(transparent)]
    Layers(#[from] LayersError),
    #[error(
        "this [[{LOCKDOWN}]] locks both addresses of the metadata service, but {other} locks {address} \
         alone"
    )]
    Overlap { address: Address, other: Position },
}

impl ConfigError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match &self.reason {
            Reason::UnknownKey { near, .. } => {
                near.map(|near| format!("a similar key exists: `{near}`"))
            }
            Reason::NoAddress => Some("add one, such as address = \"169.254.169.254\"".to_owned()),
            Reason::WrongValue { key: LOCKDOWN, .. } => {
                Some(format!("write it with two brackets: [[{LOCKDOWN}]]"))
            }
            Reason::Address(error) => error.help(),
            Reason::Subject(error) => error.help(),
            Reason::Conflict { .. } | Reason::HostConflict { .. } => {
                Some("remove it here, or make both the same".to_owned())
            }
            Reason::HostKey { .. } => Some("move it above the first [[lockdown]]".to_owned()),
            Reason::Overlap { .. } => Some("set `only` to the same value in both".to_owned()),
            Reason::NotToml(_) | Reason::WrongValue { .. } | Reason::Layers(_) => None,
        }
    }
}
