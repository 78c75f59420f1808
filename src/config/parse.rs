//! The text of all files -> one lockdown a target.

use std::ops::Range;
use std::str::FromStr;

use toml_edit::{Document, Item, Table, Value};

use super::{ConfigError, KEYS, LOCKDOWN, Place, Reason, Source};
use crate::policy::{Address, Forwarded, Request, SubjectError, Target};

/// How alike a key must be to be suggested, 0 to 1 (Jaro-Winkler).
const NEAR: f64 = 0.7;

/// One `[[lockdown]]` of a file.
struct Entry {
    place: Place,
    address: Address,
    only: Option<(bool, Place)>,
    forwarded: Option<(Forwarded, Place)>,
    policy: Request,
}

/// Reads all files of a configuration as one. No lockdown at all is no error here.
///
/// # Errors
/// The first thing that cannot be understood, or two entries that contradict each other.
pub fn parse(sources: &[Source]) -> Result<Vec<Request>, ConfigError> {
    let mut entries = Vec::new();
    for source in sources {
        entries.extend(entries_of(source)?);
    }
    merge(entries)
}

fn entries_of(source: &Source) -> Result<Vec<Entry>, ConfigError> {
    let fail = |span, reason| ConfigError {
        place: source.place(span),
        reason,
    };
    let document = Document::parse(source.text.as_str()).map_err(|error| {
        let first = error.message().lines().collect::<Vec<_>>().join("; ");
        fail(error.span(), Reason::NotToml(first))
    })?;
    let mut entries = Vec::new();
    for (name, item) in document.as_table() {
        let at = span_of(document.as_table(), name);
        if name != LOCKDOWN {
            return Err(fail(at, unknown(name, &[LOCKDOWN])));
        }
        let Item::ArrayOfTables(tables) = item else {
            return Err(fail(
                at,
                Reason::WrongType {
                    key: LOCKDOWN,
                    takes: "two brackets, [[lockdown]]",
                    is: item.type_name(),
                },
            ));
        };
        for table in tables {
            entries.push(entry(source, table)?);
        }
    }
    Ok(entries)
}

fn entry(source: &Source, table: &Table) -> Result<Entry, ConfigError> {
    let at = |span| source.place(span);
    let fail = |span, reason| ConfigError {
        place: source.place(span),
        reason,
    };
    let (mut address, mut only, mut forwarded) = (None, None, None);
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for (name, item) in table {
        let wrong = |takes, item: &Item| {
            let key = KEYS.iter().find(|key| key.name == name);
            fail(
                item.span(),
                Reason::WrongType {
                    key: key.map_or(LOCKDOWN, |key| key.name),
                    takes,
                    is: item.type_name(),
                },
            )
        };
        match name {
            "address" => {
                let word = item.as_str().ok_or_else(|| wrong("a string", item))?;
                let parsed = word.parse::<Address>();
                address = Some(parsed.map_err(|error| fail(item.span(), error.into()))?);
            }
            "users" => users = words(source, "users", item)?,
            "groups" => groups = words(source, "groups", item)?,
            "forwarded" => {
                let how = match item.as_str() {
                    Some("refuse") => Forwarded::Refuse,
                    Some("allow") => Forwarded::Allow,
                    _ => return Err(wrong("\"refuse\" or \"allow\"", item)),
                };
                forwarded = Some((how, at(item.span())));
            }
            "only" => {
                let alone = item.as_bool().ok_or_else(|| wrong("true or false", item))?;
                only = Some((alone, at(item.span())));
            }
            _ => {
                let known = KEYS.map(|key| key.name);
                return Err(fail(span_of(table, name), unknown(name, &known)));
            }
        }
    }
    let address = address.ok_or_else(|| fail(table.span(), Reason::NoAddress))?;
    Ok(Entry {
        place: at(table.span()),
        address,
        only,
        forwarded,
        policy: Request {
            target: Target::new(address, false),
            users,
            groups,
            forwarded: Forwarded::default(),
        },
    })
}

