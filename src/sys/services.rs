//! What services of this host would do to rules that are not theirs.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use crate::verify::Flush;

/// The configurations that nftables.service runs (`nftables.service` of Debian, of Fedora).
const CONFIGURATIONS: [&str; 2] = ["/etc/nftables.conf", "/etc/sysconfig/nftables.conf"];

/// Where systemd has units and the links of those that are enabled, first come first served
/// (`systemd.unit(5)`).
const UNITS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// What starts at boot, as far as links say: systemd's folders of links, read once.
pub(super) struct Starting(io::Result<Vec<PathBuf>>);

impl Starting {
    /// Reads which folders there are.
    pub(super) fn look() -> Self {
        Self(lists())
    }

    /// Whether nftables.service is enabled and flushes everything.
    pub(super) fn flush(&self) -> Flush {
        let looked = || -> io::Result<Flush> {
            if !self.has("nftables.service")? {
                return Ok(Flush::No);
            }
            let unit = unit_files("nftables.service")?;
            for (_, command) in assigned(&unit, "ExecStartPost") {
                // Our own drop-in goes through systemd, and does something only where our unit is.
                if command.contains("ip-lockdown")
                    && (!command.contains("systemctl") || self.has(super::systemd::BOOT_UNIT)?)
                {
                    return Ok(Flush::Mended);
                }
            }
            for file in CONFIGURATIONS {
                if read(Path::new(file))?.is_some_and(|text| flushes(&text)) {
                    return Ok(Flush::Yes(file.to_owned()));
                }
            }
            let mut stops = assigned(&unit, "ExecStop").into_iter();
            Ok(
                match stops.find(|(_, command)| command.contains("flush ruleset")) {
                    Some((file, _)) => Flush::Yes(file.display().to_string()),
                    None => Flush::No,
                },
            )
        };
        looked().unwrap_or_else(|error| Flush::Unknown(format!("nftables.service: {error}")))
    }

    /// Whether firewalld starts at boot.
    ///
    /// # Errors
    /// It could not be looked at.
    pub(super) fn firewalld(&self) -> Result<bool, String> {
        let firewalld = self.has("firewalld.service");
        firewalld.map_err(|error| format!("firewalld.service: {error}"))
    }

    /// Whether any unit or target wants the service, and it is not masked.
    fn has(&self, service: &str) -> io::Result<bool> {
        match fs::read_link(Path::new(UNITS[0]).join(service)) {
            Ok(target) if target == Path::new("/dev/null") => return Ok(false),
            // A unit that is a file, no link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
        let lists =
            (self.0.as_ref()).map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        for list in lists {
            // A link is there even if what it leads to is not.
            match list.join(service).symlink_metadata() {
                Ok(_) => return Ok(true),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// Whether the lockdown is applied at boot.
///
/// # Errors
/// It could not be looked at.
pub fn lockdown_at_boot() -> io::Result<bool> {
    Starting::look().has(super::systemd::BOOT_UNIT)
}

/// The folders that hold links to what a unit or target wants.
fn lists() -> io::Result<Vec<PathBuf>> {
    let mut lists = Vec::new();
    let mut known: Vec<PathBuf> = Vec::new();
    for folder in UNITS {
        // Most have /lib as a link to /usr/lib.
        let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
        if known.contains(&folder) {
            continue;
        }
        for entry in entries(&folder)? {
            let name = entry?.file_name();
            let end = Path::new(&name).extension();
            if end.is_some_and(|end| end == "wants" || end == "requires") {
                lists.push(folder.join(name));
            }
        }
        known.push(folder);
    }
    Ok(lists)
}

/// The unit and its drop-ins, in the order in which systemd reads them.
fn unit_files(service: &str) -> io::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for folder in UNITS {
        let unit = Path::new(folder).join(service);
        if let Some(text) = read(&unit)? {
            files.push((unit, text));
            break;
        }
    }
    // By name, whatever folder they are in; one folder's replaces those of the same name in the
    // folders after it, also when it is empty, or a link to /dev/null.
    let mut drop_ins = BTreeMap::new();
    for folder in UNITS {
        for entry in entries(&Path::new(folder).join(format!("{service}.d")))? {
            let entry = entry?;
            let (name, file) = (entry.file_name(), entry.path());
            if file.extension().is_none_or(|end| end != "conf") || drop_ins.contains_key(&name) {
                continue;
            }
            if let Some(text) = read(&file)? {
                drop_ins.insert(name, (file, text));
            }
        }
    }
    files.extend(drop_ins.into_values());
    Ok(files)
}

/// The commands that the files give to the key, each with its file. An empty one takes back those
/// before it.
fn assigned<'a>(files: &'a [(PathBuf, String)], key: &str) -> Vec<(&'a Path, &'a str)> {
    let mut commands = Vec::new();
    for (file, text) in files {
        for line in text.lines() {
            match line
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
            {
                Some((found, "")) if found == key => commands.clear(),
                Some((found, command)) if found == key => commands.push((file.as_path(), command)),
                _ => {}
            }
        }
    }
    commands
}

/// What is in the folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<DirEntry>>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        entries => entries.map(Some),
    }
    .map(|entries| entries.into_iter().flatten())
}

/// The text of the file; `None` where there is none.
fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

/// Whether it says that there is nothing of this name.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether a command of it flushes tables of both families; nft takes `;` for the end of a line,
/// `#` begins a comment, and a backslash joins the next line.
fn flushes(text: &str) -> bool {
    let text = text.replace("\\\n", " ");
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(|line| line.split(';'))
        .any(|command| {
            let words: Vec<&str> = command.split_whitespace().collect();
            matches!(
                words.as_slice(),
                ["flush", "ruleset"] | ["flush", "ruleset", "inet"]
            )
        })
}

#[cfg(test)]
mod tests {
    use super::flushes;

    #[test]
    fn a_flush_is_found_and_a_comment_is_none() {
        assert!(flushes("#!/usr/sbin/nft -f\n\nflush ruleset\n"));
        assert!(flushes("flush  ruleset inet; table inet x {}\n"));
        assert!(flushes("flush \\\nruleset\n"));
        assert!(!flushes(
            "# flush ruleset\ntable inet x {\n}\nflush table inet x\n"
        ));
        assert!(!flushes("flush ruleset bridge\n"));
    }
}
