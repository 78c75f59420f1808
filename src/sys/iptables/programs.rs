//! Which programs are iptables on this host, and which variant they are.
//!
//! The crate `iptables` asks them. Its own look-ups take a failed look for "absent", so only its
//! `execute` is used, in a child process that is ended when it takes too long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::policy::Family;
use crate::ruleset::model::Variant;
use crate::sys::SEARCH_PATH;
use crate::sys::child::{Child, reports};
use crate::sys::firewall::FirewallError;
use crate::sys::kernel::how_to_install_iptables;
use crate::sys::program::{self, ProgramError};

/// What a program gets on top of the time it may wait for the xtables lock.
const PROGRAM_LIMIT: Duration = Duration::from_secs(10);

/// How long a program may take that waits at most `wait` seconds for the xtables lock.
pub(super) fn limit(wait: u32) -> Duration {
    PROGRAM_LIMIT + Duration::from_secs(wait.into())
}

/// The programs of one family.
#[derive(Debug, Clone)]
pub(in crate::sys) struct Programs {
    pub(super) ask: PathBuf,
    pub(super) save: PathBuf,
    pub(super) restore: PathBuf,
}

/// What `iptables` on this host is; where there is no program of that name, whichever is there.
pub(super) fn host_variant(wait: u32) -> Result<Option<Variant>, FirewallError> {
    match program::find(&SEARCH_PATH, "iptables") {
        Some(path) => variant_of(&path, wait).map(Some),
        None => Ok([Variant::Nft, Variant::Legacy]
            .into_iter()
            .find(|variant| program::find(&SEARCH_PATH, &format!("iptables-{variant}")).is_some())),
    }
}

/// The variant by the program that the links lead to, else by what it says of itself.
fn variant_of(path: &Path, wait: u32) -> Result<Variant, FirewallError> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match real.file_name().and_then(|name| name.to_str()) {
        Some("xtables-nft-multi") => return Ok(Variant::Nft),
        Some("xtables-legacy-multi" | "xtables-multi") => return Ok(Variant::Legacy),
        _ => {}
    }
    let answer = ask(path, "filter", "--version", limit(wait))?;
    // "iptables v1.8.9 (nf_tables)", "iptables v1.8.9 (legacy)", before 1.8 "iptables v1.6.1".
    let nft = answer.stdout.contains("(nf_tables)");
    let is_version = answer.code == Some(0) && answer.stdout.contains("tables v1.");
    match (is_version, nft) {
        (true, true) => Ok(Variant::Nft),
        (true, false) => Ok(Variant::Legacy),
        (false, _) => Err(FirewallError::NoVariant {
            program: path.display().to_string(),
            reason: match answer.code {
                Some(0) => "its --version says nothing that iptables says".to_owned(),
                Some(code) => format!("its --version ended with exit code {code}"),
                None => "its --version was ended by a signal".to_owned(),
            },
        }),
    }
}

pub(super) fn find(family: Family, variant: Variant, wait: u32) -> Result<Programs, FirewallError> {
    let plain = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let of = |base: &str| {
        Some(Programs {
            ask: program::find(&SEARCH_PATH, base)?,
            save: program::find(&SEARCH_PATH, &format!("{base}-save"))?,
            restore: program::find(&SEARCH_PATH, &format!("{base}-restore"))?,
        })
    };
    let suffixed = format!("{plain}-{variant}");
    if let Some(programs) = of(&suffixed) {
        return Ok(programs);
    }
    // Distributions that ship one variant only call it by the plain name.
    match of(plain) {
        Some(programs) if variant_of(&programs.ask, wait)? == variant => Ok(programs),
        Some(_) => Err(missing(&suffixed)),
        None => Err(missing(plain)),
    }
}

pub(super) fn missing(program: &str) -> FirewallError {
    FirewallError::Missing {
        program: program.to_owned(),
        package: how_to_install_iptables(),
    }
}

/// What `iptables -t TABLE QUESTION` answered; no code when a signal ended it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Answer {
    pub(super) code: Option<i32>,
    stdout: String,
    pub(super) stderr: String,
}

/// Asks by the crate `iptables`, in a child: the crate knows no time limit. The environment was
/// emptied when this process began, and the program's path is absolute.
pub(super) fn ask(
    program: &Path,
    table: &str,
    question: &str,
    limit: Duration,
) -> Result<Answer, FirewallError> {
    let shown = format!("{} -t {table} {question}", program.display());
    let cannot_run = |reason: String| {
        ProgramError::CannotRun {
            call: shown.clone(),
            source: std::io::Error::other(reason),
        }
        .into()
    };
    let child = Child::start(|| {
        let iptables = iptables::IPTables {
            // The crate wants it for the rest of the program's life; this child's is short.
            cmd: String::leak(program.display().to_string()),
            has_check: true,
            has_wait: false,
            is_numeric: true,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the child that is ended when it takes too long"
        )]
        let answer = iptables.execute(table, question);
        answer
            .map(|output| Answer {
                code: output.status.code(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            })
            .map_err(|error| error.to_string())
    })
    .map_err(|errno| cannot_run(format!("fork: {errno}")))?;
    match reports::<Result<Answer, String>>(vec![child], limit).pop() {
        Some(Ok(Ok(answer))) => Ok(answer),
        Some(Ok(Err(reason))) => Err(cannot_run(reason)),
        Some(Err(reason)) => Err(cannot_run(reason.to_string())),
        None => Err(cannot_run("no child".to_owned())),
    }
}
