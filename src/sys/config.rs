//! Reads and writes the files of the configuration.
//!
//! A file is read only if no user but root can change it, its directories, or links to it. It is written
//! completely or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use thiserror::Error;

use crate::config::Source;
use crate::config::trust::{Fault, fault, is_drop_in, link_fault, shown};

/// The configuration file, unless `--config` names another one.
pub const PATH: &str = "/etc/ip-lockdown/config.toml";

/// The name of the directory with drop-ins, which is beside the file.
const DROP_INS: &str = "conf.d";

/// The limit for a file, in bytes. The largest possible policy is much smaller.
const MAX_SIZE: u64 = 1 << 20;

/// The number of symbolic links that a path may contain. The kernel has the same limit
/// (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Why the configuration cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is no configuration.
    #[error("there is no configuration: {} does not exist", shown(.0))]
    Missing(PathBuf),
    /// Another user can change a file, or a directory or link on the path to it.
    #[error("{} {}, so other users could change who is allowed", shown(path), fault.fault)]
    Untrusted {
        /// The file, directory or link.
        path: PathBuf,
        /// What is wrong.
        fault: Fault,
    },
    /// A file is not a text file.
    #[error("{} is {what}", shown(path))]
    NotText {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// A file or directory cannot be read.
    #[error("cannot read {}: {source}", shown(path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    /// Whether there is no configuration.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Missing(_) => Some("`ip-lockdown enable ADDRESS USER...` writes it".to_owned()),
            Self::Untrusted { fault, .. } => Some(fault.help.clone()),
            Self::NotText { .. } | Self::Io { .. } => None,
        }
    }
}

/// Why the configuration was not written.
#[derive(Debug, Error)]
#[error("cannot write {}: {source}; the file is unchanged", shown(path))]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

/// Reads the file at `path`, if it exists, then the drop-ins `conf.d/*.toml` beside it, sorted by name.
///
/// # Errors
/// No file exists, or one of them cannot be read or trusted.
pub fn read(path: &Path) -> Result<Vec<Source>, ReadError> {
    let main = read_file(path)?;
    let mut sources: Vec<Source> = main.into_iter().collect();
    for drop_in in drop_ins(path)? {
        // The directory contained it: a missing file is an error.
        sources.push(read_file(&drop_in)?.ok_or_else(|| ReadError::Io {
            path: drop_in,
            source: io::ErrorKind::NotFound.into(),
        })?);
    }
    if sources.is_empty() {
        return Err(ReadError::Missing(path.to_owned()));
    }
    Ok(sources)
}

/// Reads one file of the configuration; `None` if it does not exist.
///
/// # Errors
/// The file cannot be read or trusted.
pub fn read_file(path: &Path) -> Result<Option<Source>, ReadError> {
    let failed = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let Some(file) = open_trusted(path, SFlag::S_IFREG)? else {
        return Ok(None);
    };
    let not_text = |what| ReadError::NotText {
        path: path.to_owned(),
        what,
    };
    let mut bytes = Vec::new();
    File::from(file)
        .take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(not_text(
            "larger than 1 MiB, the limit for a configuration file",
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| not_text("not UTF-8 text"))?;
    Ok(Some(Source {
        name: shown(path),
        text,
    }))
}

/// The paths of the drop-ins, sorted by name.
fn drop_ins(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let folder = path.parent().unwrap_or(Path::new("/")).join(DROP_INS);
    let failed = |source| ReadError::Io {
        path: folder.clone(),
        source,
    };
    if open_trusted(&folder, SFlag::S_IFDIR)?.is_none() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).map_err(failed)?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(failed)?.path();
        if is_drop_in(&file) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Opens a file or directory for reading, if it and all directories and links on its path belong to root, and
/// no other user can write to them; `None` if it does not exist.
///
/// Each component is opened from the directory before it. That directory has been checked, so no other user
/// can replace the component between the check and the opening.
fn open_trusted(path: &Path, wanted: SFlag) -> Result<Option<OwnedFd>, ReadError> {
    if !path.is_absolute() {
        return Err(io_error(path, Errno::EINVAL));
    }
    let mut walk = Walk::start(path)?;
    while let Some(name) = walk.rest.pop() {
        let Some(found) = walk.stat(&name)? else {
            return Ok(None);
        };
        let is_last = walk.rest.is_empty();
        match SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFLNK => walk.follow(&name, &found)?,
            SFlag::S_IFDIR if !is_last => walk.enter(&name)?,
            kind if is_last && kind == wanted => return walk.open(&name, OPENING).map(Some),
            _ if is_last => {
                return Err(ReadError::NotText {
                    path: walk.folder_path.join(&name),
                    what: match wanted {
                        SFlag::S_IFDIR => "not a directory",
                        _ => "not a file",
                    },
                });
            }
            _ => return Err(io_error(path, Errno::ENOTDIR)),
        }
    }
    Err(io_error(path, Errno::EISDIR))
}

/// How a component is opened.
const OPENING: OFlag = OFlag::O_CLOEXEC
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK);

/// The way along a path, from directory to directory.
struct Walk<'a> {
    path: &'a Path,
    folder: OwnedFd,
    folder_path: PathBuf,
    /// The components that are left, the next one last.
    rest: Vec<OsString>,
    /// How many of them are components of `path`. Those of a link are put on top.
    rest_of_path: usize,
    links: usize,
}

