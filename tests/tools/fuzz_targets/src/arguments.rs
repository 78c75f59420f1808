//! Arguments, names of chains, and marker comments.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use ip_lockdown::policy::{AccountName, Address, GroupRef, UserRef};
use ip_lockdown::ruleset::iptables::tokens::tokens;
use ip_lockdown::ruleset::model::{ChainName, Part};
use ip_lockdown::ruleset::nftables::{read_name, written};
use ip_lockdown::ruleset::{LayerChoice, Layers, Marker};

use crate::{assert_printable, text};

/// Reads the text as everything that is one word: what is accepted is printed, and the printed form
/// is read as the same value.
pub fn arguments(bytes: &[u8]) {
    let text = text(bytes);
    message(read_back::<Address>(&text));
    match text.parse::<AccountName>() {
        Ok(name) => account_name(&name, &text),
        Err(error) => assert_printable(&error.to_string()),
    }
    if let Some(name) = AccountName::from_comment(&text) {
        assert_eq!(name.in_comment(), text);
    }
    message(read_back::<LayerChoice>(&text));
    message(read_back::<Layers>(&text));
    // These two are printed as given, or not at all.
    for printed in [
        read_back::<ChainName>(&text)
            .ok()
            .map(|name| name.to_string()),
        read_back::<Marker>(&text)
            .ok()
            .map(|marker| marker.to_string()),
        read_back::<Part>(&text).ok().map(|part| part.to_string()),
        read_name(&text).map(written),
    ] {
        assert!(printed.is_none_or(|printed| printed == text), "{text:?}");
    }
    let without_prefix = text.strip_prefix("name:").unwrap_or(&text);
    match text.parse::<UserRef>() {
        Ok(UserRef::Name(name)) => account_name(&name, without_prefix),
        Ok(word @ UserRef::Uids(uids)) => assert_eq!(uids.to_string().parse(), Ok(word)),
        Err(error) => assert_printable(&error.to_string()),
    }
    match text.parse::<GroupRef>() {
        Ok(GroupRef::Name(name)) => account_name(&name, without_prefix),
        Ok(word @ GroupRef::Gid(gid)) => assert_eq!(gid.to_string().parse(), Ok(word)),
        Err(error) => assert_printable(&error.to_string()),
    }
    quoted(&text);
}

/// A name is the given text, and each of its printed forms is one line, and is read as the same name.
fn account_name(name: &AccountName, text: &str) {
    assert_eq!(name.as_str(), text);
    assert_printable(&name.to_string());
    let comment = name.in_comment();
    assert_printable(&comment);
    assert!(
        !comment.contains([',', '"', '\'', '\\', ' ']),
        "{comment:?}"
    );
    assert_eq!(AccountName::from_comment(&comment).as_ref(), Some(name));
    let argument = name.as_argument();
    assert_eq!(argument.parse(), Ok(UserRef::Name(name.clone())));
    assert_eq!(argument.parse(), Ok(GroupRef::Name(name.clone())));
}

fn read_back<T>(text: &str) -> Result<T, T::Err>
where
    T: FromStr<Err: PartialEq + Debug> + Display + PartialEq + Debug,
{
    let value: T = text.parse()?;
    let printed = value.to_string();
    assert_eq!(printed.parse().as_ref(), Ok(&value), "{printed:?}");
    Ok(value)
}

fn message<T>(result: Result<T, impl Error>) {
    if let Err(error) = result {
        assert_printable(&error.to_string());
    }
}

/// A quoted text is one token, whatever it contains.
fn quoted(text: &str) {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    let rule = format!("-m comment --comment \"{escaped}\" -j RETURN");
    let read = tokens(&rule);
    assert_eq!(read, ["-m", "comment", "--comment", text, "-j", "RETURN"]);
    let _ = tokens(text);
}
