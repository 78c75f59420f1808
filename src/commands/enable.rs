//! `enable`: writes the configuration, and enables the unit that applies it at every boot.

use super::CommandError;
use crate::cli::EnableArgs;
use crate::cli::settings::{Settings, request};
use crate::engine;
use crate::exit_code::ExitCode;

pub(super) fn run(args: &EnableArgs, settings: &Settings) -> Result<ExitCode, CommandError> {
    let request = match &args.address {
        Some(address) => Some(request(address, &args.policy)?),
        None => None,
    };
    let report = engine::enable(request.as_ref(), args.now, &settings.engine)?;
    settings.output.enabled(&report, report.applied.is_some())?;
    match report.applied {
        None => Ok(ExitCode::Success),
        Some(applied) => Ok(settings.output.applied(&applied?)?),
    }
}
