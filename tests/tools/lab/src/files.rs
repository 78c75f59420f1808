//! The directories and files of a corpus.

use std::fs;
use std::path::{Path, PathBuf};

/// The text, as the program takes what other programs print: names of interfaces and comments may
/// be any bytes.
pub fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is in the folder, by name.
pub fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of the folder").path())
        .collect();
    paths.sort();
    paths
}

/// The last part of the path.
pub fn file_name(path: &Path) -> String {
    let name = path.file_name().expect("a path with a name");
    name.to_str().expect("a name of text").to_owned()
}
