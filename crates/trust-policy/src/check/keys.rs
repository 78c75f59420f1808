//! Rules on condition keys: the values that they accept, and the services that send them.

use super::condition::{ANY, Condition, has_wildcard};
use super::reach;
use super::report::Report;
use super::statement::ParsedStatement;
use crate::diagnostic::Code;
use crate::services;
use crate::text::{quote, short};
use crate::value::{has_external_id_characters, is_external_id};

/// Services that send `aws:SourceAccount` and `aws:SourceArn`.
const SENDS_SOURCE: [&str; 3] = ["autoscaling", "ecs-tasks", "spotfleet"];
/// Services for which AWS does not document these keys.
const SENDS_NO_SOURCE: [&str; 2] = ["ec2", "lambda"];

/// Keys whose values never contain `*` or `?`. A key that begins with a colon is a claim of any provider.
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

/// Checks the condition keys of a statement.
pub(super) fn check(statement: &ParsedStatement, all: &[ParsedStatement], report: &mut Report) {
    external_ids(statement, report);
    source_keys(statement, all, report);
    literal_wildcards(statement, report);
}

fn external_ids(statement: &ParsedStatement, report: &mut Report) {
    for condition in &statement.conditions {
        if condition.key != "sts:externalid" || condition.operator.base == "Null" {
            continue;
        }
        for value in &condition.values {
            // Only the characters of a pattern can be checked.
            let fits = if value.is_pattern() {
                value.meaning.split(ANY).all(has_external_id_characters)
            } else {
                is_external_id(&value.meaning)
            };
            if !fits {
                report.add(
                    Code::BadExternalId,
                    &value.node.location,
                    format!("{} is not an external ID", quote(value.text)),
                    "use 2 to 1224 characters: letters, digits and _+=,.@:/-; wildcards need StringLike",
                );
            }
        }
    }
}

fn source_keys(statement: &ParsedStatement, all: &[ParsedStatement], report: &mut Report) {
    for (text, node) in &statement.services {
        let Some((name, _)) = services::split(text) else {
            continue;
        };
        // A service that does not send the key fails an Allow if one test requires it. A Deny applies to the
        // service if no test requires it.
        let mut tests = sources(statement);
        let blocking = if statement.allow {
            tests.find(|test| !test.when_absent())
        } else if sources(statement).all(Condition::when_absent) {
            tests.next()
        } else {
            None
        };
        match blocking {
            Some(test) if SENDS_NO_SOURCE.contains(&name) => report.add(
                Code::SourceKeyNotSent,
                &test.location,
                format!("AWS does not document that {name} sends this key; without the key, it cannot assume the role"),
                if statement.allow {
                    "remove the condition for this service, or add IfExists to its operator"
                } else {
                    "remove the condition for this service, or add a Null condition with \"false\" on the same key"
                },
            ),
            _ => {}
        }
        if statement.allow && SENDS_SOURCE.contains(&name) && !is_restricted(text, statement, all) {
            report.add(
                Code::SourceKeyMissing,
                &node.location,
                format!("another account can make {name} use this role (confused deputy)"),
                "require your account by StringEquals on aws:SourceAccount, or your resource by ArnLike on aws:SourceArn",
            );
        }
    }
}

/// The tests on the source of a service's request.
fn sources<'s, 'a>(statement: &'s ParsedStatement<'a>) -> impl Iterator<Item = &'s Condition<'a>> {
    const KEYS: [&str; 4] = [
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceorgid",
        "aws:sourceorgpaths",
    ];
    let tests = statement.conditions.iter();
    tests.filter(|test| KEYS.contains(&test.key.as_str()))
}

/// Whether the service can assume the role for named sources only.
fn is_restricted(service: &str, allow: &ParsedStatement, all: &[ParsedStatement]) -> bool {
    let names_source = |statement: &ParsedStatement| {
        sources(statement)
            .any(|test| test.operator.is_negated() != statement.allow && reach::names_source(test))
    };
    let applies = |deny: &&ParsedStatement| {
        let named = deny.services.iter().any(|(name, _)| *name == service);
        deny.actions.contains("sts:AssumeRole") && (named || deny.is_to_everybody())
    };
    let mut denies = all.iter().filter(|other| !other.allow);
    names_source(allow) || denies.any(|deny| names_source(deny) && applies(&deny))
}

/// Reports wildcards under operators that compare the value literally.
fn literal_wildcards(statement: &ParsedStatement, report: &mut Report) {
    for condition in &statement.conditions {
        let base = condition.operator.base;
        let never = WITHOUT_WILDCARD.iter().any(|key| {
            condition.key == *key || (key.starts_with(':') && condition.key.ends_with(key))
        });
        // An Allow with an equality and a Deny with a negated one restrict alike.
        let restricts = base.starts_with("String")
            && !condition.operator.takes_wildcards()
            && condition.operator.is_negated() != statement.allow;
        if !never || !restricts {
            continue;
        }
        for value in condition
            .values
            .iter()
            .filter(|value| has_wildcard(&value.meaning))
        {
            report.add(
                Code::LiteralWildcard,
                &value.node.location,
                format!(
                    "{base} compares {} literally, and {} never contains a wildcard, so no request matches",
                    quote(value.text),
                    short(condition.name),
                ),
                format!("use {}, or give the value in full", base.replace("EqualsIgnoreCase", "Like").replace("Equals", "Like")),
            );
        }
    }
}
