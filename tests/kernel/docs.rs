//! The pages show what the program does on a host: their output is compared with a run in a lab.
//!
//! `tests/pure/docs.rs` tests everything else in the pages, without root.

use std::collections::BTreeSet;

use lab::markdown::{blocks, rows, section, sections, spans};
use lab::pages::{compare, page, pages};
use lab::{Done, Lab, Variant, lockdown_program};
use serde_json::Value;

const USAGE: &str = "docs/usage.md";
const JSON: &str = "docs/json.md";

/// Every key, by its path.
fn key_paths(value: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let path = format!("{path}.{key}");
                    collect(value, &path, paths);
                    paths.insert(path);
                }
            }
            Value::Array(array) => {
                for value in array {
                    collect(value, &format!("{path}[]"), paths);
                }
            }
            _ => {}
        }
    }
    let mut paths = BTreeSet::new();
    collect(value, "", &mut paths);
    paths
}

/// Puts the units of this tree where packages put them.
fn install_units(lab: &Lab) {
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");
    let there = "/usr/lib/systemd/system";
    lab.sh(&format!(
        "mkdir -p {there}; cp {units}/ip-lockdown* {there}"
    ))
    .expect_code(0);
}

#[test]
fn the_json_page_has_every_key_that_the_program_prints() {
    let lab = Lab::new(Variant::Nft);
    let json = |code: i32, words: &[&str]| -> Value {
        lab.lockdown(&[&["--output", "json"], words].concat())
            .expect_code(code)
            .json()
    };
    let words = ["169.254.169.254", "root", "1000-1099", "--group", "adm"];
    let printed = [
        (
            "apply --dry-run",
            json(0, &[&["--dry-run"], &words[..]].concat()),
        ),
        ("apply", json(0, &words)),
        ("verify", json(0, &["verify"])),
        ("status", json(0, &["status"])),
        ("remove", json(0, &["remove"])),
        ("enable and disable", {
            install_units(&lab);
            json(0, &["enable", "169.254.169.254", "root"])
        }),
        (
            "trust-policy check",
            json(1, &["trust-policy", "check", "/dev/null"]),
        ),
        ("Errors", json(2, &["169.254.169.254", "rot"])),
    ];
    let mut in_tables: BTreeSet<String> = BTreeSet::new();
    let page = page(JSON);
    for row in rows(&page) {
        in_tables.extend(spans(&row[0]));
    }
    let mut keys = BTreeSet::new();
    for (name, printed) in &printed {
        let examples = blocks(&section(&page, 2, name), "json");
        let example: Value = serde_json::from_str(&examples[0]).unwrap();
        assert_eq!(key_paths(&example), key_paths(printed), "{name}");
        let paths = key_paths(printed);
        keys.extend(
            paths
                .iter()
                .map(|path| path.rsplit('.').next().unwrap().to_owned()),
        );
    }
    assert_eq!(in_tables, keys);
}

/// Makes the host of the lab the reader's: `sudo`, the program in its place, and iptables of that variant.
fn readers_host(variant: Variant) -> Lab {
    let lab = Lab::new(variant);
    lab.stub(
        "/usr/bin/sudo",
        "#!/bin/sh\nif [ \"$1\" = -u ]; then user=$2; shift 2; exec runuser -u \"$user\" -- \"$@\"; fi\nexec \"$@\"\n",
    );
    let program = lockdown_program();
    lab.stub(
        "/usr/sbin/ip-lockdown",
        &format!("#!/bin/sh\nexec {} \"$@\"\n", program.display()),
    );
    lab
}

/// Types the command lines of the block into a shell of the reader's host; gives the block as it is then.
fn play(lab: &Lab, block: &str) -> String {
    let mut seen = String::new();
    for line in block.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        let script = format!("exec 2>&1; {command}");
        let Done { stdout, .. } = lab.run(&["bash", "-c", &script]);
        seen = format!("{seen}{line}\n{stdout}");
        if !stdout.is_empty() && !stdout.ends_with('\n') {
            seen.push('\n');
        }
    }
    seen
}

/// The first block of a section with output is played on a fresh host, each further one on the host as it is then.
#[test]
fn the_pages_show_what_the_program_prints() {
    let mut played = BTreeSet::new();
    for (path, text) in pages() {
        let shown: usize = sections(&text, 2)
            .iter()
            .map(|(_, section)| blocks(section, "console").len())
            .sum();
        let all = blocks(&text, "console").len();
        assert_eq!(
            shown, all,
            "{path}: output above the first heading of level 2"
        );
        for (_, section) in sections(&text, 2) {
            let blocks = blocks(&section, "console");
            if blocks.is_empty() {
                continue;
            }
            // With iptables-legacy the marker comment names other layers.
            let lab = readers_host(Variant::Nft);
            for block in blocks {
                compare(&path, &block, &play(&lab, &block));
            }
            played.insert(path.clone());
        }
    }
    for path in ["README.md", USAGE, "docs/how-it-works.md"] {
        assert!(played.contains(path), "{path} shows no output");
    }
}
