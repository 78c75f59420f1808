//! Finds the iptables programs of this host, and determines their variant.
//!
//! The crate `iptables` runs the queries. Its other functions report a failed query as an absent rule
//! or chain, so only its `execute` is used, in a child process with a time limit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::distribution::{Package, install_command};
use crate::policy::Family;
use crate::ruleset::model::Variant;
use crate::sys::SEARCH_PATH;
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

/// The variant of `iptables`. If there is no program with this name, the variant whose program exists,
/// nft first.
pub(super) fn host_variant(wait: u32) -> Result<Option<Variant>, FirewallError> {
    match program::find(&SEARCH_PATH, "iptables") {
        Some(path) => variant_of(&path, wait).map(Some),
        None => Ok([Variant::Nft, Variant::Legacy]
            .into_iter()
            .find(|variant| program::find(&SEARCH_PATH, &format!("iptables-{variant}")).is_some())),
    }
}

/// The variant of a program: by the name of the file that its links lead to, else by its `--version`.
fn variant_of(path: &Path, wait: u32) -> Result<Variant, FirewallError> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match real.file_name().and_then(|name| name.to_str()) {
        Some("xtables-nft-multi") => return Ok(Variant::Nft),
        Some("xtables-legacy-multi" | "xtables-multi") => return Ok(Variant::Legacy),
        _ => {}
    }
    let reply = query(path, "filter", "--version", limit(wait))?;
    // "iptables v1.8.9 (nf_tables)", "iptables v1.8.9 (legacy)", before 1.8 "iptables v1.6.1".
    let is_nft = reply.stdout.contains("(nf_tables)");
    let is_version = reply.code == Some(0) && reply.stdout.contains("tables v1.");
    if !is_version {
        return Err(FirewallError::NoVariant {
            program: path.display().to_string(),
            reason: match reply.code {
                Some(0) => "the output of --version is not that of iptables".to_owned(),
                Some(code) => format!("--version failed with exit code {code}"),
                None => "a signal killed --version".to_owned(),
            },
        });
    }
    Ok(if is_nft {
        Variant::Nft
    } else {
        Variant::Legacy
    })
}

pub(super) fn find(family: Family, variant: Variant, wait: u32) -> Result<Programs, FirewallError> {
    let plain = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let of = |base: &str| {
        Some(Programs {
            iptables: program::find(&SEARCH_PATH, base)?,
            save: program::find(&SEARCH_PATH, &format!("{base}-save"))?,
            restore: program::find(&SEARCH_PATH, &format!("{base}-restore"))?,
        })
    };
    let suffixed = format!("{plain}-{variant}");
    if let Some(programs) = of(&suffixed) {
        return Ok(programs);
    }
    // Distributions with only one variant have only the names without suffix.
    match of(plain) {
        Some(programs) if variant_of(&programs.iptables, wait)? == variant => Ok(programs),
        Some(_) => Err(missing(&suffixed)),
        None => Err(missing(plain)),
    }
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
