//! Files of the host: units of systemd, scripts of nft, os-release.

use std::path::PathBuf;

use ip_lockdown::host::distribution::{Package, install_command};
use ip_lockdown::host::nftables_service::{Known, flush};
use ip_lockdown::host::{Activity, Flush, Unit};

use crate::text;

/// Reads the text as the files of a unit, each ended by a zero byte, and as the script that
/// nftables.service loads.
pub fn units(bytes: &[u8]) {
    let text = text(bytes);
    let files = text.split('\0').enumerate();
    let files: Vec<(PathBuf, String)> = files
        .map(|(nth, text)| (PathBuf::from(nth.to_string()), text.to_owned()))
        .collect();
    let unit = Unit {
        masked: false,
        wanted: true,
        files: files.clone(),
    };
    for key in ["ExecStart", "ExecStop", ""] {
        for (_, value) in unit.values(key) {
            assert!(!value.is_empty() && !value.contains('\n'), "{value:?}");
            assert_eq!(value.trim(), value);
        }
    }
    let activity = Activity::parse(&text);
    let service = |masked| Known {
        unit: Unit {
            masked,
            ..unit.clone()
        },
        activity: None,
    };
    for (starts, activity) in [(false, None), (true, None), (true, Some(activity))] {
        let ours = Known {
            unit: Unit {
                wanted: starts,
                ..Unit::default()
            },
            activity,
        };
        match flush(&service(false), &ours, &files) {
            Flush::No => {}
            Flush::Yes(file) | Flush::NotActive(file) => {
                let (_, text) = files
                    .iter()
                    .find(|(name, _)| *name == file)
                    .expect("a file");
                assert!(
                    text.contains("flush") && text.contains("ruleset"),
                    "{text:?}"
                );
            }
            Flush::Reapplied => assert!(text.contains("ip-lockdown")),
        }
    }
    let masked = service(true);
    assert_eq!(flush(&masked, &masked, &files), Flush::No);
    assert!(install_command(&text, Package::Iptables).contains("iptables"));
}
