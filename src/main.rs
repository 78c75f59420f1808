//! Passes the arguments to the library, and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    ip_lockdown::commands::main(&arguments).into()
}
