//! The layer `nftables` in the kernel, and nft as the program that shows tables of others.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::SEARCH_PATH;
use super::error::FirewallError;
use super::netlink::{self, Refusal, State};
use super::program::{self, ProgramError, Running, start};
use crate::ruleset::nftables::nat::{self, Listing};
use crate::ruleset::nftables::{Operation, OwnTable, decode, encode, render};

/// How often our table is read again while others change what is in nf_tables.
const TRIES: usize = 10;

/// Our table, if there is one.
///
/// # Errors
/// The kernel could not be asked, or its answer is not understood.
pub(super) fn own_table(state: &State) -> io::Result<Option<OwnTable>> {
    let mut newer = None;
    for _ in 0..TRIES {
        let state = newer.as_ref().unwrap_or(state);
        let Some(table) = state.ours() else {
            return Ok(None);
        };
        if let Some(rules) = netlink::own_rules(state)? {
            let own = decode::own_table(table, &state.chains, rules);
            return own.map(Some).ok_or_else(netlink::unclear);
        }
        newer = Some(netlink::state()?.unwrap_or_default());
    }
    Err(netlink::always_changed())
}

/// Runs a transaction.
///
/// # Errors
/// The kernel refused it, or could not be asked; then nothing is changed. (Of an answer that is
/// lost or not understood, only the next look says what came of it.)
pub(super) fn run(operations: &[Operation]) -> Result<(), FirewallError> {
    let answer = netlink::transact(&encode::transaction(operations));
    let answer = answer.map_err(|source| FirewallError::Refused {
        what: "a transaction".to_owned(),
        source,
    })?;
    answer.map_err(|Refusal { message, errno }| {
        let text = render::transaction(operations);
        let line = usize::try_from(message)
            .ok()
            .and_then(|message| message.checked_sub(1));
        let line = line.and_then(|line| text.lines().nth(line));
        FirewallError::Refused {
            what: line.map_or_else(|| "a transaction".to_owned(), |line| format!("`{line}`")),
            source: errno.into(),
        }
    })
}

/// How long nft may take: it waits for no lock but the kernel's own.
const LIMIT: Duration = Duration::from_secs(20);

/// The program nft.
#[derive(Debug, Clone)]
pub(super) struct Nft {
    program: PathBuf,
}

impl Nft {
    /// The program, if it is there.
    pub(super) fn find() -> Option<Self> {
        let program = program::find(&SEARCH_PATH, "nft")?;
        Some(Self { program })
    }

    /// Begins to list a table of someone else.
    pub(super) fn start_list(&self, family: &str, table: &str) -> Result<Running, ProgramError> {
        let args = ["-j", "list", "table", family, table];
        start(&self.program, &args, "", LIMIT)
    }

    /// What [`Self::start_list`] gave. An nft that meets what only a later version knows
    /// complains, leaves it out, and ends with 0.
    pub(super) fn listed(&self, running: Running) -> Result<Listing, FirewallError> {
        let program = self.program.display().to_string();
        let output = running.finish_reading(|printed| nat::listing(printed))?;
        let (code, stderr) = (output.code, output.stderr);
        match (code, stderr.is_empty()) {
            (0, true) => output
                .stdout
                .map_err(|source| FirewallError::Unclear { program, source }),
            (0, false) => Err(FirewallError::Incomplete { program, stderr }),
            _ => Err(FirewallError::Failed {
                program,
                code,
                stderr,
            }),
        }
    }
}

/// Whether nft reads the name as one word (its scanner.l).
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_.".contains(letter);
    name.starts_with(|letter: char| letter.is_ascii_alphabetic() || "_.".contains(letter))
        && name.chars().all(plain)
}

/// Why there is no nft.
pub(super) fn missing() -> FirewallError {
    FirewallError::Missing {
        program: "nft".to_owned(),
        install: "the package nftables of this distribution",
    }
}
