//! The marker: a comment on the last rule of an output chain that says what `apply` wrote there.
//!
//! The firewall itself is the only record of what is in force. The marker carries the options
//! that the rules cannot show, and a digest over the whole policy, so that a chain edited by hand
//! or half lost is told from one that stands as it was written. It guards against accident, not
//! against root: whoever can edit the rules can write a marker.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::Layers;
use crate::policy::{Forwarded, Policy, Subjects};

/// `ip-lockdown v1 <16 hex digits> layers=LAYER,... [only] [forwarded=allow]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Marker {
    digest: u64,
    /// The layers that were laid.
    pub layers: Layers,
    /// Whether one half of the IMDS pair was locked alone.
    pub only: bool,
    /// What becomes of forwarded packets.
    pub forwarded: Forwarded,
}

impl Marker {
    /// The marker of `policy` as laid down in `layers`.
    #[must_use]
    pub fn new(policy: &Policy, layers: Layers) -> Self {
        Self::of(
            &policy.subjects,
            layers,
            policy.target.only(),
            policy.forwarded,
        )
    }

    /// Whether this is the marker that `subjects` would get with the options it states.
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

/// The text under the digest: a line a subject, then the options.
fn canonical(subjects: &Subjects, layers: Layers, only: bool, forwarded: Forwarded) -> String {
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

/// The comment is no marker.
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
        // One way to write it: order, case and repetition count too.
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
