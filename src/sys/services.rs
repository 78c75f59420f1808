//! What services of this host would do to rules that are not theirs.

use std::fs;
use std::io;

use crate::verify::Flush;

/// The configurations that nftables.service runs (`nftables.service` of Debian, of Fedora).
const CONFIGURATIONS: [&str; 2] = ["/etc/nftables.conf", "/etc/sysconfig/nftables.conf"];

/// Where systemd has the links of services that are enabled (`systemctl(1)`).
const ENABLED: &str = "/etc/systemd/system";

/// Whether nftables.service is enabled and flushes everything.
pub(super) fn flush() -> Flush {
    match enabled("nftables.service") {
        Ok(false) => return Flush::No,
        Ok(true) => {}
        Err(error) => return Flush::Unknown(format!("{ENABLED}: {error}")),
    }
    for file in CONFIGURATIONS {
        match fs::read_to_string(file) {
            Ok(text) if flushes(&text) => return Flush::Yes(file.to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Flush::Unknown(format!("{file}: {error}")),
        }
    }
    Flush::No
}

/// Whether any unit or target wants the service.
fn enabled(service: &str) -> io::Result<bool> {
    let entries = match fs::read_dir(ENABLED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let wants = entry.path();
        let is_list = wants
            .extension()
            .is_some_and(|end| end == "wants" || end == "requires");
        // A link, which is there even if what it leads to is not.
        if is_list && wants.join(service).symlink_metadata().is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a line says so; nft takes `;` for the end of a line, and `#` begins a comment.
fn flushes(text: &str) -> bool {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(|line| line.split(';'))
        .any(|command| command.split_whitespace().take(2).eq(["flush", "ruleset"]))
}

#[cfg(test)]
mod tests {
    use super::flushes;

    #[test]
    fn a_flush_is_found_and_a_comment_is_none() {
        assert!(flushes("#!/usr/sbin/nft -f\n\nflush ruleset\n"));
        assert!(flushes("flush  ruleset inet; table inet x {}\n"));
        assert!(!flushes(
            "# flush ruleset\ntable inet x {\n}\nflush table inet x\n"
        ));
    }
}
