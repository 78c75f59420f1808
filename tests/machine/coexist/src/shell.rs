//! Commands of the guest, as an admin would type them.

use std::process::{Command, Output};

/// The words that lines may use.
const WORDS: &str = include_str!("../guest.sh");

/// Runs a line of bash, which stops at the first command that fails, and gives what it printed.
///
/// # Panics
/// When it fails, or takes longer than a minute: the row would show something else than it says.
pub(crate) fn sh(line: &str) -> String {
    let done = output(
        Command::new("timeout")
            .arg("60")
            .arg("bash")
            .args(words(line)),
    );
    assert!(
        done.status.success(),
        "`{line}` ended with {}: {}{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// What bash is told to run a line.
pub(crate) fn words(line: &str) -> [String; 4] {
    ["-euo", "pipefail", "-c", &format!("{WORDS}\n{line}")].map(str::to_owned)
}

/// Runs a program to its end.
pub(crate) fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}
