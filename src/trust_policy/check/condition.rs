//! Conditions: operators and keys, and what they mean for who is trusted.
//!
//! Whether somebody without a key can pass is decided by how IAM treats an absent key: a test is
//! false, unless it is negated, ends in `IfExists`, begins with `ForAllValues`, or asks by `Null`.

use super::source::{Node, Place};
use super::statement::Statement;
use super::{Code, Report, nearest, quote};
use crate::trust_policy::principal::{self, Federated};
use crate::trust_policy::words::is_external_id;

const OPERATORS: [&str; 27] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "Null",
];

/// Providers that everybody can get tokens from, and the claim that tells one customer from another.
/// IAM asks for it when a role is made or changed.
const SHARED_PROVIDERS: [(&str, &str); 13] = [
    ("agent.buildkite.com", "sub"),
    ("api.pulumi.com/oidc", "aud"),
    ("app.terraform.io", "sub"),
    ("cognito-identity.amazonaws.com", "aud"),
    ("gitlab.com", "sub"),
    ("oidc-configuration.audit-log.githubusercontent.com", "sub"),
    ("oidc.codefresh.io", "sub"),
    ("oidc.vercel.com", "aud"),
    ("proidc.upbound.io", "sub"),
    ("scalr.io", "sub"),
    ("studio.datachain.ai/api", "sub"),
    (GITHUB, "sub"),
    ("tokens.cloud.shisho.dev", "sub"),
];

const GITHUB: &str = "token.actions.githubusercontent.com";

/// Services that are known to send `aws:SourceAccount` and `aws:SourceArn`.
const SENDS_SOURCE: [&str; 3] = ["autoscaling", "ecs-tasks", "spotfleet"];
/// Services of which AWS does not say so.
const SENDS_NO_SOURCE: [&str; 2] = ["ec2", "lambda"];

/// One key under one operator.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    operator: Operator,
    /// In small letters: IAM does not mind.
    key: String,
    place: Place<'a>,
    values: Vec<(&'a str, Node<'a>)>,
}

#[derive(Debug, Clone, Copy)]
struct Operator {
    base: &'static str,
    if_exists: bool,
    for_all: bool,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        let (for_all, rest) = match text.split_once(':') {
            Some(("ForAllValues", rest)) => (true, rest),
            Some(("ForAnyValue", rest)) => (false, rest),
            Some(_) => return None,
            None => (false, text),
        };
        let (if_exists, name) = match rest.strip_suffix("IfExists") {
            Some(name) => (true, name),
            None => (false, rest),
        };
        let base = OPERATORS.into_iter().find(|operator| *operator == name)?;
        // Null asks whether the key exists, so it takes no other question about that.
        let plain = !if_exists && name.len() == text.len();
        (base != "Null" || plain).then_some(Self {
            base,
            if_exists,
            for_all,
        })
    }

    fn is_negated(self) -> bool {
        self.base.contains("Not")
    }
}

impl Condition<'_> {
    /// What the test comes to for somebody whose request does not have the key.
    fn when_absent(&self) -> bool {
        match self.operator.base {
            "Null" => self
                .values
                .iter()
                .any(|(value, _)| value.eq_ignore_ascii_case("true")),
            _ => self.operator.if_exists || self.operator.for_all || self.operator.is_negated(),
        }
    }

    /// Whether only requests pass that have the key, with a value that is named here. A key that
    /// ends in a slash stands for all that begin so.
    pub(super) fn demands(&self, key: &str) -> bool {
        let same = match key.ends_with('/') {
            true => self.key.starts_with(key),
            false => self.key == key,
        };
        same && self.operator.base != "Null" && !self.when_absent()
    }
}

/// Reads the element `Condition`.
pub(super) fn read<'a>(node: &Node<'a>, report: &mut Report) -> Vec<Condition<'a>> {
    let Some(operators) = node.entries() else {
        report.bad_value(
            node,
            "Condition is an object, from operator to keys to values",
        );
        return Vec::new();
    };
    let mut conditions = Vec::new();
    for entry in operators {
        let operator = Operator::parse(entry.key);
        if operator.is_none() {
            let message = format!("{} is not a condition operator", quote(entry.key));
            let cure = match near_operator(entry.key) {
                Some(near) => format!("did you mean {near}?"),
                None => "operators are such as StringEquals, ArnLike or Bool, perhaps with IfExists behind them".to_owned(),
            };
            report.add(Code::UnknownOperator, &entry.place, message, cure);
        }
        let Some(keys) = entry.value.entries() else {
            report.bad_value(
                &entry.value,
                "an operator has an object, from condition keys to values",
            );
            continue;
        };
        for key in keys {
            let mut values = Vec::new();
            for node in key.value.one_or_many() {
                match node.scalar() {
                    Some(text) => values.push((text, node)),
                    None => report
                        .bad_value(&node, "a condition key has a string or an array of strings"),
                }
            }
            if let Some(operator) = operator {
                conditions.push(Condition {
                    operator,
                    key: key.key.to_ascii_lowercase(),
                    place: key.place,
                    values,
                });
            }
        }
    }
    conditions
}

