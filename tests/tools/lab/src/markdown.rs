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
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &&str| line.starts_with("|--");
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with('|') && !is_rule(line))
        .filter(|(at, _)| !lines.get(at + 1).is_some_and(is_rule))
        .map(|(_, line)| {
            // A bar inside a cell is written `\|`.
            line.replace("\\|", "\u{0}")
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().replace('\u{0}', "|"))
                .collect()
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
