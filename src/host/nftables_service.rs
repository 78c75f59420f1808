//! nftables.service: it may flush the whole ruleset when it starts, reloads or stops.

use std::path::PathBuf;

use super::Unit;

/// The name of the unit.
pub const UNIT: &str = "nftables.service";

/// The configurations that the unit loads on Debian and on Fedora.
pub const CONFIGURATIONS: [&str; 2] = ["/etc/nftables.conf", "/etc/sysconfig/nftables.conf"];

/// Whether nftables.service removes rules that it did not install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flush {
    /// The unit does not start at boot, or does not flush the ruleset.
    No,
    /// The unit starts at boot, and this file contains `flush ruleset`.
    Yes(PathBuf),
    /// The unit flushes the ruleset, and a drop-in applies the lockdown again.
    Reapplied,
}

/// Whether nftables.service flushes the ruleset. `boot_unit_starts`: our own unit starts at boot.
/// `configurations`: the configurations that exist, with their text.
#[must_use]
pub fn flush(unit: &Unit, boot_unit_starts: bool, configurations: &[(PathBuf, String)]) -> Flush {
    if !unit.starts_at_boot() {
        return Flush::No;
    }
    let reapplies = |command: &str| {
        // Our own drop-in calls systemctl, which has an effect only if our unit is enabled.
        command.contains("ip-lockdown") && (!command.contains("systemctl") || boot_unit_starts)
    };
    let mut after_start = unit.values("ExecStartPost").into_iter();
    if after_start.any(|(_, command)| reapplies(command)) {
        return Flush::Reapplied;
    }
    let flushing = configurations.iter().find(|(_, text)| flushes(text));
    if let Some((file, _)) = flushing {
        return Flush::Yes(file.clone());
    }
    let mut at_stop = unit.values("ExecStop").into_iter();
    match at_stop.find(|(_, command)| command.contains("flush ruleset")) {
        Some((file, _)) => Flush::Yes(file.to_owned()),
        None => Flush::No,
    }
}

/// Whether a command of the nft script flushes the tables of both IP families. nft ends a command
/// at `;`, a comment begins with `#`, and a backslash joins the next line.
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
    use super::*;

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

    #[test]
    fn only_a_service_that_starts_and_flushes_counts() {
        let file = |name: &str, text: &str| (PathBuf::from(name), text.to_owned());
        let unit = |text: &str| Unit {
            masked: false,
            wanted: true,
            files: vec![file("unit", text)],
        };
        let flushing = [file("/etc/nftables.conf", "flush ruleset\n")];
        let yes = |name: &str| Flush::Yes(name.into());
        let plain = unit("[Service]\n");
        assert_eq!(flush(&plain, true, &flushing), yes("/etc/nftables.conf"));
        assert_eq!(flush(&plain, true, &[]), Flush::No);
        assert_eq!(flush(&Unit::default(), true, &flushing), Flush::No);
        let stops = unit("ExecStop=/usr/sbin/nft flush ruleset\n");
        assert_eq!(flush(&stops, true, &[]), yes("unit"));
        let drop_in = unit("ExecStartPost=-/bin/systemctl restart ip-lockdown.service\n");
        assert_eq!(flush(&drop_in, true, &flushing), Flush::Reapplied);
        assert_eq!(flush(&drop_in, false, &flushing), yes("/etc/nftables.conf"));
    }
}
