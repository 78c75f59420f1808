//! One result of looking.

use std::fmt;

use serde::Serialize;

use crate::exit_code::ExitCode;
use crate::policy::Address;
use crate::ruleset::Layer;

/// What was looked at. The kebab-case ids are stable; docs/findings.md lists cause and cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The configuration can be read, trusted and understood.
    ConfigUsable,
    /// Every name of the configuration has an id.
    NamesResolved,
    /// At least one address is locked.
    SomethingLocked,
    /// What is in force is what `verify ADDRESS [USER]...` asked for.
    AsAsked,
    /// At least one layer enforces the whole decision for the address.
    AddressLocked,
    /// The rules of our chains are those that `apply` wrote.
    RulesMatch,
    /// Our jump is there once, before every foreign rule.
    JumpFirst,
    /// No foreign rule above our jump lets the address through.
    NoBypass,
    /// The second layer is there.
    BackstopPresent,
    /// `nat` does not rewrite the address before our rules see it.
    NatUntouched,
    /// No lockdown of the other variant stands beside this one.
    OtherVariantClear,
    /// firewalld would leave the lockdown standing.
    SurvivesFirewalld,
    /// nftables.service would leave the lockdown standing.
    SurvivesNftFlush,
    /// The names still belong to the ids that the rules admit.
    NamesCurrent,
    /// A process of an unlisted user cannot send to the address.
    UnlistedRefused,
    /// A refused TCP connect fails at once.
    RefusedAtOnce,
    /// A process of a listed user can send to the address.
    ListedServed,
}

impl Check {
    /// Every check, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::ConfigUsable,
        Self::NamesResolved,
        Self::SomethingLocked,
        Self::AsAsked,
        Self::AddressLocked,
        Self::RulesMatch,
        Self::JumpFirst,
        Self::NoBypass,
        Self::BackstopPresent,
        Self::NatUntouched,
        Self::OtherVariantClear,
        Self::SurvivesFirewalld,
        Self::SurvivesNftFlush,
        Self::NamesCurrent,
        Self::UnlistedRefused,
        Self::RefusedAtOnce,
        Self::ListedServed,
    ];

    /// Whether it is about packets, not about rules.
    #[must_use]
    pub fn is_behaviour(self) -> bool {
        matches!(
            self,
            Self::UnlistedRefused | Self::RefusedAtOnce | Self::ListedServed
        )
    }

    /// The stable id.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::ConfigUsable => "config-usable",
            Self::NamesResolved => "names-resolved",
            Self::SomethingLocked => "something-locked",
            Self::AsAsked => "as-asked",
            Self::AddressLocked => "address-locked",
            Self::RulesMatch => "rules-match",
            Self::JumpFirst => "jump-first",
            Self::NoBypass => "no-bypass",
            Self::BackstopPresent => "backstop-present",
            Self::NatUntouched => "nat-untouched",
            Self::OtherVariantClear => "other-variant-clear",
            Self::SurvivesFirewalld => "survives-firewalld",
            Self::SurvivesNftFlush => "survives-nft-flush",
            Self::NamesCurrent => "names-current",
            Self::UnlistedRefused => "unlisted-refused",
            Self::RefusedAtOnce => "refused-at-once",
            Self::ListedServed => "listed-served",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

/// How it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Looked, and it is so.
    Pass,
    /// Looked, and it is not so.
    Fail,
    /// Could not look.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Unknown => "unknown",
        })
    }
}

/// What it means for the lockdown when a check does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The lockdown does not hold as it should.
    Broken,
    /// It is in force, with less behind it than there could be.
    Degraded,
}

/// One result of looking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    #[serde(rename = "id")]
    pub check: Check,
    /// How it came out.
    pub status: Status,
    /// What it means, unless it is `pass`.
    pub severity: Option<Severity>,
    /// The address concerned, if one is.
    pub address: Option<Address>,
    /// The layer concerned, if one is.
    pub layer: Option<Layer>,
    /// What was seen, in the reader's words.
    pub message: String,
    /// What to do about it; only where there is something to do.
    pub cure: Option<String>,
}

