//! The tables, on the terminal while they are measured, and as a page.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use lab::{Lab, Variant};

/// What was said so far.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new() -> Self {
        let lab = Lab::new(Variant::Nft);
        let mut page = Self(String::new());
        page.line("# What it costs");
        page.line("");
        page.line(&format!(
            "Measured on {} by `make bench`, which writes this page: {}. All values of a table come from one run, measured \
             in turns. A value is the median; the percentage beside it is half of the interquartile range. Compare \
             values within a table, not between machines.",
            said(&lab, &["date", "--utc", "+%F"]),
            machine(&lab)
        ));
        page
    }

    /// A section, and what its table compares.
    pub(crate) fn section(&mut self, title: &str, text: &str) {
        self.line("");
        self.line(&format!("## {title}"));
        self.line("");
        self.line(text);
        self.line("");
    }

    pub(crate) fn head(&mut self, columns: &[&str]) {
        self.line(&format!("| {} |", columns.join(" | ")));
        self.line(&format!("|{}", "---|".repeat(columns.len())));
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// Text as it is.
    pub(crate) fn block(&mut self, text: &str) {
        self.line("```text");
        self.line(text.trim_end());
        self.line("```");
    }

    pub(crate) fn end(&mut self, took: Duration) {
        self.line("");
        self.line(&format!("The run took {} s.", took.as_secs()));
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Another page with the sections of this one: in the place of those with the same title, or before
    /// the last section.
    pub(crate) fn put_into(&self, other: &str) -> String {
        const MARK: &str = "\n## ";
        let title = |section: &str| section.lines().next().unwrap_or_default().to_owned();
        let mut sections: Vec<String> = other.split(MARK).map(str::to_owned).collect();
        for section in self.0.split(MARK).skip(1) {
            let known = sections
                .iter()
                .position(|known| title(known) == title(section));
            match known {
                Some(at) => section.clone_into(&mut sections[at]),
                None => sections.insert(sections.len() - 1, section.to_owned()),
            }
        }
        sections.join(MARK)
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        writeln!(self.0, "{line}").expect("a String takes everything");
    }
}

/// The machine, and the versions that matter.
fn machine(lab: &Lab) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpus = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    let kernel = said(lab, &["uname", "-r"]);
    format!(
        "{cpus} processors ({}), Linux {}, {}, {}",
        model.trim(),
        kernel.split('-').next().unwrap_or(&kernel),
        said(lab, &["iptables-nft", "--version"]),
        said(lab, &["nft", "--version"])
    )
}

fn said(lab: &Lab, words: &[&str]) -> String {
    lab.run(words).expect_code(0).stdout.trim().to_owned()
}
