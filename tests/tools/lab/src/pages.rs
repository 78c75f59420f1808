//! The pages for users: their text, and how a part of one is compared with what the program prints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{env, fs};

/// The folder that the paths of pages start from.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// The text of a page.
#[track_caller]
pub fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page for users, by its path.
pub fn pages() -> BTreeMap<String, String> {
    let mut paths = [
        "README.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "packaging/README.md",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend(pages_in_docs());
    let read = paths.into_iter().map(|path| {
        let text = page(&path);
        (path, text)
    });
    read.collect()
}

fn pages_in_docs() -> Vec<String> {
    let files = fs::read_dir(root().join("docs")).expect("there is a folder docs");
    let names = files.map(|file| {
        let name = file.expect("the folder can be read").file_name();
        name.into_string().expect("names are UTF-8")
    });
    names.map(|name| format!("docs/{name}")).collect()
}

/// Without what differs from run to run, or from one release of curl to the next.
fn steady(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| match line {
            _ if line.starts_with("curl: ") => {
                line.split(" after ").next().unwrap_or_default().to_owned()
            }
            _ if line.contains("packets passed") => {
                let (address, counters) = line.rsplit_once(": ").expect("an address");
                let counters = counters.replace(|c: char| c.is_ascii_digit(), "");
                format!("{address}: {counters}")
            }
            _ => line.to_owned(),
        })
        .collect()
}

/// Compares a part of a page with what the program printed, which takes its place with BLESS=1 in the environment.
#[track_caller]
pub fn compare(path: &str, written: &str, seen: &str) {
    static WRITING: Mutex<()> = Mutex::new(());
    if env::var_os("BLESS").is_none() {
        assert_eq!(steady(seen), steady(written), "{path}");
        return;
    }
    let _alone = WRITING.lock().expect("no test panicked while it wrote");
    let text = page(path);
    assert!(text.contains(written), "{path} does not contain {written}");
    fs::write(root().join(path), text.replace(written, seen)).expect("the page can be written");
}