/// A list of names and numbers.
fn words<T>(source: &Source, key: &'static str, item: &Item) -> Result<Vec<T>, ConfigError>
where
    T: FromStr<Err = SubjectError>,
{
    let fail = |span, reason| ConfigError {
        place: source.place(span),
        reason,
    };
    let wrong = |span, is| {
        let takes = "a list of names and numbers, such as [\"root\", 1000]";
        fail(span, Reason::WrongType { key, takes, is })
    };
    let list = item
        .as_array()
        .ok_or_else(|| wrong(item.span(), item.type_name()))?;
    let word = |value: &Value| {
        let word = match value {
            Value::String(text) => text.value().clone(),
            Value::Integer(number) => number.value().to_string(),
            _ => return Err(wrong(value.span(), value.type_name())),
        };
        word.parse()
            .map_err(|error: SubjectError| fail(value.span(), error.into()))
    };
    list.iter().map(word).collect()
}

fn span_of(table: &Table, name: &str) -> Option<Range<usize>> {
    table.key(name)?.span()
}

fn unknown(key: &str, known: &[&'static str]) -> Reason {
    let likeness = |known: &str| strsim::jaro_winkler(&key.to_lowercase(), known);
    let near = known
        .iter()
        .copied()
        .filter(|known| likeness(known) > NEAR)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    Reason::UnknownKey {
        key: key.escape_debug().to_string(),
        near,
    }
}

/// One lockdown a target, in the order in which they are first named.
fn merge(entries: Vec<Entry>) -> Result<Vec<Request>, ConfigError> {
    let mut merged: Vec<Entry> = Vec::new();
    for mut entry in entries {
        let holds = |known: &&mut Entry| {
            let held = known.policy.target.addresses();
            held.contains(&entry.address)
        };
        if let Some(known) = merged.iter_mut().find(holds) {
            agrees("only", known.only.as_ref(), entry.only.as_ref(), known)?;
            let (said, own) = (known.forwarded.as_ref(), entry.forwarded.as_ref());
            agrees("forwarded", said, own, known)?;
            known.policy.users.append(&mut entry.policy.users);
            known.policy.groups.append(&mut entry.policy.groups);
            continue;
        }
        let only = entry.only.as_ref().is_some_and(|(only, _)| *only);
        let forwarded = entry.forwarded.as_ref().map(|(how, _)| *how);
        entry.policy.target = Target::new(entry.address, only);
        entry.policy.forwarded = forwarded.unwrap_or_default();
        let overlap = merged
            .iter()
            .find(|known| known.policy.target.overlaps(&entry.policy.target));
        if let Some(known) = overlap {
            return Err(ConfigError {
                place: entry.place,
                reason: Reason::Overlap(known.address, known.place.clone()),
            });
        }
        merged.push(entry);
    }
    merged
        .into_iter()
        .map(|entry| match entry.policy.check_size() {
            Ok(()) => Ok(entry.policy),
            Err(error) => Err(ConfigError {
                place: entry.place,
                reason: error.into(),
            }),
        })
        .collect()
}

/// Whether an option is what the first entry for the address says, or leaves at its default.
fn agrees<T: PartialEq + Default>(
    key: &'static str,
    said: Option<&(T, Place)>,
    own: Option<&(T, Place)>,
    first: &Entry,
) -> Result<(), ConfigError> {
    let Some((own, place)) = own else {
        return Ok(());
    };
    let default = (T::default(), first.place.clone());
    let (said, other) = said.unwrap_or(&default);
    match own == said {
        true => Ok(()),
        false => Err(ConfigError {
            place: place.clone(),
            reason: Reason::Contradiction {
                key,
                other: other.clone(),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{IMDS_V4, IMDS_V6};
    use pretty_assertions::assert_eq;

    fn source(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    fn read(text: &str) -> Result<Vec<Request>, String> {
        parse(&[source("c", text)]).map_err(|error| error.to_string())
    }

    fn read_two(first: &str, second: &str) -> Result<Vec<Request>, String> {
        parse(&[source("a", first), source("b", second)]).map_err(|error| error.to_string())
    }

    const IMDS: &str = "[[lockdown]]\naddress = \"169.254.169.254\"\n";

    #[test]
    fn every_key_has_its_meaning() {
        let text = "# why\n[[lockdown]]\naddress = \"fd00:ec2::254\"\nusers = [\"root\", 1000, \"2000-2099\"]\n\
                    groups = [\"metadata\", 7]\nforwarded = \"allow\"\nonly = true\n";
        let all = read(text).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].target, Target::new(IMDS_V6, true));
        let words: Vec<_> = ["root", "1000", "2000-2099"]
            .map(|word| word.parse().unwrap())
            .into();
        assert_eq!(all[0].users, words);
        let words: Vec<_> = ["metadata", "7"].map(|word| word.parse().unwrap()).into();
        assert_eq!(all[0].groups, words);
        assert_eq!(all[0].forwarded, Forwarded::Allow);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn the_sample_is_a_configuration_also_with_all_that_it_offers() {
        let sample = include_str!("../../packaging/config.toml");
        let root_only = read(sample).unwrap();
        assert_eq!(root_only.len(), 1);
        assert_eq!(root_only[0].users, ["root".parse().unwrap()]);
        let (mut offered, mut keys) = (String::new(), Vec::new());
        for line in sample.lines() {
            let key = line.trim_start_matches("# ").split(" = ").next().unwrap();
            if KEYS.iter().any(|known| known.name == key) {
                keys.retain(|known| *known != key);
                keys.push(key);
            }
        }
        for key in keys {
            let line = sample
                .lines()
                .rfind(|line| line.starts_with(&format!("# {key} = ")));
            let line = line.unwrap_or("address = \"169.254.169.254\"");
            offered.push_str(line.trim_start_matches("# "));
            offered.push('\n');
        }
        let all = read(&format!("[[lockdown]]\n{offered}")).unwrap();
        assert_eq!(offered.lines().count(), KEYS.len(), "{offered}");
        assert_eq!(all[0].users.len(), 5);
    }

    #[test]
    fn whatever_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            (
                "[[lockdown]]\naddress = \"169.254.169.254\"\nuser = [\"root\"]\n",
                "c:3:1: there is no key `user` here; did you mean `users`?",
            ),
            (
                "[[lockdown]]\n  colour = 1\n",
                "c:2:3: there is no key `colour` here",
            ),
            (
                "[[lockdwon]]\n",
                "c:1:3: there is no key `lockdwon` here; did you mean `lockdown`?",
            ),
            ("version = 1\n", "c:1:1: there is no key `version` here"),
            (
                "[lockdown]\naddress = \"1.2.3.4\"\n",
                "c:1:2: `lockdown` takes two brackets, [[lockdown]], this is table",
            ),
            (
                "[[lockdown]]\nusers = []\n",
                "c:1:1: [[lockdown]] needs an address, such as address = \"169.254.169.254\"",
            ),
            (
                "[[lockdown]]\naddress = \"169.254.0.0/16\"\n",
                "c:2:11: \"169.254.0.0/16\" is a network;",
            ),
            (
                "[[lockdown]]\naddress = 5\n",
                "c:2:11: `address` takes a string, this is integer",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nusers = \"root\"\n",
                "c:3:9: `users` takes a list of names and numbers, such as [\"root\", 1000], this is string",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nusers = [\n  \"root\",\n  \"a b\",\n]\n",
                "c:5:3: \"a b\" is not a user or group name",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nusers = [-1]\n",
                "c:3:10: \"-1\" is negative",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nusers = [1.5]\n",
                "c:3:10: `users` takes a list",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\ngroups = [\"1-2\"]\n",
                "c:3:11: \"1-2\" is a range",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nforwarded = \"alow\"\n",
                "c:3:13: `forwarded` takes \"refuse\" or \"allow\", this is string",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nonly = \"yes\"\n",
                "c:3:8: `only` takes true or false, this is string",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\naddress = \"1.2.3.5\"\n",
                "c:3:1: duplicate key",
            ),
            ("[[lockdown]]\nä = 1\n", "c:2:1: "),
            ("[[lockdown]\n", "c:1:"),
            ("users = [", "c:1:"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(told), "{text:?}: {error}");
        }
    }

    #[test]
    fn entries_for_one_address_are_one_lockdown() {
        let all = read_two(
            &format!("{IMDS}users = [\"root\"]\nforwarded = \"allow\"\n"),
            "[[lockdown]]\naddress = \"fd00:ec2::254\"\nusers = [\"cwagent\"]\n[[lockdown]]\naddress = \"10.0.0.1\"\n",
        )
        .unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].users.len(), 2);
        assert_eq!(all[0].forwarded, Forwarded::Allow);
        assert_eq!(all[1].users, []);
        // What the first of them says holds for all.
        let alone = format!("{IMDS}only = true\n");
        let all = read_two(&alone, IMDS).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].target, Target::new(IMDS_V4, true));
    }

    #[test]
    fn no_drop_in_widens_what_the_first_entry_leaves_at_its_default() {
        for (key, value) in [("only", "true"), ("forwarded", "\"allow\"")] {
            let wider = format!("{IMDS}{key} = {value}\n");
            let error = read_two(IMDS, &wider).unwrap_err();
            let told = format!("b:3:{}: `{key}` is not what holds by a:1:1", key.len() + 4);
            assert!(error.starts_with(&told), "{error}");
        }
    }

    #[test]
    fn entries_that_contradict_each_other_are_refused() {
        let refuse = format!("{IMDS}forwarded = \"refuse\"\n");
        let allow = format!("{IMDS}forwarded = \"allow\"\n");
        let error = read_two(&refuse, &allow).unwrap_err();
        assert_eq!(
            error,
            "b:3:13: `forwarded` is not what holds by a:3:13 for this address; leave it out here, or say the same there"
        );
        let pair = format!("{IMDS}only = false\n");
        let alone = format!("{IMDS}only = true\n");
        let error = read_two(&pair, &alone).unwrap_err();
        assert!(
            error.starts_with("b:3:8: `only` is not what holds by a:3:8"),
            "{error}"
        );
        let other = "[[lockdown]]\naddress = \"fd00:ec2::254\"\n";
        let error = read_two(&alone, other).unwrap_err();
        assert!(
            error.starts_with("b:1:1: 169.254.169.254 is locked by a:1:1 already"),
            "{error}"
        );
    }
}
