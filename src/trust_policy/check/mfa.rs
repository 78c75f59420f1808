//! Tests of MFA: of whom they demand it, and whether they demand anything.

use super::condition::Condition;
use super::statement::Statement;
use super::{Code, Report, reach};
use crate::trust_policy::principal::{self, AwsPrincipal};

/// Looks at the tests of MFA of a statement, among all statements.
pub(super) fn look(statement: &Statement, all: &[Statement], report: &mut Report) {
    let who = without_mfa(statement, all, report.options.automated);
    for condition in &statement.conditions {
        if !is_of_mfa(condition) {
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

fn is_of_mfa(test: &Condition) -> bool {
    ["aws:multifactorauthpresent", "aws:multifactorauthage"].contains(&test.key.as_str())
}

/// Who of those that the statement is about has no MFA device.
fn without_mfa(statement: &Statement, all: &[Statement], automated: bool) -> Option<&'static str> {
    let about = match statement.allow {
        true => vec![statement],
        false => denied(statement, all),
    };
    // One test that is false is enough for a Deny to leave somebody alone.
    let leaves_alone =
        |test: fn(&Condition) -> bool| !statement.allow && statement.conditions.iter().any(test);
    if leaves_alone(|test| is_of_mfa(test) && !test.when_absent()) {
        return None;
    }
    let services = about.iter().any(|about| !about.services.is_empty());
    if services && !leaves_alone(reach::fails_as_service) {
        return Some("a service");
    }
    let has_user = |about: &&Statement| {
        let is_user = |text| matches!(principal::aws(text), Ok(AwsPrincipal::User { .. }));
        about.aws.iter().any(|(text, _)| is_user(text))
    };
    let anybody = |about: &&Statement| !about.aws.is_empty() || !about.federated.is_empty();
    let programs = automated && about.iter().any(anybody);
    let only_users = leaves_alone(reach::keeps_roles_out) && !about.iter().any(has_user);
    (programs && !only_users).then_some("a program (--automated)")
}

/// The statements that say whom a `Deny` keeps out: those that let them in, if it is to everybody;
/// itself, if it names them. None where nothing is allowed of what it denies.
fn denied<'s, 'a>(
    statement: &'s Statement<'a>,
    all: &'s [Statement<'a>],
) -> Vec<&'s Statement<'a>> {
    let mut met = all.iter().filter(|other| {
        other.allow
            && other
                .actions
                .iter()
                .any(|action| statement.actions.contains(action))
    });
    match statement.is_to_everybody() {
        true => met.collect(),
        false => met.next().map(|_| statement).into_iter().collect(),
    }
}
