//! Compares expected and measured results. Every difference becomes a line in `contradictions`.

use lab::{Activity, Lane};

use crate::clients::{Source, Tally, is_locked};
use crate::foreign::Ruleset;
use crate::lockdown::{Layers, State};
use crate::play::{Measured, Mended};
use crate::rows::{LISTED, Row};

/// The tries of everybody who must not get through.
pub(crate) fn unlisted(clients: &Tally) -> impl Iterator<Item = &Lane> {
    clients
        .iter()
        .filter(|(name, _)| *name != LISTED.name)
        .flat_map(|(_, lanes)| lanes)
        .filter(|lane| is_locked(lane))
}

/// The tries of the listed user: at the locked address, or at the other one.
pub(crate) fn listed(clients: &Tally, locked: bool) -> impl Iterator<Item = &Lane> {
    clients
        .get(LISTED.name)
        .into_iter()
        .flatten()
        .filter(move |lane| is_locked(lane) == locked)
}

/// Every lane of every source has to get through.
pub(crate) fn open(sources: &[&Source], row: &mut Measured) {
    for source in sources {
        for lane in row.clients.get(source.name).into_iter().flatten() {
            if lane.passed == 0 {
                row.contradictions.push(format!(
                    "{} gets through by {:?} to {} not once in {} tries, though nothing is locked",
                    source.name, lane.activity, lane.to, lane.tries
                ));
            }
        }
    }
}

/// `remove` opens, and takes nothing of others away.
pub(crate) fn removed(code: i32, row: &mut Measured) {
    if code != 0 {
        row.contradictions
            .push(format!("ip-lockdown remove ended with {code}"));
    }
    foreign(row);
}

/// A row in which something was done to the lockdown.
pub(crate) fn disturbed(
    expected: &Row,
    sources: &[&Source],
    layers: &Layers,
    [before, after]: [&Ruleset; 2],
    row: &mut Measured,
) {
    let Some(mended) = row.lockdown.take() else {
        return;
    };
    let mut found = Vec::new();
    through(expected, sources, &row.clients, &mended, &mut found);
    left(expected, &mended, before, &mut found);
    for (layer, state) in layers {
        if *state != State::Stands || !after.has(layer) {
            found.push(format!("{layer} does not stand after apply"));
        }
    }
    served(&row.clients, &mut found);
    row.lockdown = Some(mended);
    row.contradictions.append(&mut found);
    foreign(row);
}

fn through(
    expected: &Row,
    sources: &[&Source],
    clients: &Tally,
    mended: &Mended,
    found: &mut Vec<String>,
) {
    for source in sources {
        for lane in clients.get(source.name).into_iter().flatten() {
            let to_whom_it_is_shut = is_locked(lane) && *source != &LISTED;
            if to_whom_it_is_shut && lane.passed > 0 && !expected.opens {
                found.push(format!(
                    "{} got through by {:?} to {}: {} of {}",
                    source.name, lane.activity, lane.to, lane.passed, lane.tries
                ));
            }
        }
    }
    if expected.opens && unlisted(clients).all(|lane| lane.passed == 0) {
        found.push("nobody got through, though no layer should be left".to_owned());
    }
    if mended.open_after_apply {
        found.push("somebody got through after apply had ended".to_owned());
    }
}

fn left(expected: &Row, mended: &Mended, before: &Ruleset, found: &mut Vec<String>) {
    if mended.left.is_empty() {
        found.push("verify speaks of no layer at all after apply".to_owned());
    }
    for (layer, state) in &mended.left {
        match expected.leaves.of(layer) {
            None => found.push(format!("{layer} is a layer that is not known here")),
            Some(expected) if expected == *state => {}
            Some(expected) => {
                found.push(format!("{layer} was left {state:?}, expected {expected:?}"));
            }
        }
        // Never believe: what verify says, the kernel has to show.
        if before.has(layer) != (*state != State::Gone) {
            found.push(format!(
                "verify takes {layer} for {state:?}, the firewall shows otherwise"
            ));
        }
    }
    let stands = mended.left.values().all(|state| *state == State::Stands);
    let codes = [i32::from(!stands), expected.code, expected.code];
    if mended.codes != codes {
        found.push(format!(
            "verify, apply, verify ended with {:?}, expected {codes:?}: {}",
            mended.codes,
            mended.complaints.concat().join("; ")
        ));
    }
}

/// A lockdown rejects, it never drops: whoever is turned away met a rule of ours, unless it happens at the other
/// address as well. A request without an answer was dropped by another tool while it reloads, and by chance that
/// hits one request of a lane here and none at the other address.
fn served(clients: &Tally, found: &mut Vec<String>) {
    let sum = |locked, what: fn(&Lane) -> u64| listed(clients, locked).map(what).sum::<u64>();
    let [locked, control] = [true, false].map(|locked| sum(locked, |lane| lane.refused));
    if locked > 2 * control {
        found.push(format!(
            "the listed user was turned away {locked} times, and {control} times at the address that is not locked"
        ));
    }
    let failed = |locked| sum(locked, |lane| lane.silent + lane.other);
    let [locked, control] = [failed(true), failed(false)];
    let chance = listed(clients, true).count() as u64;
    if locked > 2 * control + chance {
        found.push(format!(
            "{locked} requests of the listed user had no answer, and {control} to the address that is not locked"
        ));
    }
    if listed(clients, true).any(|lane| lane.activity != Activity::Fetch || lane.passed == 0) {
        found.push("a listed user was never served".to_owned());
    }
}

fn foreign(row: &mut Measured) {
    for line in row.foreign_changed.iter().take(6) {
        row.contradictions
            .push(format!("our doing changed a rule of others: {line}"));
    }
}
