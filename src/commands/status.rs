//! `status`: what is locked, for whom, by which layers, with counters.

use super::CommandError;
use crate::cli::settings::Settings;
use crate::engine;
use crate::exit_code::ExitCode;

pub(super) fn run(settings: &Settings) -> Result<ExitCode, CommandError> {
    let report = engine::status(&settings.engine)?;
    Ok(settings.output.status(&report)?)
}
