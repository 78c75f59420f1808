//! nftables.service: it may flush the whole ruleset when it starts, reloads or stops.

use std::path::PathBuf;

use super::{Activity, Unit};

/// The name of the unit.
pub const UNIT: &str = "nftables.service";

/// The configurations that the unit loads on Debian and on Fedora.
pub const CONFIGURATIONS: [&str; 2] = ["/etc/nftables.conf", "/etc/sysconfig/nftables.conf"];

/// Whether nftables.service removes rules that it did not install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flush {
    /// The unit neither is active nor starts at boot, or does not flush the ruleset.
    No,
    /// The unit is active or starts at boot, and this file contains `flush ruleset`.
    Yes(PathBuf),
    /// As `Yes`, and a drop-in would apply the lockdown again if our own unit were active.
    NotActive(PathBuf),
    /// The unit flushes the ruleset, and a drop-in applies the lockdown again.
    Reapplied,
}

/// A unit: its files, and what systemd does with it; `None` where systemd is not running, as in an
/// image build.
#[derive(Debug)]
pub struct Known {
    /// The unit as its files and links describe it.
    pub unit: Unit,
    /// What systemd reports.
    pub activity: Option<Activity>,
}

/// Whether nftables.service flushes the ruleset. `ours`: our boot unit. `configurations`: the
/// configurations that exist, with their text.
#[must_use]
pub fn flush(service: &Known, ours: &Known, configurations: &[(PathBuf, String)]) -> Flush {
    let unit = &service.unit;
    if !unit.starts_at_boot() && !service.activity.is_some_and(|now| now.active) {
        return Flush::No;
    }
    let Some(file) = flushing_file(unit, configurations) else {
        return Flush::No;
    };
    let commands = unit.values("ExecStartPost").into_iter();
    let (through_systemd, direct): (Vec<_>, Vec<_>) = commands
        .filter(|(_, command)| command.contains("ip-lockdown"))
        .partition(|(_, command)| command.contains("systemctl"));
    if !direct.is_empty() {
        return Flush::Reapplied;
    }
    // Our own drop-in calls systemctl, which has an effect only on an active unit.
    if through_systemd.is_empty() || !ours.unit.starts_at_boot() {
        return Flush::Yes(file);
    }
    match ours.activity {
        Some(now) if !now.active => Flush::NotActive(file),
        _ => Flush::Reapplied,
    }
}

/// The file that makes nftables.service flush the ruleset.
fn flushing_file(unit: &Unit, configurations: &[(PathBuf, String)]) -> Option<PathBuf> {
    let flushing = configurations.iter().find(|(_, text)| flushes(text));
    if let Some((file, _)) = flushing {
        return Some(file.clone());
    }
    let mut at_stop = unit.values("ExecStop").into_iter();
    let (file, _) = at_stop.find(|(_, command)| command.contains("flush ruleset"))?;
    Some(file.to_owned())
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
        let service = |text: &str, wanted, activity| Known {
            unit: Unit {
                masked: false,
                wanted,
                files: vec![file("unit", text)],
            },
            activity,
        };
        let state = |state: &str| Some(Activity::parse(&format!("ActiveState={state}\n")));
        let ours = |wanted, activity| service("[Service]\n", wanted, activity);
        let enabled = &ours(true, None);
        let flushing = [file("/etc/nftables.conf", "flush ruleset\n")];
        let yes = |name: &str| Flush::Yes(name.into());
        let plain = service("[Service]\n", true, None);
        assert_eq!(flush(&plain, enabled, &flushing), yes("/etc/nftables.conf"));
        assert_eq!(flush(&plain, enabled, &[]), Flush::No);
        let plain = |activity| service("[Service]\n", false, activity);
        assert_eq!(flush(&plain(None), enabled, &flushing), Flush::No);
        assert_eq!(
            flush(&plain(state("inactive")), enabled, &flushing),
            Flush::No
        );
        // Not enabled, but started by hand: its next restart flushes.
        assert_eq!(
            flush(&plain(state("active")), enabled, &flushing),
            yes("/etc/nftables.conf")
        );
        let stops = service("ExecStop=/usr/sbin/nft flush ruleset\n", true, None);
        assert_eq!(flush(&stops, enabled, &[]), yes("unit"));

        let command = "ExecStartPost=-/bin/systemctl restart ip-lockdown.service\n";
        let drop_in = &service(command, true, None);
        let with = |ours| flush(drop_in, &ours, &flushing);
        let conf = PathBuf::from("/etc/nftables.conf");
        assert_eq!(with(ours(true, None)), Flush::Reapplied);
        assert_eq!(with(ours(true, state("active"))), Flush::Reapplied);
        assert_eq!(with(ours(true, state("activating"))), Flush::Reapplied);
        for inactive in ["inactive", "failed"] {
            let found = with(ours(true, state(inactive)));
            assert_eq!(found, Flush::NotActive(conf.clone()), "{inactive}");
        }
        assert_eq!(with(ours(false, None)), Flush::Yes(conf.clone()));
        assert_eq!(with(ours(false, state("active"))), Flush::Yes(conf));
        let direct = service("ExecStartPost=/usr/sbin/ip-lockdown apply\n", true, None);
        let not_active = &ours(true, state("inactive"));
        assert_eq!(flush(&direct, not_active, &flushing), Flush::Reapplied);
    }
}
