//! Arguments -> settings and requests.

use std::ffi::OsStr;
use std::str::FromStr;
use std::time::Duration;

use super::CommandError;
use crate::cli::{self, CommonArgs, ForwardedChoice, PolicyArgs};
use crate::engine::Options;
use crate::output::log::Verbosity;
use crate::output::{Format, Output, Style};
use crate::policy::{Address, Forwarded, Request, Target};
use crate::ruleset::model::{Variant, VariantChoice};

/// The shared options, resolved once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// What the engine needs.
    pub(super) engine: Options,
    /// What the output needs.
    pub(super) output: Output,
}

impl Settings {
    pub(super) fn new(common: &CommonArgs, style: Style) -> Self {
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
                    cli::Format::Text => Format::Text,
                    cli::Format::Json => Format::Json,
                },
                verbose: common.verbose > 0,
                quiet: common.quiet,
                style,
            },
        }
    }
}

/// Which messages are logged.
pub(super) fn verbosity(common: &CommonArgs) -> Verbosity {
    match (common.quiet, common.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, 1) => Verbosity::Verbose,
        (false, _) => Verbosity::Debug,
    }
}

/// The request of a command that takes an address and its users.
pub(super) fn request(address: &OsStr, args: &PolicyArgs) -> Result<Request, CommandError> {
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
pub(super) fn target(address: &OsStr, only: bool) -> Result<Target, CommandError> {
    Ok(Target::new(parse::<Address>(address)?, only))
}

fn parse<T>(text: &OsStr) -> Result<T, CommandError>
where
    T: FromStr,
    CommandError: From<T::Err>,
{
    let text = text.to_str().ok_or_else(|| {
        CommandError::NotUtf8(text.display().to_string().escape_debug().to_string())
    })?;
    Ok(text.parse()?)
}
