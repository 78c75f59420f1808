//! Writes a lockdown into a configuration. All other text, with its comments, stays unchanged.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::{ConfigError, LOCKDOWN, Reason, Source, parse};
use crate::policy::{Address, Forwarded, GroupRef, Request, Target, UserRef};

/// The text of `source`, in which this lockdown replaces the entries for its addresses. If it locks one
/// address of the metadata service alone, an entry for both addresses is left with the other one.
///
/// # Errors
/// The text is not a valid configuration.
pub fn with_lockdown(source: &Source, lockdown: &Request) -> Result<String, ConfigError> {
    parse(std::slice::from_ref(source))?;
    let mut document = document(source)?;
    let entries = document
        .entry(LOCKDOWN)
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(entries) = entries.as_array_of_tables_mut() else {
        // Not reached: `parse` accepts only an array of tables.
        return Ok(source.text.clone());
    };
    let mut written = false;
    entries.retain(|entry| match target(entry) {
        Some(known) if known == lockdown.target => !std::mem::replace(&mut written, true),
        Some(known) => remaining(&known, &lockdown.target) != Some(Vec::new()),
        None => true,
    });
    for entry in entries.iter_mut() {
        match target(entry) {
            Some(known) if known == lockdown.target => write(entry, lockdown),
            Some(known) => {
                if let Some(remaining) = remaining(&known, &lockdown.target)
                    && let [address, ..] = remaining.as_slice()
                {
                    entry["address"] = value(address.to_string());
                    entry["only"] = value(true);
                }
            }
            None => {}
        }
    }
    if !written {
        let mut entry = Table::new();
        write(&mut entry, lockdown);
        if !source.text.trim().is_empty() {
            entry.decor_mut().set_prefix("\n");
        }
        entries.push(entry);
    }
    Ok(with_line_endings_of(&source.text, &document.to_string()))
}

fn document(source: &Source) -> Result<DocumentMut, ConfigError> {
    let document = source.text.parse::<DocumentMut>();
    document.map_err(|error| ConfigError {
        position: source.position(error.span()),
        reason: Reason::NotToml(error.message().to_owned()),
    })
}

/// The new text, with carriage returns if all lines of the old text have them. toml_edit removes them.
fn with_line_endings_of(old: &str, new: &str) -> String {
    let new = new.replace("\r\n", "\n");
    let with_return = old.matches("\r\n").count();
    if with_return > 0 && with_return == old.matches('\n').count() {
        new.replace('\n', "\r\n")
    } else {
        new
    }
}

fn target(entry: &Table) -> Option<Target> {
    let address = entry.get("address")?.as_str()?.parse::<Address>().ok()?;
    let only = entry
        .get("only")
        .and_then(Item::as_bool)
        .unwrap_or_default();
    Some(Target::new(address, only))
}

/// The addresses of `known` that are not in `new`; `None` if the targets do not overlap.
fn remaining(known: &Target, new: &Target) -> Option<Vec<Address>> {
    if !known.overlaps(new) {
        return None;
    }
    let addresses = known.addresses().iter().copied();
    Some(
        addresses
            .filter(|address| !new.addresses().contains(address))
            .collect(),
    )
}

fn write(entry: &mut Table, lockdown: &Request) {
    if target(entry).as_ref() != Some(&lockdown.target)
        && let [address, ..] = lockdown.target.addresses()
    {
        entry["address"] = value(address.to_string());
    }
    set(entry, "users", list(lockdown.users.iter().map(user)));
    set(entry, "groups", list(lockdown.groups.iter().map(group)));
    let forwarded = match lockdown.forwarded {
        Forwarded::Refuse => None,
        Forwarded::Allow => Some("allow".into()),
    };
    set(entry, "forwarded", forwarded);
    set(entry, "only", lockdown.target.only().then_some(true.into()));
}

/// Sets the key if its value differs, so that a comment behind an equal value stays. `None` removes it.
fn set(entry: &mut Table, key: &str, new: Option<Value>) {
    match new {
        None => drop(entry.remove(key)),
        Some(new) => {
            let old = entry.get(key).and_then(Item::as_value);
            if old.is_none_or(|old| texts(old) != texts(&new)) {
                entry[key] = value(new);
            }
        }
    }
}

/// The value, or each value of a list, as text without quotes.
fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string().trim().to_owned(),
    };
    match value.as_array() {
        Some(list) => list.iter().map(text).collect(),
        None => vec![text(value)],
    }
}

fn list(values: impl Iterator<Item = Value>) -> Option<Value> {
    let list: Array = values.collect();
    (!list.is_empty()).then_some(list.into())
}

fn user(user: &UserRef) -> Value {
    match user {
        UserRef::Name(name) => name.as_argument().into(),
        UserRef::Uids(range) if range.count() == 1 => i64::from(range.first().get()).into(),
        UserRef::Uids(range) => range.to_string().into(),
    }
}

