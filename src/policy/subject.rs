//! Subjects as arguments and configuration list them: users, uid ranges, groups.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use super::id::{Gid, MAX_ID, Uid, UidRange};

/// The largest number of users and groups that one lockdown can list.
///
/// Each may become a rule that packets are compared with. A uid range or a group allows many users
/// with one rule.
pub const MAX_SUBJECTS: usize = 16_384;

/// The length of the longest name, in bytes, as the comment of a rule contains it. A comment can have
/// 255 bytes (`XT_MAX_COMMENT_LEN`, linux/netfilter/xt_comment.h). The limit of glibc is 256.
const MAX_NAME: usize = 200;

/// The prefix of a name that would otherwise be read as a number. No account name contains a colon.
const NAME_PREFIX: &str = "name:";

/// The name of a user or a group, as a name service may have it: any text without a colon, the
/// separator of passwd(5), and without a zero byte.
///
/// So a name can contain blanks, quotes, line breaks and escape sequences of terminals. `Display`
/// writes it for people, [`Self::in_comment`] for the comment of a rule, and [`Self::as_argument`]
/// for a configuration. Only [`Self::as_str`] is the name itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AccountName(String);

impl AccountName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an argument, or a string of the configuration: with the prefix `name:` if it would
    /// be read as a number without it.
    #[must_use]
    pub fn as_argument(&self) -> String {
        match self.0.parse() {
            Ok(UserRef::Name(_)) => self.0.clone(),
            _ => format!("{NAME_PREFIX}{}", self.0),
        }
    }

    /// The name as the comment of a rule contains it: letters, digits and a few other characters as
    /// they are, and all other bytes percent-encoded (RFC 3986, section 2.1). So no character has a
    /// special meaning to iptables, nft, a shell or a terminal, and none separates names.
    #[must_use]
    pub fn in_comment(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        let mut letters = self.0.chars().peekable();
        while let Some(letter) = letters.next() {
            // Machine accounts of Samba end with `$`, which a shell does not expand there.
            if is_plain(letter) || (letter == '$' && letters.peek().is_none()) {
                text.push(letter);
            } else {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "%{byte:02X}");
                }
            }
        }
        text
    }

    /// The inverse of [`Self::in_comment`]; `None` for a text that it does not return.
    #[must_use]
    pub fn from_comment(text: &str) -> Option<Self> {
        let mut parts = text.split('%');
        let mut name = parts.next()?.as_bytes().to_vec();
        for part in parts {
            let (byte, rest) = part.split_at_checked(2)?;
            name.push(u8::from_str_radix(byte, 16).ok()?);
            name.extend(rest.as_bytes());
        }
        let name: Self = String::from_utf8(name).ok()?.parse().ok()?;
        (name.in_comment() == text).then_some(name)
    }
}

/// Whether a comment contains the character of a name as it is.
fn is_plain(letter: char) -> bool {
    match letter {
        '.' | '_' | '-' | '@' | '+' => true,
        _ => letter.is_alphanumeric(),
    }
}

/// For people: control characters, invisible characters and double quotes are escaped as in Rust, so
/// that a name cannot end a line or a quotation.
impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '\\' | '\'' => f.write_char(letter),
            _ => letter.escape_debug().fmt(f),
        })
    }
}

impl FromStr for AccountName {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(SubjectError::Empty);
        }
        if let Some(character) = text.chars().find(|c| matches!(c, ':' | '\0')) {
            return Err(SubjectError::BadCharacter {
                text: text.escape_debug().to_string(),
                character: character.escape_debug().to_string(),
            });
        }
        let name = Self(text.to_owned());
        let length = name.in_comment().len();
        if length > MAX_NAME {
            return Err(SubjectError::TooLong {
                start: text
                    .chars()
                    .take(20)
                    .collect::<String>()
                    .escape_debug()
                    .to_string(),
                length,
            });
        }
        Ok(name)
    }
}

