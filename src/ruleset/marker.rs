//! The marker comment on the last rule of an output chain, which records what `apply` wrote.
//!
//! The firewall itself is the only record of what is installed. The marker contains the options
//! that the rules do not show, and a digest of the whole policy. It detects chains that were edited
//! or partly deleted. It protects against accidents, not against root: whoever can edit the rules
//! can also write a marker.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::Layers;
use crate::policy::{Forwarded, Policy, Subjects};

/// A marker comment: `ip-lockdown v1 <16 hex digits> layers=LAYER,... [only] [forwarded=allow]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Marker {
    digest: u64,
    /// The layers of the lockdown.
    pub layers: Layers,
    /// Whether only one address of the IMDS pair is locked.
    pub only: bool,
    /// How forwarded packets are treated.
    pub forwarded: Forwarded,
}

impl Marker {
    /// The marker of `policy`, installed in `layers`.
    #[must_use]
    pub fn new(policy: &Policy, layers: Layers) -> Self {
        Self::of(
            &policy.subjects,
            layers,
            policy.target.only(),
            policy.forwarded,
        )
    }

    /// Whether `subjects`, with the options of this marker, have the digest of this marker.
    #[must_use]
    pub fn fits(self, subjects: &Subjects) -> bool {
        self == Self::of(subjects, self.layers, self.only, self.forwarded)
    }

    fn of(subjects: &Subjects, layers: Layers, only: bool, forwarded: Forwarded) -> Self {
        let digest = Sha256::digest(canonical(subjects, layers, only, forwarded));
        Self {
            digest: digest
                .iter()
                .take(8)
                .fold(0, |word, &byte| word << 8 | u64::from(byte)),
            layers,
            only,
            forwarded,
        }
    }
}

/// The text that is hashed: one line for each name or id, then the options.
fn canonical(subjects: &Subjects, layers: Layers, only: bool, forwarded: Forwarded) -> String {
    let mut lines = String::new();
    let mut add = |line: fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = lines.write_fmt(line);
        lines.push('\n');
    };
    for (uid, names) in subjects.named() {
        for name in names {
            add(format_args!("user {uid} {}", name.in_comment()));
        }
    }
    for uids in subjects.unnamed() {
        add(format_args!("uids {uids}"));
    }
    for (gid, names) in subjects.groups() {
        add(format_args!("group {gid}"));
        for name in names {
            add(format_args!("group {gid} {}", name.in_comment()));
        }
    }
    let forwarded = match forwarded {
        Forwarded::Refuse => "refuse",
        Forwarded::Allow => "allow",
    };
    add(format_args!(
        "layers {layers} only {only} forwarded {forwarded}"
    ));
    lines
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ip-lockdown v1 {:016x} layers={}",
            self.digest, self.layers
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

/// The comment is not a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAMarker;

impl FromStr for Marker {
    type Err = NotAMarker;

    fn from_str(text: &str) -> Result<Self, NotAMarker> {
        let rest = text.strip_prefix("ip-lockdown v1 ").ok_or(NotAMarker)?;
        let mut words = rest.split(' ');
        let digest = words
            .next()
            .and_then(|word| u64::from_str_radix(word, 16).ok())
            .ok_or(NotAMarker)?;
        let mut marker = Self {
            digest,
            layers: words
                .next()
                .and_then(|word| word.strip_prefix("layers=")?.parse().ok())
                .ok_or(NotAMarker)?,
            only: false,
            forwarded: Forwarded::Refuse,
        };
        for word in words {
            match word {
                "only" => marker.only = true,
                "forwarded=allow" => marker.forwarded = Forwarded::Allow,
                _ => return Err(NotAMarker),
            }
        }
        // A marker has one spelling only: order, case and repetitions must be the same.
        (marker.to_string() == text)
            .then_some(marker)
            .ok_or(NotAMarker)
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
        let marker = Marker::new(&policy(Subjects::default()), Layers::FILTER);
        assert_eq!(
            marker.to_string(),
            "ip-lockdown v1 9ab41a0b66ef67c6 layers=filter only forwarded=allow"
        );
        assert_eq!(marker.to_string().parse(), Ok(marker));
        assert!(marker.fits(&Subjects::default()));
    }

    #[test]
    fn other_comments_are_no_stamps() {
        for text in [
            "",
            "ip-lockdown v2 0000000000000000 layers=filter",
            "ip-lockdown v1 0000000000000000",
            "ip-lockdown v1 0 layers=filter",
            "ip-lockdown v1 000000000000000A layers=filter",
            "ip-lockdown v1 0000000000000000 layers=filter forwarded=allow only",
            "ip-lockdown v1 0000000000000000 layers=filter ",
        ] {
            assert_eq!(text.parse::<Marker>(), Err(NotAMarker), "{text}");
        }
    }
}
