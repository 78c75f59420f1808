//! Which requests satisfy a test, as far as its values show.

use super::condition::{ANY, Condition, Value};
use crate::services;

/// Whether only requests of fully named accounts or organizations satisfy the test.
pub(super) fn keeps_strangers_out(test: &Condition) -> bool {
    let named = |value: &Value| {
        let value = value.meaning.as_str();
        let owner = match test.key.as_str() {
            "aws:principalaccount" | "aws:principalorgid" => Some(value),
            "aws:principalorgpaths" => value.split('/').next(),
            // No other part of these ARNs contains a colon, so no wildcard matches across one.
            "aws:principalarn" => value.split(':').nth(4),
            _ => None,
        };
        owner.is_some_and(|owner| !owner.is_empty() && !owner.contains(ANY))
    };
    test.requires(&test.key) && test.values.iter().all(named)
}

/// Keys that identify principals within an account.
const OF_SOME: [&str; 4] = [
    "aws:principalarn",
    "aws:principaltag/",
    "aws:userid",
    "aws:username",
];

/// Whether the test excludes named principals of an account and all others satisfy it.
pub(super) fn excludes_named(test: &Condition) -> bool {
    test.operator.is_negated() && OF_SOME.iter().any(|key| test.is_on(key))
}

/// Whether only some principals of an account satisfy the test.
pub(super) fn narrows_account(test: &Condition) -> bool {
    let some = |value: &Value| match test.key.as_str() {
        "aws:principalarn" => {
            let resource = value.meaning.splitn(6, ':').last().unwrap_or_default();
            let name = resource.strip_prefix("role/").unwrap_or(resource);
            is_more_than_wildcards(name.strip_prefix("user/").unwrap_or(name))
        }
        _ => is_more_than_wildcards(&value.meaning),
    };
    OF_SOME.iter().any(|key| test.requires(key)) && test.values.iter().all(some)
}

/// Whether only requests satisfy the test that have this key, with a value that is at least partly given.
pub(super) fn requires_known(test: &Condition, key: &str) -> bool {
    let known = |value: &Value| {
        // Every service account of Kubernetes has this prefix.
        let name = value.meaning.strip_prefix("system:serviceaccount:");
        !value.is_pattern() || is_more_than_wildcards(name.unwrap_or(&value.meaning))
    };
    test.requires(key) && test.values.iter().all(known)
}

/// Whether a test on the source of a service's request names an account or an organization.
pub(super) fn names_source(test: &Condition) -> bool {
    let named = |value: &Value| match test.key.as_str() {
        "aws:sourcearn" => {
            let account = value.meaning.split(':').nth(4);
            account.is_some_and(is_more_than_wildcards)
        }
        _ => is_more_than_wildcards(value.meaning.trim_start_matches("o-")),
    };
    test.operator.base != "Null" && test.values.iter().all(named)
}

/// Whether requests of this service never satisfy the test.
pub(super) fn fails_as_service(service: &str, test: &Condition) -> bool {
    if test.key != "aws:principalisawsservice" {
        return !test.when_absent() && is_of_others(service, test);
    }
    // Requests of a service have this key, with the value true.
    let has = |wanted| test.values.iter().any(|value| value.is(wanted));
    match test.operator.base {
        "Null" => !has("false"),
        _ => has("true") == test.operator.is_negated(),
    }
}

/// Whether requests of this service always satisfy the test, because they do not have the key.
pub(super) fn passes_as_service(service: &str, test: &Condition) -> bool {
    test.when_absent() && is_of_others(service, test)
}

/// Whether requests of this service never have the key.
fn is_of_others(service: &str, test: &Condition) -> bool {
    const OF_OTHERS: [&str; 9] = [
        "aws:federatedprovider",
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:principaltag/",
        "aws:principaltype",
        "aws:userid",
        "aws:username",
    ];
    // IAM Roles Anywhere sends the fields of the certificate as these tags.
    let has_tags = services::split(service).is_some_and(|(name, _)| name == "rolesanywhere");
    OF_OTHERS.iter().any(|key| test.is_on(key)) && !(has_tags && test.is_on("aws:principaltag/"))
}

/// Whether sessions of roles never satisfy the test: only users and the account root do.
pub(super) fn keeps_roles_out(test: &Condition) -> bool {
    let other = |value: &Value| match test.key.as_str() {
        "aws:principaltype" => !value.is_pattern() && !value.is("AssumedRole"),
        "aws:principalarn" => value
            .meaning
            .splitn(6, ':')
            .nth(5)
            .is_some_and(|resource| resource.starts_with("user/")),
        "aws:username" => true,
        _ => false,
    };
    test.requires(&test.key) && test.values.iter().all(other)
}

fn is_more_than_wildcards(text: &str) -> bool {
    text.contains(|c| c != ANY && !"*?:/".contains(c))
}
