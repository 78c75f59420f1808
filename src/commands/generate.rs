//! `generate`: man pages and completion scripts, from the definition of the command line.

mod completions;
mod config_man;
mod man;

use clap::CommandFactory;

use super::CommandError;
use crate::cli::{Cli, Generate};
use crate::exit_code::ExitCode;
use crate::output::print;

pub(super) fn run(what: &Generate) -> Result<ExitCode, CommandError> {
    let mut definition = Cli::command();
    definition.build();
    let text = match what {
        Generate::Man => man::of_program(&definition),
        Generate::TrustPolicyMan => man::of_trust_policy(&definition),
        Generate::ConfigMan => config_man::page(),
        Generate::Completions { shell } => completions::script(*shell, &definition),
    };
    print(text.as_bytes())?;
    Ok(ExitCode::Success)
}
