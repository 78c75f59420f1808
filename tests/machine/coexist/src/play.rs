//! Plays one group on the machine it runs on.

use std::collections::BTreeMap;
use std::time::SystemTime;

use lab::Lane;
use serde::{Deserialize, Serialize};

use crate::clients::{Collector, Source, Tally};
use crate::foreign::Ruleset;
use crate::judge;
use crate::lockdown::{self, Layers, State};
use crate::rows::{Does, FIRST_APPLY, Group, HOST, LISTED, Row};
use crate::shell::sh;

/// What came of one group.
#[derive(Serialize, Deserialize)]
pub(crate) struct Played {
    pub(crate) group: String,
    pub(crate) title: String,
    pub(crate) kernel: String,
    pub(crate) lockdown: String,
    pub(crate) versions: BTreeMap<String, String>,
    /// Who was there.
    pub(crate) sources: BTreeMap<String, String>,
    pub(crate) rows: Vec<Measured>,
}

/// What came of one row.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) does: String,
    pub(crate) note: String,
    pub(crate) clients: Tally,
    /// What `apply` and the two `verify` around it showed; not in the rows without a lockdown.
    pub(crate) lockdown: Option<Mended>,
    /// How much of the firewall belongs to others, in lines.
    pub(crate) foreign_lines: usize,
    /// What our own doing changed in it.
    pub(crate) foreign_changed: Vec<String>,
    /// Where the row is not as expected.
    pub(crate) contradictions: Vec<String>,
}

/// The lockdown after a disturbance.
#[derive(Serialize, Deserialize)]
pub(crate) struct Mended {
    /// The layers, in the state that they were left in.
    pub(crate) left: Layers,
    /// The exit codes: of `verify` after the disturbance, of `apply`, and of `verify` after it.
    pub(crate) codes: [i32; 3],
    /// What each `verify` complained of.
    pub(crate) complaints: [Vec<String>; 2],
    /// How long `apply` took, in seconds.
    pub(crate) apply_took: f64,
    /// Seconds between the first and the last time that anybody unlisted got through.
    pub(crate) open_for: Option<f64>,
    /// How much of that came after the start of `apply`.
    pub(crate) closed_after: f64,
    /// Whether anybody unlisted got through after `apply` had ended.
    pub(crate) open_after_apply: bool,
}

impl Played {
    /// Where a row is not as expected.
    pub(crate) fn contradictions(&self) -> impl Iterator<Item = String> {
        self.rows.iter().flat_map(|row| {
            row.contradictions
                .iter()
                .map(|contradiction| format!("{}: {}: {contradiction}", self.group, row.does))
        })
    }
}

/// Plays it.
///
/// # Panics
/// When a command of the group fails: the bench, not the lockdown, is broken then.
pub(crate) fn play(group: &Group) -> Played {
    sh("topology");
    let collector = Collector::new();
    sh(group.setup);

    let mut sources = vec![&HOST, &LISTED];
    sources.extend(group.sources);
    let who = sources
        .iter()
        .map(|source| (source.name.to_owned(), source.who.to_owned()))
        .collect();
    for source in &sources {
        source.start();
    }

    let mut rows = vec![say(open(&collector, &sources, "nothing is locked"))];
    if !group.undo.is_empty() {
        sh(group.undo);
        sources = vec![&HOST, &LISTED];
        collector.take();
    }
    for row in std::iter::once(&FIRST_APPLY).chain(group.rows) {
        rows.push(say(disturb(&collector, &mut sources, row, group.settle)));
    }
    let before = Ruleset::read().foreign();
    let code = lockdown::remove();
    let mut last = open(&collector, &sources, "ip-lockdown remove, at the end");
    let after = Ruleset::read().foreign();
    last.foreign_lines = before.len();
    last.foreign_changed = before.difference(&after);
    judge::removed(code, &mut last);
    rows.push(say(last));

    Played {
        group: group.name.to_owned(),
        title: group.title.to_owned(),
        kernel: sh("uname -r").trim().to_owned(),
        lockdown: lockdown::version(),
        versions: group
            .packages
            .iter()
            .map(|package| {
                let version = sh(&format!("dpkg-query --show -f '${{Version}}' {package}"));
                ((*package).to_owned(), version)
            })
            .collect(),
        sources: who,
        rows,
    }
}

