//! Files and standard input that the user names.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};

use thiserror::Error;

/// What could not be read, and why.
#[derive(Debug, Error)]
#[error("cannot read {}: {source}; give the path of a readable file, or - for standard input", in_words(.name))]
pub struct InputError {
    name: String,
    source: io::Error,
}

/// How a FILE word is called: as it was given, as far as it is UTF-8.
#[must_use]
pub fn name(file: &OsStr) -> String {
    match file == "-" {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    }
}

/// A name for people to read: without characters that a terminal would obey.
#[must_use]
pub fn in_words(name: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_debug().to_string(),
        false => c.to_string(),
    };
    name.chars().map(shown).collect()
}

/// Reads a file, or standard input for `-`: at most this many bytes of it.
///
/// # Errors
/// It cannot be opened or read.
pub fn read(file: &OsStr, at_most: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    let read = match file == "-" {
        true => io::stdin().lock().take(at_most).read_to_end(&mut bytes),
        false => File::open(file).and_then(|file| file.take(at_most).read_to_end(&mut bytes)),
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(source) => Err(InputError {
            name: name(file),
            source,
        }),
    }
}
