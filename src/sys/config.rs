//! The files of the configuration: read only if nobody but root could have written them, and
//! written whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use thiserror::Error;

use crate::config::Source;

/// Where the configuration is, unless `--config` says otherwise.
pub const PATH: &str = "/etc/ip-lockdown/config.toml";

/// The folder with drop-ins, beside the file.
const DROP_INS: &str = "conf.d";

/// Far more than a policy of the greatest size takes.
const MAX_SIZE: u64 = 1 << 20;

/// How many symbolic links a path may lead through, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Why the configuration is not read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is none.
    #[error(
        "there is no configuration: {} does not exist", shown(.0)
    )]
    Missing(PathBuf),
    /// Something on the way to it, or the file itself, is another user's.
    #[error("{} {fault}, so other users could change who is allowed", shown(path))]
    Untrusted {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
        /// What the user can do about it.
        help: String,
    },
    /// It is no file of text.
    #[error("{} is {what}", shown(path))]
    NotText {
        /// Which file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// It cannot be read.
    #[error("cannot read {}: {source}", shown(path))]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    /// Whether there is no configuration at all.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Missing(_) => Some("`ip-lockdown enable ADDRESS USER...` writes it".to_owned()),
            Self::Untrusted { help, .. } => Some(help.clone()),
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

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

/// The file at `path`, then the drop-ins `conf.d/*.toml` beside it in the order of their names.
///
/// # Errors
/// Neither is there, or one of them cannot be read or trusted.
pub fn read(path: &Path) -> Result<Vec<Source>, ReadError> {
    let main = read_file(path)?;
    let mut sources: Vec<Source> = main.into_iter().collect();
    for drop_in in drop_ins(path)? {
        // It was listed: that it is not there is no answer.
        sources.push(read_file(&drop_in)?.ok_or_else(|| ReadError::Io {
            path: drop_in,
            source: io::ErrorKind::NotFound.into(),
        })?);
    }
    match sources.is_empty() {
        true => Err(ReadError::Missing(path.to_owned())),
        false => Ok(sources),
    }
}

/// The text of one file of the configuration; `None` if it is not there.
///
/// # Errors
/// It cannot be read or trusted.
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
        return Err(not_text("larger than 1 MiB, which no configuration is"));
    }
    let text = String::from_utf8(bytes).map_err(|_| not_text("not UTF-8 text"))?;
    Ok(Some(Source {
        name: shown(path),
        text,
    }))
}

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
        let hidden = file
            .file_name()
            .is_some_and(|name| name.as_bytes().starts_with(b"."));
        if !hidden && file.extension() == Some(OsStr::new("toml")) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Opens the file or folder for reading if it and every folder and link on the way to it belong to
/// root, and can be written by nobody else. What is checked is what is opened: each step starts
/// from a folder that is checked already, in which nobody else can put another thing in its place.
fn open_trusted(path: &Path, wanted: SFlag) -> Result<Option<OwnedFd>, ReadError> {
    let failed = |errno: Errno| ReadError::Io {
        path: path.to_owned(),
        source: errno.into(),
    };
    if !path.is_absolute() {
        return Err(failed(Errno::EINVAL));
    }
    let opening = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let root = || {
        let flags = OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC;
        nix::fcntl::open("/", flags, Mode::empty()).map_err(failed)
    };
    let mut folder = root()?;
    let mut here = PathBuf::from("/");
    trust(&here, &fstat(&folder).map_err(failed)?)?;
    let mut left: Vec<OsString> = steps(path);
    // How many of them the path has itself; a link puts its own on top.
    let mut own = left.len();
    let mut links = 0;
    while let Some(step) = left.pop() {
        let place = here.join(&step);
        let found = match fstatat(&folder, step.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            // A link that leads nowhere is not "no configuration".
            Err(Errno::ENOENT) if left.len() < own => return Ok(None),
            found => found.map_err(failed)?,
        };
        match kind(&found) {
            SFlag::S_IFLNK => {
                roots(&place, &found, "chown -h root")?;
                links += 1;
                if links > MAX_LINKS {
                    return Err(failed(Errno::ELOOP));
                }
                own = own.min(left.len());
                let leads_to =
                    PathBuf::from(readlinkat(&folder, step.as_os_str()).map_err(failed)?);
                if leads_to.is_absolute() {
                    (folder, here) = (root()?, PathBuf::from("/"));
                }
                left.extend(steps(&leads_to));
            }
            SFlag::S_IFDIR if !left.is_empty() => {
                let flags = opening | OFlag::O_DIRECTORY | OFlag::O_PATH;
                folder = openat(&folder, step.as_os_str(), flags, Mode::empty()).map_err(failed)?;
                trust(&place, &fstat(&folder).map_err(failed)?)?;
                here = place;
            }
            kind if kind == wanted && left.is_empty() => {
                let file =
                    openat(&folder, step.as_os_str(), opening, Mode::empty()).map_err(failed)?;
                trust(&place, &fstat(&file).map_err(failed)?)?;
                return Ok(Some(file));
            }
            _ if left.is_empty() => {
                return Err(ReadError::NotText {
                    path: place,
                    what: match wanted {
                        SFlag::S_IFDIR => "not a folder",
                        _ => "not a file",
                    },
                });
            }
            _ => return Err(failed(Errno::ENOTDIR)),
        }
    }
    Err(failed(Errno::EISDIR))
}

