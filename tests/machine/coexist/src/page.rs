//! The page for readers: the text of `page.md`, and the tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use lab::Lane;

use crate::clients::is_locked;
use crate::judge::listed;
use crate::lockdown::State;
use crate::play::{Measured, Played};
use crate::rows::{HOST, LISTED};

/// All of it, as Markdown.
pub(crate) fn page(played: &[Played], date: &str) -> String {
    let some = |of: &dyn Fn(&Played) -> String| {
        let all: BTreeSet<_> = played.iter().map(of).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    // The rest of a release names the machine.
    let kernel = some(&|played| {
        let release = played.kernel.split('-').next();
        release.unwrap_or_default().to_owned()
    });
    let layers = some(&|played| {
        let row = played.rows.iter().find_map(|row| row.lockdown.as_ref());
        let layers = row.iter().flat_map(|row| row.left.keys());
        let layers: Vec<_> = layers.map(|layer| format!("`{layer}`")).collect();
        layers.join(" and ")
    });
    let shut = played
        .iter()
        .flat_map(|played| &played.rows)
        .filter_map(|row| Some(row.lockdown.as_ref()?.closed_after))
        .fold(0.0, f64::max);
    let tables: Vec<_> = played.iter().map(table).collect();
    include_str!("page.md")
        .replace("{{date}}", date)
        .replace("{{kernel}}", &kernel)
        .replace("{{lockdown}}", &some(&|played| played.lockdown.clone()))
        .replace("{{layers}}", &layers)
        .replace("{{shut}}", &format!("{shut:.2}"))
        .replace(
            "{{drop-in}}",
            &include_str!("../drop-in.conf")
                .trim_end()
                .replace('\n', "\n  "),
        )
        .replace("{{tables}}", tables.join("\n").trim_end())
}

fn table(played: &Played) -> String {
    let versions: Vec<_> = played
        .versions
        .iter()
        .map(|(package, version)| format!("{package} {version}"))
        .collect();
    // The host's user first.
    let mut sources: Vec<_> = played
        .sources
        .iter()
        .filter(|(name, _)| *name != LISTED.name)
        .collect();
    sources.sort_by_key(|(name, _)| *name != HOST.name);

    let mut text = format!("## {}\n\n{}\n\n", played.title, versions.join(", "));
    let mut header = String::from("| |");
    for (_, who) in &sources {
        let _ = write!(header, " {who} |");
    }
    let _ = writeln!(text, "{header} left | codes | theirs | listed |");
    let _ = writeln!(text, "|{}", "---|".repeat(sources.len() + 5));
    for row in &played.rows {
        let mut cells = vec![first_cell(row)];
        cells.extend(sources.iter().map(|(name, _)| got_through(row, name)));
        cells.extend([left(row), codes(row), theirs(row), served(row)]);
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    let notes: Vec<_> = played.rows.iter().filter_map(note).collect();
    if !notes.is_empty() {
        let _ = write!(text, "\n{}\n", notes.join("\n"));
    }
    text
}

fn first_cell(row: &Measured) -> String {
    let does = code(&row.does);
    if row.contradictions.is_empty() {
        does
    } else {
        format!("{does} **NOT AS EXPECTED**")
    }
}

/// A command as such; sentences as they are, or up to the comma where the command ends.
fn code(does: &str) -> String {
    if does.starts_with("nothing") || does.starts_with("start:") {
        return does.to_owned();
    }
    match does.split_once(", ") {
        Some((command, rest)) => format!("`{command}`, {rest}"),
        None => format!("`{does}`"),
    }
}

fn got_through(row: &Measured, source: &str) -> String {
    let Some(lanes) = row.clients.get(source) else {
        return String::new();
    };
    let family = |ipv6: bool| {
        let lanes = || {
            lanes
                .iter()
                .filter(|lane| is_locked(lane) && lane.to.is_ipv6() == ipv6)
        };
        let passed: u64 = lanes().map(|lane| lane.passed).sum();
        let tries: u64 = lanes().map(|lane| lane.tries).sum();
        format!("{passed} of {tries}")
    };
    format!("{}; {}", family(false), family(true))
}

fn left(row: &Measured) -> String {
    let Some(mended) = &row.lockdown else {
        return String::new();
    };
    if mended.left.values().all(|state| *state == State::Stands) {
        return "all work".to_owned();
    }
    if mended.left.values().all(|state| *state == State::Gone) {
        return "none".to_owned();
    }
    let states: Vec<_> = mended
        .left
        .iter()
        .map(|(layer, state)| {
            let state = match state {
                State::Stands => "works",
                State::Bypassed => "bypassed",
                State::Gone => "gone",
            };
            format!("`{layer}` {state}")
        })
        .collect();
    states.join(", ")
}

fn codes(row: &Measured) -> String {
    row.lockdown.as_ref().map_or_else(String::new, |mended| {
        let [found, applied, verified] = mended.codes;
        format!("{found}, {applied}, {verified}")
    })
}

fn theirs(row: &Measured) -> String {
    if !row.foreign_changed.is_empty() {
        return format!("{} lines changed", row.foreign_changed.len());
    }
    match row.foreign_lines {
        0 => "none".to_owned(),
        lines => format!("{lines}, unchanged"),
    }
}

fn served(row: &Measured) -> String {
    let lanes = || listed(&row.clients, true);
    let slowest = |locked: bool| {
        listed(&row.clients, locked)
            .map(|lane| lane.slowest_ms)
            .fold(0.0, f64::max)
    };
    let sum = |what: fn(&Lane) -> u64| lanes().map(what).sum::<u64>();
    format!(
        "{} of {}; {:.0} ms ({:.0})",
        sum(|lane| lane.passed),
        sum(|lane| lane.tries),
        slowest(true),
        slowest(false)
    )
}

fn note(row: &Measured) -> Option<String> {
    let mut words = Vec::new();
    if !row.note.is_empty() {
        words.push(row.note.clone());
    }
    if let Some(mended) = &row.lockdown
        && let Some(open) = mended.open_for
        && !row.does.starts_with("ip-lockdown")
    {
        words.push(if mended.closed_after > 0.0 {
            format!(
                "open until `apply`, which closed it {:.2} s after its start",
                mended.closed_after
            )
        } else {
            format!("open for {open:.2} s")
        });
    }
    words.extend(row.contradictions.iter().cloned());
    (!words.is_empty()).then(|| format!("- {}: {}", code(&row.does), words.join("; ")))
}
