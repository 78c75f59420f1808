//! Parses and merges the files: one request for each target.

use std::ops::Range;
use std::str::FromStr;

use toml_edit::{Document, Item, Table, Value};

use super::{ConfigError, HOST_KEYS, HostSettings, KEYS, LOCKDOWN, Position, Reason, Source};
use crate::policy::{Address, Forwarded, Request, SubjectError, Target};
use crate::ruleset::model::{Variant, VariantChoice};
use crate::ruleset::{LayerChoice, LayersError};

/// How similar a key must be to be suggested, 0 to 1 (Jaro-Winkler).
const NEAR: f64 = 0.7;

/// One `[[lockdown]]` of a file.
struct Entry {
    position: Position,
    address: Address,
    only: Option<(bool, Position)>,
    forwarded: Option<(Forwarded, Position)>,
    request: Request,
}

/// Parses all files of a configuration and merges them. A configuration without a lockdown is valid
/// here.
///
/// # Errors
/// The first invalid key or value, or two entries that conflict.
pub fn parse(sources: &[Source]) -> Result<Vec<Request>, ConfigError> {
    host_settings(sources)?;
    let mut entries = Vec::new();
    for source in sources {
        entries.extend(content(source)?.entries);
    }
    merge(entries)
}

/// Parses all files of a configuration, and returns what they set for the host.
///
/// # Errors
/// The first invalid key or value, or two files that conflict.
pub fn host_settings(sources: &[Source]) -> Result<HostSettings, ConfigError> {
    let mut contents = sources.iter().map(content);
    let Some(first) = contents.next().transpose()? else {
        return Ok(HostSettings::default());
    };
    for later in contents {
        let later = later?;
        let start = &first.start;
        check_host(
            "layers",
            first.layers.as_ref(),
            later.layers.as_ref(),
            start,
        )?;
        check_host(
            "variant",
            first.variant.as_ref(),
            later.variant.as_ref(),
            start,
        )?;
    }
    Ok(HostSettings {
        layers: first.layers.map_or(LayerChoice::Auto, |(layers, _)| layers),
        variant: first
            .variant
            .map_or(VariantChoice::Auto, |(variant, _)| variant),
    })
}

/// The content of one file.
struct Content {
    /// The start of the file.
    start: Position,
    layers: Option<(LayerChoice, Position)>,
    variant: Option<(VariantChoice, Position)>,
    entries: Vec<Entry>,
}

fn content(source: &Source) -> Result<Content, ConfigError> {
    let fail = |span, reason| ConfigError {
        position: source.position(span),
        reason,
    };
    let document = Document::parse(source.text.as_str()).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        fail(error.span(), Reason::NotToml(message))
    })?;
    let mut content = Content {
        start: source.position(None),
        layers: None,
        variant: None,
        entries: Vec::new(),
    };
    for (name, item) in document.as_table() {
        let span = span_of(document.as_table(), name);
        match name {
            "layers" => {
                content.layers = Some((layers(source, item)?, source.position(item.span())));
                continue;
            }
            "variant" => {
                content.variant = Some((variant(source, item)?, source.position(item.span())));
                continue;
            }
            LOCKDOWN => {}
            _ => {
                let [layers, variant] = HOST_KEYS.map(|key| key.name);
                return Err(fail(span, unknown(name, &[LOCKDOWN, layers, variant])));
            }
        }
        let Item::ArrayOfTables(tables) = item else {
            return Err(fail(
                span,
                Reason::WrongValue {
                    key: LOCKDOWN,
                    expected: "an array of tables",
                    actual: with_article(item.type_name()),
                },
            ));
        };
        for table in tables {
            content.entries.push(entry(source, table)?);
        }
    }
    Ok(content)
}

