//! Subjects as arguments and configuration list them: users, uid ranges, groups.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use super::id::{Gid, MAX_ID, Uid, UidRange};

/// The largest number of users and groups that one lockdown can list.
///
/// Each may become a rule that packets are compared with. A uid range or a group allows many users
/// with one rule.
pub const MAX_SUBJECTS: usize = 16_384;

/// The length of the longest name, in bytes. The comment of a rule contains the name, and can have 255
/// bytes (`XT_MAX_COMMENT_LEN`, linux/netfilter/xt_comment.h). The limit of glibc is 256.
const MAX_NAME: usize = 200;

/// The name of a user or a group: 1 to 200 ASCII letters, digits, `.`, `_`, `-`, `@` and `+`, which may
/// end with `$` (machine accounts of Samba). The first character is a letter, a digit or `_`.
///
/// Some directories allow other characters. Such accounts can be given by number. No character here
/// has a special meaning to a shell, to iptables or to a terminal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AccountName(String);

impl AccountName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccountName {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(SubjectError::Empty);
        }
        if text.len() > MAX_NAME {
            return Err(SubjectError::TooLong {
                start: text
                    .chars()
                    .take(20)
                    .collect::<String>()
                    .escape_debug()
                    .to_string(),
                length: text.len(),
            });
        }
        let body = text.strip_suffix('$').unwrap_or(text);
        let starts_well = body.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let bad = body
            .chars()
            .find(|&c| !(c.is_ascii_alphanumeric() || "._-@+".contains(c)));
        match bad {
            Some(character) => Err(SubjectError::BadCharacter {
                text: text.escape_debug().to_string(),
                character: character.escape_debug().to_string(),
            }),
            None if starts_well => Ok(Self(text.to_owned())),
            None => Err(SubjectError::BadStart(text.escape_debug().to_string())),
        }
    }
}

/// A user as an argument or the configuration lists it, before any lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// The name of a user.
    Name(AccountName),
    /// A uid, or a range of uids.
    Uids(UidRange),
}

/// A group as an argument or the configuration lists it, before any lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRef {
    /// The name of a group.
    Name(AccountName),
    /// A gid.
    Gid(Gid),
}

/// Why a text is not a user or group.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// The empty string.
    #[error("a user or group name is empty")]
    Empty,
    /// A minus sign before digits.
    #[error("\"{0}\" is negative")]
    Negative(String),
    /// Digits beyond the largest id.
    #[error("\"{0}\" is too large for an id")]
    Overflow(String),
    /// A range whose last uid is lower than its first.
    #[error("the range \"{0}\" is reversed")]
    Reversed(String),
    /// A range of gids.
    #[error("\"{0}\" is a range; groups have no ranges")]
    GroupRange(String),
    /// A character that an [`AccountName`] cannot contain.
    #[error("\"{text}\" is not a user or group name: it contains the character '{character}'")]
    BadCharacter {
        /// The text, escaped.
        text: String,
        /// The first bad character, escaped.
        character: String,
    },
    /// A first character that is not a letter, a digit or `_`.
    #[error("\"{0}\" is not a user or group name: names begin with a letter, a digit or '_'")]
    BadStart(String),
    /// A name that does not fit into the comment of a rule.
    #[error("the name \"{start}...\" has {length} bytes; the limit is {MAX_NAME}")]
    TooLong {
        /// The first characters of the name, escaped.
        start: String,
        /// The length of the name, in bytes.
        length: usize,
    },
    /// More users and groups than one lockdown can list.
    #[error("{0} users and groups are listed; the limit is {MAX_SUBJECTS}")]
    TooMany(usize),
}

impl SubjectError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::Empty => "give a name or a number, or remove it",
            Self::Negative(_) | Self::Overflow(_) => {
                return Some(format!("ids are numbers from 0 to {MAX_ID}"));
            }
            Self::Reversed(_) => "put the lower uid first",
            Self::GroupRange(_) => "list each group",
            Self::BadCharacter { .. } | Self::BadStart(_) => {
                "if the account really has this name, give its number instead"
            }
            Self::TooLong { .. } => "give the number of the account instead",
            Self::TooMany(_) => "use uid ranges such as 1000-1999, or groups",
        };
        Some(help.to_owned())
    }
}

