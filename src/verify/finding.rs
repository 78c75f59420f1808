//! One result of a check.

use std::fmt;

use serde::Serialize;

use crate::exit_code::ExitCode;
use crate::policy::Address;
use crate::ruleset::{Layer, NotRead};

/// A check. The kebab-case ids are stable; docs/findings.md lists causes and help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The configuration can be read, trusted and understood.
    ConfigUsable,
    /// Every name of the configuration has an id.
    NamesResolved,
    /// At least one address is locked.
    SomethingLocked,
    /// The installed lockdown is the one that the arguments or the configuration describe.
    AsAsked,
    /// At least one layer enforces the whole decision for the address.
    AddressLocked,
    /// Our chains contain exactly the rules that `apply` wrote.
    RulesMatch,
    /// Exactly one rule leads to our chain: our jump, before every foreign rule.
    JumpFirst,
    /// No foreign rule above our jump accepts packets to the address.
    NoBypass,
    /// A second layer enforces the lockdown too.
    BackstopPresent,
    /// No NAT rule rewrites the address before packets reach our rules.
    NatUntouched,
    /// The other iptables variant holds no lockdown of the same address.
    OtherVariantClear,
    /// The lockdown is installed again at the next boot.
    SurvivesReboot,
    /// A reload of firewalld does not remove the lockdown.
    SurvivesFirewalld,
    /// nftables.service does not remove the lockdown.
    SurvivesNftFlush,
    /// The names still belong to the ids that the rules allow.
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
    pub const ALL: [Self; 18] = [
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
        Self::SurvivesReboot,
        Self::SurvivesFirewalld,
        Self::SurvivesNftFlush,
        Self::NamesCurrent,
        Self::UnlistedRefused,
        Self::RefusedAtOnce,
        Self::ListedServed,
    ];

    /// The group in which the check is reported.
    #[must_use]
    pub fn group(self) -> Group {
        match self {
            Self::ConfigUsable | Self::SomethingLocked | Self::AsAsked => Group::Lockdown,
            Self::AddressLocked | Self::RulesMatch | Self::JumpFirst | Self::NoBypass => {
                Group::Rules
            }
            Self::BackstopPresent => Group::Backstop,
            Self::UnlistedRefused | Self::RefusedAtOnce | Self::ListedServed => Group::Packets,
            Self::SurvivesReboot => Group::Boot,
            Self::NatUntouched => Group::Nat,
            Self::OtherVariantClear | Self::SurvivesFirewalld | Self::SurvivesNftFlush => {
                Group::OtherTools
            }
            Self::NamesResolved | Self::NamesCurrent => Group::Names,
        }
    }

    /// Whether the check evaluates probes, not rules.
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
            Self::SurvivesReboot => "survives-reboot",
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

/// A group of checks, reported together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Whether the expected lockdown is installed.
    Lockdown,
    /// The rules of each layer.
    Rules,
    /// The second layer.
    Backstop,
    /// The probes.
    Packets,
    /// The next boot.
    Boot,
    /// Address translation before our rules.
    Nat,
    /// What other tools did or would do.
    OtherTools,
    /// Users and groups.
    Names,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The check passed.
    Pass,
    /// The check failed.
    Fail,
    /// The check could not be made.
    Unknown,
    /// There was nothing to test, for example because there is no route to the address.
    NotTested,
}

/// How serious it is that a check did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The lockdown is broken, or may be.
    Broken,
    /// The address is locked, but with less protection than possible.
    Degraded,
}

/// One result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check.
    #[serde(rename = "id")]
    pub check: Check,
    /// The result of the check.
    pub status: Status,
    /// How serious the result is; `None` for a check that passed or had nothing to test.
    pub severity: Option<Severity>,
    /// The address concerned, if one is.
    pub address: Option<Address>,
    /// The layer concerned, if one is.
    pub layer: Option<Layer>,
    /// What was observed.
    pub message: String,
    /// What the user can do about the problem, if anything.
    #[serde(rename = "cure")]
    pub help: Option<String>,
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
            help: None,
        }
    }

    /// The check passed.
    #[must_use]
    pub fn pass(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Status::Pass, message)
    }

    /// The check failed.
    #[must_use]
    pub fn fail(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Status::Fail, message)
    }

    /// The check could not be made.
    #[must_use]
    pub fn unknown(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Status::Unknown, message)
    }

    /// The check could not be made, because something could not be read.
    #[must_use]
    pub fn not_read(check: Check, reason: &NotRead) -> Self {
        Self {
            help: reason.help.clone(),
            ..Self::unknown(check, reason.to_string())
        }
    }

    /// There was nothing to test, which is neither a failure nor a pass.
    #[must_use]
    pub fn not_tested(check: Check, message: impl Into<String>) -> Self {
        Self {
            severity: None,
            ..Self::new(check, Status::NotTested, message)
        }
    }

    /// Lowers the severity: the lockdown is weaker, but not broken.
    #[must_use]
    pub fn degraded(self) -> Self {
        Self {
            severity: self.severity.and(Some(Severity::Degraded)),
            ..self
        }
    }

    /// Sets the address that the finding is about.
    #[must_use]
    pub fn about(self, address: Address) -> Self {
        Self {
            address: Some(address),
            ..self
        }
    }

    /// Sets the layer that the finding is about.
    #[must_use]
    pub fn within(self, layer: Layer) -> Self {
        Self {
            layer: Some(layer),
            ..self
        }
    }

    /// Sets what the user can do about the problem.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

/// The exit code of a run with these findings: 1 if a check failed, else 3 if a check could not be
/// made, else 4 if the lockdown is degraded, else 0.
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

/// The number of findings which mean that the lockdown is broken, or may be.
#[must_use]
pub fn broken(findings: &[Finding]) -> usize {
    findings
        .iter()
        .filter(|finding| finding.severity == Some(Severity::Broken))
        .count()
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
    fn ids_in_json_and_text_are_the_same() {
        for check in Check::ALL {
            let json = serde_json::to_string(&check).unwrap();
            assert_eq!(json, format!("\"{}\"", check.id()));
        }
    }
}
