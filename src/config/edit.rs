//! A configuration with one lockdown written into it; all else, comments too, stays as it is.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::{ConfigError, LOCKDOWN, Reason, Source, parse};
use crate::policy::{Address, Forwarded, GroupWord, Request, Target, UserWord};

/// The text of `source` with this lockdown in the place of what it says for the same addresses.
/// Where it locks one address of the metadata service alone, an entry for both keeps the other.
///
/// # Errors
/// The text is no configuration.
pub fn with_lockdown(source: &Source, lockdown: &Request) -> Result<String, ConfigError> {
    parse(std::slice::from_ref(source))?;
    let mut document = source
        .text
        .parse::<DocumentMut>()
        .map_err(|error| ConfigError {
            place: source.place(error.span()),
            reason: Reason::NotToml(error.message().to_owned()),
        })?;
    let entries = document
        .entry(LOCKDOWN)
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(entries) = entries.as_array_of_tables_mut() else {
        // `parse` takes nothing else.
        return Ok(source.text.clone());
    };
    let mut written = false;
    entries.retain(|entry| match target(entry) {
        Some(known) if known == lockdown.target => !std::mem::replace(&mut written, true),
        Some(known) => left(&known, &lockdown.target) != Some(Vec::new()),
        None => true,
    });
    for entry in entries.iter_mut() {
        match target(entry) {
            Some(known) if known == lockdown.target => write(entry, lockdown),
            Some(known) => {
                if let Some(left) = left(&known, &lockdown.target)
                    && let [address, ..] = left.as_slice()
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
    Ok(with_line_ends_of(&source.text, &document.to_string()))
}

/// toml_edit leaves out the carriage returns; where all lines of the old text have them, so do all
/// of the new one.
fn with_line_ends_of(old: &str, new: &str) -> String {
    let new = new.replace("\r\n", "\n");
    let with_return = old.matches("\r\n").count();
    match with_return > 0 && with_return == old.matches('\n').count() {
        true => new.replace('\n', "\r\n"),
        false => new,
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

/// The addresses of `known` that `taken` leaves it; `None` if it has none of them.
fn left(known: &Target, taken: &Target) -> Option<Vec<Address>> {
    let (lost, left): (Vec<_>, Vec<_>) = known
        .addresses()
        .iter()
        .partition(|address| taken.addresses().contains(address));
    (!lost.is_empty()).then_some(left)
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

/// Sets the key where the value differs, or takes it away.
fn set(entry: &mut Table, key: &str, wanted: Option<Value>) {
    let same = |held: &Value, wanted: &Value| {
        let words = |value: &Value| match value.as_array() {
            Some(list) => list.iter().map(word).collect::<Vec<_>>(),
            None => vec![word(value)],
        };
        words(held) == words(wanted)
    };
    match wanted {
        None => drop(entry.remove(key)),
        Some(wanted) => {
            let held = entry.get(key).and_then(Item::as_value);
            if !held.is_some_and(|held| same(held, &wanted)) {
                entry[key] = value(wanted);
            }
        }
    }
}

fn word(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string().trim().to_owned(),
    }
}

fn list(words: impl Iterator<Item = Value>) -> Option<Value> {
    let list: Array = words.collect();
    (!list.is_empty()).then_some(list.into())
}

fn user(word: &UserWord) -> Value {
    match word {
        UserWord::Name(name) => name.as_str().into(),
        UserWord::Uids(range) if range.count() == 1 => i64::from(range.first().get()).into(),
        UserWord::Uids(range) => range.to_string().into(),
    }
}

fn group(word: &GroupWord) -> Value {
    match word {
        GroupWord::Name(name) => name.as_str().into(),
        GroupWord::Gid(gid) => i64::from(gid.get()).into(),
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
            users: users.iter().map(|word| word.parse().unwrap()).collect(),
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
            "the second time changes nothing"
        );
        text
    }

    #[test]
    fn a_new_file_says_just_that() {
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
    fn lines_end_as_they_did() {
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
        // Of one with both, those with a carriage return are the odd ones.
        let mixed = edited("# ours\r\n# mine\n", &root);
        assert!(!mixed.contains('\r'), "{mixed:?}");
    }

    #[test]
    fn what_others_wrote_stays() {
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
    fn one_half_of_the_pair_leaves_the_other_locked() {
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
