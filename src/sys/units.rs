//! The unit files and links of systemd, read without systemd (systemd.unit(5)).

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use crate::host::Unit;

/// Where systemd has units and the links of enabled ones; earlier directories take precedence.
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The directories of systemd, listed once.
pub struct Units {
    /// The `*.wants` and `*.requires` directories.
    links: Vec<PathBuf>,
}

impl Units {
    /// Lists the directories that hold links to wanted and required units.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn list() -> io::Result<Self> {
        let mut links = Vec::new();
        let mut known: Vec<PathBuf> = Vec::new();
        for folder in FOLDERS {
            // On most hosts /lib is a link to /usr/lib.
            let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
            if known.contains(&folder) {
                continue;
            }
            for entry in entries(&folder)? {
                let name = entry?.file_name();
                let end = Path::new(&name).extension();
                if end.is_some_and(|end| end == "wants" || end == "requires") {
                    links.push(folder.join(name));
                }
            }
            known.push(folder);
        }
        Ok(Self { links })
    }

    /// The unit of that name; one that does not exist is empty.
    ///
    /// # Errors
    /// A file, directory or link cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Unit> {
        let masked = match fs::read_link(Path::new(FOLDERS[0]).join(name)) {
            Ok(target) => target == Path::new("/dev/null"),
            // A unit that is a file, not a link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => false,
            Err(error) if is_absent(&error) => false,
            Err(error) => return Err(error),
        };
        let mut wanted = false;
        for folder in &self.links {
            // A dangling link counts.
            match folder.join(name).symlink_metadata() {
                Ok(_) => wanted = true,
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Unit {
            masked,
            wanted,
            files: files(name)?,
        })
    }
}

/// The unit file and its drop-ins, in the order in which systemd reads them.
fn files(name: &str) -> io::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let unit = Path::new(folder).join(name);
        if let Some(text) = read_optional(&unit)? {
            files.push((unit, text));
            break;
        }
    }
    // Drop-ins are read in the order of their names. A drop-in replaces those of the same name in
    // later directories, also when it is empty or a link to /dev/null.
    let mut drop_ins = BTreeMap::new();
    for folder in FOLDERS {
        for entry in entries(&Path::new(folder).join(format!("{name}.d")))? {
            let entry = entry?;
            let (name, file) = (entry.file_name(), entry.path());
            if file.extension().is_none_or(|end| end != "conf") || drop_ins.contains_key(&name) {
                continue;
            }
            if let Some(text) = read_optional(&file)? {
                drop_ins.insert(name, (file, text));
            }
        }
    }
    files.extend(drop_ins.into_values());
    Ok(files)
}

/// The entries of the directory; none where it does not exist.
fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<DirEntry>>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        entries => entries.map(Some),
    }
    .map(|entries| entries.into_iter().flatten())
}

/// The text of the file; `None` where it does not exist.
///
/// # Errors
/// The file cannot be read.
pub fn read_optional(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
