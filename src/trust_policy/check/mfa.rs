//! Tests of MFA: of whom they demand it, and whether they demand anything.

use super::statement::Statement;
use super::{Code, Report};

/// Looks at the tests of MFA of a statement, among all statements.
pub(super) fn look(statement: &Statement, all: &[Statement], report: &mut Report) {
    let who = without_mfa(statement, all, report.options.automated);
    for condition in &statement.conditions {
        if !["aws:multifactorauthpresent", "aws:multifactorauthage"]
            .contains(&condition.key.as_str())
        {
            continue;
        }
        let absent = condition.when_absent();
        // Allow that never comes true without MFA, or Deny that always does.
        if absent != statement.allow {
            if let Some(who) = who {
                report.add(
                    Code::MfaDemanded,
                    &condition.place,
                    format!("{who} has no MFA device, and could not assume the role"),
                    "take the test of MFA away; put people who have MFA into a statement, or a role, of their own",
                );
            }
        } else if condition.operator.base != "Null" {
            report.add(
                Code::MfaTestsNothing,
                &condition.place,
                "requests without MFA do not have this key, and pass this test",
                match statement.allow {
                    true => "demand MFA of people by Bool, without IfExists; of services and programs it cannot be demanded",
                    false => "deny by BoolIfExists, which is true where the key is missing; services and programs have no MFA",
                },
            );
        }
    }
}

/// Who among those that the statement is about has no MFA device.
fn without_mfa(statement: &Statement, all: &[Statement], automated: bool) -> Option<&'static str> {
    // What is denied to everybody is denied to all who are let in elsewhere.
    let to_everybody = !statement.allow && statement.aws.iter().any(|(text, _)| *text == "*");
    let about: Vec<&Statement> = match to_everybody {
        true => all.iter().filter(|other| other.allow).collect(),
        false => vec![statement],
    };
    if about.iter().any(|statement| !statement.services.is_empty()) {
        return Some("a service");
    }
    let anybody =
        |statement: &&Statement| !statement.aws.is_empty() || !statement.federated.is_empty();
    (automated && about.iter().any(anybody)).then_some("a program (--automated)")
}
