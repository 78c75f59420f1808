//! Whom a test lets through, as far as its values tell.

use super::condition::{Condition, has_wildcard};

/// Whether only accounts or organizations pass that are named whole, and nobody without one.
pub(super) fn keeps_strangers_out(test: &Condition) -> bool {
    let named = |value: &str| {
        let owner = match test.key.as_str() {
            "aws:principalaccount" | "aws:principalorgid" => Some(value),
            "aws:principalorgpaths" => value.split('/').next(),
            // No other part of these ARNs has a colon, so that no wildcard reaches across one.
            "aws:principalarn" => value.split(':').nth(4),
            _ => None,
        };
        owner.is_some_and(|owner| !owner.is_empty() && !test.is_pattern(owner))
    };
    test.demands(&test.key) && test.values.iter().all(|(value, _)| named(value))
}

/// Whether only some of an account pass.
pub(super) fn narrows_account(test: &Condition) -> bool {
    const KEYS: [&str; 4] = [
        "aws:principalarn",
        "aws:principaltag/",
        "aws:userid",
        "aws:username",
    ];
    let some = |value: &str| match test.key.as_str() {
        "aws:principalarn" => {
            let resource = value.splitn(6, ':').last().unwrap_or_default();
            let name = resource.strip_prefix("role/").unwrap_or(resource);
            is_more_than_wildcards(name.strip_prefix("user/").unwrap_or(name))
        }
        _ => is_more_than_wildcards(value),
    };
    KEYS.iter().any(|key| test.demands(key)) && test.values.iter().all(|(value, _)| some(value))
}

/// Whether a test of where a service comes from names an account or an organization.
pub(super) fn names_source(test: &Condition) -> bool {
    let named = |value: &str| match test.key.as_str() {
        "aws:sourcearn" => value.split(':').nth(4).is_some_and(is_more_than_wildcards),
        _ => is_more_than_wildcards(value.trim_start_matches("o-")),
    };
    test.operator.base != "Null" && test.values.iter().all(|(value, _)| named(value))
}

/// Whether a service, which is no person, fails this test.
pub(super) fn fails_as_service(test: &Condition) -> bool {
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
    if test.key != "aws:principalisawsservice" {
        return !test.when_absent() && OF_OTHERS.iter().any(|key| test.is_on(key));
    }
    // A service has this key, and it is true.
    let says = |wanted: &str| {
        test.values
            .iter()
            .any(|(value, _)| value.eq_ignore_ascii_case(wanted))
    };
    match test.operator.base {
        "Null" => !says("false"),
        _ => says("true") == test.operator.is_negated(),
    }
}

/// Whether no session of a role passes: only users, or an account's root.
pub(super) fn keeps_roles_out(test: &Condition) -> bool {
    let other = |value: &str| match test.key.as_str() {
        "aws:principaltype" => !has_wildcard(value) && !value.eq_ignore_ascii_case("AssumedRole"),
        "aws:principalarn" => value
            .splitn(6, ':')
            .nth(5)
            .is_some_and(|resource| resource.starts_with("user/")),
        "aws:username" => true,
        _ => false,
    };
    test.demands(&test.key) && test.values.iter().all(|(value, _)| other(value))
}

fn is_more_than_wildcards(text: &str) -> bool {
    text.contains(|c| !"*?:/".contains(c))
}
