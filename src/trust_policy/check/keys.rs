//! Condition keys: which values they take, and who sends them.

use super::condition::{ANY, Condition, has_wildcard};
use super::statement::Statement;
use super::{Code, Report, quote, reach};
use crate::trust_policy::principal;
use crate::trust_policy::services;
use crate::trust_policy::words::{has_external_id_characters, is_external_id};

/// Services that are known to send `aws:SourceAccount` and `aws:SourceArn`.
const SENDS_SOURCE: [&str; 3] = ["autoscaling", "ecs-tasks", "spotfleet"];
/// Services of which AWS does not say so.
const SENDS_NO_SOURCE: [&str; 2] = ["ec2", "lambda"];

/// Keys whose values never have a `*` or `?`. Those that begin with a colon are claims, of any provider.
const WITHOUT_WILDCARD: [&str; 15] = [
    ":job_workflow_ref",
    ":ref",
    ":repository",
    ":sub",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:userid",
    "aws:username",
    "sts:rolesessionname",
];

/// Looks at the keys that a statement tests, among all statements.
pub(super) fn look(statement: &Statement, all: &[Statement], report: &mut Report) {
    external_ids(statement, report);
    source_keys(statement, all, report);
    literal_wildcards(statement, report);
}

fn external_ids(statement: &Statement, report: &mut Report) {
    for condition in &statement.conditions {
        if condition.key != "sts:externalid" || condition.operator.base == "Null" {
            continue;
        }
        for value in &condition.values {
            // Of a pattern, only the characters are known.
            let fits = match value.is_pattern() {
                true => value.meaning.split(ANY).all(has_external_id_characters),
                false => is_external_id(&value.meaning),
            };
            if !fits {
                report.add(
                    Code::BadExternalId,
                    &value.node.place,
                    format!("{} cannot be an external id", quote(value.text)),
                    "an external id has 2 to 1224 characters, each a letter, a digit or one of _+=,.@:/-; \
                     only StringLike takes wildcards",
                );
            }
        }
    }
}

fn source_keys(statement: &Statement, all: &[Statement], report: &mut Report) {
    for (text, node) in &statement.services {
        let Some((name, _)) = services::split(text) else {
            continue;
        };
        // A service that does not send the key: one test keeps it from an Allow, and all bring it
        // under a Deny.
        let mut tests = sources(statement);
        let shut = match statement.allow {
            true => tests.find(|test| !test.when_absent()),
            false if sources(statement).all(Condition::when_absent) => tests.next(),
            false => None,
        };
        match shut {
            Some(test) if SENDS_NO_SOURCE.contains(&name) => report.add(
                Code::SourceKeyNotSent,
                &test.place,
                format!("{name} is not known to send this key when it assumes a role, and could then not assume this one"),
                match statement.allow {
                    true => "take the test away for this service, or add IfExists to its operator",
                    false => "take the test away for this service, or add a test by Null, \"false\", of the same key",
                },
            ),
            _ => {}
        }
        if statement.allow && SENDS_SOURCE.contains(&name) && !is_guarded(text, statement, all) {
            report.add(
                Code::SourceKeyMissing,
                &node.place,
                format!("{name} could be made to use this role for another account (the confused deputy)"),
                "demand your account by StringEquals on aws:SourceAccount, or the resource by ArnLike on aws:SourceArn",
            );
        }
    }
}

/// The tests of where a service comes from.
fn sources<'s, 'a>(statement: &'s Statement<'a>) -> impl Iterator<Item = &'s Condition<'a>> {
    const KEYS: [&str; 4] = [
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceorgid",
        "aws:sourceorgpaths",
    ];
    let tests = statement.conditions.iter();
    tests.filter(|test| KEYS.contains(&test.key.as_str()))
}

/// Whether the service is let in from named sources only, or kept out from all others.
fn is_guarded(service: &str, allow: &Statement, all: &[Statement]) -> bool {
    let names_source = |statement: &Statement| {
        sources(statement)
            .any(|test| test.operator.is_negated() != statement.allow && reach::names_source(test))
    };
    let is_about_it = |deny: &&Statement| {
        let named = deny.services.iter().any(|(name, _)| *name == service);
        deny.actions.contains("sts:AssumeRole") && (named || deny.is_to_everybody())
    };
    let mut denies = all.iter().filter(|other| !other.allow);
    names_source(allow) || denies.any(|deny| names_source(deny) && is_about_it(&deny))
}

/// Wildcards where nothing else is taken than the value as it is written.
fn literal_wildcards(statement: &Statement, report: &mut Report) {
    for condition in &statement.conditions {
        let base = condition.operator.base;
        let never = WITHOUT_WILDCARD
            .iter()
            .any(|key| match key.starts_with(':') {
                true => condition.key.ends_with(key),
                false => condition.key == *key,
            });
        // Deny of all that is not equal is as shut as Allow of all that is.
        let shut = base.starts_with("String")
            && !condition.operator.takes_wildcards()
            && condition.operator.is_negated() != statement.allow;
        if !never || !shut {
            continue;
        }
        for value in condition
            .values
            .iter()
            .filter(|value| has_wildcard(&value.meaning))
        {
            report.add(
                Code::LiteralWildcard,
                &value.node.place,
                format!(
                    "{} has a wildcard, and {base} takes it literally: no {} has one, so that nobody gets in by it",
                    quote(value.text),
                    principal::short(condition.name),
                ),
                format!("take {} instead, or name the value whole", base.replace("EqualsIgnoreCase", "Like").replace("Equals", "Like")),
            );
        }
    }
}