impl Finding {
    fn new(check: Check, status: Status, message: impl Into<String>) -> Self {
        Self {
            check,
            status,
            severity: (status != Status::Pass).then_some(Severity::Broken),
            address: None,
            layer: None,
            message: message.into(),
            cure: None,
        }
    }

    /// It is so.
    #[must_use]
    pub fn pass(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Status::Pass, message)
    }

    /// It is not so.
    #[must_use]
    pub fn fail(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Status::Fail, message)
    }

    /// Nobody could look.
    #[must_use]
    pub fn unknown(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Status::Unknown, message)
    }

    /// Not passing here weakens the lockdown, but does not break it.
    #[must_use]
    pub fn degraded(self) -> Self {
        Self {
            severity: self.severity.and(Some(Severity::Degraded)),
            ..self
        }
    }

    /// About this address.
    #[must_use]
    pub fn about(self, address: Address) -> Self {
        Self {
            address: Some(address),
            ..self
        }
    }

    /// In this layer.
    #[must_use]
    pub fn within(self, layer: Layer) -> Self {
        Self {
            layer: Some(layer),
            ..self
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn cure(self, cure: impl Into<String>) -> Self {
        Self {
            cure: Some(cure.into()),
            ..self
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<20}", self.status, self.check)?;
        if let Some(address) = self.address {
            write!(f, " {address}")?;
        }
        if let Some(layer) = self.layer {
            write!(f, " {layer}")?;
        }
        let colon = if self.address.is_some() || self.layer.is_some() {
            ":"
        } else {
            ""
        };
        write!(f, "{colon} {}", printable(&self.message))?;
        match &self.cure {
            Some(cure) => write!(f, "\n{:30}cure: {}", "", printable(cure)),
            None => Ok(()),
        }
    }
}

/// Without control characters: messages quote rules and programs, which may hold anything.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => out.extend(letter.escape_default()),
            false => out.push(letter),
        }
    }
    out
}

/// 1 when something does not hold, else 3 when something could not be looked at, else 4 when the
/// lockdown is degraded, else 0.
#[must_use]
pub fn exit_code(findings: &[Finding]) -> ExitCode {
    let any = |status, severity| {
        findings
            .iter()
            .any(|finding| finding.status == status && finding.severity == Some(severity))
    };
    if any(Status::Fail, Severity::Broken) {
        ExitCode::CheckFailed
    } else if any(Status::Unknown, Severity::Broken) {
        ExitCode::Incomplete
    } else if any(Status::Fail, Severity::Degraded) || any(Status::Unknown, Severity::Degraded) {
        ExitCode::Degraded
    } else {
        ExitCode::Success
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_never_counts_as_pass() {
        let check = Check::RulesMatch;
        let (pass, fail) = (Finding::pass(check, ""), Finding::fail(check, ""));
        let unknown = Finding::unknown(check, "");
        let code = |findings: &[&Finding]| {
            exit_code(&findings.iter().map(|&f| f.clone()).collect::<Vec<_>>())
        };
        assert_eq!(code(&[&pass]), ExitCode::Success);
        assert_eq!(code(&[&pass, &unknown]), ExitCode::Incomplete);
        assert_eq!(code(&[&unknown, &fail]), ExitCode::CheckFailed);
        assert_eq!(
            code(&[&pass, &unknown.clone().degraded()]),
            ExitCode::Degraded
        );
        assert_eq!(
            code(&[&unknown, &fail.clone().degraded()]),
            ExitCode::Incomplete
        );
    }

    #[test]
    fn a_terminal_never_gets_control_characters() {
        let finding = Finding::fail(Check::NoBypass, "\u{1b}[31mred\u{7}\n").cure("\u{9b}x");
        let text = finding.to_string();
        assert_eq!(text.matches(char::is_control).count(), 1, "{text:?}");
    }

    #[test]
    fn ids_in_json_and_text_are_the_same() {
        for check in Check::ALL {
            let json = serde_json::to_string(&check).unwrap();
            assert_eq!(json, format!("\"{}\"", check.id()));
        }
    }
}
