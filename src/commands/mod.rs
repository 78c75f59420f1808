//! One file a command: wiring between the policy, the firewall and the findings.
//!
//! ```text
//! argv, configuration -> words -> policy (names resolved to ids) -> desired rules --+
//!                                                                                  +-> plan
//! iptables-save, netlink ---------------------------------> observed rules --------+
//!                                          plan -> transaction -> read back -> probes -> findings
//! ```
//! Input is checked before anything is looked at, and privileges before anything is tried.

mod apply;
mod boot;
mod config;
mod enable;
mod enforce;
mod generate;
mod inspect;
mod layers;
mod remove;
mod report;
mod status;
mod trust_policy;
mod verify;
mod words;

use std::ffi::OsString;

use thiserror::Error;
use tracing::error;

use crate::cli::{Cli, Command, CommonArgs, Format, VariantChoice, asks_for_json};
use crate::exit_code::ExitCode;
use crate::logging;
use crate::policy::{AddressError, Family, SubjectError};
use crate::ruleset::model::Variant;
use crate::sys::accounts::AccountError;
use crate::sys::config::WriteError;
use crate::sys::firewall::{Firewall, FirewallError};
use crate::sys::lock::LockError;
use crate::sys::privileges::PrivilegeError;
use crate::sys::systemd::SystemdError;
use crate::sys::{self, kernel, privileges};

/// Why a command did not come to its end.
#[derive(Debug, Error)]
enum CommandError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error("{0} is not valid UTF-8")]
    NotUtf8(String),
    #[error(transparent)]
    Config(#[from] config::ConfigFailure),
    #[error(transparent)]
    WriteConfig(#[from] WriteError),
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    #[error("cannot tell which units start at boot: {0}")]
    Units(#[source] std::io::Error),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Firewall(#[from] FirewallError),
    #[error("{0}: leave the layer nftables out, or say --layers auto")]
    NotForNftables(&'static str),
    #[error("{0}, so it takes iptables: {1}")]
    NeedsIptables(&'static str, #[source] FirewallError),
    #[error("cannot tell whether this kernel has IPv6: {0}")]
    Ipv6(#[source] std::io::Error),
    #[error("this kernel has no {0}, so there is nothing to lock {1} with")]
    NoFamily(Family, crate::policy::Target),
    #[error(transparent)]
    TrustPolicy(#[from] trust_policy::TrustPolicyError),
    #[error("cannot write the result: {0}")]
    Write(#[from] std::io::Error),
}

impl CommandError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Address(_)
            | Self::Subject(_)
            | Self::NotUtf8(_)
            | Self::NotForNftables(_)
            | Self::Config(_)
            | Self::TrustPolicy(_)
            | Self::Account(AccountError::Unknown { .. } | AccountError::BadId { .. }) => {
                ExitCode::BadInput
            }
            Self::Account(AccountError::LookUp { .. })
            | Self::Privilege(_)
            | Self::Lock(_)
            | Self::Firewall(_)
            | Self::NeedsIptables(..)
            | Self::Ipv6(_)
            | Self::WriteConfig(_)
            | Self::Systemd(_)
            | Self::Units(_)
            | Self::NoFamily(..)
            | Self::Write(_) => ExitCode::Incomplete,
        }
    }
}

/// The whole program: words in, the program's name first; exit code out.
#[must_use]
pub fn main(words: &[OsString]) -> ExitCode {
    match Cli::from_words(words.to_vec()) {
        Err(error) => bad_words(words, &error),
        Ok(cli) => {
            logging::start(cli.common.verbose);
            sys::clear_environment();
            sys::wait_for_children();
            run(&cli)
        }
    }
}

/// Runs the command and prints its result; errors go to standard error.
fn run(cli: &Cli) -> ExitCode {
    let common = &cli.common;
    let (name, result) = match &cli.command {
        Command::Apply(args) => ("apply", apply::run(args, common)),
        Command::Verify(args) => ("verify", verify::run(args, common)),
        Command::Status => ("status", status::run(common)),
        Command::Remove(args) => ("remove", remove::run(args, common)),
        Command::Enable(args) => ("enable", enable::enable(args, common)),
        Command::Disable(args) => ("disable", enable::disable(args, common)),
        Command::TrustPolicy(args) => ("trust-policy", trust_policy::run(&args.what, common)),
        Command::Generate(args) => ("generate", generate::run(&args.what)),
    };
    result.unwrap_or_else(|failure| {
        let code = failure.exit_code();
        error!("{failure}");
        if common.output == Format::Json {
            // Standard error has the message already; there is no third place to complain to.
            let _ = report::print_error(name, code, &failure.to_string());
        }
        code
    })
}

/// Prints clap's word on a command line that does not fit, or the help or version that it asks for.
fn bad_words(words: &[OsString], error: &clap::Error) -> ExitCode {
    // There is no third place to complain to.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::Success;
    }
    let code = ExitCode::BadInput;
    if asks_for_json(words) {
        let _ = report::print_error("usage", code, error.to_string().trim_end());
    }
    code
}

/// The host's firewall for a command, once its privileges are down to what it needs.
fn open(common: &CommonArgs, probing: bool) -> Result<Firewall, CommandError> {
    privileges::keep_only_needed(probing)?;
    let families = match kernel::has_ipv6().map_err(CommandError::Ipv6)? {
        true => &Family::ALL[..],
        false => &[Family::V4],
    };
    let variant = match common.variant {
        VariantChoice::Auto => None,
        VariantChoice::Nft => Some(Variant::Nft),
        VariantChoice::Legacy => Some(Variant::Legacy),
    };
    Ok(Firewall::find(variant, families, common.wait)?)
}
