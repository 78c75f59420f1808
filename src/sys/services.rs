//! What services of this host would do to rules that are not theirs.

use std::fs;
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

/// Whether nftables.service is enabled and flushes everything.
pub(super) fn flush() -> Flush {
    let looked = || -> io::Result<Flush> {
        if !enabled("nftables.service")? {
            return Ok(Flush::No);
        }
        let unit = unit_files("nftables.service")?;
        for (_, text) in &unit {
            // Our own drop-in goes through systemd, and does something only where our unit is.
            if has_line(text, "ExecStartPost=", "ip-lockdown")
                && (!has_line(text, "ExecStartPost=", "systemctl") || lockdown_at_boot()?)
            {
                return Ok(Flush::Mended);
            }
        }
        // An empty assignment takes back what was said before.
        let stops = unit.iter().rev().find_map(|(file, text)| {
            let last = text.lines().rfind(|line| line.starts_with("ExecStop="))?;
            Some((file, last.contains("flush ruleset")))
        });
        for file in CONFIGURATIONS {
            if read(Path::new(file))?.is_some_and(|text| flushes(&text)) {
                return Ok(Flush::Yes(file.to_owned()));
            }
        }
        Ok(match stops {
            Some((file, true)) => Flush::Yes(file.display().to_string()),
            _ => Flush::No,
        })
    };
    looked().unwrap_or_else(|error| Flush::Unknown(format!("nftables.service: {error}")))
}

/// Whether the lockdown is applied at boot.
///
/// # Errors
/// It could not be looked at.
pub fn lockdown_at_boot() -> io::Result<bool> {
    enabled(super::systemd::BOOT_UNIT)
}

/// Whether firewalld starts at boot.
///
/// # Errors
/// It could not be looked at.
pub(super) fn firewalld() -> Result<bool, String> {
    enabled("firewalld.service").map_err(|error| format!("firewalld.service: {error}"))
}

/// Whether any unit or target wants the service, and it is not masked.
fn enabled(service: &str) -> io::Result<bool> {
    let masked = fs::read_link(Path::new(UNITS[0]).join(service));
    if masked.is_ok_and(|target| target == Path::new("/dev/null")) {
        return Ok(false);
    }
    for folder in UNITS {
        for wants in entries(Path::new(folder))? {
            let is_list = wants
                .extension()
                .is_some_and(|end| end == "wants" || end == "requires");
            // A link, which is there even if what it leads to is not.
            if is_list && wants.join(service).symlink_metadata().is_ok() {
                return Ok(true);
            }
        }
    }
    Ok(false)
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
    let mut drop_ins = Vec::new();
    for folder in UNITS {
        drop_ins.extend(entries(&Path::new(folder).join(format!("{service}.d")))?);
    }
    drop_ins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    for drop_in in drop_ins {
        if let Some(text) = read(&drop_in)? {
            files.push((drop_in, text));
        }
    }
    Ok(files)
}

/// What is in the folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect(),
    }
}

/// The text of the file; `None` where there is none.
fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

fn has_line(text: &str, key: &str, word: &str) -> bool {
    text.lines()
        .any(|line| line.starts_with(key) && line.contains(word))
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
