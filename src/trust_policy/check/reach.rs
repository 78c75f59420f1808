//! Whom a test lets through, as far as its values tell.

use super::condition::{ANY, Condition, Value};
use crate::trust_policy::services;

/// Whether only accounts or organizations pass that are named whole, and nobody without one.
pub(super) fn keeps_strangers_out(test: &Condition) -> bool {
    let named = |value: &Value| {
        let value = value.meaning.as_str();
        let owner = match test.key.as_str() {
            "aws:principalaccount" | "aws:principalorgid" => Some(value),
            "aws:principalorgpaths" => value.split('/').next(),
            // No other part of these ARNs has a colon, so that no wildcard reaches across one.
            "aws:principalarn" => value.split(':').nth(4),
            _ => None,
        };
        owner.is_some_and(|owner| !owner.is_empty() && !owner.contains(ANY))
    };
    test.demands(&test.key) && test.values.iter().all(named)
}

/// Keys that tell some of an account from others.
const OF_SOME: [&str; 4] = [
    "aws:principalarn",
    "aws:principaltag/",
    "aws:userid",
    "aws:username",
];

/// Whether somebody is named of an account who fails the test, and all others pass.
pub(super) fn spares_some(test: &Condition) -> bool {
    test.operator.is_negated() && OF_SOME.iter().any(|key| test.is_on(key))
}

/// Whether only some of an account pass.
pub(super) fn narrows_account(test: &Condition) -> bool {
    let some = |value: &Value| match test.key.as_str() {
        "aws:principalarn" => {
            let resource = value.meaning.splitn(6, ':').last().unwrap_or_default();
            let name = resource.strip_prefix("role/").unwrap_or(resource);
            is_more_than_wildcards(name.strip_prefix("user/").unwrap_or(name))
        }
        _ => is_more_than_wildcards(&value.meaning),
    };
    OF_SOME.iter().any(|key| test.demands(key)) && test.values.iter().all(some)
}

/// Whether only requests pass that have this key, with a value of which something is known.
pub(super) fn tells(test: &Condition, key: &str) -> bool {
    let known = |value: &Value| {
        // Of the accounts of Kubernetes, all have this.
        let name = value.meaning.strip_prefix("system:serviceaccount:");
        !value.is_pattern() || is_more_than_wildcards(name.unwrap_or(&value.meaning))
    };
    test.demands(key) && test.values.iter().all(known)
}

/// Whether a test of where a service comes from names an account or an organization.
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

/// Whether this service, which is no person, fails the test.
pub(super) fn fails_as_service(service: &str, test: &Condition) -> bool {
    if test.key != "aws:principalisawsservice" {
        return !test.when_absent() && is_of_others(service, test);
    }
    // A service has this key, and it is true.
    let says = |wanted| test.values.iter().any(|value| value.is(wanted));
    match test.operator.base {
        "Null" => !says("false"),
        _ => says("true") == test.operator.is_negated(),
    }
}

/// Whether this service always passes the test, for want of the key.
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
    // IAM Roles Anywhere tells by these what stands in the certificate.
    let has_tags = services::split(service).is_some_and(|(name, _)| name == "rolesanywhere");
    OF_OTHERS.iter().any(|key| test.is_on(key)) && !(has_tags && test.is_on("aws:principaltag/"))
}

/// Whether no session of a role passes: only users, or an account's root.
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
    test.demands(&test.key) && test.values.iter().all(other)
}

fn is_more_than_wildcards(text: &str) -> bool {
    text.contains(|c| c != ANY && !"*?:/".contains(c))
}
