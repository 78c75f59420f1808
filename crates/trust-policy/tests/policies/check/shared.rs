//! Diagnostics on shared providers and on an owner's own.

use trust_policy::{CheckOptions, check};

use super::{ACCOUNT, GITHUB, codes, expect, web_identity};

fn oidc(issuer: &str) -> String {
    format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/{issuer}"}}"#)
}

fn test(operator: &str, key: &str, value: &str) -> String {
    format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#)
}

#[test]
fn a_pattern_must_contain_the_complete_owner() {
    for (issuer, claim, open, closed) in [
        (
            "gitlab.com",
            "sub",
            "project_path:my*",
            Some("project_path:mygroup/*"),
        ),
        (
            "app.terraform.io",
            "sub",
            "organization:acme*",
            Some("organization:acme:*"),
        ),
        (
            "agent.buildkite.com",
            "sub",
            "organization:a*",
            Some("organization:acme:pipeline:*"),
        ),
        (
            "oidc.codefresh.io",
            "sub",
            "account:1?",
            Some("account:12:*"),
        ),
        (
            "proidc.upbound.io",
            "sub",
            "mcp:acme*",
            Some("mcp:acme/prod:*"),
        ),
        ("accounts.google.com", "sub", "1*", None),
        ("accounts.google.com", "aud", "1234*", None),
        (
            "cognito-identity.amazonaws.com",
            "aud",
            "us-east-1:1*",
            None,
        ),
        ("graph.facebook.com", "app_id", "1234?", None),
        ("www.amazon.com", "user_id", "amzn1.account.A*", None),
        ("api.pulumi.com/oidc", "aud", "urn:pulumi:org:acme*", None),
        ("oidc.vercel.com", "aud", "https://vercel.com/acme*", None),
        (
            "oidc-configuration.audit-log.githubusercontent.com",
            "sub",
            "https://github.com/acme*",
            None,
        ),
    ] {
        let key = format!("{issuer}:{claim}");
        let of = |value: &str| web_identity(&oidc(issuer), &test("StringLike", &key, value));
        expect(&of(open), &["oidc-subject-open"]);
        if let Some(closed) = closed {
            expect(&of(closed), &[]);
        }
        let exact = open.trim_end_matches(['*', '?']);
        expect(
            &web_identity(&oidc(issuer), &test("StringEquals", &key, exact)),
            &[],
        );
    }
}

#[test]
fn an_own_provider_without_a_required_subject_is_a_warning() {
    const EKS: &str = "oidc.eks.eu-west-1.amazonaws.com/id/0A";
    for issuer in [EKS, "example.org", "idp.example.org/realms/ci"] {
        let aud = test(
            "StringEquals",
            &format!("{issuer}:aud"),
            "sts.amazonaws.com",
        );
        for condition in [
            String::new(),
            aud,
            test("StringLike", &format!("{issuer}:sub"), "*"),
            test("StringEqualsIfExists", &format!("{issuer}:sub"), "x"),
            test(
                "StringEquals",
                &format!("{issuer}:sub"),
                &format!("${{{issuer}:sub}}"),
            ),
            test(
                "StringLike",
                &format!("{issuer}:sub"),
                "system:serviceaccount:*:*",
            ),
        ] {
            expect(
                &web_identity(&oidc(issuer), &condition),
                &["oidc-subject-missing"],
            );
        }
        for value in [
            "system:serviceaccount:ns:app",
            "system:serviceaccount:ns:*",
            "system:serviceaccount:*:app",
        ] {
            let condition = test("StringLike", &format!("{issuer}:sub"), value);
            expect(&web_identity(&oidc(issuer), &condition), &[]);
        }
    }
    let message = &check(
        web_identity(&oidc(EKS), "").as_bytes(),
        CheckOptions::default(),
    )[0]
    .message;
    assert!(message.contains("every pod"), "{message}");
}

#[test]
fn public_providers_are_shared() {
    for issuer in [
        "appleid.apple.com",
        "login.microsoftonline.com/common",
        "login.microsoftonline.com/common/v2.0",
        "login.microsoftonline.com/organizations/v2.0",
        "login.microsoftonline.com/consumers/v2.0",
    ] {
        expect(&web_identity(&oidc(issuer), ""), &["oidc-subject-open"]);
        for claim in ["aud", "sub"] {
            let key = format!("{issuer}:{claim}");
            expect(
                &web_identity(&oidc(issuer), &test("StringEquals", &key, "0123")),
                &[],
            );
        }
    }
    let tenant = "login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0";
    expect(&web_identity(&oidc(tenant), ""), &["oidc-subject-missing"]);
}

#[test]
fn every_provider_for_which_iam_requires_a_claim_is_shared() {
    for (issuer, claim, value) in [
        (
            "vstoken.actions.githubusercontent.com",
            "sub",
            "repo:o/r:ref:refs/heads/main",
        ),
        ("sandboxes.cloud", "aud", "org-1"),
        (
            "oidc.op1.openshiftapps.com/2f785sojlpb85i7402pk3qogugim5nfb",
            "sub",
            "system:serviceaccount:ns:app",
        ),
    ] {
        let of = |condition: &str| web_identity(&oidc(issuer), condition);
        expect(&of(""), &["oidc-subject-open"]);
        let key = format!("{issuer}:{claim}");
        expect(&of(&test("StringEquals", &key, value)), &[]);
        let open = test("StringLike", &key, "system:serviceaccount:*");
        expect(&of(&open), &["oidc-subject-open"]);
        let other = format!("{issuer}:other");
        expect(
            &of(&test("StringEquals", &other, value)),
            &["oidc-subject-open"],
        );
    }
    // One namespace.
    let turbonomic = "oidc.op1.openshiftapps.com/2f785sojlpb85i7402pk3qogugim5nfb";
    let key = format!("{turbonomic}:sub");
    let namespace = test("StringLike", &key, "system:serviceaccount:ns:*");
    expect(&web_identity(&oidc(turbonomic), &namespace), &[]);
}

