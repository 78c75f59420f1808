//! The modules of `src` import each other in one direction only, as `src/lib.rs` describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Each room, from the bottom to the top, with the rooms that it may import.
const ROOMS: [(&str, &[&str]); 12] = [
    ("exit_code", &[]),
    ("policy", &[]),
    ("probe", &["policy"]),
    ("ruleset", &["policy", "probe"]),
    ("config", &["policy", "ruleset"]),
    ("host", &["policy", "ruleset"]),
    (
        "verify",
        &["exit_code", "policy", "probe", "ruleset", "host"],
    ),
    ("sys", &["policy", "config", "probe", "ruleset", "host"]),
    (
        "engine",
        &[
            "exit_code",
            "policy",
            "config",
            "probe",
            "ruleset",
            "host",
            "verify",
            "sys",
        ],
    ),
    (
        "output",
        &[
            "exit_code",
            "policy",
            "probe",
            "ruleset",
            "host",
            "verify",
            "sys",
            "engine",
        ],
    ),
    ("cli", &["policy", "config", "ruleset", "engine", "output"]),
    (
        "commands",
        &[
            "exit_code",
            "policy",
            "config",
            "ruleset",
            "cli",
            "sys",
            "engine",
            "output",
        ],
    ),
];

/// The Rust files below the folder, with their text.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
            let name = path.strip_prefix(source).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

/// The names that follow `crate::` in code, outside of comments.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .next()
                .unwrap()
        })
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn all_files() -> Vec<(String, String)> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn no_room_imports_one_above_it() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.into_iter().collect();
    let mut seen = 0;
    for (file, text) in all_files() {
        let room = file.split(['/', '.']).next().unwrap();
        if ["lib", "main"].contains(&room) {
            continue;
        }
        let allowed = allowed
            .get(room)
            .unwrap_or_else(|| panic!("{file}: no such room"));
        for import in imports(&text) {
            let own = import == room;
            assert!(
                own || allowed.contains(&import.as_str()),
                "{file} imports {import}"
            );
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} imports were found");
}

#[test]
fn the_rooms_are_listed_from_the_bottom_to_the_top() {
    let mut below: BTreeSet<&str> = BTreeSet::new();
    for (room, imports) in ROOMS {
        assert!(
            imports.iter().all(|import| below.contains(import)),
            "{room}: {imports:?}"
        );
        below.insert(room);
    }
}

/// Programs, files, sockets and processes are touched in `sys` alone.
#[test]
fn only_sys_touches_the_system() {
    const EFFECTS: [&str; 7] = [
        "std::fs",
        "std::process::Command",
        "std::net::Tcp",
        "std::net::Udp",
        "nix::unistd",
        "nix::sys::socket",
        "unsafe {",
    ];
    for (file, text) in all_files() {
        if file.starts_with("sys/") {
            continue;
        }
        for effect in EFFECTS {
            assert!(!text.contains(effect), "{file}: {effect}");
        }
    }
}

/// No type of clap is known below `commands`.
#[test]
fn only_the_command_line_knows_clap() {
    for (file, text) in all_files() {
        let knows = file.starts_with("cli/") || file.starts_with("commands/");
        assert!(knows || !text.contains("clap::"), "{file}");
    }
}