impl<'a> Walk<'a> {
    fn start(path: &'a Path) -> Result<Self, ReadError> {
        let folder = open_root(path)?;
        let found = fstat(&folder).map_err(|errno| io_error(path, errno))?;
        trusted(Path::new("/"), &found)?;
        let rest = components(path);
        Ok(Self {
            path,
            folder,
            folder_path: PathBuf::from("/"),
            rest_of_path: rest.len(),
            rest,
            links: 0,
        })
    }

    /// The state of the component; `None` if a component of the path does not exist. A dangling link is
    /// an error: the configuration exists, but cannot be read.
    fn stat(&self, name: &OsStr) -> Result<Option<FileStat>, ReadError> {
        match fstatat(&self.folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) if self.rest.len() < self.rest_of_path => Ok(None),
            found => found.map(Some).map_err(|errno| io_error(self.path, errno)),
        }
    }

    /// Puts the components of the link on top of the rest.
    fn follow(&mut self, name: &OsStr, found: &FileStat) -> Result<(), ReadError> {
        let link = self.folder_path.join(name);
        check(&link, link_fault(&link, found.st_uid))?;
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(io_error(self.path, Errno::ELOOP));
        }
        self.rest_of_path = self.rest_of_path.min(self.rest.len());
        let target = readlinkat(&self.folder, name).map_err(|errno| io_error(self.path, errno))?;
        let target = PathBuf::from(target);
        if target.is_absolute() {
            self.folder = open_root(self.path)?;
            self.folder_path = PathBuf::from("/");
        }
        self.rest.extend(components(&target));
        Ok(())
    }

    fn enter(&mut self, name: &OsStr) -> Result<(), ReadError> {
        self.folder = self.open(name, OPENING | OFlag::O_DIRECTORY | OFlag::O_PATH)?;
        self.folder_path.push(name);
        Ok(())
    }

    /// Opens a file or folder, and checks it.
    fn open(&self, name: &OsStr, flags: OFlag) -> Result<OwnedFd, ReadError> {
        let failed = |errno| io_error(self.path, errno);
        let file = openat(&self.folder, name, flags, Mode::empty()).map_err(failed)?;
        let found = fstat(&file).map_err(failed)?;
        trusted(&self.folder_path.join(name), &found)?;
        Ok(file)
    }
}

fn open_root(path: &Path) -> Result<OwnedFd, ReadError> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC;
    nix::fcntl::open("/", flags, Mode::empty()).map_err(|errno| io_error(path, errno))
}

fn io_error(path: &Path, errno: Errno) -> ReadError {
    ReadError::Io {
        path: path.to_owned(),
        source: errno.into(),
    }
}

fn trusted(path: &Path, found: &FileStat) -> Result<(), ReadError> {
    check(path, fault(path, found.st_uid, found.st_mode))
}

fn check(path: &Path, fault: Option<Fault>) -> Result<(), ReadError> {
    match fault {
        None => Ok(()),
        Some(fault) => Err(ReadError::Untrusted {
            path: path.to_owned(),
            fault,
        }),
    }
}

/// The components of a path, the last one first. `..` is one of them: its directory is checked like any
/// other.
fn components(path: &Path) -> Vec<OsString> {
    let mut components: Vec<OsString> = path
        .components()
        .filter(|component| matches!(component, Component::Normal(_) | Component::ParentDir))
        .map(|component| component.as_os_str().to_owned())
        .collect();
    components.reverse();
    components
}

/// The directory into which [`write()`] writes the file. Creates it if it does not exist.
///
/// # Errors
/// The directory cannot be created.
pub fn folder(path: &Path) -> Result<PathBuf, WriteError> {
    match prepare(path) {
        Ok((folder, _)) => Ok(folder),
        Err(source) => Err(WriteError {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The directory and the file to write. Creates the directory if it does not exist.
fn prepare(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    // If `path` is a link, the file that it points to is replaced, not the link.
    let file = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        file => file?,
    };
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&folder)?;
    Ok((folder, file))
}

/// Replaces the file at `path` with one that contains this text, and creates its directory if it does not
/// exist. After a crash, either the old file or the new file exists, complete.
///
/// # Errors
/// The file cannot be written. The old file is unchanged.
pub fn write(path: &Path, text: &str) -> Result<(), WriteError> {
    let written = || -> io::Result<()> {
        let (folder, file) = prepare(path)?;
        let mut name = OsString::from(".");
        name.push(file.file_name().unwrap_or_default());
        name.push(".new");
        let draft = folder.join(name);
        let result = write_draft(&draft, text)
            .and_then(|()| copy_owner_and_mode(&file, &draft))
            .and_then(|()| fs::rename(&draft, &file));
        if result.is_err() {
            // Only the first error is returned.
            let _ = fs::remove_file(&draft);
        }
        result?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|source| WriteError {
        path: path.to_owned(),
        source,
    })
}

/// Copies owner and mode of the file to the draft, if the file exists.
fn copy_owner_and_mode(file: &Path, draft: &Path) -> io::Result<()> {
    let old = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        old => old?,
    };
    std::os::unix::fs::chown(draft, Some(old.uid()), Some(old.gid()))?;
    fs::set_permissions(draft, old.permissions())
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    // Removes the draft of a run that was killed. The caller holds the lock of the directory, so no other run
    // has a draft now.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