#[test]
fn sentinel_identifies_its_customers_by_the_session_name() {
    let sentinel = "sts.windows.net/33e01921-4d64-4f8c-a055-5bdaffd5e33d/";
    let of = |condition: &str| web_identity(&oidc(sentinel), condition);
    let aud = format!(r#""{sentinel}:aud":"api://1462b192-27f7-4cb9-8523-0f4ecb54b47e""#);
    let named = r#""sts:RoleSessionName":"MicrosoftSentinel_1111-2222""#;
    expect(
        &of(&format!(r#"{{"StringEquals":{{{aud},{named}}}}}"#)),
        &[],
    );
    expect(&of(&format!(r#"{{"StringEquals":{{{named}}}}}"#)), &[]);
    for open in [
        String::new(),
        format!(r#"{{"StringEquals":{{{aud}}}}}"#),
        test("StringEquals", &format!("{sentinel}:sub"), "x"),
        test("StringLike", "sts:RoleSessionName", "MicrosoftSentinel_*"),
        test(
            "StringEqualsIfExists",
            "sts:RoleSessionName",
            "MicrosoftSentinel_1",
        ),
    ] {
        let text = of(&open);
        expect(&text, &["oidc-subject-open"]);
        let found = &check(text.as_bytes(), CheckOptions::default())[0];
        assert!(found.message.contains("sts:RoleSessionName"), "{found:?}");
        assert!(
            found.help.contains("your own sts:RoleSessionName"),
            "{found:?}"
        );
    }
    let literal = test("StringEquals", "sts:RoleSessionName", "MicrosoftSentinel_*");
    expect(&of(&literal), &["literal-wildcard"]);
    let tenant = "sts.windows.net/11111111-2222-3333-4444-555555555555/";
    expect(&web_identity(&oidc(tenant), ""), &["oidc-subject-missing"]);
}

#[test]
fn a_provider_that_ends_in_a_slash_is_tested_by_either_key() {
    for issuer in ["gitlab.com/", "token.actions.githubusercontent.com/"] {
        let subject = "repo:acme/shop:ref:refs/heads/main";
        for key in [issuer, issuer.trim_end_matches('/')] {
            let of = |operator: &str, subject: &str| {
                let condition = test(operator, &format!("{key}:sub"), subject);
                web_identity(&oidc(issuer), &condition)
            };
            expect(&of("StringEquals", subject), &[]);
            expect(&of("StringLike", "repo:*"), &["oidc-subject-open"]);
        }
        expect(&web_identity(&oidc(issuer), ""), &["oidc-subject-open"]);
    }
}

#[test]
fn cognito_has_other_names_in_other_partitions() {
    for issuer in [
        "cognito-identity.amazonaws.com",
        "cognito-identity-us-gov.amazonaws.com",
        "cognito-identity.us-gov-east-1.amazonaws.com",
        "cognito-identity.cn-north-1.amazonaws.com.cn",
    ] {
        let principal = format!(r#"{{"Federated":"{issuer}"}}"#);
        let key = format!("{issuer}:aud");
        expect(&web_identity(&principal, ""), &["oidc-subject-open"]);
        expect(
            &web_identity(&principal, &test("StringEquals", &key, "r-1:0-1")),
            &[],
        );
        expect(
            &web_identity(&principal, &test("StringLike", &key, "r-1:*")),
            &["oidc-subject-open"],
        );
    }
}

#[test]
fn the_subject_or_the_workflow_alone_restricts_github() {
    let of = |operator: &str, claim: &str, value: &str| {
        let key = format!("token.actions.githubusercontent.com:{claim}");
        web_identity(GITHUB, &test(operator, &key, value))
    };
    for (claim, value) in [
        ("repository", "o/r"),
        ("repository_id", "123"),
        ("repository_owner", "o"),
        ("repository_owner_id", "123"),
    ] {
        expect(&of("StringEquals", claim, value), &["oidc-subject-open"]);
    }
    expect(
        &of(
            "StringEquals",
            "job_workflow_ref",
            "o/r/.github/workflows/ci.yml@refs/heads/main",
        ),
        &[],
    );
    for subject in [
        "environment:prod:repo:o/r",
        "ref:refs/heads/main:repository_owner:o",
    ] {
        expect(&of("StringEquals", "sub", subject), &[]);
        expect(
            &of("StringLike", "sub", &format!("{subject}:*")),
            &["oidc-subject-open"],
        );
    }
    for subject in [
        "environment:repo:o/r",
        "environment:prod:repo:",
        "workflow:repo:o/r",
    ] {
        expect(&of("StringEquals", "sub", subject), &["oidc-subject-open"]);
    }
}

#[test]
fn the_message_names_what_a_github_wildcard_matches() {
    for (subject, says) in [
        ("repo:o/r:ref:refs/tags/v*", "more than one tag"),
        ("repo:o/r:ref:refs/heads/release/*", "more than one branch"),
        ("repo:o/r:environment:prod-*", "more than one environment"),
        ("repo:o/r:*", "pull requests"),
        ("repo:o/*", "more than one repository"),
    ] {
        let key = "token.actions.githubusercontent.com:sub";
        let text = web_identity(GITHUB, &test("StringLike", key, subject));
        assert_eq!(codes(&text, false), ["github-subject-wildcard"]);
        let message = &check(text.as_bytes(), CheckOptions::default())[0].message;
        assert!(message.contains(says), "{message}");
        assert!(
            !message.contains("branch") || says.contains("branch") || subject.ends_with(":*"),
            "{message}"
        );
    }
}
