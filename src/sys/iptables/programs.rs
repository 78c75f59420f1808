//! Finds the iptables programs of this host, and determines their variant.
//!
//! The crate `iptables` runs the queries. Its other functions report a failed query as an absent rule
//! or chain, so only its `execute` is used, in a child process with a time limit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::distribution::{Package, install_command};
use crate::host::iptables::{
    VARIANTS, choose, name, plain_name, variant_of_file, variant_of_version,
};
use crate::policy::Family;
use crate::ruleset::model::Variant;
use crate::sys::child::{Child, reports};
use crate::sys::error::FirewallError;
use crate::sys::kernel::os_release;
use crate::sys::program::{self, ProgramError};

/// The time limit of a program, without the time that it waits for the xtables lock.
const PROGRAM_LIMIT: Duration = Duration::from_secs(10);

/// The time limit of a program that waits at most `wait` seconds for the xtables lock.
pub(super) fn limit(wait: u32) -> Duration {
    PROGRAM_LIMIT + Duration::from_secs(wait.into())
}

/// The programs of one family.
#[derive(Debug, Clone)]
pub(in crate::sys) struct Programs {
    pub(super) iptables: PathBuf,
    pub(super) save: PathBuf,
    pub(super) restore: PathBuf,
}

/// The variant of `iptables`. If there is no program with this name, the first variant that has one.
pub(super) fn host_variant(wait: u32) -> Result<Option<Variant>, FirewallError> {
    if let Some(path) = program::find(plain_name(Family::V4))? {
        return variant_of(&path, wait).map(Some);
    }
    for variant in VARIANTS {
        if program::find(&name(Family::V4, variant))?.is_some() {
            return Ok(Some(variant));
        }
    }
    Ok(None)
}

/// The variant of a program: by the name of the file that its links lead to, else by its `--version`.
fn variant_of(path: &Path, wait: u32) -> Result<Variant, FirewallError> {
    let file = std::fs::canonicalize(path).ok();
    if let Some(variant) = file.as_deref().and_then(variant_of_file) {
        return Ok(variant);
    }
    let reply = query(path, "filter", "--version", limit(wait))?;
    variant_of_version(reply.code, &reply.stdout).map_err(|reason| FirewallError::NoVariant {
        program: path.display().to_string(),
        reason,
    })
}

/// The programs of the variant.
pub(super) fn find(family: Family, variant: Variant, wait: u32) -> Result<Programs, FirewallError> {
    let named = find_named(&name(family, variant))?;
    let mut plain = None;
    if named.is_none()
        && let Some(programs) = find_named(plain_name(family))?
    {
        let found = variant_of(&programs.iptables, wait)?;
        plain = Some((programs, found));
    }
    choose(family, variant, named, plain).map_err(|program| missing(&program))
}

/// The programs with this name; `None` if one is missing.
fn find_named(name: &str) -> Result<Option<Programs>, FirewallError> {
    let find = |end: &str| program::find(&format!("{name}{end}"));
    let programs = (find("")?, find("-save")?, find("-restore")?);
    Ok(match programs {
        (Some(iptables), Some(save), Some(restore)) => Some(Programs {
            iptables,
            save,
            restore,
        }),
        _ => None,
    })
}

pub(super) fn missing(program: &str) -> FirewallError {
    FirewallError::Missing {
        program: program.to_owned(),
        install: install_command(&os_release(), Package::Iptables),
    }
}

/// The result of `iptables -t TABLE ARGUMENTS`. There is no code if a signal killed the program.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Reply {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs iptables with the crate `iptables`, in a child, because the crate has no time limit. `commands::main`
/// has cleared the environment, and the path is absolute.
pub(super) fn query(
    program: &Path,
    table: &str,
    arguments: &str,
    limit: Duration,
) -> Result<Reply, FirewallError> {
    let call = format!("{} -t {table} {arguments}", program.display());
    let cannot_run = |reason: String| {
        ProgramError::CannotRun {
            call: call.clone(),
            source: std::io::Error::other(reason),
        }
        .into()
    };
    let child = Child::start(|| {
        let iptables = iptables::IPTables {
            // The crate requires a 'static text; the child ends soon.
            cmd: String::leak(program.display().to_string()),
            has_check: true,
            has_wait: false,
            is_numeric: true,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "this runs in a child with a time limit"
        )]
        let result = iptables.execute(table, arguments);
        result
            .map(|output| Reply {
                code: output.status.code(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            })
            .map_err(|error| error.to_string())
    })
    .map_err(|errno| cannot_run(format!("fork: {errno}")))?;
    match reports::<Result<Reply, String>>(vec![child], limit).pop() {
        Some(Ok(Ok(reply))) => Ok(reply),
        Some(Ok(Err(reason))) => Err(cannot_run(reason)),
        Some(Err(reason)) => Err(cannot_run(reason.to_string())),
        None => Err(cannot_run("no child".to_owned())),
    }
}