/// The steps of a path, the last one first. `..` is a step of its own: what it leads to is looked
/// at as everything else.
fn steps(path: &Path) -> Vec<OsString> {
    let mut steps: Vec<OsString> = path
        .components()
        .filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir))
        .map(|step| step.as_os_str().to_owned())
        .collect();
    steps.reverse();
    steps
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn trust(path: &Path, stat: &FileStat) -> Result<(), ReadError> {
    roots(path, stat, "chown root")?;
    let mode = Mode::from_bits_truncate(stat.st_mode);
    if !mode.intersects(Mode::S_IWGRP | Mode::S_IWOTH) {
        return Ok(());
    }
    let fault = format!(
        "is writable by other users (mode {:04o})",
        stat.st_mode & 0o7777
    );
    Err(untrusted(path, stat, fault, "chmod go-w"))
}

/// Whether it belongs to root; what it may be written by says nothing of a link.
fn roots(path: &Path, stat: &FileStat, command: &str) -> Result<(), ReadError> {
    match stat.st_uid {
        0 => Ok(()),
        uid => Err(untrusted(
            path,
            stat,
            format!("belongs to uid {uid}"),
            command,
        )),
    }
}

fn untrusted(path: &Path, stat: &FileStat, fault: String, command: &str) -> ReadError {
    ReadError::Untrusted {
        path: path.to_owned(),
        fault,
        // A sticky folder is meant to be writable by all.
        help: if Mode::from_bits_truncate(stat.st_mode).contains(Mode::S_ISVTX) {
            "keep the configuration in another folder".to_owned()
        } else {
            format!("run `{command} {}`", shown(path))
        },
    }
}

/// The folder in which [`write()`] puts the file, made if need be.
///
/// # Errors
/// It cannot be made.
pub fn folder(path: &Path) -> Result<PathBuf, WriteError> {
    match place(path) {
        Ok((folder, _)) => Ok(folder),
        Err(source) => Err(WriteError {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The folder, which is there then, and the file.
fn place(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    // A link stays one: the file that it leads to is replaced.
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

/// Puts a file with this text in the place of the one at `path`, and makes its folder if need be.
/// After a crash the old file or the new one is there, whole.
///
/// # Errors
/// It cannot be written; then the old file stays as it was.
pub fn write(path: &Path, text: &str) -> Result<(), WriteError> {
    let written = || -> io::Result<()> {
        let (folder, file) = place(path)?;
        let mut name = OsString::from(".");
        name.push(file.file_name().unwrap_or_default());
        name.push(".new");
        let draft = folder.join(name);
        let result = write_draft(&draft, text)
            .and_then(|()| take_after(&file, &draft))
            .and_then(|()| fs::rename(&draft, &file));
        if result.is_err() {
            // It is the first error that counts.
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

/// Gives the draft the owner and mode of the file that it replaces, if there is one.
fn take_after(file: &Path, draft: &Path) -> io::Result<()> {
    let old = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        old => old?,
    };
    std::os::unix::fs::chown(draft, Some(old.uid()), Some(old.gid()))?;
    fs::set_permissions(draft, old.permissions())
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    // What a killed run left behind. Others wait for the folder's lock.
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
