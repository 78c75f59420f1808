//! iptables as programs: what one variant's tables say, and one transaction a family.
//!
//! Rules are read with `iptables-save -c` and written with `iptables-restore --noflush`; the
//! module `programs` finds them.

mod programs;

use tracing::{debug, info};

pub(super) use self::programs::Programs;
use self::programs::{ask, limit};
use super::error::FirewallError;
use super::program::{Output, ProgramError, Running, start};
use crate::policy::Family;
use crate::ruleset::iptables::parse;
use crate::ruleset::model::{Ruleset, Variant};

/// The programs of one variant.
#[derive(Debug)]
pub(super) struct Iptables {
    variant: Variant,
    wait: u32,
    families: Vec<(Family, Programs)>,
}

impl Iptables {
    /// Finds the programs of `variant` for the families. They wait at most `wait` seconds, and at
    /// least one, for the xtables lock.
    ///
    /// # Errors
    /// A program is missing, or the variant cannot be told.
    pub(super) fn find(
        variant: Variant,
        families: &[Family],
        wait: u32,
    ) -> Result<Self, FirewallError> {
        // To iptables-legacy 1.8, `-w 0` and no `-w` mean to wait without end.
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

    /// Which variant `iptables` on this host is; `None` where there is no iptables.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) fn host_variant(wait: u32) -> Result<Option<Variant>, FirewallError> {
        programs::host_variant(wait.max(1))
    }

    /// Why there is none.
    pub(super) fn missing() -> FirewallError {
        programs::missing("iptables")
    }

    /// Which variant it is.
    pub(super) fn variant(&self) -> Variant {
        self.variant
    }

    /// Begins to read all tables of the family.
    pub(super) fn start_read(&self, family: Family) -> Result<Running, FirewallError> {
        let save = &self.programs(family)?.save;
        Ok(start(save, &["-c"], "", limit(self.wait))?)
    }

    /// What [`Self::start_read`] gave.
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
            .map_err(|source| FirewallError::Rubbish { program, source })
    }

    /// Begins a transaction in the family.
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

    /// How it ended.
    pub(super) fn ended(&self, family: Family, running: Running) -> Result<(), FirewallError> {
        let program = self.programs(family)?.restore.display().to_string();
        let Output { code, stderr, .. } = running.finish()?;
        match code {
            0 => {
                if !stderr.is_empty() {
                    info!(%program, %stderr, "said");
                }
                Ok(())
            }
            // RESOURCE_PROBLEM (xtables.h) is a lock that others hold, and any other refusal of the
            // kernel's too, which may fare better after another look.
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

    /// Whether this kernel has the table, by asking iptables for it. With the legacy variant the
    /// question itself brings the table into being, so it is asked only on the way to writing it.
    ///
    /// # Errors
    /// iptables could not be asked, or could not tell.
    pub(super) fn has_table(&self, family: Family, table: &str) -> Result<bool, FirewallError> {
        let programs = self.programs(family)?;
        let question = format!("-w {} -S OUTPUT", self.wait);
        let answer = ask(&programs.ask, table, &question, limit(self.wait))?;
        debug!(?answer, table, "asked for the table");
        let program = programs.ask.display().to_string();
        match answer.code {
            Some(0) => Ok(true),
            // VERSION_PROBLEM (xtables.h): the table cannot be brought into being.
            Some(3) => Ok(false),
            // Anything else is no answer: a lock that others hold, no memory, no privilege.
            Some(code) => Err(FirewallError::Failed {
                program,
                code,
                stderr: answer.stderr,
            }),
            None => Err(FirewallError::Program(ProgramError::CannotRun {
                call: format!("{program} -t {table} {question}"),
                source: std::io::Error::other("a signal ended it"),
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
