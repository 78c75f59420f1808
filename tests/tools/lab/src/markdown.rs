//! As much of Markdown as our pages use.

use std::collections::BTreeMap;

/// The sections of a page by heading of `level`, each up to the next heading of that level or above.
pub fn sections(page: &str, level: usize) -> Vec<(&str, String)> {
    let mut sections: Vec<(&str, String)> = Vec::new();
    let (mut in_code, mut open) = (false, false);
    for line in page.lines() {
        in_code ^= line.starts_with("```");
        let depth = line.chars().take_while(|&c| c == '#').count();
        if !in_code && (1..=level).contains(&depth) {
            open = depth == level;
            if open {
                sections.push((line[depth..].trim(), String::new()));
            }
        } else if let (true, Some((_, text))) = (open, sections.last_mut()) {
            text.push_str(line);
            text.push('\n');
        }
    }
    sections
}

/// The section of that name.
#[track_caller]
pub fn section(page: &str, level: usize, name: &str) -> String {
    let all: BTreeMap<_, _> = sections(page, level).into_iter().collect();
    all.get(name)
        .unwrap_or_else(|| panic!("no section {name:?} among {:?}", all.keys()))
        .clone()
}

/// The cells of every row of every table, without the heads.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    tables(text)
        .into_iter()
        .flat_map(|(_, rows)| rows)
        .collect()
}

/// The cells of every row of the tables with that head.
pub fn rows_below(text: &str, head: &[&str]) -> Vec<Vec<String>> {
    let tables = tables(text).into_iter();
    tables
        .filter(|(names, _)| names == head)
        .flat_map(|(_, rows)| rows)
        .collect()
}

/// The head of every table, and its rows.
fn tables(text: &str) -> Vec<(Vec<String>, Vec<Vec<String>>)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &&str| line.starts_with("|--");
    let mut tables: Vec<(Vec<String>, Vec<Vec<String>>)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.starts_with('|') || is_rule(line) {
            continue;
        }
        if lines.get(at + 1).is_some_and(is_rule) {
            tables.push((cells(line), Vec::new()));
        } else if let Some((_, rows)) = tables.last_mut() {
            rows.push(cells(line));
        }
    }
    tables
}

/// The cells of a row. A bar inside a cell is written `\|`.
fn cells(line: &str) -> Vec<String> {
    line.replace("\\|", "\u{0}")
        .trim_matches('|')
        .split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

/// The targets of the links, outside of code.
pub fn links(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let prose: String = prose.split('`').step_by(2).collect();
    let after = prose.split("](").skip(1);
    after
        .map(|rest| rest.split(')').next().unwrap_or_default().to_owned())
        .collect()
}

/// What links to the headings of a page are called, in the way of GitHub.
pub fn anchors(page: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let prose = page.split("```").step_by(2).flat_map(str::lines);
    prose
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let slug: String = line
                .trim_start_matches('#')
                .trim()
                .chars()
                .filter(|&c| c.is_alphanumeric() || " -_".contains(c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let slug = slug.to_lowercase();
            let before = seen.entry(slug.clone()).or_default();
            *before += 1;
            match *before {
                1 => slug,
                again => format!("{slug}-{}", again - 1),
            }
        })
        .collect()
}

/// The contents of the fenced blocks of that language.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    text.split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'))
        .map(str::to_owned)
        .collect()
}

/// What stands between single backticks, outside of fenced blocks.
pub fn spans(text: &str) -> Vec<String> {
    text.split("```")
        .step_by(2)
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
        .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}
