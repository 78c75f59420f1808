//! The configuration.

use ip_lockdown::config::{Source, parse, with_lockdown};
use ip_lockdown::policy::{Forwarded, IMDS_V4, IMDS_V6, Request, Target};

use crate::{assert_printable, text};

/// Reads the text as a configuration; after a zero byte, a second file follows. Each of some
/// lockdowns is written into the first file: the text stays a configuration, contains that
/// lockdown, keeps the lockdowns of other addresses, and does not change the second time.
pub fn config(bytes: &[u8]) {
    let text = text(bytes);
    let (first, second) = text.split_once('\0').unwrap_or((&text, ""));
    let sources = [
        source("config.toml", first),
        source("conf.d/10.conf", second),
    ];
    if let Err(error) = parse(&sources) {
        assert_printable(&error.to_string());
    }
    let [source, _] = sources;
    let Ok(known) = parse(std::slice::from_ref(&source)) else {
        with_lockdown(&source, &lockdown(0)).expect_err("the text is no configuration");
        return;
    };
    let mut written = known.clone();
    written.push(lockdown(bytes.len()));
    for lockdown in written.iter().rev().take(2) {
        edited(&source, &known, lockdown);
    }
}

fn edited(source: &Source, known: &[Request], lockdown: &Request) {
    let text = with_lockdown(source, lockdown).expect("the text is a configuration");
    let again = Source {
        text: text.clone(),
        ..source.clone()
    };
    let read = parse(std::slice::from_ref(&again))
        .unwrap_or_else(|error| panic!("{error}: {text:?} after {lockdown:?}"));
    assert!(read.contains(lockdown), "{read:?} has no {lockdown:?}");
    for other in known {
        if !other.target.overlaps(&lockdown.target) {
            assert!(read.contains(other), "{read:?} lost {other:?}");
        }
        // Whoever is replaced stays locked.
        for address in other.target.addresses() {
            let locked = read
                .iter()
                .any(|one| one.target.addresses().contains(address));
            assert!(locked, "{address} is not locked any more: {text:?}");
        }
    }
    let unchanged = with_lockdown(&again, lockdown).expect("the text is a configuration");
    assert_eq!(unchanged, text, "the second time changes nothing");
}

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

/// One of a few lockdowns.
fn lockdown(nth: usize) -> Request {
    let word = |word: &str| word.parse().expect("a user");
    let (target, users) = match nth % 4 {
        0 => (
            Target::new(IMDS_V4, false),
            vec![word("root"), word("1000")],
        ),
        1 => (Target::new(IMDS_V4, true), vec![word("2000-2099")]),
        2 => (Target::new(IMDS_V6, true), Vec::new()),
        _ => {
            let other = "192.0.2.7".parse().expect("an address");
            (Target::new(other, false), vec![word("app")])
        }
    };
    Request {
        target,
        users,
        groups: Vec::new(),
        forwarded: match nth % 3 {
            0 => Forwarded::Allow,
            _ => Forwarded::Refuse,
        },
    }
}