/// Parses `layers`: a list, or `"auto"`.
fn layers(source: &Source, item: &Item) -> Result<LayerChoice, ConfigError> {
    let fail = |span, reason| ConfigError {
        position: source.position(span),
        reason,
    };
    let wrong = |actual| {
        let reason = Reason::WrongValue {
            key: "layers",
            expected: "a list of filter, nftables and security, or \"auto\"",
            actual,
        };
        fail(item.span(), reason)
    };
    if let Some(text) = item.as_str() {
        return match text {
            "auto" => Ok(LayerChoice::Auto),
            _ => Err(wrong(format!("\"{}\"", text.escape_debug()))),
        };
    }
    let list = item
        .as_array()
        .ok_or_else(|| wrong(with_article(item.type_name())))?;
    if list.is_empty() {
        return Err(wrong("an empty list".to_owned()));
    }
    let names = list.iter().map(|value| {
        let name = value.as_str();
        name.ok_or_else(|| wrong(format!("a list with {}", with_article(value.type_name()))))
    });
    let names = names.collect::<Result<Vec<&str>, ConfigError>>()?.join(",");
    let layers = names
        .parse()
        .map_err(|error: LayersError| fail(item.span(), error.into()));
    layers.map(LayerChoice::These)
}

/// Parses `variant`.
fn variant(source: &Source, item: &Item) -> Result<VariantChoice, ConfigError> {
    let actual = match item.as_str() {
        Some("auto") => return Ok(VariantChoice::Auto),
        Some("nft") => return Ok(VariantChoice::Only(Variant::Nft)),
        Some("legacy") => return Ok(VariantChoice::Only(Variant::Legacy)),
        Some(other) => format!("\"{}\"", other.escape_debug()),
        None => with_article(item.type_name()),
    };
    Err(ConfigError {
        position: source.position(item.span()),
        reason: Reason::WrongValue {
            key: "variant",
            expected: "\"auto\", \"nft\" or \"legacy\"",
            actual,
        },
    })
}

fn entry(source: &Source, table: &Table) -> Result<Entry, ConfigError> {
    let position = |span| source.position(span);
    let fail = |span, reason| ConfigError {
        position: source.position(span),
        reason,
    };
    let (mut address, mut only, mut forwarded) = (None, None, None);
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for (name, item) in table {
        let wrong = |expected, item: &Item| {
            let key = KEYS.iter().find(|key| key.name == name);
            fail(
                item.span(),
                Reason::WrongValue {
                    key: key.map_or(LOCKDOWN, |key| key.name),
                    expected,
                    actual: with_article(item.type_name()),
                },
            )
        };
        match name {
            "address" => {
                let text = item.as_str().ok_or_else(|| wrong("a string", item))?;
                let parsed = text.parse::<Address>();
                address = Some(parsed.map_err(|error| fail(item.span(), error.into()))?);
            }
            "users" => users = list(source, "users", item)?,
            "groups" => groups = list(source, "groups", item)?,
            "forwarded" => {
                let expected = "\"refuse\" or \"allow\"";
                let choice = match item.as_str() {
                    Some("refuse") => Forwarded::Refuse,
                    Some("allow") => Forwarded::Allow,
                    Some(other) => {
                        let reason = Reason::WrongValue {
                            key: "forwarded",
                            expected,
                            actual: format!("\"{}\"", other.escape_debug()),
                        };
                        return Err(fail(item.span(), reason));
                    }
                    None => return Err(wrong(expected, item)),
                };
                forwarded = Some((choice, position(item.span())));
            }
            "only" => {
                let choice = item.as_bool().ok_or_else(|| wrong("true or false", item))?;
                only = Some((choice, position(item.span())));
            }
            _ => {
                if let Some(key) = HOST_KEYS.iter().find(|key| key.name == name) {
                    let reason = Reason::HostKey { key: key.name };
                    return Err(fail(span_of(table, name), reason));
                }
                let known = KEYS.map(|key| key.name);
                return Err(fail(span_of(table, name), unknown(name, &known)));
            }
        }
    }
    let address = address.ok_or_else(|| fail(table.span(), Reason::NoAddress))?;
    Ok(Entry {
        position: position(table.span()),
        address,
        only,
        forwarded,
        request: Request {
            target: Target::new(address, false),
            users,
            groups,
            forwarded: Forwarded::default(),
        },
    })
}

