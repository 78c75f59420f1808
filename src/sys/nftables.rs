//! nft as a program: our table as it prints it, and one transaction for both families.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use tracing::info;

use super::SEARCH_PATH;
use super::firewall::FirewallError;
use super::kernel::{Package, how_to_install};
use super::program::{self, Output, ProgramError, Running, start};
use crate::ruleset::nftables::nat::{self, Listing};
use crate::ruleset::nftables::{OwnTable, TABLE, Unclear, parse};

/// How long nft may take: it waits for no lock but the kernel's own.
const LIMIT: Duration = Duration::from_secs(20);

const TRANSACTION: [&str; 2] = ["-f", "-"];

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

    /// Begins to read our table.
    pub(super) fn start_read(&self) -> Result<Running, ProgramError> {
        self.start_list("inet", TABLE)
    }

    /// Begins to read a table of someone else.
    pub(super) fn start_list(&self, family: &str, table: &str) -> Result<Running, ProgramError> {
        let args = ["-j", "list", "table", family, table];
        start(&self.program, &args, "", LIMIT)
    }

    /// Begins a transaction.
    pub(super) fn start_transaction(&self, input: &str) -> Result<Running, ProgramError> {
        start(&self.program, &TRANSACTION, input, LIMIT)
    }

    /// What [`Self::start_read`] gave.
    pub(super) fn read(&self, running: Running) -> Result<OwnTable, FirewallError> {
        self.printed(running, |printed| parse::table(printed))
    }

    /// What [`Self::start_list`] gave.
    pub(super) fn listed(&self, running: Running) -> Result<Listing, FirewallError> {
        self.printed(running, |printed| nat::listing(printed))
    }

    /// How a transaction ended.
    pub(super) fn ended(&self, running: Running) -> Result<(), FirewallError> {
        let output = self.succeeded(running.finish()?)?;
        if !output.stderr.is_empty() {
            info!(program = %self.name(), stderr = %output.stderr, "said");
        }
        Ok(())
    }

    /// A listing, read while it is printed. An nft that meets what only a later version knows
    /// complains, leaves it out, and ends with 0.
    fn printed<T>(
        &self,
        running: Running,
        read: impl FnOnce(&mut dyn Read) -> Result<T, Unclear>,
    ) -> Result<T, FirewallError> {
        let program = self.name();
        let output = self.succeeded(running.finish_reading(read)?)?;
        match output.stderr.is_empty() {
            true => output
                .stdout
                .map_err(|source| FirewallError::Unclear { program, source }),
            false => Err(FirewallError::Incomplete {
                program,
                stderr: output.stderr,
            }),
        }
    }

    fn succeeded<T>(&self, output: Output<T>) -> Result<Output<T>, FirewallError> {
        match output.code {
            0 => Ok(output),
            code => Err(FirewallError::Failed {
                program: self.name(),
                code,
                stderr: output.stderr,
            }),
        }
    }

    /// The command line of a transaction.
    pub(super) fn transaction_command(&self) -> Vec<String> {
        let args = TRANSACTION.map(str::to_owned);
        std::iter::once(self.name()).chain(args).collect()
    }

    fn name(&self) -> String {
        self.program.display().to_string()
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
        package: how_to_install(Package::Nftables),
    }
}