/// A row in which everybody has to get through.
fn open(collector: &Collector, sources: &[&Source], what: &str) -> Measured {
    let lagging = collector.wait_open(sources);
    let mut row = Measured {
        does: what.to_owned(),
        clients: collector.take(),
        contradictions: lagging,
        ..Measured::default()
    };
    judge::open(sources, &mut row);
    row
}

/// A disturbance, a look at what is left, and the lockdown applied again.
fn disturb(
    collector: &Collector,
    sources: &mut Vec<&'static Source>,
    row: &Row,
    settle: &str,
) -> Measured {
    let (mut changed, mut contradictions) = (Vec::new(), Vec::new());
    let does = match row.does {
        Does::FirstApply => "ip-lockdown apply 169.254.169.254 root".to_owned(),
        Does::Remove => {
            let before = Ruleset::read().foreign();
            match lockdown::remove() {
                0 => {}
                code => contradictions.push(format!("ip-lockdown remove ended with {code}")),
            }
            changed = before.difference(&Ruleset::read().foreign());
            "ip-lockdown remove".to_owned()
        }
        Does::Run(line) => {
            sh(line);
            line.to_owned()
        }
        Does::Named(name, line) => {
            sh(line);
            name.to_owned()
        }
        Does::Start(source) => {
            source.start();
            sources.push(source);
            format!("start: {}", source.who)
        }
    };
    sh(settle);
    contradictions.extend(collector.wait(sources));

    let left_behind = Ruleset::settled();
    let (found, left, first_complaints) = lockdown::verify();
    let apply_started = now();
    let applied = lockdown::apply();
    let apply_ended = now();
    let mended = Ruleset::read();
    let (verified, layers, last_complaints) = lockdown::verify();
    contradictions.extend(collector.wait(sources));
    let clients = collector.take();

    let first_passed = judge::unlisted(&clients)
        .filter_map(|lane| lane.first_passed)
        .reduce(f64::min);
    let last_passed = judge::unlisted(&clients)
        .filter_map(|lane| lane.last_passed)
        .reduce(f64::max);
    // A layer of which the first `verify` did not speak is gone.
    let left: Layers = layers
        .keys()
        .map(|layer| {
            let state = left.get(layer).copied().unwrap_or(State::Gone);
            (layer.clone(), state)
        })
        .collect();
    let (before, after) = (left_behind.foreign(), mended.foreign());
    changed.extend(before.difference(&after));
    let mut measured = Measured {
        does,
        note: row.note.to_owned(),
        clients,
        lockdown: Some(Mended {
            left,
            codes: [found, applied, verified],
            complaints: [first_complaints, last_complaints],
            apply_took: apply_ended - apply_started,
            open_for: first_passed
                .zip(last_passed)
                .map(|(first, last)| last - first),
            closed_after: last_passed.map_or(0.0, |last| (last - apply_started).max(0.0)),
            open_after_apply: last_passed.is_some_and(|last| last > apply_ended),
        }),
        foreign_lines: before.len(),
        foreign_changed: changed,
        contradictions,
    };
    judge::disturbed(
        row,
        sources,
        &layers,
        [&left_behind, &mended],
        &mut measured,
    );
    measured
}

/// Says what came of a row, while the run goes on.
fn say(row: Measured) -> Measured {
    let sum = |what: fn(&Lane) -> u64| judge::unlisted(&row.clients).map(what).sum::<u64>();
    println!(
        "  {}: {} of {} got through",
        row.does,
        sum(|lane| lane.passed),
        sum(|lane| lane.tries),
    );
    for contradiction in &row.contradictions {
        println!("    NOT AS EXPECTED: {contradiction}");
    }
    row
}

fn now() -> f64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a clock after 1970")
        .as_secs_f64()
}
