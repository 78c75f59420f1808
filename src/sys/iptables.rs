//! The iptables programs of one variant.
//!
//! `iptables-save -c` reads all tables of a family, and `iptables-restore --noflush` runs one
//! transaction. The module `programs` finds the programs.

mod programs;

use tracing::{debug, info};

pub(super) use self::programs::Programs;
use self::programs::{limit, query};
use super::error::FirewallError;
use super::program::{Output, ProgramError, Running, start};
use crate::policy::Family;
use crate::ruleset::iptables::parse;
use crate::ruleset::model::{Ruleset, Variant};

/// The programs of one variant.
#[derive(Debug, Clone)]
pub(super) struct Iptables {
    variant: Variant,
    wait: u32,
    families: Vec<(Family, Programs)>,
}

impl Iptables {
    /// Finds the programs of `variant` for the families. They wait at most `wait` seconds for the xtables
    /// lock, at least one second.
    ///
    /// # Errors
    /// A program is missing, or its variant is unknown.
    pub(super) fn find(
        variant: Variant,
        families: &[Family],
        wait: u32,
    ) -> Result<Self, FirewallError> {
        // iptables-legacy 1.8 waits without limit for `-w 0`, and without `-w`.
        let wait = wait.max(1);
        let families = families
            .iter()
            .map(|&family| Ok((family, programs::find(family, variant, wait)?)))
            .collect::<Result<_, FirewallError>>()?;
        Ok(Self {
            variant,
            wait,
            families,
        })
    }

    /// The variant of `iptables` on this host; `None` if there is no iptables.
    ///
    /// # Errors
    /// The variant is unknown.
    pub(super) fn host_variant(wait: u32) -> Result<Option<Variant>, FirewallError> {
        programs::host_variant(wait.max(1))
    }

    /// The error for a host without iptables.
    pub(super) fn missing() -> FirewallError {
        programs::missing("iptables")
    }

    /// The variant of these programs.
    pub(super) fn variant(&self) -> Variant {
        self.variant
    }

    /// Starts to read all tables of the family.
    pub(super) fn start_read(&self, family: Family) -> Result<Running, FirewallError> {
        let save = &self.programs(family)?.save;
        Ok(start(save, &["-c"], "", limit(self.wait))?)
    }

    /// Waits for the program of [`Self::start_read`], and parses its output.
    pub(super) fn read(&self, family: Family, running: Running) -> Result<Ruleset, FirewallError> {
        let program = self.programs(family)?.save.display().to_string();
        let output = running.finish()?;
        if output.code != 0 {
            return Err(FirewallError::Failed {
                program,
                code: output.code,
                stderr: output.stderr,
            });
        }
        parse::ruleset(family, &output.stdout)
            .map_err(|source| FirewallError::Unparsable { program, source })
    }

    /// Starts a transaction in the family.
    pub(super) fn start_transaction(
        &self,
        family: Family,
        input: &str,
    ) -> Result<Running, FirewallError> {
        let args = restore_args(self.wait);
        let args = args.each_ref().map(String::as_str);
        let restore = &self.programs(family)?.restore;
        Ok(start(restore, &args, input, limit(self.wait))?)
    }

    /// Waits for the program of [`Self::start_transaction`].
    pub(super) fn finish_transaction(
        &self,
        family: Family,
        running: Running,
    ) -> Result<(), FirewallError> {
        let program = self.programs(family)?.restore.display().to_string();
        let Output { code, stderr, .. } = running.finish()?;
        match code {
            0 => {
                if !stderr.is_empty() {
                    info!(%program, %stderr, "printed a warning");
                }
                Ok(())
            }
            // RESOURCE_PROBLEM (xtables.h): the lock is held, or the kernel refused the transaction.
            4 if stderr.contains("xtables lock") => Err(FirewallError::Busy {
                program,
                wait: self.wait,
                stderr,
            }),
            code => Err(FirewallError::Failed {
                program,
                code,
                stderr,
            }),
        }
    }

    /// The command line of a transaction in the family.
    pub(super) fn transaction_command(&self, family: Family) -> Vec<String> {
        let program = self.programs(family).ok();
        let program = program.map(|programs| programs.restore.display().to_string());
        program.into_iter().chain(restore_args(self.wait)).collect()
    }

    /// Whether this kernel supports the table, as iptables reports it. With the legacy variant the query
    /// creates the table, so call this only before a change of the table.
    ///
    /// # Errors
    /// iptables could not be run, or failed for another reason.
    pub(super) fn has_table(&self, family: Family, table: &str) -> Result<bool, FirewallError> {
        let programs = self.programs(family)?;
        let arguments = format!("-w {} -S OUTPUT", self.wait);
        let reply = query(&programs.iptables, table, &arguments, limit(self.wait))?;
        debug!(?reply, table, "queried the table");
        let program = programs.iptables.display().to_string();
        match reply.code {
            Some(0) => Ok(true),
            // VERSION_PROBLEM (xtables.h): the table cannot be created.
            Some(3) => Ok(false),
            // Not known: another process holds the lock, memory or privileges are missing.
            Some(code) => Err(FirewallError::Failed {
                program,
                code,
                stderr: reply.stderr,
            }),
            None => Err(FirewallError::Program(ProgramError::CannotRun {
                call: format!("{program} -t {table} {arguments}"),
                source: std::io::Error::other("a signal killed the program"),
            })),
        }
    }

    fn programs(&self, family: Family) -> Result<&Programs, FirewallError> {
        let of_family = self.families.iter().find(|(known, _)| *known == family);
        of_family
            .map(|(_, programs)| programs)
            .ok_or_else(Self::missing)
    }
}

fn restore_args(wait: u32) -> [String; 3] {
    ["--noflush".to_owned(), "-w".to_owned(), wait.to_string()]
}
