//! Promise: no input that a fuzz target starts from, and none that failed once, breaks a promise of the program.
//!
//! `fuzz/README.md` describes how to run the targets on new inputs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fuzz_targets::ALL;
use lab::files::{file_name, sorted};
use pretty_assertions::assert_eq;

#[test]
fn every_seed_passes_its_target() {
    for target in ALL {
        let seeds = target.seeds();
        assert!(
            seeds.len() >= 5,
            "{} has {} seeds",
            target.name,
            seeds.len()
        );
        for seed in seeds {
            (target.run)(&seed);
        }
    }
}

#[test]
fn every_input_that_failed_once_passes_its_target() {
    for target in ALL {
        for path in sorted(&target.regressions()) {
            if file_name(&path) != ".gitkeep" {
                eprintln!("{}", path.display());
                (target.run)(&fs::read(&path).unwrap());
            }
        }
    }
}

#[test]
fn every_target_is_a_program_of_cargo_fuzz() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let programs = sorted(&folder.join("fuzz_targets"));
    let programs: BTreeSet<String> = programs.iter().map(|path| file_name(path)).collect();
    let expected = ALL.map(|target| format!("{}.rs", target.name));
    assert_eq!(programs, BTreeSet::from(expected.clone()));
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for program in expected {
        let line = format!("path = \"fuzz_targets/{program}\"");
        assert!(manifest.contains(&line), "fuzz/Cargo.toml has no {program}");
    }
    let folders = sorted(&folder.join("regressions"));
    let folders: BTreeSet<String> = folders.iter().map(|path| file_name(path)).collect();
    let names = ALL.map(|target| target.name.to_owned());
    assert_eq!(folders, BTreeSet::from(names));
}