fn group(group: &GroupRef) -> Value {
    match group {
        GroupRef::Name(name) => name.as_argument().into(),
        GroupRef::Gid(gid) => i64::from(gid.get()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{IMDS_V4, IMDS_V6};
    use pretty_assertions::assert_eq;

    fn lockdown(address: Address, only: bool, users: &[&str]) -> Request {
        Request {
            target: Target::new(address, only),
            users: users.iter().map(|user| user.parse().unwrap()).collect(),
            groups: Vec::new(),
            forwarded: Forwarded::Refuse,
        }
    }

    fn edited(text: &str, lockdown: &Request) -> String {
        let source = Source {
            name: "c".to_owned(),
            text: text.to_owned(),
        };
        let text = with_lockdown(&source, lockdown).unwrap();
        let again = Source {
            text: text.clone(),
            ..source
        };
        assert!(
            parse(std::slice::from_ref(&again))
                .unwrap()
                .contains(lockdown),
            "{text}"
        );
        assert_eq!(
            with_lockdown(&again, lockdown).unwrap(),
            text,
            "the same lockdown again changes nothing"
        );
        text
    }

    #[test]
    fn a_new_file_contains_only_the_lockdown() {
        let mut all = lockdown(IMDS_V4, false, &["root", "1000", "2000-2099"]);
        assert_eq!(
            edited("", &all),
            "[[lockdown]]\naddress = \"169.254.169.254\"\nusers = [\"root\", 1000, \"2000-2099\"]\n"
        );
        all.groups = vec!["metadata".parse().unwrap(), "7".parse().unwrap()];
        all.forwarded = Forwarded::Allow;
        all.target = Target::new(IMDS_V6, true);
        all.users.clear();
        assert_eq!(
            edited("", &all),
            "[[lockdown]]\naddress = \"fd00:ec2::254\"\ngroups = [\"metadata\", 7]\n\
             forwarded = \"allow\"\nonly = true\n"
        );
    }

    #[test]
    fn names_are_written_so_that_they_are_read_again() {
        let users = [
            "name:1000",
            "name:1-2",
            "CORP\\svc",
            "Jörg \"J\" Müller",
            "a'b\n#",
        ];
        let mut all = lockdown(IMDS_V4, false, &users);
        all.groups = vec!["name:7".parse().unwrap(), "Domain Users".parse().unwrap()];
        let text = edited("", &all);
        assert!(
            text.contains("groups = [\"name:7\", \"Domain Users\"]\n"),
            "{text}"
        );
    }

    #[test]
    fn line_endings_are_kept() {
        let root = lockdown(IMDS_V4, false, &["root"]);
        let text =
            "# ours\r\n[[lockdown]]\r\naddress = \"10.0.0.1\" # here\r\nusers = [\r\n  1,\r\n]\r\n";
        let new = edited(text, &root);
        assert_eq!(
            new,
            format!(
                "{text}\r\n[[lockdown]]\r\naddress = \"169.254.169.254\"\r\nusers = [\"root\"]\r\n"
            )
        );
        // A text with both kinds of line endings gets none with a carriage return.
        let mixed = edited("# ours\r\n# mine\n", &root);
        assert!(!mixed.contains('\r'), "{mixed:?}");
    }

    #[test]
    fn comments_and_other_entries_are_kept() {
        let text = "# ours\n\n# IMDS\n[[lockdown]] # here\naddress = \"fd00:ec2::254\" # the pair\n\
                    users = [\"root\"] # why\nforwarded = \"allow\"\n\n# the agent\n[[lockdown]]\naddress = \"10.0.0.1\"\n";
        assert_eq!(
            edited(text, &lockdown(IMDS_V4, false, &["root"])),
            text.replace("forwarded = \"allow\"\n", "")
        );
        let third = "10.0.0.2".parse().unwrap();
        assert_eq!(
            edited(text, &lockdown(third, false, &["7"])),
            format!("{text}\n[[lockdown]]\naddress = \"10.0.0.2\"\nusers = [7]\n")
        );
    }

    #[test]
    fn only_leaves_the_other_imds_address_locked() {
        let text = "[[lockdown]]\naddress = \"169.254.169.254\"\nusers = [\"root\"]\n";
        assert_eq!(
            edited(text, &lockdown(IMDS_V4, true, &["app"])),
            "[[lockdown]]\naddress = \"fd00:ec2::254\"\nusers = [\"root\"]\nonly = true\n\n\
             [[lockdown]]\naddress = \"169.254.169.254\"\nusers = [\"app\"]\nonly = true\n"
        );
        let halves = edited(text, &lockdown(IMDS_V4, true, &["app"]));
        assert_eq!(
            edited(&halves, &lockdown(IMDS_V4, false, &["root"])).trim_start(),
            text
        );
    }
}
