//! Which files are read as configuration: only those that no user but root can change.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The bits of a mode that let other users than the owner write (inode(7)).
const WRITABLE: u32 = 0o022;

/// The sticky bit: a folder with it, such as `/tmp`, is writable by all on purpose.
const STICKY: u32 = 0o1000;

/// Why a file, folder or link is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, as the rest of a sentence.
    pub fault: String,
    /// What the user can do about it.
    pub help: String,
}

/// What is wrong with the owner and mode of a file or folder; `None` if only root can change it.
#[must_use]
pub fn fault(path: &Path, uid: u32, mode: u32) -> Option<Fault> {
    owner_fault(path, uid, mode, "chown root").or_else(|| {
        let fault = || format!("is writable by other users (mode {:04o})", mode & 0o7777);
        (mode & WRITABLE != 0).then(|| new(path, mode, fault(), "chmod go-w"))
    })
}

/// What is wrong with the owner of a link; `None` if it is root. The mode of a link has no meaning.
#[must_use]
pub fn link_fault(path: &Path, uid: u32) -> Option<Fault> {
    owner_fault(path, uid, 0, "chown -h root")
}

fn owner_fault(path: &Path, uid: u32, mode: u32, command: &str) -> Option<Fault> {
    (uid != 0).then(|| new(path, mode, format!("belongs to uid {uid}"), command))
}

fn new(path: &Path, mode: u32, fault: String, command: &str) -> Fault {
    Fault {
        fault,
        help: if mode & STICKY != 0 {
            "keep the configuration in another folder".to_owned()
        } else {
            format!("run `{command} {}`", shown(path))
        },
    }
}

/// The path for a message.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

/// Whether a file of the folder `conf.d` is a drop-in: `*.toml`, and not hidden.
#[must_use]
pub fn is_drop_in(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default();
    !name.as_bytes().starts_with(b".") && file.extension() == Some(OsStr::new("toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_root_alone_can_change_is_trusted() {
        let help = |uid, mode| fault(Path::new("/a"), uid, mode).map(|fault| fault.help);
        assert_eq!(help(0, 0o100_644), None);
        assert_eq!(help(0, 0o40_755), None);
        assert_eq!(help(1000, 0o100_644).unwrap(), "run `chown root /a`");
        assert_eq!(help(0, 0o100_664).unwrap(), "run `chmod go-w /a`");
        assert_eq!(help(0, 0o100_646).unwrap(), "run `chmod go-w /a`");
        assert!(help(0, 0o41_777).unwrap().contains("another folder"));
        assert_eq!(link_fault(Path::new("/a"), 0), None);
        let of_link = link_fault(Path::new("/a"), 7).unwrap();
        assert_eq!(of_link.fault, "belongs to uid 7");
        assert_eq!(of_link.help, "run `chown -h root /a`");
    }

    #[test]
    fn hidden_files_and_other_names_are_no_drop_ins() {
        assert!(is_drop_in(Path::new("/conf.d/10-a.toml")));
        for other in ["/conf.d/.10-a.toml", "/conf.d/a.toml.bak", "/conf.d/toml"] {
            assert!(!is_drop_in(Path::new(other)), "{other}");
        }
    }
}
