//! The iptables programs of one variant.
//!
//! `iptables-save -c` reads all tables of a family, and `iptables-restore --noflush` runs one
//! transaction. The module `programs` finds the programs.

mod programs;

use std::time::Duration;

use tracing::{debug, info};

pub(super) use self::programs::Programs;
use self::programs::{limit, query};
use super::error::FirewallError;
use super::program::{Output, ProgramError, Running, start};
use crate::policy::Family;
use crate::ruleset::iptables::parse;
use crate::ruleset::model::{ChainName, Ruleset, Table, Variant};
use crate::ruleset::{Layer, OwnChain};

/// The time limit of `iptables-nft-save`.
const SAVE_LIMIT: Duration = Duration::from_secs(5);

/// The additional time that a transaction gets for each id of an owner match: iptables looks it up as a
/// name first, and a directory may answer slowly.
const LOOKUP_LIMIT: Duration = Duration::from_millis(100);

/// A transaction that is running.
pub(super) struct RunningTransaction {
    running: Running,
    lookups: u32,
}

/// The programs of one variant.
#[derive(Debug, Clone)]
pub(super) struct Iptables {
    variant: Variant,
    wait: u32,
    /// The programs of each family, or the name of the one that is missing.
    families: Vec<(Family, Result<Programs, String>)>,
}

impl Iptables {
    /// Finds the programs of `variant` for the families. They wait at most `wait` seconds for the xtables
    /// lock, at least one second. The programs of some families may be missing.
    ///
    /// # Errors
    /// The programs of all families are missing, or the variant of one is unknown.
    pub(super) fn find(
        variant: Variant,
        families: &[Family],
        wait: u32,
    ) -> Result<Self, FirewallError> {
        // iptables-legacy 1.8 waits without limit for `-w 0`, and without `-w`.
        let wait = wait.max(1);
        let find = |family| match programs::find(family, variant, wait) {
            Ok(programs) => Ok((family, Ok(programs))),
            Err(FirewallError::Missing { program, .. }) => Ok((family, Err(program))),
            Err(error) => Err(error),
        };
        let families: Vec<(Family, Result<Programs, String>)> = families
            .iter()
            .copied()
            .map(find)
            .collect::<Result<_, FirewallError>>()?;
        let has_any = families.iter().any(|(_, programs)| programs.is_ok());
        if let [(_, Err(program)), ..] = families.as_slice()
            && !has_any
        {
            return Err(programs::missing(program));
        }
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
        let limit = match self.variant {
            // It takes no lock. A longer run starts over again and again, because another tool changes
            // the tables: then the tables that matter are read one by one.
            Variant::Nft => SAVE_LIMIT,
            Variant::Legacy => limit(self.wait),
        };
        Ok(start(save, &["-c"], "", limit)?)
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
    ) -> Result<RunningTransaction, FirewallError> {
        let count = |option| input.matches(option).count();
        let lookups = count(" --uid-owner ") + count(" --gid-owner ");
        let lookups = u32::try_from(lookups).unwrap_or(u32::MAX);
        let limit = limit(self.wait) + LOOKUP_LIMIT.saturating_mul(lookups);
        let args = restore_args(self.wait);
        let args = args.each_ref().map(String::as_str);
        let restore = &self.programs(family)?.restore;
        let running = start(restore, &args, input, limit)?;
        Ok(RunningTransaction { running, lookups })
    }

    /// Waits for the program of [`Self::start_transaction`].
    pub(super) fn finish_transaction(
        &self,
        family: Family,
        transaction: RunningTransaction,
    ) -> Result<(), FirewallError> {
        let program = self.programs(family)?.restore.display().to_string();
        let RunningTransaction { running, lookups } = transaction;
        let Output { code, stderr, .. } = running.finish().map_err(|error| match error {
            error @ ProgramError::TimedOut { .. } if lookups > 0 => {
                FirewallError::SlowLookups { lookups, error }
            }
            error => error.into(),
        })?;
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

    /// Reads one table: `iptables -S` reads less than `iptables-save`, which reads all tables, and starts
    /// over whenever another tool changes any of them. The table must exist.
    ///
    /// # Errors
    /// iptables could not be run, or cannot show the table.
    pub(super) fn table(&self, family: Family, table: &str) -> Result<Table, FirewallError> {
        let programs = self.programs(family)?;
        let program = programs.iptables.display().to_string();
        let wait = self.wait.to_string();
        let args = ["-w", &wait, "-t", table, "-S"];
        let output = start(&programs.iptables, &args, "", limit(self.wait))?.finish()?;
        if output.code != 0 {
            return Err(FirewallError::Failed {
                program: format!("{program} -t {table} -S"),
                code: output.code,
                stderr: output.stderr,
            });
        }
        parse::listing(family, table, &output.stdout)
            .map_err(|source| FirewallError::Unparsable { program, source })
    }

    /// Our chain of this name and those that it leads to, and whether our jump leads to it; empty if it
    /// does not exist. The table must exist.
    ///
    /// # Errors
    /// iptables could not be run, or reported neither the chain nor its absence.
    pub(super) fn own_chains(
        &self,
        family: Family,
        layer: Layer,
        root: ChainName,
    ) -> Result<Vec<OwnChain>, FirewallError> {
        let programs = self.programs(family)?;
        let ask = |arguments: &str| {
            let arguments = format!("-w {} {arguments}", self.wait);
            let reply = query(
                &programs.iptables,
                layer.name(),
                &arguments,
                limit(self.wait),
            )?;
            match reply.code {
                Some(0) => Ok(Some(reply.stdout)),
                // OTHER_PROBLEM (xtables.h), which is also the code of other failures.
                Some(1)
                    if reply.stderr.contains("by that name")
                        || reply.stderr.contains("does a matching rule exist") =>
                {
                    Ok(None)
                }
                code => Err(FirewallError::Failed {
                    program: format!("{} {arguments}", programs.iptables.display()),
                    code: code.unwrap_or(-1),
                    stderr: reply.stderr,
                }),
            }
        };
        let mut found: Vec<OwnChain> = Vec::new();
        let mut next = vec![root];
        while let Some(chain) = next.pop() {
            if found.iter().any(|own| own.chain == chain) {
                continue;
            }
            let Some(listing) = ask(&format!("-S {chain}"))? else {
                continue;
            };
            let jump = format!("-C {} -d {} -j {chain}", chain.hook.chain(), chain.address);
            found.push(OwnChain {
                layer,
                chain,
                jump: chain.is_root() && ask(&jump)?.is_some(),
            });
            let names = listing
                .split_whitespace()
                .filter_map(|word| word.parse().ok());
            next.extend(names.filter(|name: &ChainName| name.address == root.address));
        }
        Ok(found)
    }

    /// Checks that the programs of the family exist.
    ///
    /// # Errors
    /// A program is missing.
    pub(super) fn has_programs(&self, family: Family) -> Result<(), FirewallError> {
        self.programs(family).map(|_| ())
    }

    fn programs(&self, family: Family) -> Result<&Programs, FirewallError> {
        let of_family = self.families.iter().find(|(known, _)| *known == family);
        match of_family {
            Some((_, Ok(programs))) => Ok(programs),
            Some((_, Err(program))) => Err(programs::missing(program)),
            None => Err(Self::missing()),
        }
    }
}

fn restore_args(wait: u32) -> [String; 3] {
    ["--noflush".to_owned(), "-w".to_owned(), wait.to_string()]
}
