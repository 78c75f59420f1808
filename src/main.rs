//! argv in, exit code out; nothing else.

use std::process::ExitCode;

use ip_lockdown::cli::Cli;
use ip_lockdown::{commands, logging, sys};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    match Cli::from_words(words.clone()) {
        Err(error) => commands::bad_words(&words, &error).into(),
        Ok(cli) => {
            logging::start(cli.common.verbose);
            sys::clear_environment();
            sys::wait_for_children();
            commands::run(&cli).into()
        }
    }
}
