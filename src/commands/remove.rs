//! `remove`: opens an address, or all of them.

use super::CommandError;
use crate::cli::RemoveArgs;
use crate::cli::settings::{Settings, target};
use crate::engine;
use crate::exit_code::ExitCode;

pub(super) fn run(args: &RemoveArgs, settings: &Settings) -> Result<ExitCode, CommandError> {
    let target = match &args.address {
        Some(address) => Some(target(address, args.only)?),
        None => None,
    };
    let report = engine::remove(target.as_ref(), &settings.engine)?;
    Ok(settings.output.removed(&report)?)
}
