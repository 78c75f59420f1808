//! `verify`: checks what is installed.

use super::CommandError;
use crate::cli::VerifyArgs;
use crate::cli::settings::{Settings, request};
use crate::engine::{self, Expectation};
use crate::exit_code::ExitCode;

pub(super) fn run(args: &VerifyArgs, settings: &Settings) -> Result<ExitCode, CommandError> {
    let expected = match &args.address {
        Some(address) => Expectation::Request(request(address, &args.policy)?),
        None => Expectation::AsApplied,
    };
    let report = engine::verify(&expected, !args.no_probe, &settings.engine)?;
    Ok(settings.output.verified(&report)?)
}
