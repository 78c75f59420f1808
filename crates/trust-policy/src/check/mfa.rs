//! Rules on MFA: principals that cannot use it, and tests that require nothing.

use super::condition::Condition;
use super::reach;
use super::report::Report;
use super::statement::{Assume, ParsedStatement};
use crate::diagnostic::Code;
use crate::principal::{self, AwsPrincipal};
use crate::text::short;

const PRESENT: &str = "aws:multifactorauthpresent";
const AGE: &str = "aws:multifactorauthage";

const HELP: &str =
    "remove the MFA condition; use a separate statement or role for people who have MFA";

/// The principals of a statement that cannot use MFA.
#[derive(Debug, Clone, Copy)]
enum Without {
    /// Principals whose requests never have the keys of MFA; with their name for the message.
    Keyless(&'static str),
    /// Programs. Their requests may have the keys, but a program has no MFA device.
    Program,
    /// Only roles. Their sessions have aws:MultiFactorAuthPresent, with the value false.
    Roles,
}

/// Checks the tests of MFA in a statement.
pub(super) fn check(statement: &ParsedStatement, all: &[ParsedStatement], report: &mut Report) {
    if !statement.conditions.iter().any(is_of_mfa) {
        return;
    }
    let automated = report.options.automated;
    let who = without_mfa(statement, all, automated);
    for condition in &statement.conditions {
        if !is_of_mfa(condition) {
            continue;
        }
        // The tests of an Allow are never true, or those of a Deny always.
        let shuts_keyless = condition.when_absent() != statement.allow;
        let shuts_roles = of_role(condition) != statement.allow;
        match who {
            Some(Without::Keyless(who)) if shuts_keyless => report.add(
                Code::MfaDemanded,
                &condition.location,
                format!(
                    "{who} never use MFA: their requests do not have {}, so they cannot assume the role",
                    short(condition.name)
                ),
                HELP,
            ),
            Some(Without::Program) if shuts_keyless => program(condition, report),
            Some(Without::Roles) if shuts_roles && automated => program(condition, report),
            Some(Without::Roles) if shuts_roles => report.add(
                Code::MfaOfRole,
                &condition.location,
                "the only trusted AWS principals are roles, and a role's session has no MFA, so perhaps nobody can assume this role",
                "remove the MFA condition, or trust users who have MFA; require MFA where users assume their first role",
            ),
            _ if !shuts_keyless && condition.operator.base != "Null" => report.add(
                Code::MfaTestsNothing,
                &condition.location,
                "requests without MFA do not have this key, so the condition does not stop them",
                if statement.allow {
                    "to require MFA of people, use Bool without IfExists; services and programs cannot use MFA"
                } else {
                    "use BoolIfExists, which also denies requests without the key; services and programs cannot use MFA"
                },
            ),
            _ => {}
        }
    }
}

fn program(test: &Condition, report: &mut Report) {
    report.add(
        Code::MfaDemanded,
        &test.location,
        "programs (--automated) have no MFA device, so they cannot assume the role",
        HELP,
    );
}

fn is_of_mfa(test: &Condition) -> bool {
    [PRESENT, AGE].contains(&test.key.as_str())
}

/// The result of the test for a session of a role. Null with "false" is true where the key exists.
fn of_role(test: &Condition) -> bool {
    let says_false = test.values.iter().any(|value| value.is("false"));
    if test.key == PRESENT {
        says_false != test.operator.is_negated()
    } else {
        test.when_absent()
    }
}

fn without_mfa(
    statement: &ParsedStatement,
    all: &[ParsedStatement],
    automated: bool,
) -> Option<Without> {
    let about = if statement.allow {
        vec![statement]
    } else {
        denied(statement, all)
    };
    // A Deny does not apply to a principal if one test is false for it.
    let excludes = |test: &dyn Fn(&Condition) -> bool| {
        !statement.allow && statement.conditions.iter().any(test)
    };
    let keyless_excluded = excludes(&|test| is_of_mfa(test) && !test.when_absent());
    let applies = |service| !excludes(&|test| reach::fails_as_service(service, test));
    let mut services = about.iter().flat_map(|about| &about.services);
    if !keyless_excluded && services.any(|(service, _)| applies(service)) {
        return Some(Without::Keyless("AWS services"));
    }
    let roles_excluded = excludes(&reach::keeps_roles_out);
    // Requests with a token are not signed with credentials that could carry MFA.
    let by_token = |about: &&ParsedStatement| {
        [Assume::Saml, Assume::WebIdentity].iter().any(|assume| {
            [statement, about]
                .iter()
                .all(|each| each.actions.contains(assume.action()))
        })
    };
    let mut federated = about.iter().filter(|about| !about.federated.is_empty());
    if !keyless_excluded && !roles_excluded && federated.any(by_token) {
        return Some(Without::Keyless("SAML and OIDC identities"));
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
    let anybody = |about: &&ParsedStatement| !about.aws.is_empty() || !about.federated.is_empty();
    let only_users = roles_excluded && !has_user;
    let only_roles = has_role && !has_user && !has_many;
    let is_excluded = if only_roles {
        excludes(&|test| is_of_mfa(test) && !of_role(test))
    } else {
        keyless_excluded
    };
    if only_users || is_excluded || excludes(&reach::excludes_named) || !about.iter().any(anybody) {
        return None;
    }
    if !automated && !statement.allow && !statement.is_to_everybody() {
        // A Deny that names roles does not apply to other principals.
        None
    } else if only_roles {
        Some(Without::Roles)
    } else {
        automated.then_some(Without::Program)
    }
}

/// The statements whose principals a `Deny` affects: the `Allow` statements if it denies everybody, else the
/// `Deny` itself. None if no statement allows the denied actions.
fn denied<'s, 'a>(
    statement: &'s ParsedStatement<'a>,
    all: &'s [ParsedStatement<'a>],
) -> Vec<&'s ParsedStatement<'a>> {
    let mut met = all.iter().filter(|other| {
        other.allow
            && other
                .actions
                .iter()
                .any(|action| statement.actions.contains(action))
    });
    if statement.is_to_everybody() {
        met.collect()
    } else {
        met.next().map(|_| statement).into_iter().collect()
    }
}
