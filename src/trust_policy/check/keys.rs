//! Condition keys of AWS's own: which values they take, and who sends them.

use super::condition::{Condition, has_wildcard};
use super::statement::Statement;
use super::{Code, Report, quote, reach};
use crate::trust_policy::principal;
use crate::trust_policy::words::is_external_id;

/// Services that are known to send `aws:SourceAccount` and `aws:SourceArn`.
const SENDS_SOURCE: [&str; 3] = ["autoscaling", "ecs-tasks", "spotfleet"];
/// Services of which AWS does not say so.
const SENDS_NO_SOURCE: [&str; 2] = ["ec2", "lambda"];

/// Keys whose values never have a `*` or `?`. Those that begin with a colon are claims, of any provider.
const WITHOUT_WILDCARD: [&str; 14] = [
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
];

/// Looks at the keys that a statement tests.
pub(super) fn look(statement: &Statement, report: &mut Report) {
    external_ids(statement, report);
    source_keys(statement, report);
    literal_wildcards(statement, report);
}

fn external_ids(statement: &Statement, report: &mut Report) {
    for condition in &statement.conditions {
        if condition.key != "sts:externalid" || condition.operator.base == "Null" {
            continue;
        }
        for (value, node) in &condition.values {
            if !is_external_id(value) {
                report.add(
                    Code::BadExternalId,
                    &node.place,
                    format!("{} cannot be an external id", quote(value)),
                    "an external id has 2 to 1224 characters, each a letter, a digit or one of _+=,.@:/-; no wildcard",
                );
            }
        }
    }
}

fn source_keys(statement: &Statement, report: &mut Report) {
    let is_source = |key: &str| {
        [
            "aws:sourceaccount",
            "aws:sourcearn",
            "aws:sourceorgid",
            "aws:sourceorgpaths",
        ]
        .contains(&key)
    };
    let sources: Vec<&Condition> = statement
        .conditions
        .iter()
        .filter(|condition| is_source(&condition.key))
        .collect();
    let is_guarded = sources.iter().any(|test| reach::names_source(test));
    for (text, node) in &statement.services {
        let name = text.split('.').next().unwrap_or_default();
        if principal::service(text).is_err() {
            continue;
        }
        // A service that does not send the key: Allow never comes true, or Deny always does.
        let shut = sources
            .iter()
            .find(|condition| condition.when_absent() != statement.allow);
        match shut {
            Some(condition) if SENDS_NO_SOURCE.contains(&name) => report.add(
                Code::SourceKeyNotSent,
                &condition.place,
                format!("{name} is not known to send this key when it assumes a role, and could then not assume this one"),
                "take the test away for this service, or add IfExists to its operator",
            ),
            _ => {}
        }
        if statement.allow && !is_guarded && SENDS_SOURCE.contains(&name) {
            report.add(
                Code::SourceKeyMissing,
                &node.place,
                format!("{name} could be made to use this role for another account (the confused deputy)"),
                "demand your account by StringEquals on aws:SourceAccount, or the resource by ArnLike on aws:SourceArn",
            );
        }
    }
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
        for (value, node) in condition
            .values
            .iter()
            .filter(|(value, _)| has_wildcard(value))
        {
            report.add(
                Code::LiteralWildcard,
                &node.place,
                format!(
                    "{} has a wildcard, and {base} takes it literally: no {} has one, so that nobody gets in by it",
                    quote(value),
                    principal::short(condition.name),
                ),
                format!("take {} instead, or name the value whole", base.replace("EqualsIgnoreCase", "Like").replace("Equals", "Like")),
            );
        }
    }
}