impl FromStr for UserRef {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.escape_debug().to_string();
        if let Some(uid) = number(text)? {
            return Ok(Self::Uids(Uid(uid).into()));
        }
        if let Some((first, last)) = text.split_once('-')
            && is_digits(first)
            && is_digits(last)
        {
            let (Some(first), Some(last)) = (number(first)?, number(last)?) else {
                return Err(SubjectError::Empty);
            };
            return UidRange::new(Uid(first), Uid(last))
                .map(Self::Uids)
                .ok_or_else(|| SubjectError::Reversed(shown()));
        }
        text.parse().map(Self::Name)
    }
}

impl FromStr for GroupRef {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(gid) = number(text)? {
            return Ok(Self::Gid(Gid(gid)));
        }
        if let Some((first, last)) = text.split_once('-')
            && is_digits(first)
            && is_digits(last)
        {
            return Err(SubjectError::GroupRange(text.to_owned()));
        }
        text.parse().map(Self::Name)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The id that `text` is; `None` if it is not a number.
fn number(text: &str) -> Result<Option<u32>, SubjectError> {
    if text.strip_prefix('-').is_some_and(is_digits) {
        return Err(SubjectError::Negative(text.to_owned()));
    }
    if !is_digits(text) {
        return Ok(None);
    }
    text.parse()
        .ok()
        .filter(|&id| id <= MAX_ID)
        .map(Some)
        .ok_or_else(|| SubjectError::Overflow(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, last: u32) -> UidRange {
        UidRange::new(Uid(first), Uid(last)).unwrap()
    }

    #[test]
    fn texts_become_names_uids_and_ranges() {
        assert_eq!("0".parse(), Ok(UserRef::Uids(range(0, 0))));
        assert_eq!("1000-1099".parse(), Ok(UserRef::Uids(range(1000, 1099))));
        assert_eq!(
            "4294967294".parse(),
            Ok(UserRef::Uids(range(MAX_ID, MAX_ID)))
        );
        for name in [
            "root",
            "svc-web",
            "_apt",
            "a.b@example.org",
            "HOST$",
            "9lives",
        ] {
            assert_eq!(
                name.parse(),
                Ok(UserRef::Name(AccountName(name.to_owned())))
            );
        }
    }

    #[test]
    fn each_kind_of_invalid_subject_has_its_own_error() {
        let user = |text: &str| text.parse::<UserRef>().unwrap_err();
        assert_eq!(user(""), SubjectError::Empty);
        assert!(matches!(user("-1"), SubjectError::Negative(_)));
        assert!(matches!(user("4294967295"), SubjectError::Overflow(_)));
        assert!(matches!(
            user("99999999999999999999"),
            SubjectError::Overflow(_)
        ));
        assert!(matches!(user("1-4294967295"), SubjectError::Overflow(_)));
        assert!(matches!(user("5-4"), SubjectError::Reversed(_)));
        for text in [
            "root;reboot",
            "$(id)",
            "a b",
            "a\nb",
            "a,b",
            "a\"b",
            "DOM\\user",
            "ü",
            "$$",
        ] {
            assert!(
                matches!(user(text), SubjectError::BadCharacter { .. }),
                "{text:?}"
            );
        }
        for text in ["-x", "--group", "@a", "+a", ".", "$"] {
            assert!(matches!(user(text), SubjectError::BadStart(_)), "{text:?}");
        }
        assert!(matches!(
            user(&"a".repeat(201)),
            SubjectError::TooLong { .. }
        ));
        assert!(matches!(
            "10-20".parse::<GroupRef>(),
            Err(SubjectError::GroupRange(_))
        ));
    }
}
