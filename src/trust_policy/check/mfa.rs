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
    let automated = report.options.automated;
    let who = without_mfa(statement, all, automated);
    for condition in &statement.conditions {
        if !is_of_mfa(condition) {
            continue;
        }
        // Allow that never comes true, or Deny that always does.
        let shuts_keyless = condition.when_absent() != statement.allow;
        let shuts_roles = of_role(condition) != statement.allow;
        match who {
            Some(Without::Keyless(who)) if shuts_keyless => report.add(
                Code::MfaDemanded,
                &condition.place,
                format!(
                    "{who} has no MFA device; its requests never have the key {}, so that it could not assume the role",
                    short(condition.name)
                ),
                CURE,
            ),
            Some(Without::Program) if shuts_keyless => program(condition, report),
            Some(Without::Roles) if shuts_roles && automated => program(condition, report),
            Some(Without::Roles) if shuts_roles => report.add(
                Code::MfaOfRole,
                &condition.place,
                "of AWS principals, only roles are trusted, and the session of a role carries no MFA: perhaps nobody can assume this one",
                "take the test of MFA away, or trust the users who have MFA; demand MFA where they assume their first role",
            ),
            _ if !shuts_keyless && condition.operator.base != "Null" => report.add(
                Code::MfaTestsNothing,
                &condition.place,
                "requests without MFA do not have this key, and pass this test",
                match statement.allow {
                    true => "demand MFA of people by Bool, without IfExists; of services and programs it cannot be demanded",
                    false => "deny by BoolIfExists, which is true where the key is missing; services and programs have no MFA",
                },
            ),
            _ => {}
        }
    }
}

fn program(test: &Condition, report: &mut Report) {
    report.add(
        Code::MfaDemanded,
        &test.place,
        "a program (--automated) has no MFA device, and could not assume the role",
        CURE,
    );
}

fn is_of_mfa(test: &Condition) -> bool {
    [PRESENT, AGE].contains(&test.key.as_str())
}

/// What the test comes to for a session of a role. By Null, "false" asks for a key that is there.
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
    let spares_keyless = leaves_alone(&|test| is_of_mfa(test) && !test.when_absent());
    let is_hit = |service| !leaves_alone(&|test| reach::fails_as_service(service, test));
    let mut services = about.iter().flat_map(|about| &about.services);
    if !spares_keyless && services.any(|(service, _)| is_hit(service)) {
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
    if !spares_keyless && !spares_roles && federated.any(by_token) {
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
    let only_roles = has_role && !has_user && !has_many;
    let is_spared = match only_roles {
        true => leaves_alone(&|test| is_of_mfa(test) && !of_role(test)),
        false => spares_keyless,
    };
    if only_users || is_spared || leaves_alone(&reach::spares_some) || !about.iter().any(anybody) {
        return None;
    }
    match automated {
        // A Deny that names roles leaves whoever else is allowed alone.
        false if !statement.allow && !statement.is_to_everybody() => None,
        _ if only_roles => Some(Without::Roles),
        true => Some(Without::Program),
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
