//! ip-lockdown.service: what it locks at the next boot.

use std::path::Path;

use super::Unit;
use crate::policy::Target;

/// What ip-lockdown.service locks at the next boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextBoot {
    /// Nothing: the unit is not enabled.
    NotEnabled,
    /// The targets of the configuration.
    Configured(Vec<Target>),
    /// The metadata service, for root: the configuration cannot be used.
    MetadataForRoot,
}

/// The configuration file that a drop-in of the unit sets with `--config`.
#[must_use]
pub fn configuration(unit: &Unit) -> Option<&Path> {
    let (_, command) = unit.values("ExecStart").into_iter().next_back()?;
    let mut words = command.split_whitespace();
    while let Some(word) = words.next() {
        match word.strip_prefix("--config") {
            Some("") => return words.next().map(Path::new),
            Some(rest) => return rest.strip_prefix('=').map(Path::new),
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_in_can_set_the_configuration_of_the_unit() {
        let unit = |text: &str| Unit {
            files: vec![("unit".into(), text.to_owned())],
            ..Unit::default()
        };
        let apply = "ExecStart=/usr/sbin/ip-lockdown apply --boot";
        for (text, expected) in [
            (apply.to_owned(), None),
            (format!("{apply} --config /etc/a"), Some("/etc/a")),
            (format!("{apply} --config=/etc/a -v"), Some("/etc/a")),
            (
                format!("{apply} --config=/etc/a\nExecStart=\n{apply}"),
                None,
            ),
        ] {
            let unit = unit(&text);
            assert_eq!(configuration(&unit), expected.map(Path::new), "{text}");
        }
    }
}
