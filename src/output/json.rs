//! Results as JSON objects: one for each result.

use std::io;

use serde::Serialize;

use crate::exit_code::ExitCode;

/// The version of the schema. It changes only when a key is removed or changes its meaning.
const SCHEMA: u32 = 1;

/// The keys that every result begins with.
#[derive(Serialize)]
struct Envelope<'a, T: Serialize> {
    schema: u32,
    command: &'a str,
    exit_code: u8,
    #[serde(flatten)]
    body: T,
}

/// Prints the result of a command as one object.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(command: &str, code: ExitCode, body: impl Serialize) -> io::Result<()> {
    let envelope = Envelope {
        schema: SCHEMA,
        command,
        exit_code: code.number(),
        body,
    };
    let mut text = serde_json::to_vec_pretty(&envelope)?;
    text.push(b'\n');
    super::print(&text)
}

/// Prints the error that ended a command.
///
/// # Errors
/// Standard output cannot be written.
pub fn print_error(
    command: &str,
    code: ExitCode,
    error: &str,
    help: Option<&str>,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        help: Option<&'a str>,
    }
    print(command, code, Failure { error, help })
}
