//! Diagnostics on policy variables and placeholders.

use super::{ACCOUNT, GITHUB, ROLE, allow, codes, expect, web_identity};

fn test(operator: &str, key: &str, value: &str) -> String {
    format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#)
}

#[test]
fn a_policy_variable_names_nobody() {
    const EVERYBODY: &str = r#"{"AWS":"*"}"#;
    for operator in ["StringEquals", "StringLike", "StringEqualsIgnoreCase"] {
        for (key, value) in [
            ("aws:PrincipalAccount", "${aws:PrincipalAccount}"),
            ("aws:PrincipalAccount", "${aws:PrincipalAccount"),
            (
                "aws:PrincipalAccount",
                "${aws:PrincipalTag/a, '111122223333'}",
            ),
            ("aws:PrincipalOrgID", "${aws:PrincipalOrgID}"),
            ("aws:PrincipalOrgID", "o-${aws:PrincipalTag/org}"),
            ("aws:PrincipalOrgPaths", "${aws:PrincipalOrgID}/*"),
            ("aws:PrincipalArn", "${aws:PrincipalArn}"),
            (
                "aws:PrincipalArn",
                "arn:aws:iam::${aws:PrincipalAccount}:role/x",
            ),
        ] {
            let text = allow(EVERYBODY, &test(operator, key, value));
            assert!(
                codes(&text, false).contains(&"wildcard-principal"),
                "{text}"
            );
        }
        // AWS replaces these by values of the role's account.
        for (key, value) in [
            ("aws:PrincipalAccount", "${aws:ResourceAccount}"),
            ("aws:PrincipalOrgID", "${aws:ResourceOrgID}"),
            (
                "aws:PrincipalArn",
                "arn:aws:iam::${aws:ResourceAccount}:role/x",
            ),
            (
                "aws:PrincipalArn",
                "arn:aws:iam::111122223333:role/${aws:PrincipalTag/x}",
            ),
        ] {
            let text = allow(EVERYBODY, &test(operator, key, value));
            expect(&text, &["wildcard-narrowed"]);
        }
    }
    let root = format!(r#"{{"AWS":"{ACCOUNT}:root"}}"#);
    for (key, value) in [
        ("aws:username", "${aws:username}"),
        ("aws:PrincipalTag/team", "${aws:PrincipalTag/team}"),
        ("aws:PrincipalArn", "${aws:PrincipalArn}"),
    ] {
        expect(
            &allow(&root, &test("StringEquals", key, value)),
            &["whole-account"],
        );
    }
    let ecs = r#"{"Service":"ecs-tasks.amazonaws.com"}"#;
    let own = test(
        "StringEquals",
        "aws:SourceAccount",
        "${aws:ResourceAccount}",
    );
    expect(&allow(ecs, &own), &[]);
    let none = test("StringEquals", "aws:SourceAccount", "${aws:SourceAccount}");
    expect(&allow(ecs, &none), &["source-key-missing"]);
}

#[test]
fn a_policy_variable_restricts_no_web_identity() {
    let oidc = |issuer: &str| format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/{issuer}"}}"#);
    let github = "token.actions.githubusercontent.com";
    for (principal, key, value) in [
        (oidc("gitlab.com"), "gitlab.com:sub", "${gitlab.com:sub}"),
        (
            r#"{"Federated":"cognito-identity.amazonaws.com"}"#.to_owned(),
            "cognito-identity.amazonaws.com:aud",
            "${cognito-identity.amazonaws.com:aud}",
        ),
        (
            GITHUB.to_owned(),
            "token.actions.githubusercontent.com:sub",
            &format!("repo:${{{github}:repository_owner}}/x:ref:refs/heads/main"),
        ),
        (
            GITHUB.to_owned(),
            "token.actions.githubusercontent.com:sub",
            &format!("${{{github}:sub}}"),
        ),
    ] {
        for operator in ["StringEquals", "StringLike"] {
            let text = web_identity(&principal, &test(operator, key, value));
            assert!(codes(&text, false).contains(&"oidc-subject-open"), "{text}");
        }
    }
}

#[test]
fn external_ids_are_checked_outside_of_wildcards_and_variables() {
    let root = r#"{"AWS":"464622532012"}"#;
    let of = |operator: &str, value: &str| allow(root, &test(operator, "sts:ExternalId", value));
    for (operator, value) in [
        ("StringLike", "a*"),
        ("StringLike", "?-acme"),
        ("StringEquals", "acme-${aws:PrincipalTag/tenant}"),
        ("StringEquals", "${aws:ResourceAccount}"),
    ] {
        expect(&of(operator, value), &[]);
    }
    for (operator, value) in [
        ("StringLike", "*"),
        ("StringLike", "*?"),
        ("StringEquals", "${sts:ExternalId}"),
        ("StringLike", "${sts:ExternalId}*"),
    ] {
        expect(&of(operator, value), &["whole-account", "no-external-id"]);
    }
    for (operator, value) in [
        ("StringEquals", "a*"),
        ("StringLike", "a b*"),
        ("StringEquals", "a b${aws:PrincipalTag/tenant}"),
        ("StringLike", "a"),
        ("StringEquals", ""),
    ] {
        expect(&of(operator, value), &["bad-external-id"]);
    }
}

#[test]
fn a_placeholder_is_an_error() {
    let github = "token.actions.githubusercontent.com:sub";
    for value in [
        "repo:<ORG>/<REPO>:ref:refs/heads/main",
        "repo:o/<your-repo>:*",
    ] {
        let text = web_identity(GITHUB, &test("StringLike", github, value));
        assert!(codes(&text, false).contains(&"placeholder"), "{text}");
    }
    expect(
        &allow(
            ROLE,
            &test("StringEquals", "aws:PrincipalOrgID", "<ORG_ID>"),
        ),
        &["placeholder"],
    );
    for value in ["a<b", "a>b", "<>", "< >", "1 < 2 > 1", "<-", "x->y"] {
        expect(
            &allow(ROLE, &test("StringEquals", "aws:PrincipalTag/x", value)),
            &[],
        );
    }
    // Reported once, by the rule on external IDs.
    expect(
        &allow(ROLE, &test("StringEquals", "sts:ExternalId", "<ID>")),
        &["bad-external-id"],
    );
}