/// Parses a list of users or groups.
fn list<T>(source: &Source, key: &'static str, item: &Item) -> Result<Vec<T>, ConfigError>
where
    T: FromStr<Err = SubjectError>,
{
    let fail = |span, reason| ConfigError {
        position: source.position(span),
        reason,
    };
    let array = item.as_array().ok_or_else(|| {
        let reason = Reason::WrongValue {
            key,
            expected: "a list of names and numbers",
            actual: with_article(item.type_name()),
        };
        fail(item.span(), reason)
    })?;
    let subject = |value: &Value| {
        let text = match value {
            Value::String(text) => text.value().clone(),
            Value::Integer(number) => number.value().to_string(),
            _ => {
                let reason = Reason::WrongValue {
                    key,
                    expected: "a list of names and numbers",
                    actual: format!("a list with {}", with_article(value.type_name())),
                };
                return Err(fail(value.span(), reason));
            }
        };
        text.parse()
            .map_err(|error: SubjectError| fail(value.span(), error.into()))
    };
    array.iter().map(subject).collect()
}

fn with_article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {type_name}")
}

fn span_of(table: &Table, name: &str) -> Option<Range<usize>> {
    table.key(name)?.span()
}

fn unknown(key: &str, known: &[&'static str]) -> Reason {
    let similarity = |known: &str| strsim::jaro_winkler(&key.to_lowercase(), known);
    let near = known
        .iter()
        .copied()
        .filter(|known| similarity(known) > NEAR)
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    Reason::UnknownKey {
        key: key.escape_debug().to_string(),
        near,
    }
}

/// Merges the entries: one request for each target, in the order of the first entries.
fn merge(entries: Vec<Entry>) -> Result<Vec<Request>, ConfigError> {
    let mut merged: Vec<Entry> = Vec::new();
    for mut entry in entries {
        let has_address = |first: &&mut Entry| {
            let addresses = first.request.target.addresses();
            addresses.contains(&entry.address)
        };
        if let Some(first) = merged.iter_mut().find(has_address) {
            check_same("only", first.only.as_ref(), entry.only.as_ref(), first)?;
            let (old, new) = (first.forwarded.as_ref(), entry.forwarded.as_ref());
            check_same("forwarded", old, new, first)?;
            first.request.users.append(&mut entry.request.users);
            first.request.groups.append(&mut entry.request.groups);
            continue;
        }
        let only = entry.only.as_ref().is_some_and(|(only, _)| *only);
        let forwarded = entry.forwarded.as_ref().map(|(choice, _)| *choice);
        entry.request.target = Target::new(entry.address, only);
        entry.request.forwarded = forwarded.unwrap_or_default();
        // Only possible if an earlier entry locks the other address of the metadata service alone.
        let overlap = merged
            .iter()
            .find(|other| other.request.target.overlaps(&entry.request.target));
        if let Some(other) = overlap {
            return Err(ConfigError {
                position: entry.position,
                reason: Reason::Overlap {
                    address: other.address,
                    other: other.position.clone(),
                },
            });
        }
        merged.push(entry);
    }
    merged
        .into_iter()
        .map(|entry| match entry.request.check_size() {
            Ok(()) => Ok(entry.request),
            Err(error) => Err(ConfigError {
                position: entry.position,
                reason: error.into(),
            }),
        })
        .collect()
}

/// Checks that a later file sets a key for the host, if at all, to the value that the first file has;
/// that is the default if the first file does not set it.
fn check_host<T: PartialEq + Default>(
    key: &'static str,
    first: Option<&(T, Position)>,
    later: Option<&(T, Position)>,
    start: &Position,
) -> Result<(), ConfigError> {
    let Some((new, position)) = later else {
        return Ok(());
    };
    let default = (T::default(), start.clone());
    let (old, other) = first.unwrap_or(&default);
    if new == old {
        return Ok(());
    }
    Err(ConfigError {
        position: position.clone(),
        reason: Reason::HostConflict {
            key,
            other: other.clone(),
        },
    })
}

/// Checks that a later entry sets an option, if at all, to the value that the first entry has; that is
/// the default if the first entry does not set it.
fn check_same<T: PartialEq + Default>(
    key: &'static str,
    old: Option<&(T, Position)>,
    new: Option<&(T, Position)>,
    first: &Entry,
) -> Result<(), ConfigError> {
    let Some((new, position)) = new else {
        return Ok(());
    };
    let default = (T::default(), first.position.clone());
    let (old, other) = old.unwrap_or(&default);
    if new == old {
        return Ok(());
    }
    Err(ConfigError {
        position: position.clone(),
        reason: Reason::Conflict {
            key,
            other: other.clone(),
        },
    })
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

    fn with_help(error: &ConfigError) -> String {
        match error.help() {
            Some(help) => format!("{error}\nhelp: {help}"),
            None => error.to_string(),
        }
    }

    fn read(text: &str) -> Result<Vec<Request>, String> {
        parse(&[source("c", text)]).map_err(|error| with_help(&error))
    }

    fn read_two(first: &str, second: &str) -> Result<Vec<Request>, String> {
        parse(&[source("a", first), source("b", second)]).map_err(|error| with_help(&error))
    }

    const IMDS: &str = "[[lockdown]]\naddress = \"169.254.169.254\"\n";

    #[test]
    fn each_key_is_parsed() {
        let text = "# why\n[[lockdown]]\naddress = \"fd00:ec2::254\"\nusers = [\"root\", 1000, \"2000-2099\"]\n\
                    groups = [\"metadata\", 7]\nforwarded = \"allow\"\nonly = true\n";
        let all = read(text).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].target, Target::new(IMDS_V6, true));
        let users = ["root", "1000", "2000-2099"].map(|user| user.parse().unwrap());
        assert_eq!(all[0].users, users);
        let groups = ["metadata", "7"].map(|group| group.parse().unwrap());
        assert_eq!(all[0].groups, groups);
        assert_eq!(all[0].forwarded, Forwarded::Allow);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn the_sample_is_valid_also_with_all_its_commented_lines() {
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
    fn layers_and_variant_hold_for_the_host() {
        let of = |texts: &[&str]| {
            let sources: Vec<Source> = (0..)
                .zip(texts)
                .map(|(nth, text)| source(&format!("c{nth}"), text))
                .collect();
            host_settings(&sources).map_err(|error| with_help(&error))
        };
        let set = "layers = [\"nftables\"]\nvariant = \"legacy\"\n";
        let expected = HostSettings {
            layers: LayerChoice::These(crate::ruleset::Layers::NFTABLES),
            variant: VariantChoice::Only(Variant::Legacy),
        };
        assert_eq!(of(&[]), Ok(HostSettings::default()));
        assert_eq!(of(&[IMDS]), Ok(HostSettings::default()));
        assert_eq!(
            of(&["layers = \"auto\"\nvariant = \"auto\"\n"]),
            Ok(HostSettings::default())
        );
        assert_eq!(of(&[&format!("{set}{IMDS}"), IMDS]), Ok(expected));
        // A later file may only repeat them.
        assert_eq!(of(&[set, set]), Ok(expected));
        for (texts, message) in [
            (
                &[IMDS, "layers = [\"nftables\"]\n"][..],
                "c1:1:10: `layers` conflicts with c0:1:1: the first file sets it for the host\nhelp: remove",
            ),
            (
                &["variant = \"nft\"\n", "variant = \"auto\"\n"],
                "c1:1:11: `variant` conflicts with c0:1:11: the first file sets it for the host\nhelp: remove",
            ),
            (
                &["layers = []\n"],
                "c0:1:10: `layers` must be a list of filter, nftables and security, or \"auto\", not an empty list",
            ),
            (
                &["layers = \"filter\"\n"],
                "c0:1:10: `layers` must be a list",
            ),
            (&["layers = [1]\n"], "c0:1:10: `layers` must be a list"),
            (
                &["layers = [\"nat\"]\n"],
                "c0:1:10: there is no layer \"nat\"",
            ),
            (
                &["layers = [\"security\"]\n"],
                "c0:1:10: layer security can only drop",
            ),
            (
                &["variant = \"xtables\"\n"],
                "c0:1:11: `variant` must be \"auto\", \"nft\" or \"legacy\", not \"xtables\"",
            ),
            (
                &["varant = 1\n"],
                "c0:1:1: there is no key `varant` here\nhelp: a similar key exists: `variant`",
            ),
            (
                &["[[lockdown]]\naddress = \"1.2.3.4\"\nlayers = [\"filter\"]\n"],
                "c0:3:1: `layers` is set for the host, not for one [[lockdown]]\n\
                 help: move it above the first [[lockdown]]",
            ),
        ] {
            let error = of(texts).unwrap_err();
            assert!(error.starts_with(message), "{texts:?}: {error}");
        }
    }

    #[test]
    fn each_error_has_its_position_and_help() {
        for (text, expected) in [
            (
                "[[lockdown]]\naddress = \"169.254.169.254\"\nuser = [\"root\"]\n",
                "c:3:1: there is no key `user` here\nhelp: a similar key exists: `users`",
            ),
            (
                "[[lockdown]]\n  colour = 1\n",
                "c:2:3: there is no key `colour` here",
            ),
            (
                "[[lockdwon]]\n",
                "c:1:3: there is no key `lockdwon` here\nhelp: a similar key exists: `lockdown`",
            ),
            ("version = 1\n", "c:1:1: there is no key `version` here"),
            (
                "[lockdown]\naddress = \"1.2.3.4\"\n",
                "c:1:2: `lockdown` must be an array of tables, not a table\nhelp: write it with two brackets: [[lockdown]]",
            ),
            (
                "[[lockdown]]\nusers = []\n",
                "c:1:1: [[lockdown]] has no address\nhelp: add one, such as address = \"169.254.169.254\"",
            ),
            (
                "[[lockdown]]\naddress = \"169.254.0.0/16\"\n",
                "c:2:11: \"169.254.0.0/16\" is a network; only single addresses can be locked\nhelp: give one",
            ),
            (
                "[[lockdown]]\naddress = 5\n",
                "c:2:11: `address` must be a string, not an integer",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nusers = \"root\"\n",
                "c:3:9: `users` must be a list of names and numbers, not a string",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nusers = [\n  \"root\",\n  \"a:b\",\n]\n",
                "c:5:3: \"a:b\" is not a user or group name: names cannot contain ':'\nhelp: give",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nusers = [-1]\n",
                "c:3:10: \"-1\" is negative\nhelp: ids are numbers from 0 to 4294967294",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nusers = [1.5]\n",
                "c:3:10: `users` must be a list of names and numbers, not a list with a float",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\ngroups = [\"1-2\"]\n",
                "c:3:11: \"1-2\" is a range",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nforwarded = \"alow\"\n",
                "c:3:13: `forwarded` must be \"refuse\" or \"allow\", not \"alow\"",
            ),
            (
                "[[lockdown]]\naddress = \"1.2.3.4\"\nonly = \"yes\"\n",
                "c:3:8: `only` must be true or false, not a string",
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
            assert!(error.starts_with(expected), "{text:?}: {error}");
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
        // The options are those of the first entry.
        let alone = format!("{IMDS}only = true\n");
        let all = read_two(&alone, IMDS).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].target, Target::new(IMDS_V4, true));
    }

    #[test]
    fn no_drop_in_changes_an_option_that_the_first_entry_does_not_set() {
        for (key, value) in [("only", "true"), ("forwarded", "\"allow\"")] {
            let drop_in = format!("{IMDS}{key} = {value}\n");
            let error = read_two(IMDS, &drop_in).unwrap_err();
            let column = key.len() + 4;
            assert_eq!(
                error,
                format!(
                    "b:3:{column}: `{key}` conflicts with a:1:1, which configures the same address\n\
                     help: remove it here, or make both the same"
                )
            );
        }
    }

    #[test]
    fn entries_that_conflict_are_refused() {
        let refuse = format!("{IMDS}forwarded = \"refuse\"\n");
        let allow = format!("{IMDS}forwarded = \"allow\"\n");
        let error = read_two(&refuse, &allow).unwrap_err();
        assert!(
            error.starts_with("b:3:13: `forwarded` conflicts with a:3:13, which"),
            "{error}"
        );
        let pair = format!("{IMDS}only = false\n");
        let alone = format!("{IMDS}only = true\n");
        let error = read_two(&pair, &alone).unwrap_err();
        assert!(
            error.starts_with("b:3:8: `only` conflicts with a:3:8, which"),
            "{error}"
        );
        let other = "[[lockdown]]\naddress = \"fd00:ec2::254\"\n";
        let error = read_two(&alone, other).unwrap_err();
        assert_eq!(
            error,
            "b:1:1: this [[lockdown]] locks both addresses of the metadata service, but a:1:1 locks \
             169.254.169.254 alone\nhelp: set `only` to the same value in both"
        );
    }
}
