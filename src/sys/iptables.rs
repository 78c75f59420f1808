//! iptables as programs: what the firewall says, and one transaction a family.
//!
//! Rules are read with `iptables-save -c` and written with `iptables-restore --noflush`, a
//! process a family each, both families at the same time. the module `programs` finds them.

mod programs;

use std::io;
use std::time::Duration;

use thiserror::Error;
use tracing::{debug, info};

use self::programs::{Programs, ask, host_variant};
use super::kernel::{LegacyTables, legacy_tables};
use super::nftables;
use super::program::{Output, ProgramError, Running, start};
use crate::policy::Family;
use crate::ruleset::model::{Ruleset, Variant};
use crate::ruleset::parse::{self, ParseError};
use crate::verify::{Native, Observation, Seen};

/// Where programs are looked for, and nowhere else.
pub const SEARCH_PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Why iptables could not be used.
#[derive(Debug, Error)]
pub enum IptablesError {
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
    /// Another process held the xtables lock, or changed rules all the time.
    #[error(
        "{program} could not get its turn within {wait} s, since another process is changing \
         the firewall (exit code 4): {stderr}; what stood still stands: run it again"
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
    #[error("{program} failed with exit code {code}: {stderr}; what stood still stands")]
    Failed {
        /// The program.
        program: String,
        /// Its exit code.
        code: u32,
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
    /// It does not say which variant it is.
    #[error("cannot tell which variant {program} is: {reason}; say --variant nft or legacy")]
    NoVariant {
        /// The program.
        program: String,
        /// What it did instead.
        reason: String,
    },
    /// The kernel does not tell which tables there are.
    #[error("cannot tell which tables of iptables are in use: {0}")]
    TablesInUse(#[source] std::io::Error),
}

/// The programs of one variant.
#[derive(Debug)]
pub struct Iptables {
    variant: Variant,
    wait: u32,
    families: Vec<(Family, Programs)>,
}

impl Iptables {
    /// Finds the programs of `variant` (`None`: whatever `iptables` means on this host) for the
    /// families. They wait at most `wait` seconds, and at least one, for the xtables lock.
    ///
    /// # Errors
    /// A program is missing, or the variant cannot be told.
    pub fn find(
        variant: Option<Variant>,
        families: &[Family],
        wait: u32,
    ) -> Result<Self, IptablesError> {
        // To iptables-legacy 1.8, `-w 0` and no `-w` mean to wait without end.
        let wait = wait.max(1);
        let variant = match variant {
            Some(variant) => variant,
            None => host_variant(wait)?,
        };
        let families = families
            .iter()
            .map(|&family| Ok((family, programs::find(family, variant, wait)?)))
            .collect::<Result<_, IptablesError>>()?;
        Ok(Self {
            variant,
            wait,
            families,
        })
    }

    /// Which variant it is.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Whether a change would bring the first legacy tables into being on a host whose `iptables`
    /// is iptables-nft.
    #[must_use]
    pub fn brings_legacy_to_nft_host(&self) -> bool {
        let unused =
            |family| matches!(legacy_tables(family), Ok(tables) if tables != LegacyTables::InUse);
        self.variant == Variant::Legacy
            && self.families.iter().all(|&(family, _)| unused(family))
            && host_variant(self.wait).is_ok_and(|variant| variant == Variant::Nft)
    }

    /// Reads every family of this variant and, where it has rules, of the other one: all at the
    /// same time. Changes nothing, and brings no legacy table into being.
    #[must_use]
    pub fn observe(&self) -> Observation {
        let native = native();
        let mut looks = self.own_looks(&native);
        let own = looks.len();
        let other = self.variant.other();
        for &(family, _) in &self.families {
            match in_use(other, family, &native) {
                Ok(false) => {}
                Ok(true) => {
                    let found = programs::find(family, other, self.wait);
                    looks.push((family, found.map(Some)));
                }
                Err(error) => looks.push((family, Err(error))),
            }
        }
        let mut families = self.read_all(looks);
        let other = families.split_off(own);
        Observation {
            variant: self.variant,
            families,
            other,
            native: native.map_err(|error| error.to_string()),
        }
    }

    /// Reads this variant again, after a change that did not concern the other one.
    #[must_use]
    pub fn observe_again(&self, before: Observation) -> Observation {
        Observation {
            families: self.read_all(self.own_looks(&native())),
            ..before
        }
    }

    /// Where no table is in use there is no rule, and no program has to say so.
    fn own_looks(&self, native: &io::Result<Native>) -> Vec<Look> {
        let look = |family, programs: &Programs| match in_use(self.variant, family, native) {
            Ok(in_use) => Ok(in_use.then(|| programs.clone())),
            // iptables-nft-save asks the kernel again and says so if it cannot; where the lists of
            // legacy tables cannot be read, iptables-legacy-save shows none.
            Err(_) if self.variant == Variant::Nft => Ok(Some(programs.clone())),
            Err(error) => Err(error),
        };
        self.families
            .iter()
            .map(|(family, programs)| (*family, look(*family, programs)))
            .collect()
    }

    fn read_all(&self, looks: Vec<Look>) -> Vec<(Family, Seen)> {
        let started: Vec<_> = looks
            .into_iter()
            .map(|(family, programs)| {
                let started = programs.and_then(|programs| {
                    programs
                        .map(|programs| self.start_read(&programs))
                        .transpose()
                });
                (family, started)
            })
            .collect();
        started
            .into_iter()
            .map(|(family, started)| {
                let seen = started.and_then(|started| match started {
                    None => Ok(Ruleset::empty(family)),
                    Some((program, running)) => read(family, program, running),
                });
                (family, seen.map_err(|error| error.to_string()))
            })
            .collect()
    }

    fn start_read(&self, programs: &Programs) -> Result<(String, Running), IptablesError> {
        let running = start(&programs.save, &["-c"], "", self.limit())?;
        Ok((programs.save.display().to_string(), running))
    }

    /// The same for the other variant, in the families where it has rules.
    ///
    /// # Errors
    /// It has rules but its programs are missing.
    pub fn other(&self) -> Result<Self, IptablesError> {
        let (other, native) = (self.variant.other(), native());
        let mut families = Vec::new();
        for &(family, _) in &self.families {
            if in_use(other, family, &native)? {
                families.push(family);
            }
        }
        Self::find(Some(other), &families, self.wait)
    }

    /// Runs the transactions, one process a family, at the same time.
    #[must_use]
    pub fn restore(
        &self,
        transactions: &[(Family, String)],
    ) -> Vec<(Family, Result<(), IptablesError>)> {
        let started: Vec<_> = self
            .families
            .iter()
            .filter_map(|(family, programs)| {
                let (_, input) = transactions.iter().find(|(of, _)| of == family)?;
                let args = restore_args(self.wait);
                let args = args.each_ref().map(String::as_str);
                let running = start(&programs.restore, &args, input, self.limit());
                Some((*family, &programs.restore, running))
            })
            .collect();
        started
            .into_iter()
            .map(|(family, program, running)| {
                let ended = running.and_then(Running::finish);
                let program = program.display().to_string();
                (family, self.restored(program, ended))
            })
            .collect()
    }

    fn restored(
        &self,
        program: String,
        ended: Result<Output, ProgramError>,
    ) -> Result<(), IptablesError> {
        let Output { code, stderr, .. } = ended?;
        match code {
            0 => {
                if !stderr.is_empty() {
                    info!(%program, %stderr, "said");
                }
                Ok(())
            }
            // RESOURCE_PROBLEM (xtables.h) is a lock that others hold, and any other refusal of the
            // kernel's too.
            4 if is_contention(&stderr) => Err(IptablesError::Busy {
                program,
                wait: self.wait,
                stderr,
            }),
            code => Err(IptablesError::Failed {
                program,
                code,
                stderr,
            }),
        }
    }

    /// The command line that [`Self::restore`] runs for the family.
    #[must_use]
    pub fn restore_command(&self, family: Family) -> Vec<String> {
        let program = self
            .families
            .iter()
            .find(|(of, _)| *of == family)
            .map(|(_, programs)| programs.restore.display().to_string());
        let args = restore_args(self.wait);
        program.into_iter().chain(args).collect()
    }

    /// Whether this kernel has the table, by asking iptables for it. With the legacy variant the
    /// question itself brings the table into being, so it is asked only on the way to writing it.
    ///
    /// # Errors
    /// iptables could not be asked, or could not tell.
    pub fn has_table(&self, family: Family, table: &str) -> Result<bool, IptablesError> {
        let Some((_, programs)) = self.families.iter().find(|(of, _)| *of == family) else {
            return Ok(false);
        };
        let question = format!("-w {} -S OUTPUT", self.wait);
        let answer = ask(&programs.ask, table, &question, self.limit())?;
        debug!(?answer, table, "asked for the table");
        let program = programs.ask.display().to_string();
        match answer.code {
            Some(0) => Ok(true),
            // VERSION_PROBLEM (xtables.h): the table cannot be brought into being.
            Some(3) => Ok(false),
            // Anything else is no answer: a lock that others hold, no memory, no privilege.
            Some(code) => Err(IptablesError::Failed {
                program,
                code: code.unsigned_abs(),
                stderr: answer.stderr,
            }),
            None => Err(IptablesError::Program(ProgramError::CannotRun {
                call: format!("{program} -t {table} {question}"),
                source: std::io::Error::other("a signal ended it"),
            })),
        }
    }

    fn limit(&self) -> Duration {
        programs::limit(self.wait)
    }
}

/// Whether the program says that others were at it; it changes the advice, nothing else.
fn is_contention(stderr: &str) -> bool {
    ["xtables lock", "temporarily unavailable", "resource busy"]
        .iter()
        .any(|text| stderr.contains(text))
}

fn native() -> io::Result<Native> {
    Ok(Native {
        tables: nftables::tables()?,
        nat: nftables::nat_chains()?,
    })
}

/// Whether tables of the variant's kind are in use in the family: the kernel tells by itself.
fn in_use(
    variant: Variant,
    family: Family,
    native: &io::Result<Native>,
) -> Result<bool, IptablesError> {
    match (variant, native) {
        (Variant::Legacy, _) => legacy_tables(family)
            .map(|tables| tables == LegacyTables::InUse)
            .map_err(IptablesError::TablesInUse),
        (Variant::Nft, Ok(native)) => Ok(native.tables.iter().any(|table| table.family == family)),
        (Variant::Nft, Err(error)) => Err(IptablesError::TablesInUse(io::Error::other(
            error.to_string(),
        ))),
    }
}

/// A family to read, with the programs for it; none where no table is in use.
type Look = (Family, Result<Option<Programs>, IptablesError>);

fn read(family: Family, program: String, running: Running) -> Result<Ruleset, IptablesError> {
    let output = running.finish()?;
    if output.code != 0 {
        return Err(IptablesError::Failed {
            program,
            code: output.code,
            stderr: output.stderr,
        });
    }
    parse::ruleset(family, &output.stdout)
        .map_err(|source| IptablesError::Rubbish { program, source })
}

fn restore_args(wait: u32) -> [String; 3] {
    ["--noflush".to_owned(), "-w".to_owned(), wait.to_string()]
}
