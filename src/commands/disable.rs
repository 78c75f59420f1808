//! `disable`: no longer applies the configuration at boot.

use super::CommandError;
use crate::cli::DisableArgs;
use crate::cli::settings::Settings;
use crate::engine;
use crate::exit_code::ExitCode;

pub(super) fn run(args: &DisableArgs, settings: &Settings) -> Result<ExitCode, CommandError> {
    let report = engine::disable(args.now, &settings.engine)?;
    settings
        .output
        .disabled(&report, report.removed.is_some())?;
    match report.removed {
        None => Ok(ExitCode::Success),
        Some(removed) => Ok(settings.output.removed(&removed?)?),
    }
}
