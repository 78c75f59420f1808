//! Files given as arguments, and standard input.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};

use thiserror::Error;

/// Why a file cannot be read.
#[derive(Debug, Error)]
#[error("cannot read {}: {source}", printable(.name))]
pub struct InputError {
    name: String,
    source: io::Error,
}

impl InputError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> String {
        "give the path of a readable file, or - for standard input".to_owned()
    }
}

/// The name of the file in messages. Bytes that are not UTF-8 are replaced.
#[must_use]
pub fn name(file: &OsStr) -> String {
    if file == "-" {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

/// The text with its control characters escaped.
fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_debug().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(shown).collect()
}

/// Reads at most `at_most` bytes of a file, or of standard input for `-`.
///
/// # Errors
/// The file cannot be opened or read.
pub fn read(file: &OsStr, at_most: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    let read = if file == "-" {
        io::stdin().lock().take(at_most).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(at_most).read_to_end(&mut bytes))
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(source) => Err(InputError {
            name: name(file),
            source,
        }),
    }
}
