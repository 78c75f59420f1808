//! One short module for each command: arguments -> engine -> output.

mod apply;
mod disable;
mod enable;
mod generate;
mod remove;
mod status;
mod trust_policy;
mod verify;

use std::ffi::OsString;
use std::io;

use ::trust_policy::BuildError;
use thiserror::Error;

use crate::cli::settings::{ArgumentError, Settings, verbosity};
use crate::cli::{Cli, Command, RoleError, asks_for_json};
use crate::engine::EngineError;
use crate::exit_code::ExitCode;
use crate::output::{Format, Style, json, log, print};
use crate::sys;
use crate::sys::input::InputError;

/// Why a command was not carried out.
#[derive(Debug, Error)]
enum CommandError {
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("cannot write to standard output: {0}")]
    Write(#[from] io::Error),
}

impl CommandError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Argument(_) | Self::Role(_) | Self::Build(_) | Self::Input(_) => {
                ExitCode::BadInput
            }
            Self::Engine(error) => error.exit_code(),
            Self::Write(_) => ExitCode::Incomplete,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Argument(error) => error.help(),
            Self::Engine(error) => error.help(),
            Self::Role(error) => error.help(),
            Self::Input(error) => Some(error.help()),
            Self::Build(_) | Self::Write(_) => None,
        }
    }
}

/// The whole program: arguments in, the program's name first; exit code out.
#[must_use]
pub fn main(arguments: &[OsString]) -> ExitCode {
    sys::correct_inherited();
    let code = match Cli::from_arguments(arguments.to_vec()) {
        Err(error) => bad_arguments(arguments, &error),
        Ok(cli) => {
            log::start(verbosity(&cli.common));
            let style = Style::of(&io::stdout());
            sys::clear_environment();
            run(&cli.command, &Settings::new(&cli.common, style))
        }
    };
    log::flush();
    code
}

/// Runs the command. Its errors go to standard error.
fn run(command: &Command, settings: &Settings) -> ExitCode {
    let (name, result) = match command {
        Command::Apply(args) => ("apply", apply::run(args, settings)),
        Command::Verify(args) => ("verify", verify::run(args, settings)),
        Command::Status => ("status", status::run(settings)),
        Command::Remove(args) => ("remove", remove::run(args, settings)),
        Command::Enable(args) => ("enable", enable::run(args, settings)),
        Command::Disable(args) => ("disable", disable::run(args, settings)),
        Command::TrustPolicy(args) => ("trust-policy", trust_policy::run(&args.what, settings)),
        Command::Generate(args) => ("generate", generate::run(&args.what)),
    };
    result.unwrap_or_else(|failure| {
        let (code, help) = (failure.exit_code(), failure.help());
        log::error(&failure, help.as_deref());
        if settings.output.format == Format::Json {
            // If this cannot be written, standard error has the message already.
            let _ = json::print_error(name, code, &failure.to_string(), help.as_deref());
        }
        code
    })
}

/// Prints clap's error, or the help or the version that the arguments request.
fn bad_arguments(arguments: &[OsString], error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return print_help(error);
    }
    // If standard error cannot be written, the exit code is left.
    let _ = error.print();
    let code = ExitCode::BadInput;
    if asks_for_json(arguments) {
        let text = error.to_string();
        let _ = json::print_error("usage", code, text.trim_end(), None);
    }
    code
}

/// Prints the help or the version.
fn print_help(error: &clap::Error) -> ExitCode {
    let text = Style::of(&io::stdout()).styled(&error.render());
    match print(text.as_bytes()) {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            log::start(log::Verbosity::Normal);
            let failure = CommandError::from(error);
            log::error(&failure, None);
            failure.exit_code()
        }
    }
}
