//! `apply`: installs a lockdown, or those of the configuration.

use super::CommandError;
use crate::cli::ApplyArgs;
use crate::cli::settings::{Settings, request};
use crate::engine;
use crate::exit_code::ExitCode;

pub(super) fn run(args: &ApplyArgs, settings: &Settings) -> Result<ExitCode, CommandError> {
    let Settings {
        engine: options,
        output,
    } = settings;
    let request = match &args.address {
        Some(address) => Some(request(address, &args.policy)?),
        None => None,
    };
    if args.dry_run {
        let report = engine::dry_run(request.as_ref(), options)?;
        return Ok(output.dry_run(&report)?);
    }
    let report = if args.settle {
        engine::settle(options)?
    } else if args.boot {
        engine::boot(options)?
    } else {
        engine::apply(request.as_ref(), options)?
    };
    Ok(output.applied(&report)?)
}
