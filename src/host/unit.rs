//! A unit of systemd, as its files describe it.

use std::path::{Path, PathBuf};

/// A unit, as its files and links describe it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// Whether it is masked: a link to `/dev/null` in `/etc/systemd/system`.
    pub masked: bool,
    /// Whether any unit or target wants or requires it.
    pub wanted: bool,
    /// The unit file and its drop-ins with their text, in the order in which systemd reads them.
    pub files: Vec<(PathBuf, String)>,
}

impl Unit {
    /// Whether it starts at boot, according to its links.
    #[must_use]
    pub fn starts_at_boot(&self) -> bool {
        self.wanted && !self.masked
    }

    /// The values of `key`, each with the file that sets it. An empty value resets the list
    /// (systemd.service(5)).
    #[must_use]
    pub fn values(&self, key: &str) -> Vec<(&Path, &str)> {
        let mut values = Vec::new();
        for (file, text) in &self.files {
            for line in text.lines() {
                match line
                    .split_once('=')
                    .map(|(key, value)| (key.trim(), value.trim()))
                {
                    Some((found, "")) if found == key => values.clear(),
                    Some((found, value)) if found == key => values.push((file.as_path(), value)),
                    _ => {}
                }
            }
        }
        values
    }
}

/// The service unit of a process, by its `/proc/PID/cgroup` (cgroups(7)); `None` if it is in none.
#[must_use]
pub fn service_of(cgroup: &str) -> Option<&str> {
    cgroup
        .lines()
        .filter_map(|line| line.rsplit('/').next())
        .find(|name| name.ends_with(".service"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_group_names_the_service() {
        let of = |line: &str| service_of(line).map(str::to_owned);
        assert_eq!(
            of("0::/system.slice/a.service\n"),
            Some("a.service".to_owned())
        );
        assert_eq!(of("1:name=systemd:/user.slice/session-1.scope\n"), None);
    }

    #[test]
    fn an_empty_value_resets_those_before_it() {
        let file = |name: &str, text: &str| (PathBuf::from(name), text.to_owned());
        let unit = Unit {
            files: vec![
                file("unit", "ExecStart=/a\nExecStop = /b\n"),
                file("drop-in", "ExecStart=\nExecStart=/c\n"),
            ],
            ..Unit::default()
        };
        assert_eq!(unit.values("ExecStart"), [(Path::new("drop-in"), "/c")]);
        assert_eq!(unit.values("ExecStop"), [(Path::new("unit"), "/b")]);
    }

    #[test]
    fn a_masked_unit_does_not_start() {
        let unit = |masked, wanted| Unit {
            masked,
            wanted,
            files: Vec::new(),
        };
        assert!(unit(false, true).starts_at_boot());
        assert!(!unit(true, true).starts_at_boot());
        assert!(!unit(false, false).starts_at_boot());
    }
}
