//! All findings of a run -> its result.

use super::finding::{Finding, Status, exit_code};
use super::names::degrade_reported_names;
use crate::exit_code::ExitCode;

/// The findings in the order of their addresses, and the exit code of a run with these findings.
#[must_use]
pub fn conclude(mut findings: Vec<Finding>) -> (Vec<Finding>, ExitCode) {
    degrade_reported_names(&mut findings);
    findings.sort_by_key(|finding| finding.address);
    let code = exit_code(&findings);
    (findings, code)
}

/// Whether checks fail, and all of them are probes. Another tool may refuse all packets for a moment
/// while it reloads, so that another inspection may pass.
#[must_use]
pub fn only_behaviour_fails(findings: &[Finding]) -> bool {
    let mut failed = findings
        .iter()
        .filter(|finding| finding.status == Status::Fail)
        .peekable();
    failed.peek().is_some() && failed.all(|finding| finding.check.is_behaviour())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Check;

    #[test]
    fn a_failed_rule_is_not_inspected_again() {
        let fail = |check| Finding::fail(check, "x");
        assert!(!only_behaviour_fails(&[]));
        assert!(!only_behaviour_fails(&[Finding::pass(
            Check::UnlistedRefused,
            "x"
        )]));
        assert!(only_behaviour_fails(&[fail(Check::UnlistedRefused)]));
        let both = [fail(Check::UnlistedRefused), fail(Check::RulesMatch)];
        assert!(!only_behaviour_fails(&both));
    }

    #[test]
    fn a_changed_id_of_an_unresolved_name_is_degraded() {
        let unresolved = Finding::fail(Check::NamesResolved, "x").degraded();
        let current = Finding::fail(Check::NamesCurrent, "x");
        let (_, code) = conclude(vec![current.clone()]);
        assert_eq!(code, ExitCode::CheckFailed);
        let (findings, code) = conclude(vec![current, unresolved]);
        assert_eq!(code, ExitCode::Degraded);
        assert_eq!(findings.len(), 2);
    }
}
