//! Tests of MFA: of whom they demand it, and whether they demand anything.

use super::condition::Condition;
use super::statement::{Assume, Statement};
use super::{Code, Report, reach};
use crate::trust_policy::principal::{self, AwsPrincipal, short};

const PRESENT: &str = "aws:multifactorauthpresent";
const AGE: &str = "aws:multifactorauthage";

const CURE: &str =
    "take the test of MFA away; put people who have MFA into a statement, or a role, of their own";

/// Who has no MFA, of those that a statement is about.
#[derive(Debug, Clone, Copy)]
enum Without {
    /// These, whose requests never have the keys.
    Keyless(&'static str),
    /// A program: it may have them, and no device.
    Program,
    /// Nobody but roles: their sessions have the one key, and it is false.
    Roles,
}

/// Looks at the tests of MFA of a statement, among all statements.
pub(super) fn look(statement: &Statement, all: &[Statement], report: &mut Report) {
    if !statement.conditions.iter().any(is_of_mfa) {
        return;
    }
    let who = without_mfa(statement, all, report.options.automated);
    for condition in &statement.conditions {
        if !is_of_mfa(condition) {
            continue;
        }
        let absent = condition.when_absent();
        // Allow that never comes true without MFA, or Deny that always does.
        if absent != statement.allow {
            match who {
                Some(Without::Keyless(who)) => report.add(
                    Code::MfaDemanded,
                    &condition.place,
                    format!(
                        "{who} has no MFA device; its requests never have the key {}, so that it could not assume the role",
                        short(condition.name)
                    ),
                    CURE,
                ),
                Some(Without::Program) => report.add(
                    Code::MfaDemanded,
                    &condition.place,
                    "a program (--automated) has no MFA device, and could not assume the role",
                    CURE,
                ),
                Some(Without::Roles) if of_role(condition) != statement.allow => report.add(
                    Code::MfaOfRole,
                    &condition.place,
                    "of AWS principals, only roles are trusted, and the session of a role carries no MFA: perhaps nobody can assume this one",
                    "take the test of MFA away, or trust the users who have MFA; demand MFA where they assume their first role",
                ),
                _ => {}
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
    [PRESENT, AGE].contains(&test.key.as_str())
}

/// What the test comes to for a session of a role.
fn of_role(test: &Condition) -> bool {
    let says_false = test.values.iter().any(|value| value.is("false"));
    match test.key == PRESENT {
        true => says_false != test.operator.is_negated(),
        false => test.when_absent(),
    }
}

fn without_mfa(statement: &Statement, all: &[Statement], automated: bool) -> Option<Without> {
    let about = match statement.allow {
        true => vec![statement],
        false => denied(statement, all),
    };
    // One test that is false is enough for a Deny to leave somebody alone.
    let leaves_alone = |test: &dyn Fn(&Condition) -> bool| {
        !statement.allow && statement.conditions.iter().any(test)
    };
    if leaves_alone(&|test| is_of_mfa(test) && !test.when_absent()) {
        return None;
    }
    let is_hit = |service| !leaves_alone(&|test| reach::fails_as_service(service, test));
    let mut services = about.iter().flat_map(|about| &about.services);
    if services.any(|(service, _)| is_hit(service)) {
        return Some(Without::Keyless("a service"));
    }
    let spares_roles = leaves_alone(&reach::keeps_roles_out);
    // The calls of these are not signed with credentials that could know of MFA.
    let by_token = |about: &&Statement| {
        [Assume::Saml, Assume::WebIdentity].iter().any(|assume| {
            [statement, about]
                .iter()
                .all(|each| each.actions.contains(assume.action()))
        })
    };
    let mut federated = about.iter().filter(|about| !about.federated.is_empty());
    if !spares_roles && federated.any(by_token) {
        return Some(Without::Keyless("a SAML or OIDC identity"));
    }
    let kind = |is: fn(AwsPrincipal) -> bool| {
        let mut aws = about.iter().flat_map(|about| &about.aws);
        aws.any(|(text, _)| principal::aws(text).is_ok_and(is))
    };
    let has_user = kind(|who| matches!(who, AwsPrincipal::User { .. }));
    let has_role = kind(|who| {
        matches!(
            who,
            AwsPrincipal::Role { .. } | AwsPrincipal::Session { .. }
        )
    });
    let has_many = kind(|who| matches!(who, AwsPrincipal::Everybody | AwsPrincipal::Account(_)));
    let anybody = |about: &&Statement| !about.aws.is_empty() || !about.federated.is_empty();
    let only_users = spares_roles && !has_user;
    if only_users || !about.iter().any(anybody) {
        return None;
    }
    match automated {
        true => Some(Without::Program),
        // A Deny that names roles leaves whoever else is allowed alone.
        false if !statement.allow && !statement.is_to_everybody() => None,
        false if has_role && !has_user && !has_many => Some(Without::Roles),
        false => None,
    }
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
