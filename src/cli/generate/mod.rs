//! The texts of `generate`, from the definition of the command line.

mod completions;
mod config_man;
mod man;

use clap::CommandFactory;

use super::{Cli, Generate};

/// A man page or completion script.
#[must_use]
pub fn generate(what: &Generate) -> String {
    let mut definition = Cli::command();
    definition.build();
    match what {
        Generate::Man => man::of_program(&definition),
        Generate::TrustPolicyMan => man::of_trust_policy(&definition),
        Generate::ConfigMan => config_man::page(),
        Generate::Completions { shell } => completions::script(*shell, &definition),
    }
}
