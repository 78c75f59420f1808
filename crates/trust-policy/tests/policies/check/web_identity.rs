//! Diagnostics on web identities: who can get tokens, and which of them the role accepts.

use trust_policy::{CheckOptions, check};

use super::{ACCOUNT, GITHUB, allow, codes, expect, web_identity};

const PREFIX: &str = "token.actions.githubusercontent.com";

/// A condition on one claim of GitHub.
fn claim(operator: &str, claim: &str, value: &str) -> String {
    format!(r#"{{"{operator}":{{"{PREFIX}:{claim}":"{value}"}}}}"#)
}

/// The message of the first diagnostic.
fn message(text: &str) -> String {
    check(text.as_bytes(), CheckOptions::default())
        .remove(0)
        .message
}

#[test]
fn shared_providers_need_a_subject() {
    const KEY: &str = "token.actions.githubusercontent.com:sub";
    let aud = r#"{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"}}"#;
    expect(&web_identity(GITHUB, ""), &["oidc-subject-open"]);
    expect(&web_identity(GITHUB, aud), &["oidc-subject-open"]);
    for subject in [
        "*",
        "repo:*",
        "repo:*/*",
        "repo:*/shop:*",
        "repo:o*/r:*",
        "?epo:o/r",
        "**",
    ] {
        let condition = format!(r#"{{"StringLike":{{"{KEY}":"{subject}"}}}}"#);
        expect(&web_identity(GITHUB, &condition), &["oidc-subject-open"]);
    }
    for condition in [
        format!(r#"{{"StringEqualsIfExists":{{"{KEY}":"repo:o/r:ref:refs/heads/main"}}}}"#),
        format!(r#"{{"StringNotEquals":{{"{KEY}":"repo:o/r:ref:refs/heads/main"}}}}"#),
        format!(r#"{{"ForAllValues:StringEquals":{{"{KEY}":"repo:o/r:ref:refs/heads/main"}}}}"#),
        format!(r#"{{"Null":{{"{KEY}":"false"}}}}"#),
        format!(r#"{{"StringLike":{{"{KEY}":["repo:o/r:*","*"]}}}}"#),
        r#"{"StringEquals":{"sub":"repo:o/r:ref:refs/heads/main"}}"#.to_owned(),
    ] {
        expect(&web_identity(GITHUB, &condition), &["oidc-subject-open"]);
    }
    for subject in ["repo:o/*", "repo:o/r:*", "repo:o/r:ref:refs/heads/*"] {
        let condition = format!(r#"{{"StringLike":{{"{KEY}":"{subject}"}}}}"#);
        expect(
            &web_identity(GITHUB, &condition),
            &["github-subject-wildcard"],
        );
    }
    for provider in [
        "gitlab.com",
        "app.terraform.io",
        "agent.buildkite.com",
        "oidc.codefresh.io",
        "scalr.io",
    ] {
        let principal = format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/{provider}"}}"#);
        expect(&web_identity(&principal, ""), &["oidc-subject-open"]);
        let open = format!(r#"{{"StringLike":{{"{provider}:sub":"organization:*"}}}}"#);
        expect(&web_identity(&principal, &open), &["oidc-subject-open"]);
        let closed = format!(r#"{{"StringLike":{{"{provider}:sub":"organization:acme:*"}}}}"#);
        expect(&web_identity(&principal, &closed), &[]);
    }
}

#[test]
fn a_wildcard_that_is_compared_literally_matches_nobody() {
    for operator in [
        "StringEquals",
        "StringEqualsIgnoreCase",
        "ForAnyValue:StringEquals",
        "ForAllValues:StringEqualsIfExists",
    ] {
        for subject in ["repo:o/r:*", "repo:o/r:ref:refs/heads/release-?"] {
            let text = web_identity(GITHUB, &claim(operator, "sub", subject));
            assert!(codes(&text, false).contains(&"literal-wildcard"), "{text}");
        }
    }
    let text = web_identity(GITHUB, &claim("StringEquals", "sub", "repo:o/r:*"));
    expect(&text, &["literal-wildcard"]);
    assert!(message(&text).contains("StringEquals compares"), "{text}");
    expect(
        &web_identity(
            GITHUB,
            &format!(
                r#"{{"StringEquals":{{"{PREFIX}:sub":["repo:o/r:ref:refs/heads/main","repo:o/r:*"]}}}}"#
            ),
        ),
        &["literal-wildcard"],
    );
    let eks = format!(
        r#"{{"Federated":"{ACCOUNT}:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/0A"}}"#
    );
    let subject = |operator: &str| {
        format!(
            r#"{{"{operator}":{{"oidc.eks.eu-west-1.amazonaws.com/id/0A:sub":"system:serviceaccount:ns:*"}}}}"#
        )
    };
    expect(
        &web_identity(&eks, &subject("StringEquals")),
        &["literal-wildcard"],
    );
    expect(&web_identity(&eks, &subject("StringLike")), &[]);
    // Other keys whose values never contain a wildcard. A Deny of all other values restricts alike.
    let root = format!(r#"{{"AWS":"{ACCOUNT}:root"}}"#);
    for (condition, key) in [
        (
            format!(r#"{{"StringEquals":{{"aws:PrincipalArn":"{ACCOUNT}:role/ci-*"}}}}"#),
            "aws:PrincipalArn",
        ),
        (
            r#"{"StringEquals":{"aws:userid":"AROAEXAMPLE:*"}}"#.to_owned(),
            "aws:userid",
        ),
    ] {
        let text = allow(&root, &condition);
        expect(&text, &["literal-wildcard"]);
        assert!(message(&text).contains(key), "{}", message(&text));
        expect(&text.replace("StringEquals", "StringLike"), &[]);
    }
    let deny = allow(&root, "").replace(
        "}]}",
        r#"},{"Effect":"Deny","Action":"sts:AssumeRole","Principal":{"AWS":"*"},"Condition":{"StringNotEquals":{"aws:PrincipalOrgPaths":"o-a/r-b/*"}}}]}"#,
    );
    expect(&deny, &["literal-wildcard", "whole-account"]);
    expect(
        &deny.replace("StringNotEquals", "StringNotLike"),
        &["whole-account"],
    );
    // Such a Deny denies nobody: weak, but somebody can assume the role.
    expect(
        &deny.replace("StringNotEquals", "StringEquals"),
        &["whole-account"],
    );
}

#[test]
fn a_github_subject_must_begin_with_the_owner() {
    for subject in [
        "main",
        "",
        "repo",
        "repo:",
        "repo:o",
        "repo:/r:ref:refs/heads/main",
        "ref:refs/heads/main",
        "environment:production",
        "workflow:repo:o/r",
        "job_workflow_ref:x",
        "repository_owner:",
        "o/r:ref:refs/heads/main",
    ] {
        for operator in ["StringEquals", "StringLike"] {
            let text = web_identity(GITHUB, &claim(operator, "sub", subject));
            expect(&text, &["oidc-subject-open"]);
        }
    }
    for subject in [
        "repository_owner:o*",
        "repository_owner_id:12*",
        "repo:o*",
        "environment:*",
    ] {
        expect(
            &web_identity(GITHUB, &claim("StringLike", "sub", subject)),
            &["oidc-subject-open"],
        );
    }
    for subject in [
        "repo:o/r:ref:refs/heads/main",
        "repo:o@1/r@2:ref:refs/heads/main",
        "repo:o/r:environment:production",
        "repo:o/r:pull_request",
        "repository:o/r",
        "repository_id:123",
        "repository_owner:o",
        "repository_owner_id:123:environment:production",
        "job_workflow_ref:o/r/.github/workflows/ci.yml@refs/heads/main",
    ] {
        expect(
            &web_identity(GITHUB, &claim("StringEquals", "sub", subject)),
            &[],
        );
        let text = web_identity(GITHUB, &claim("StringLike", "sub", &format!("{subject}:*")));
        expect(&text, &["github-subject-wildcard"]);
    }
    expect(
        &web_identity(GITHUB, &claim("StringLike", "sub", "repo:o@*")),
        &["github-subject-wildcard"],
    );
    let text = web_identity(
        GITHUB,
        &claim("StringEquals", "sub", "environment:production"),
    );
    assert!(
        message(&text).contains("does not begin with the owner"),
        "{}",
        message(&text)
    );
}

#[test]
fn other_github_claims_do_not_identify_the_owner() {
    for (name, value) in [
        ("actor", "bob"),
        ("environment", "production"),
        ("ref", "refs/heads/main"),
        ("aud", "o/r"),
    ] {
        expect(
            &web_identity(GITHUB, &claim("StringEquals", name, value)),
            &["oidc-subject-open"],
        );
    }
    for open in ["*", "?*", "1*"] {
        expect(
            &web_identity(GITHUB, &claim("StringLike", "job_workflow_ref", open)),
            &["oidc-subject-open"],
        );
    }
}

#[test]
fn one_exact_test_of_two_makes_the_pair_exact() {
    let pair = |other: &str| {
        web_identity(
            GITHUB,
            &format!(
                r#"{{"StringLike":{{"{PREFIX}:sub":"repo:o/r:*"}},"StringEquals":{{{other}}}}}"#
            ),
        )
    };
    expect(
        &pair(&format!(r#""{PREFIX}:sub":"repo:o/r:ref:refs/heads/main""#)),
        &[],
    );
    expect(&pair(&format!(r#""{PREFIX}:ref":"refs/heads/main""#)), &[]);
    expect(
        &pair(&format!(r#""{PREFIX}:environment":"production""#)),
        &[],
    );
    expect(
        &pair(&format!(r#""{PREFIX}:aud":"sts.amazonaws.com""#)),
        &["github-subject-wildcard"],
    );
    expect(
        &pair(&format!(
            r#""{PREFIX}:sub":["repo:o/r:ref:refs/heads/main","repo:o/r:pull_request"]"#
        )),
        &[],
    );
    // One branch of every repository is still more than one repository.
    let every =
        pair(&format!(r#""{PREFIX}:ref":"refs/heads/main""#)).replace("repo:o/r:*", "repo:o/*");
    expect(&every, &["github-subject-wildcard"]);
}

#[test]
fn built_in_providers_need_an_application_or_a_user() {
    for (provider, claims) in [
        ("accounts.google.com", ["aud", "sub"]),
        ("graph.facebook.com", ["app_id", "id"]),
        ("www.amazon.com", ["app_id", "user_id"]),
        ("cognito-identity.amazonaws.com", ["aud", "aud"]),
    ] {
        for principal in [
            provider.to_owned(),
            format!("{ACCOUNT}:oidc-provider/{provider}"),
        ] {
            let principal = format!(r#"{{"Federated":"{principal}"}}"#);
            expect(&web_identity(&principal, ""), &["oidc-subject-open"]);
            for claim in claims {
                let test = |operator: &str, value: &str| {
                    web_identity(
                        &principal,
                        &format!(r#"{{"{operator}":{{"{provider}:{claim}":"{value}"}}}}"#),
                    )
                };
                expect(&test("StringEquals", "1234"), &[]);
                expect(
                    &test("StringEqualsIfExists", "1234"),
                    &["oidc-subject-open"],
                );
                expect(&test("StringLike", "*"), &["oidc-subject-open"]);
                expect(
                    &test("StringLike", "*.apps.googleusercontent.com"),
                    &["oidc-subject-open"],
                );
            }
            // The client that requests a token chooses this value.
            let other = format!(r#"{{"StringEquals":{{"{provider}:oaud":"1234"}}}}"#);
            expect(&web_identity(&principal, &other), &["oidc-subject-open"]);
        }
    }
    let text = web_identity(r#"{"Federated":"graph.facebook.com"}"#, "");
    let help = &check(text.as_bytes(), CheckOptions::default())[0].help;
    assert!(help.contains("graph.facebook.com:app_id"), "{help}");
}