/// A user as an argument or the configuration lists it, before any lookup.
///
/// A number is always an id, also if an account has this number as its name: no lookup can change
/// whom a number means. `name:` before it makes it a name.
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
    #[error("\"{text}\" is not a user or group name: names cannot contain '{character}'")]
    BadCharacter {
        /// The text, escaped.
        text: String,
        /// The first bad character, escaped.
        character: String,
    },
    /// A name that does not fit into the comment of a rule.
    #[error(
        "the name \"{start}...\" takes {length} bytes in the comment of a rule; the limit is {MAX_NAME}"
    )]
    TooLong {
        /// The first characters of the name, escaped.
        start: String,
        /// The length of the name in a comment, in bytes.
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
            Self::BadCharacter { .. } => {
                "give a name, a number, or `name:NAME` for a name that looks like a number"
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
        if let Some(name) = text.strip_prefix(NAME_PREFIX) {
            return name.parse().map(Self::Name);
        }
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
        if let Some(name) = text.strip_prefix(NAME_PREFIX) {
            return name.parse().map(Self::Name);
        }
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
            "CORP\\svc",
            "Jörg Müller",
            "@wheel",
            "-x",
            "$(id)",
            "a,b",
            "1000-",
            "+1000",
            "0x10",
        ] {
            let parsed = AccountName(name.to_owned());
            assert_eq!(parsed.as_argument(), name);
            assert_eq!(name.parse(), Ok(UserRef::Name(parsed)));
        }
    }

    #[test]
    fn a_name_that_looks_like_a_number_has_a_prefix() {
        for name in ["20001", "0", "4294967295", "-1", "10-20", "20-10"] {
            let parsed: AccountName = name.parse().unwrap();
            let argument = parsed.as_argument();
            assert_eq!(argument, format!("name:{name}"));
            assert_eq!(argument.parse(), Ok(UserRef::Name(parsed.clone())));
            assert_eq!(argument.parse(), Ok(GroupRef::Name(parsed)));
        }
    }

    #[test]
    fn a_comment_contains_no_special_character_of_a_name() {
        for (name, comment) in [
            ("svc-web", "svc-web"),
            ("svc@corp.example", "svc@corp.example"),
            ("HOST$", "HOST$"),
            ("$PATH", "%24PATH"),
            ("20001", "20001"),
            ("CORP\\svc", "CORP%5Csvc"),
            ("Jörg Müller", "Jörg%20Müller"),
            ("a,b", "a%2Cb"),
            ("50%", "50%25"),
            ("a\" -j ACCEPT\n", "a%22%20-j%20ACCEPT%0A"),
            ("\u{1b}[2J\u{85}\u{202e}", "%1B%5B2J%C2%85%E2%80%AE"),
        ] {
            let parsed: AccountName = name.parse().unwrap();
            assert_eq!(parsed.in_comment(), comment);
            assert_eq!(AccountName::from_comment(comment), Some(parsed));
        }
        for other in [
            "", "%", "%4", "%41", "%5c", "a b", "%FF", "a:b", "%3A", "%+1", "%é",
        ] {
            assert_eq!(AccountName::from_comment(other), None, "{other}");
        }
    }

    #[test]
    fn a_message_shows_a_name_in_one_line() {
        let shown = |name: &str| name.parse::<AccountName>().unwrap().to_string();
        assert_eq!(shown("CORP\\Jörg O'Neill"), "CORP\\Jörg O'Neill");
        assert_eq!(shown("a\"\n\u{1b}\u{202e}"), "a\\\"\\n\\u{1b}\\u{202e}");
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
        assert_eq!(user("name:"), SubjectError::Empty);
        for text in ["root:alice", "a\0b", "uid:1", "name:a:b"] {
            assert!(
                matches!(user(text), SubjectError::BadCharacter { .. }),
                "{text:?}"
            );
        }
        assert!(matches!(
            user(&"a".repeat(201)),
            SubjectError::TooLong { .. }
        ));
        assert!(matches!(
            user(&" ".repeat(67)),
            SubjectError::TooLong { length: 201, .. }
        ));
        assert!(matches!(
            "10-20".parse::<GroupRef>(),
            Err(SubjectError::GroupRange(_))
        ));
    }
}
