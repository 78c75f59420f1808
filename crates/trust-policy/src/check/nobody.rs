//! Rules on named principals that cannot assume the role: because of a `Deny`, or of a test on a key that they
//! never send.

use std::collections::BTreeSet;

use super::reach;
use super::report::Report;
use super::source::Location;
use super::statement::{Assume, ParsedStatement};
use crate::diagnostic::Code;
use crate::principal::{self, AwsPrincipal, Federated};
use crate::text::short;

/// Reports a document by which nobody can assume the role. An element that could not be parsed counts as
/// allowing somebody: it has a diagnostic of its own.
pub(super) fn check_document(
    statements: &[ParsedStatement],
    location: &Location,
    report: &mut Report,
) {
    const ALLOW: &str = "add an Allow of sts:AssumeRole, sts:AssumeRoleWithSAML or sts:AssumeRoleWithWebIdentity for the principals that need the role";
    let mut allows = statements.iter().filter(|statement| statement.allow);
    let of_deny = || statements.iter().filter(|statement| !statement.allow);
    let always = of_deny().filter(|deny| deny.tests == 0).flat_map(pairs);
    let services = allows.clone().flat_map(|allow| &allow.services);
    let met = services
        .filter(|(service, _)| of_deny().any(|deny| always_meets(deny, service)))
        .map(|(service, _)| (Assume::Role, *service));
    let denied: BTreeSet<(Assume, &str)> = always.chain(met).collect();
    let is_denied = |(assume, who): (Assume, &str)| {
        denied.contains(&(assume, "*")) || denied.contains(&(assume, who))
    };
    let lets_in = |allow: &ParsedStatement| {
        let names_nobody = principals(allow).next().is_none();
        allow.has_unknown_action
            || (names_nobody && !allow.assumes.is_empty())
            || pairs(allow).any(|pair| !is_denied(pair))
    };
    if allows.clone().any(lets_in) {
        return;
    }
    let (message, help) = if allows.clone().next().is_none() {
        (
            "no statement has the effect Allow, so nobody can assume the role",
            ALLOW,
        )
    } else if allows.all(|allow| allow.assumes.is_empty()) {
        (
            "no allowed action assumes a role, so nobody can assume this one",
            ALLOW,
        )
    } else {
        (
            "every allowed principal is denied as well, so nobody can assume the role",
            "remove the Deny, or exclude the principals that need the role; exclude services by Bool with \"false\" on aws:PrincipalIsAWSService",
        )
    };
    report.add(Code::LetsNobodyIn, location, message, help);
}

/// Whether a `Deny` with tests applies to every request of this service, because the keys are absent.
fn always_meets(deny: &ParsedStatement, service: &str) -> bool {
    let names_it = deny.services.iter().any(|(name, _)| *name == service);
    let mut tests = deny.conditions.iter();
    deny.tests > 0
        && deny.tests == deny.conditions.len()
        && (names_it || deny.is_to_everybody())
        && deny.actions.contains(Assume::Role.action())
        && tests.all(|test| reach::passes_as_service(service, test))
}

/// Every principal of a statement with every action by which it can assume the role.
fn pairs<'s>(statement: &'s ParsedStatement) -> impl Iterator<Item = (Assume, &'s str)> {
    let can = |assume: &Assume| statement.actions.contains(assume.action());
    let assumes = Assume::ALL.into_iter().filter(can);
    assumes.flat_map(|assume| principals(statement).map(move |who| (assume, who)))
}

/// The principals; both spellings of an account give its ID.
fn principals<'s>(statement: &'s ParsedStatement) -> impl Iterator<Item = &'s str> {
    let aws = statement.aws.iter();
    let others = statement.services.iter().chain(&statement.federated);
    others
        .chain(aws)
        .map(|(text, _)| match principal::aws(text) {
            Ok(AwsPrincipal::Account(account)) => account,
            _ => text,
        })
}

/// Reports tests that a named principal never satisfies, because its requests do not have the key.
pub(super) fn check(statement: &ParsedStatement, report: &mut Report) {
    if !statement.allow {
        return;
    }
    let shut = statement.services.iter().find_map(|(service, _)| {
        let mut tests = statement.conditions.iter();
        let test = tests.find(|test| reach::fails_as_service(service, test));
        test.map(|test| (service, test))
    });
    if let Some((service, test)) = shut {
        report.add(
            Code::LetsNobodyIn,
            &test.location,
            format!(
                "{} cannot assume the role: its requests never satisfy this condition on {}",
                short(service),
                short(test.name)
            ),
            "remove the condition, or move it to a statement for AWS principals; for services, use \
             aws:SourceAccount or aws:SourceOrgID",
        );
    }
    let issuers =
        statement
            .federated
            .iter()
            .filter_map(|(text, _)| match principal::federated(text) {
                Ok(Federated::Oidc { issuer, .. }) => Some(issuer.trim_end_matches('/')),
                _ => None,
            });
    // One provider whose tokens can satisfy the tests is enough.
    let shut: Option<Vec<_>> = issuers
        .map(|issuer| Some((issuer, statement.foreign_claim(issuer)?)))
        .collect();
    if let Some((issuer, test)) = shut.and_then(|shut| shut.first().copied()) {
        report.add(
            Code::LetsNobodyIn,
            &test.location,
            format!(
                "tokens of {} never have the key {}, so no token satisfies this condition",
                short(issuer),
                short(test.name)
            ),
            format!(
                "use {}:sub, or trust the other provider in a statement of its own",
                short(issuer)
            ),
        );
    }
}
