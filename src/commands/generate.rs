//! `generate`: man pages and completion scripts.

use super::CommandError;
use crate::cli::{self, Generate};
use crate::exit_code::ExitCode;
use crate::output::print;

pub(super) fn run(what: &Generate) -> Result<ExitCode, CommandError> {
    print(cli::generate(what).as_bytes())?;
    Ok(ExitCode::Success)
}
