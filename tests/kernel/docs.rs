//! README and `docs/json.md` show what the program does on a host: they are compared with a run in a lab.
//!
//! What the other pages contain is tested without root, in `tests/pure/docs.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::{env, fs};

use lab::markdown::{blocks, rows, section, spans};
use lab::{Done, Lab, Variant, lockdown_program};
use serde_json::Value;

const README: &str = include_str!("../../README.md");
const JSON: &str = include_str!("../../docs/json.md");

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
        ("Errors", json(2, &["169.254.169.254", "no-such-user"])),
    ];
    let mut in_tables: BTreeSet<String> = BTreeSet::new();
    for row in rows(JSON) {
        in_tables.extend(spans(&row[0]));
    }
    let mut keys = BTreeSet::new();
    for (name, printed) in &printed {
        let examples = blocks(&section(JSON, 2, name), "json");
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

/// Without what differs from run to run, or from one release of curl to the next.
fn steady(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| match line {
            _ if line.starts_with("curl: ") => line.split(" after ").next().unwrap().to_owned(),
            _ if line.contains("packets passed") => {
                let (address, counters) = line.rsplit_once(": ").unwrap();
                let counters = counters.replace(|c: char| c.is_ascii_digit(), "");
                format!("{address}: {counters}")
            }
            _ => line.to_owned(),
        })
        .collect()
}

/// Compares a block of README with what was seen. With BLESS=1 in the environment, what was seen takes its place.
#[track_caller]
fn compare(block: &str, seen: &str, variant: Variant) {
    static WRITING: Mutex<()> = Mutex::new(());
    if steady(block) == steady(seen) || env::var_os("BLESS").is_none() {
        assert_eq!(steady(seen), steady(block), "{variant}");
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let _alone = WRITING.lock().unwrap();
    let page = fs::read_to_string(&path).unwrap();
    fs::write(&path, page.replace(block, seen)).unwrap();
}

#[test]
fn the_tour_of_readme_goes_as_printed() {
    let lab = readers_host(Variant::Nft);
    let tour = blocks(&section(README, 2, "A minute's tour"), "console");
    assert!(!tour.is_empty());
    for block in tour {
        compare(&block, &play(&lab, &block), Variant::Nft);
    }
}

#[test]
fn readme_shows_the_rules_that_are_installed() {
    // With iptables-legacy other layers are laid, and the stamp tells.
    let lab = readers_host(Variant::Nft);
    lab.run(&["ip-lockdown", "169.254.169.254", "root"])
        .expect_code(0);
    let shown = blocks(&section(README, 2, "The rules"), "console");
    assert!(!shown.is_empty());
    for block in shown {
        compare(&block, &play(&lab, &block), Variant::Nft);
    }
}

#[test]
fn readme_shows_what_trust_policy_prints() {
    let lab = readers_host(Variant::Nft);
    let shown = blocks(&section(README, 2, "Trust policy"), "console");
    assert!(!shown.is_empty());
    for block in shown {
        compare(&block, &play(&lab, &block), Variant::Nft);
    }
}
