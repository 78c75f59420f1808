//! Arguments -> settings and requests.

use std::ffi::OsStr;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::{CommonArgs, ForwardedChoice, PolicyArgs};
use crate::cli;
use crate::engine::Options;
use crate::output::log::Verbosity;
use crate::output::{Format, Output, Style};
use crate::policy::{Address, AddressError, Forwarded, Request, SubjectError, Target};
use crate::ruleset::model::{Variant, VariantChoice};

/// Why an argument cannot be used.
#[derive(Debug, Error)]
pub enum ArgumentError {
    /// It is not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It is not a user or group, or there are too many of them.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// It is not text.
    #[error("{0} is not valid UTF-8")]
    NotUtf8(String),
}

impl ArgumentError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Address(error) => error.help(),
            Self::Subject(error) => error.help(),
            Self::NotUtf8(_) => None,
        }
    }
}

/// The shared options, resolved once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the engine needs.
    pub engine: Options,
    /// What the output needs.
    pub output: Output,
}

impl Settings {
    /// Resolves the shared options.
    #[must_use]
    pub fn new(common: &CommonArgs, style: Style) -> Self {
        Self {
            engine: Options {
                variant: common.variant.map(|choice| match choice {
                    cli::VariantChoice::Auto => VariantChoice::Auto,
                    cli::VariantChoice::Nft => VariantChoice::Only(Variant::Nft),
                    cli::VariantChoice::Legacy => VariantChoice::Only(Variant::Legacy),
                }),
                layers: common.layers,
                config: common.config.clone(),
                wait: Duration::from_secs(common.wait.into()),
            },
            output: Output {
                format: match common.output {
                    super::Format::Text => Format::Text,
                    super::Format::Json => Format::Json,
                },
                verbose: common.verbose > 0,
                quiet: common.quiet,
                style,
            },
        }
    }
}

/// Which messages are logged.
#[must_use]
pub fn verbosity(common: &CommonArgs) -> Verbosity {
    match (common.quiet, common.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, 1) => Verbosity::Verbose,
        (false, _) => Verbosity::Debug,
    }
}

/// The request of a command that takes an address and its users.
///
/// # Errors
/// An argument is not an address, user or group, or there are too many of them.
pub fn request(address: &OsStr, args: &PolicyArgs) -> Result<Request, ArgumentError> {
    let request = Request {
        target: target(address, args.only)?,
        users: args
            .users
            .iter()
            .map(|user| parse(user))
            .collect::<Result<_, _>>()?,
        groups: args
            .groups
            .iter()
            .map(|group| parse(group))
            .collect::<Result<_, _>>()?,
        forwarded: match args.forwarded {
            ForwardedChoice::Refuse => Forwarded::Refuse,
            ForwardedChoice::Allow => Forwarded::Allow,
        },
    };
    request.check_size()?;
    Ok(request)
}

/// The target of a command that takes an address alone.
///
/// # Errors
/// The argument is not an address.
pub fn target(address: &OsStr, only: bool) -> Result<Target, ArgumentError> {
    Ok(Target::new(parse::<Address>(address)?, only))
}

fn parse<T>(text: &OsStr) -> Result<T, ArgumentError>
where
    T: FromStr,
    ArgumentError: From<T::Err>,
{
    let text = text.to_str().ok_or_else(|| {
        ArgumentError::NotUtf8(text.display().to_string().escape_debug().to_string())
    })?;
    Ok(text.parse()?)
}
