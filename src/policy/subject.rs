//! The words that name who may pass: users, uid ranges, groups.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use super::id::{Gid, MAX_ID, Uid, UidRange};

/// The most USER or `--group` words that one lockdown takes.
///
/// Each may become a rule that a packet is compared with; ranges and groups name more people in
/// fewer rules.
pub const MAX_WORDS: usize = 16_384;

/// Longest name, in bytes. A name must fit a rule's comment, which holds 255 bytes
/// (`XT_MAX_COMMENT_LEN`, linux/netfilter/xt_comment.h); glibc's own bound is 256.
const MAX_NAME: usize = 200;

/// The name of a user or a group: 1 to 200 letters, digits and `. _ - @ +`, perhaps a final `$`
/// (Samba's machine accounts), not beginning with `-`, `.`, `@` or `+`.
///
/// Narrower than some directories allow: whatever else there is can be given by its number, and
/// nothing that a shell, iptables or a terminal reads specially gets into a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AccountName(String);

impl AccountName {
    /// The name itself.
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

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if word.is_empty() {
            return Err(SubjectError::Empty);
        }
        if word.len() > MAX_NAME {
            return Err(SubjectError::TooLong {
                start: word
                    .chars()
                    .take(20)
                    .collect::<String>()
                    .escape_debug()
                    .to_string(),
                length: word.len(),
            });
        }
        let body = word.strip_suffix('$').unwrap_or(word);
        let opens_well = body.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let bad = body
            .chars()
            .find(|&c| !(c.is_ascii_alphanumeric() || "._-@+".contains(c)));
        match bad {
            Some(character) => Err(SubjectError::BadCharacter {
                word: word.escape_debug().to_string(),
                character: character.escape_debug().to_string(),
            }),
            None if opens_well => Ok(Self(word.to_owned())),
            None => Err(SubjectError::BadStart(word.escape_debug().to_string())),
        }
    }
}

/// A USER word of the command line, before any look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserWord {
    /// A user's name, still to be resolved.
    Name(AccountName),
    /// A uid or a range of uids.
    Uids(UidRange),
}

/// A `--group` word of the command line, before any look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupWord {
    /// A group's name, still to be resolved.
    Name(AccountName),
    /// A gid.
    Gid(Gid),
}

/// Why a word names no subject.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// The empty string.
    #[error("a user or group is empty; give a name, a number, or leave it out")]
    Empty,
    /// A minus sign before digits.
    #[error("\"{0}\" is negative; ids go from 0 to {MAX_ID}")]
    Negative(String),
    /// Digits beyond the largest id.
    #[error("\"{0}\" is too large; ids go from 0 to {MAX_ID}")]
    Overflow(String),
    /// A range whose end lies before its start.
    #[error("the range \"{0}\" is reversed; the lower uid comes first")]
    Reversed(String),
    /// A range among groups.
    #[error("\"{0}\" is a range; groups are given one by one")]
    GroupRange(String),
    /// A character that no name here may have.
    #[error(
        "\"{word}\" is not a user or group name: it has the character '{character}'; \
         if the account is really called so, give its number"
    )]
    BadCharacter {
        /// The word, escaped.
        word: String,
        /// The first bad character, escaped.
        character: String,
    },
    /// A name that begins with a sign.
    #[error(
        "\"{0}\" is not a user or group name: it must begin with a letter, a digit or '_'; \
         if the account is really called so, give its number"
    )]
    BadStart(String),
    /// A name that does not fit a rule's comment.
    #[error("the name \"{start}...\" has {length} bytes, at most {MAX_NAME} fit; give its number")]
    TooLong {
        /// Its first characters, escaped.
        start: String,
        /// Its length in bytes.
        length: usize,
    },
    /// More words than one lockdown takes.
    #[error(
        "{0} users or groups were given, at most {MAX_WORDS} are taken; use ranges such as \
         1000-1999, or a group"
    )]
    TooMany(usize),
}

impl FromStr for UserWord {
    type Err = SubjectError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let shown = || word.escape_debug().to_string();
        if let Some(uid) = number(word)? {
            return Ok(Self::Uids(Uid(uid).into()));
        }
        if let Some((first, last)) = word.split_once('-')
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
        word.parse().map(Self::Name)
    }
}

impl FromStr for GroupWord {
    type Err = SubjectError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if let Some(gid) = number(word)? {
            return Ok(Self::Gid(Gid(gid)));
        }
        if let Some((first, last)) = word.split_once('-')
            && is_digits(first)
            && is_digits(last)
        {
            return Err(SubjectError::GroupRange(word.to_owned()));
        }
        word.parse().map(Self::Name)
    }
}

fn is_digits(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number that `word` is, `None` when it is no number at all.
fn number(word: &str) -> Result<Option<u32>, SubjectError> {
    if word.strip_prefix('-').is_some_and(is_digits) {
        return Err(SubjectError::Negative(word.to_owned()));
    }
    if !is_digits(word) {
        return Ok(None);
    }
    word.parse()
        .ok()
        .filter(|&id| id <= MAX_ID)
        .map(Some)
        .ok_or_else(|| SubjectError::Overflow(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, last: u32) -> UidRange {
        UidRange::new(Uid(first), Uid(last)).unwrap()
    }

    #[test]
    fn words_become_names_uids_and_ranges() {
        assert_eq!("0".parse(), Ok(UserWord::Uids(range(0, 0))));
        assert_eq!("1000-1099".parse(), Ok(UserWord::Uids(range(1000, 1099))));
        assert_eq!(
            "4294967294".parse(),
            Ok(UserWord::Uids(range(MAX_ID, MAX_ID)))
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
                Ok(UserWord::Name(AccountName(name.to_owned())))
            );
        }
    }

    #[test]
    fn every_wrong_word_gets_its_own_reason() {
        let user = |word: &str| word.parse::<UserWord>().unwrap_err();
        assert_eq!(user(""), SubjectError::Empty);
        assert!(matches!(user("-1"), SubjectError::Negative(_)));
        assert!(matches!(user("4294967295"), SubjectError::Overflow(_)));
        assert!(matches!(
            user("99999999999999999999"),
            SubjectError::Overflow(_)
        ));
        assert!(matches!(user("1-4294967295"), SubjectError::Overflow(_)));
        assert!(matches!(user("5-4"), SubjectError::Reversed(_)));
        for word in [
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
                matches!(user(word), SubjectError::BadCharacter { .. }),
                "{word:?}"
            );
        }
        for word in ["-x", "--group", "@a", "+a", ".", "$"] {
            assert!(matches!(user(word), SubjectError::BadStart(_)), "{word:?}");
        }
        assert!(matches!(
            user(&"a".repeat(201)),
            SubjectError::TooLong { .. }
        ));
        assert!(matches!(
            "10-20".parse::<GroupWord>(),
            Err(SubjectError::GroupRange(_))
        ));
    }
}
