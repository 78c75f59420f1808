//! A failed read is never "absent": any text is either parsed or an error.

use ip_lockdown::policy::{AccountName, Address, Family, GroupRef, UserRef};
use ip_lockdown::ruleset::Marker;
use ip_lockdown::ruleset::iptables::{parse, render};
use ip_lockdown::ruleset::model::{ChainName, Ruleset};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::any::cases;
use super::round_trip::any_ruleset;

/// Pieces of the words that are understood, in any order, and any other text.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "(?s).{0,40}",
        "[0-9a-f:./%\\[\\]-]{0,30}",
        "(IPL-|IPF-|169\\.254|::ffff:|fd00|0|-|_|\\$|=|A){0,10}",
        "(ip-lockdown v1 |[0-9a-f]{16}| |layers=|filter|,|nftables|security|only|forwarded=allow){0,6}",
        "-?[0-9]{0,12}-?[0-9]{0,12}",
    ]
}

fn assert_read_again(family: Family, text: &str) {
    let Ok(parsed) = parse::ruleset(family, text) else {
        return;
    };
    let written = render::ruleset(&parsed);
    let again = parse::ruleset(family, &written);
    // A table that is not shown stands in a comment, which is not written.
    let parsed = Ruleset {
        hidden: Vec::new(),
        ..parsed
    };
    assert_eq!(again, Ok(parsed), "\n{text}\n{written}");
}

/// A listing to which something happened.
fn damaged() -> impl Strategy<Value = String> {
    let damage = (any::<Index>(), any::<Index>(), 0..6_u8, word());
    (any_ruleset(), vec(damage, 1..4)).prop_map(|(ruleset, damages)| {
        let text = render::ruleset(&ruleset);
        let mut letters: Vec<char> = text.chars().collect();
        for (at, length, kind, word) in damages {
            let at = at.index(letters.len() + 1);
            let end = at + length.index(letters.len() - at + 1).min(40);
            match kind {
                // Cut off, a piece lost, a piece twice, something in between, another line.
                0 => letters.truncate(at),
                1 => drop(letters.drain(at..end)),
                2 => {
                    let piece = letters[at..end].to_vec();
                    letters.splice(at..at, piece);
                }
                3 => drop(letters.splice(at..end, word.chars())),
                4 => drop(letters.splice(at..at, ['"'])),
                _ => drop(letters.splice(at..at, ['\n'])),
            }
        }
        letters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_word_is_an_address_or_an_error(word in word()) {
        if let Ok(address) = word.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn any_word_is_a_subject_or_an_error(word in word()) {
        match word.parse::<UserRef>() {
            Ok(UserRef::Uids(uids)) => {
                prop_assert_eq!(uids.to_string().parse(), Ok(UserRef::Uids(uids)));
            }
            Ok(UserRef::Name(name)) => {
                let without_prefix = word.strip_prefix("name:").unwrap_or(&word);
                prop_assert_eq!(name.as_str(), without_prefix);
                prop_assert!(!name.to_string().contains(char::is_control), "{name}");
                prop_assert!(!name.in_comment().contains([',', '"', '\'', '\\', ' ', '\n']), "{name}");
                prop_assert_eq!(AccountName::from_comment(&name.in_comment()), Some(name.clone()));
                prop_assert_eq!(name.as_argument().parse(), Ok(UserRef::Name(name.clone())));
                prop_assert_eq!(name.as_argument().parse(), Ok(GroupRef::Name(name)));
            }
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control), "{error}"),
        }
        if let Err(error) = word.parse::<GroupRef>() {
            prop_assert!(!error.to_string().contains(char::is_control), "{error}");
        }
        if let Err(error) = word.parse::<AccountName>() {
            prop_assert!(!error.to_string().contains(char::is_control), "{error}");
        }
        if let Err(error) = word.parse::<Address>() {
            prop_assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }

    /// There is one way to write each: what is not written so is not ours.
    #[test]
    fn any_word_is_written_as_it_was_read_or_is_not_ours(word in word()) {
        if let Some(name) = AccountName::from_comment(&word) {
            prop_assert_eq!(name.in_comment(), word.as_str());
        }
        if let Ok(name) = word.parse::<ChainName>() {
            prop_assert_eq!(name.to_string(), word.as_str());
        }
        if let Ok(marker) = word.parse::<Marker>() {
            prop_assert_eq!(marker.to_string(), word.as_str());
        }
    }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn any_bytes_are_a_ruleset_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        assert_read_again(Family::V4, &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_damaged_listing_is_read_the_same_again_or_an_error(text in damaged()) {
        assert_read_again(Family::V4, &text);
        assert_read_again(Family::V6, &text);
    }

    #[test]
    fn a_listing_that_is_cut_off_within_a_table_is_an_error(
        ruleset in any_ruleset(),
        at in any::<Index>(),
    ) {
        let text = render::ruleset(&ruleset);
        let cut: String = text.chars().take(at.index(text.chars().count() + 1)).collect();
        if let Ok(parsed) = parse::ruleset(ruleset.family, &cut) {
            let whole = &ruleset.tables[..parsed.tables.len()];
            prop_assert_eq!(&parsed.tables[..], whole);
        }
    }
}

/// A quote that never closes costs time in proportion to the text, not to its square.
#[test]
fn an_open_quote_in_a_long_listing_is_soon_an_error() {
    let mut text =
        String::from("*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -m comment --comment \"x\n");
    text.push_str(&"-A OUTPUT -j ACCEPT\n".repeat(50_000));
    let start = std::time::Instant::now();
    assert!(parse::ruleset(Family::V4, &text).is_err());
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
