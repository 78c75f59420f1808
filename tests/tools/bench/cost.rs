//! The cost of a lockdown, compared with the alternatives: `make bench`.
//!
//! Everything that is compared is measured in turns, in this one run, so that the ratios mean something on a busy
//! machine too. This is no test: it asserts that every call succeeds, and nothing about time. `--write FILE`
//! writes the tables as a page; `--hot FILE` adds the output of the bench `hot` to it; other arguments select sections.
//! `--into FILE` replaces the measured sections in an existing page.

#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot be made must stop loudly"
)]

mod beside;
mod changes;
mod growth;
mod packets;
mod page;
mod series;

use std::env;
use std::fs;
use std::time::Instant;

use page::Page;

/// Adds a part to the page.
type Measure = fn(&mut Page);

/// The parts of the page, by the words that choose them.
const SECTIONS: [(&str, Measure); 5] = [
    ("changes", changes::measure),
    ("packets", packets::measure),
    ("growth", growth::measure),
    ("size", changes::size),
    ("beside", beside::measure),
];

fn main() {
    // `cargo bench` adds --bench.
    let mut words: Vec<String> = env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let mut value_of = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.remove(at);
        Some(words.remove(at))
    };
    let (file, hot) = (value_of("--write"), value_of("--hot"));
    let into = value_of("--into");
    let started = Instant::now();
    let mut page = Page::new();
    for (name, measure) in SECTIONS {
        if words.is_empty() || words.iter().any(|word| word == name) {
            measure(&mut page);
        }
    }
    if let Some(hot) = hot {
        page.section(
            "This program's own work",
            "Without other programs, for one family in `filter` and `security` (nftables: both families), measured by `divan`:",
        );
        page.block(&fs::read_to_string(hot).expect("what the bench `hot` printed"));
    }
    if let Some(file) = into {
        let there = fs::read_to_string(&file).expect("the page is there");
        fs::write(&file, page.put_into(&there)).expect("the page can be written");
        println!("put into {file}");
        return;
    }
    page.end(started.elapsed());
    if let Some(file) = file {
        fs::write(&file, page.text()).expect("the page can be written");
        println!("written to {file}");
    }
}
