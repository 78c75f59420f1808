//! The man pages, read by the real tools. Needs no root; needs groff and man-db.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

const PAGES: [(&str, &str, &str); 3] = [
    (
        "man",
        "ip-lockdown.8",
        "ip-lockdown - restrict the EC2 instance metadata service to named OS users",
    ),
    (
        "config-man",
        "ip-lockdown-config.5",
        "ip-lockdown-config - configuration of locked addresses and allowed users",
    ),
    (
        "trust-policy-man",
        "ip-lockdown-trust-policy.1",
        "ip-lockdown-trust-policy - build and check trust policies of IAM roles",
    ),
];

/// Runs a program; `package` is the Debian package that it comes from.
#[track_caller]
fn run(package: &str, program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| {
        panic!("{program}: {error}; install {package}, or run: sudo tests/requirements.sh test")
    })
}

/// Writes the pages below a directory.
fn pages() -> (TempDir, Vec<String>) {
    let directory = TempDir::new().expect("a temporary directory");
    let write = |(what, file, _): &(&str, &str, &str)| {
        let page = run(
            "this package",
            env!("CARGO_BIN_EXE_ip-lockdown"),
            &["generate", what],
        );
        assert!(page.status.success(), "{page:?}");
        let path = directory.path().join(file);
        fs::write(&path, page.stdout).expect("the page");
        path.to_str().expect("a path of text").to_owned()
    };
    let paths = PAGES.iter().map(write).collect();
    (directory, paths)
}

#[test]
fn whatis_finds_the_pages() {
    let (_directory, paths) = pages();
    for ((_, _, expected), path) in PAGES.iter().zip(&paths) {
        // What mandb puts into the index of whatis.
        let found = run("man-db", "lexgrog", &[path]);
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        assert_eq!(found, format!("{path}: \"{expected}\"\n"));
    }
}

#[test]
fn groff_has_no_warnings() {
    let (_directory, paths) = pages();
    for path in &paths {
        let rendered = run("groff-base", "groff", &["-ww", "-man", "-Tutf8", path]);
        assert!(rendered.status.success(), "{rendered:?}");
        assert_eq!(String::from_utf8_lossy(&rendered.stderr), "", "{path}");
        assert!(rendered.stdout.len() > 1000, "{path}");
        assert!(!rendered.stdout.contains(&b'`'), "{path}");
    }
}