fn near_operator(text: &str) -> Option<String> {
    let (set, rest) = match text.split_once(':') {
        Some((set, rest)) => (
            nearest(set, ["ForAllValues", "ForAnyValue"].into_iter()),
            rest,
        ),
        None => (None, text),
    };
    let lower = rest.to_ascii_lowercase();
    let (name, suffix) = match lower.strip_suffix("ifexists") {
        Some(name) => (name, "IfExists"),
        None => (lower.as_str(), ""),
    };
    let base = nearest(name, OPERATORS.into_iter())?;
    Some(match (base, set) {
        ("Null", _) => "Null".to_owned(),
        (_, Some(set)) => format!("{set}:{base}{suffix}"),
        (_, None) => format!("{base}{suffix}"),
    })
}

/// Looks at what the conditions of a statement mean.
pub(super) fn look(statement: &Statement, all: &[Statement], report: &mut Report) {
    external_ids(statement, report);
    source_keys(statement, report);
    subjects(statement, report);
    mfa(statement, all, report);
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
        if statement.allow && sources.is_empty() && SENDS_SOURCE.contains(&name) {
            report.add(
                Code::SourceKeyMissing,
                &node.place,
                format!("{name} could be made to use this role for another account (the confused deputy)"),
                "demand your account by StringEquals on aws:SourceAccount, or the resource by ArnLike on aws:SourceArn",
            );
        }
    }
}

fn subjects(statement: &Statement, report: &mut Report) {
    if !statement.allow {
        return;
    }
    for (text, node) in &statement.federated {
        let Ok(Federated::Oidc { issuer, .. }) = principal::federated(text) else {
            continue;
        };
        let shared = SHARED_PROVIDERS
            .iter()
            .find(|(provider, _)| provider.eq_ignore_ascii_case(issuer));
        let Some(&(provider, claim)) = shared else {
            continue;
        };
        let key = format!("{}:{claim}", provider.to_ascii_lowercase());
        let tests: Vec<&Condition> = statement
            .conditions
            .iter()
            .filter(|condition| condition.demands(&key))
            .collect();
        let closed = tests.iter().any(|test| {
            !test.values.is_empty() && test.values.iter().all(|(value, _)| names_somebody(value))
        });
        if !closed {
            let (place, what) = match tests.first() {
                Some(test) => (&test.place, "lets everybody in by a wildcard"),
                None => (&node.place, "is not tested"),
            };
            report.add(
                Code::OidcSubjectOpen,
                place,
                format!("everybody can get tokens of {provider}, and {provider}:{claim} {what}"),
                match provider {
                    GITHUB => format!(
                        "demand it by StringEquals, such as \"{GITHUB}:sub\": \"repo:ORG/REPO:ref:refs/heads/BRANCH\""
                    ),
                    _ => format!("demand your own {provider}:{claim} by StringEquals"),
                },
            );
        } else if provider == GITHUB {
            let values = tests.iter().flat_map(|test| &test.values);
            for (value, node) in values.filter(|(value, _)| value.contains(['*', '?'])) {
                report.add(
                    Code::GitHubSubjectWildcard,
                    &node.place,
                    format!("{} lets in more than one branch: perhaps pull requests, or every repository", quote(value)),
                    "name the branch or environment: repo:ORG/REPO:ref:refs/heads/BRANCH",
                );
            }
        }
    }
}

/// Whether the text before the first wildcard names a customer: `repo:ORG/` at GitHub, anything
/// behind the first colon elsewhere.
fn names_somebody(value: &str) -> bool {
    let Some(end) = value.find(['*', '?']) else {
        return !value.trim().is_empty();
    };
    let literal = &value[..end];
    match literal.split_once(':') {
        Some(("repo", rest)) => rest.split_once('/').is_some_and(|(org, _)| !org.is_empty()),
        Some((_, rest)) => !rest.is_empty(),
        None => !literal.is_empty() && !value.contains(':'),
    }
}

fn mfa(statement: &Statement, all: &[Statement], report: &mut Report) {
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
