//! argv in, exit code out; nothing else.

use std::process::ExitCode;

use ip_lockdown::cli::Cli;
use ip_lockdown::{commands, logging, sys};

fn main() -> ExitCode {
    let cli = Cli::from_words(std::env::args_os()).unwrap_or_else(|error| error.exit());
    logging::start(cli.common.verbose);
    sys::clear_environment();
    sys::wait_for_children();
    commands::run(&cli).into()
}
