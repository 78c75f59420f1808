//! The stamp: a comment on the last rule of an output chain that says what `apply` wrote there.
//!
//! The firewall itself is the only record of what is in force. The stamp carries the options
//! that the rules cannot show, and a digest over the whole policy, so that a chain edited by hand
//! or half lost is told from one that stands as it was written. It guards against accident, not
//! against root: whoever can edit the rules can write a stamp.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::policy::{Family, Forwarded, Policy, Subjects};

/// The layer that stands behind `filter`, where another tool's rule or flush would open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backstop {
    /// The iptables table `security`.
    Security,
    /// None: this kernel has no layer to offer. The lockdown is degraded.
    None,
}

impl fmt::Display for Backstop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security => "security",
            Self::None => "none",
        })
    }
}

/// The backstop of each family: a kernel may have the layer for one and not for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Backstops {
    ipv4: Backstop,
    ipv6: Backstop,
}

impl Backstops {
    /// The same for both.
    #[must_use]
    pub fn both(backstop: Backstop) -> Self {
        Self {
            ipv4: backstop,
            ipv6: backstop,
        }
    }

    /// That of one family.
    #[must_use]
    pub fn of(self, family: Family) -> Backstop {
        match family {
            Family::V4 => self.ipv4,
            Family::V6 => self.ipv6,
        }
    }

    /// Says what that of one family is.
    pub fn set(&mut self, family: Family, backstop: Backstop) {
        match family {
            Family::V4 => self.ipv4 = backstop,
            Family::V6 => self.ipv6 = backstop,
        }
    }
}

/// `ip-lockdown v1 <16 hex digits> backstop=security|none [only] [forwarded=allow]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    digest: u64,
    /// The second layer that was laid.
    pub backstop: Backstop,
    /// Whether one half of the IMDS pair was locked alone.
    pub only: bool,
    /// What becomes of forwarded packets.
    pub forwarded: Forwarded,
}

impl Stamp {
    /// The stamp of `policy` as laid down with `backstop`.
    #[must_use]
    pub fn new(policy: &Policy, backstop: Backstop) -> Self {
        Self::of(
            &policy.subjects,
            backstop,
            policy.target.only(),
            policy.forwarded,
        )
    }

    /// Whether this is the stamp that `subjects` would get with the options it states.
    #[must_use]
    pub fn fits(self, subjects: &Subjects) -> bool {
        self == Self::of(subjects, self.backstop, self.only, self.forwarded)
    }

    fn of(subjects: &Subjects, backstop: Backstop, only: bool, forwarded: Forwarded) -> Self {
        let digest = Sha256::digest(canonical(subjects, backstop, only, forwarded));
        Self {
            digest: digest
                .iter()
                .take(8)
                .fold(0, |word, &byte| word << 8 | u64::from(byte)),
            backstop,
            only,
            forwarded,
        }
    }
}

/// The text under the digest: a line a subject, then the options.
fn canonical(subjects: &Subjects, backstop: Backstop, only: bool, forwarded: Forwarded) -> String {
    let mut lines = String::new();
    let mut add = |line: fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = lines.write_fmt(line);
        lines.push('\n');
    };
    for (uid, names) in subjects.named() {
        for name in names {
            add(format_args!("user {uid} {name}"));
        }
    }
    for uids in subjects.unnamed() {
        add(format_args!("uids {uids}"));
    }
    for (gid, names) in subjects.groups() {
        add(format_args!("group {gid}"));
        for name in names {
            add(format_args!("group {gid} {name}"));
        }
    }
    let forwarded = match forwarded {
        Forwarded::Refuse => "refuse",
        Forwarded::Allow => "allow",
    };
    add(format_args!(
        "backstop {backstop} only {only} forwarded {forwarded}"
    ));
    lines
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ip-lockdown v1 {:016x} backstop={}",
            self.digest, self.backstop
        )?;
        if self.only {
            f.write_str(" only")?;
        }
        if self.forwarded == Forwarded::Allow {
            f.write_str(" forwarded=allow")?;
        }
        Ok(())
    }
}

/// The comment is no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAStamp;

impl FromStr for Stamp {
    type Err = NotAStamp;

    fn from_str(text: &str) -> Result<Self, NotAStamp> {
        let rest = text.strip_prefix("ip-lockdown v1 ").ok_or(NotAStamp)?;
        let mut words = rest.split(' ');
        let digest = words
            .next()
            .and_then(|word| u64::from_str_radix(word, 16).ok())
            .ok_or(NotAStamp)?;
        let mut stamp = Self {
            digest,
            backstop: match words.next() {
                Some("backstop=security") => Backstop::Security,
                Some("backstop=none") => Backstop::None,
                _ => return Err(NotAStamp),
            },
            only: false,
            forwarded: Forwarded::Refuse,
        };
        for word in words {
            match word {
                "only" => stamp.only = true,
                "forwarded=allow" => stamp.forwarded = Forwarded::Allow,
                _ => return Err(NotAStamp),
            }
        }
        // One way to write it: order, case and repetition count too.
        (stamp.to_string() == text)
            .then_some(stamp)
            .ok_or(NotAStamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{IMDS_V4, Target};

    fn policy(subjects: Subjects) -> Policy {
        Policy {
            target: Target::new(IMDS_V4, true),
            subjects,
            forwarded: Forwarded::Allow,
        }
    }

    #[test]
    fn the_text_is_stable() {
        let stamp = Stamp::new(&policy(Subjects::default()), Backstop::None);
        assert_eq!(
            stamp.to_string(),
            "ip-lockdown v1 daf7cb21d58a7395 backstop=none only forwarded=allow"
        );
        assert_eq!(stamp.to_string().parse(), Ok(stamp));
        assert!(stamp.fits(&Subjects::default()));
    }

    #[test]
    fn other_comments_are_no_stamps() {
        for text in [
            "",
            "ip-lockdown v2 0000000000000000 backstop=none",
            "ip-lockdown v1 0000000000000000",
            "ip-lockdown v1 0 backstop=none",
            "ip-lockdown v1 000000000000000A backstop=none",
            "ip-lockdown v1 0000000000000000 backstop=none forwarded=allow only",
            "ip-lockdown v1 0000000000000000 backstop=none ",
        ] {
            assert_eq!(text.parse::<Stamp>(), Err(NotAStamp), "{text}");
        }
    }
}
