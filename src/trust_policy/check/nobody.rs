//! Who is named, and cannot come in: by a `Deny`, or by a test of what they never send.

use std::collections::BTreeSet;

use super::source::Place;
use super::statement::{Assume, Statement};
use super::{Code, Report, reach};
use crate::trust_policy::principal::{self, AwsPrincipal, Federated, short};

/// Tells of a document that lets nobody in. What could not be read may let somebody in, and is told
/// by itself.
pub(super) fn somebody_let_in(statements: &[Statement], place: &Place, report: &mut Report) {
    const ALLOW: &str = "allow sts:AssumeRole, sts:AssumeRoleWithSAML or sts:AssumeRoleWithWebIdentity to whom the role is for";
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
    let lets_in = |allow: &Statement| {
        let names_nobody = principals(allow).next().is_none();
        allow.unread
            || (names_nobody && !allow.assumes.is_empty())
            || pairs(allow).any(|pair| !is_denied(pair))
    };
    if allows.clone().any(lets_in) {
        return;
    }
    let (message, cure) = if allows.clone().next().is_none() {
        (
            "there is no Allow, so that nobody can assume the role",
            ALLOW,
        )
    } else if allows.all(|allow| allow.assumes.is_empty()) {
        (
            "no action that is allowed assumes a role by itself, so that nobody can assume this one",
            ALLOW,
        )
    } else {
        (
            "what is allowed is denied to everybody whom it is allowed to, so that nobody can assume the role",
            "take the Deny away, or have it spare whom the role is for: services, by Bool, \"false\", of aws:PrincipalIsAWSService",
        )
    };
    report.add(Code::LetsNobodyIn, place, message, cure);
}

/// Whether a `Deny` with tests meets every request of this service: each test is true for want of its key.
fn always_meets(deny: &Statement, service: &str) -> bool {
    let names_it = deny.services.iter().any(|(name, _)| *name == service);
    let mut tests = deny.conditions.iter();
    deny.tests > 0
        && deny.tests == deny.conditions.len()
        && (names_it || deny.is_to_everybody())
        && deny.actions.contains(Assume::Role.action())
        && tests.all(|test| reach::passes_as_service(service, test))
}

/// Every principal of a statement by every action that assumes a role.
fn pairs<'s>(statement: &'s Statement) -> impl Iterator<Item = (Assume, &'s str)> {
    let can = |assume: &Assume| statement.actions.contains(assume.action());
    let assumes = Assume::ALL.into_iter().filter(can);
    assumes.flat_map(|assume| principals(statement).map(move |who| (assume, who)))
}

/// Who is named; an account, which has two names, by its id.
fn principals<'s>(statement: &'s Statement) -> impl Iterator<Item = &'s str> {
    let aws = statement.aws.iter();
    let others = statement.services.iter().chain(&statement.federated);
    others
        .chain(aws)
        .map(|(text, _)| match principal::aws(text) {
            Ok(AwsPrincipal::Account(account)) => account,
            _ => text,
        })
}

/// Tells of tests that somebody named never passes, for want of the key.
pub(super) fn look(statement: &Statement, report: &mut Report) {
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
            &test.place,
            format!(
                "{} could not assume the role: it never passes this test of {}",
                short(service),
                short(test.name)
            ),
            "take the test away, or put it into a statement about AWS principals; of services, \
             aws:SourceAccount or aws:SourceOrgID tells where they come from",
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
    // One provider whose tokens can pass is enough.
    let shut: Option<Vec<_>> = issuers
        .map(|issuer| Some((issuer, statement.foreign_claim(issuer)?)))
        .collect();
    if let Some((issuer, test)) = shut.and_then(|shut| shut.first().copied()) {
        report.add(
            Code::LetsNobodyIn,
            &test.place,
            format!("tokens of {} never have the key {}, so that nobody passes this test", short(issuer), short(test.name)),
            format!("test {}:sub, or trust the other provider under Federated, in a statement of its own", short(issuer)),
        );
    }
}
