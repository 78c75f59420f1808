//! Diagnostics on documents by which nobody, or not every named principal, can assume the role.

use trust_policy::{CheckOptions, check};

use super::when::{MFA_DEMANDED, MFA_DENIED};
use super::{ACCOUNT, EC2, LAMBDA, ROLE, allow, codes, document, expect, statement, web_identity};

const ASSUME: &str = "\"sts:AssumeRole\"";

#[test]
fn a_deny_of_every_allowed_principal_is_an_error() {
    let of = |allowed: &str, denied: &str, condition: &str| {
        let allow = statement("Allow", ASSUME, allowed, "");
        let deny = statement("Deny", ASSUME, denied, condition);
        document(&format!("[{allow},{deny}]"))
    };
    for principal in [EC2, ROLE] {
        expect(&of(principal, principal, ""), &["lets-nobody-in"]);
        expect(
            &of(principal, principal, r#"{"StringEquals":{}}"#),
            &["lets-nobody-in", "empty-operator"],
        );
        expect(
            &of(
                principal,
                principal,
                r#"{"Bool":{"aws:SecureTransport":"false"}}"#,
            ),
            &[],
        );
    }
    let two = r#"{"Service":["ec2.amazonaws.com","lambda.amazonaws.com"]}"#;
    expect(&of(two, EC2, ""), &[]);
    expect(&of(two, two, ""), &["lets-nobody-in"]);
    expect(&of(LAMBDA, EC2, ""), &[]);
    // An account has two spellings.
    expect(
        &of(
            r#"{"AWS":"123456789012"}"#,
            &format!(r#"{{"AWS":"{ACCOUNT}:root"}}"#),
            "",
        ),
        &["lets-nobody-in", "whole-account"],
    );
    // Another statement allows another principal.
    let other = statement("Allow", ASSUME, LAMBDA, "");
    let text = of(EC2, EC2, "").replacen('[', &format!("[{other},"), 1);
    expect(&text, &[]);
}

#[test]
fn a_service_never_satisfies_a_test_on_keys_of_aws_principals() {
    for condition in [
        r#"{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3"}}"#,
        r#"{"StringEquals":{"aws:PrincipalAccount":"123456789012"}}"#,
        r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/*"}}"#,
        r#"{"StringLike":{"aws:PrincipalTag/team":"*"}}"#,
        r#"{"Null":{"aws:PrincipalOrgID":"false"}}"#,
        r#"{"Bool":{"aws:PrincipalIsAWSService":"false"}}"#,
    ] {
        expect(&allow(EC2, condition), &["lets-nobody-in"]);
        expect(&allow(ROLE, condition), &[]);
    }
    for condition in [
        r#"{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-a1b2c3"}}"#,
        r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-a1b2c3"}}"#,
        r#"{"Null":{"aws:PrincipalOrgID":"true"}}"#,
        r#"{"Bool":{"aws:PrincipalIsAWSService":"true"}}"#,
    ] {
        expect(&allow(EC2, condition), &[]);
    }
}

const ANYWHERE: &str = r#"{"Service":"rolesanywhere.amazonaws.com"}"#;

/// The statement that IAM Roles Anywhere needs: the service calls all three actions.
fn anywhere(principal: &str, condition: &str) -> String {
    let actions = r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#;
    statement("Allow", actions, principal, condition)
}

#[test]
fn roles_anywhere_sends_the_certificate_as_tags() {
    // As in the guide of IAM Roles Anywhere.
    let documented = r#"{"StringEquals":{"aws:PrincipalTag/x509Issuer/CN":"Bob"},"ArnEquals":{"aws:SourceArn":["arn:aws:rolesanywhere:us-east-1:123456789012:trust-anchor/TA_ID"]}}"#;
    expect(&document(&anywhere(ANYWHERE, documented)), &[]);
    let tag = r#"{"StringEquals":{"aws:PrincipalTag/x509Issuer/CN":"Bob"}}"#;
    let org = r#"{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3"}}"#;
    expect(&document(&anywhere(ANYWHERE, org)), &["lets-nobody-in"]);
    // Every service is checked.
    for services in [
        r#"{"Service":["ec2.amazonaws.com","rolesanywhere.amazonaws.com"]}"#,
        r#"{"Service":["rolesanywhere.amazonaws.com","ec2.amazonaws.com"]}"#,
    ] {
        let text = document(&anywhere(services, tag));
        expect(&text, &["lets-nobody-in"]);
        let findings = check(text.as_bytes(), CheckOptions::default());
        let mut messages = findings.iter().map(|found| &found.message);
        assert!(
            messages.any(|message| message.starts_with("ec2.amazonaws.com cannot")),
            "{findings:?}"
        );
    }
    // A service has no MFA device, whatever the certificate contains.
    let beside = |tag: &str| {
        let condition = format!(
            r#"{{"BoolIfExists":{{"aws:MultiFactorAuthPresent":"false"}},"StringEquals":{{"{tag}":"x"}}}}"#
        );
        let deny = statement("Deny", ASSUME, r#"{"AWS":"*"}"#, &condition);
        document(&format!("[{},{deny}]", anywhere(ANYWHERE, "")))
    };
    expect(
        &beside("aws:PrincipalTag/x509Subject/CN"),
        &["mfa-demanded"],
    );
    expect(&beside("aws:username"), &[]);
}

#[test]
fn a_deny_that_always_applies_to_a_service_is_an_error() {
    const EVERYBODY: &str = r#"{"AWS":"*"}"#;
    let of = |allowed: &str, denied: &str, condition: &str| {
        let allow = statement("Allow", ASSUME, allowed, "");
        let deny = statement("Deny", ASSUME, denied, condition);
        document(&format!("[{allow},{deny}]"))
    };
    let org = r#""StringNotEquals":{"aws:PrincipalOrgID":"o-abcdefghij"}"#;
    for condition in [
        format!("{{{org}}}"),
        format!(r#"{{{org},"ArnNotLike":{{"aws:PrincipalArn":"{ACCOUNT}:role/x"}}}}"#),
        r#"{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"o-abcdefghij"}}"#.to_owned(),
        r#"{"Null":{"aws:PrincipalOrgID":"true"}}"#.to_owned(),
    ] {
        expect(&of(EC2, EVERYBODY, &condition), &["lets-nobody-in"]);
        expect(&of(EC2, EC2, &condition), &["lets-nobody-in"]);
        // Roles can belong to the organization.
        expect(&of(ROLE, EVERYBODY, &condition), &[]);
        expect(&of(LAMBDA, EC2, &condition), &[]);
    }
    for condition in [
        format!(r#"{{{org},"Bool":{{"aws:PrincipalIsAWSService":"false"}}}}"#),
        format!(r#"{{{org},"BoolIfExists":{{"aws:PrincipalIsAWSService":"false"}}}}"#),
        format!(r#"{{{org},"Bool":{{"aws:SecureTransport":"false"}}}}"#),
        format!(r#"{{{org},"StringNotEqualsIfExists":{{"aws:SourceOrgID":"o-abcdefghij"}}}}"#),
        r#"{"StringEquals":{"aws:PrincipalOrgID":"o-abcdefghij"}}"#.to_owned(),
    ] {
        expect(&of(EC2, EVERYBODY, &condition), &[]);
    }
    // A test that cannot be parsed may exclude the service.
    let misspelt = format!(r#"{{{org},"Boool":{{"aws:PrincipalIsAWSService":"false"}}}}"#);
    expect(&of(EC2, EVERYBODY, &misspelt), &["unknown-operator"]);
    // Another statement allows a principal that can assume the role.
    let both = of(EC2, EVERYBODY, &format!("{{{org}}}"));
    let role = statement("Allow", ASSUME, ROLE, "");
    expect(&both.replacen('[', &format!("[{role},"), 1), &[]);
    // IAM Roles Anywhere sends tags.
    let tag = r#"{"StringNotEquals":{"aws:PrincipalTag/x509Subject/OU":"x"}}"#;
    expect(&of(EC2, EVERYBODY, tag), &["lets-nobody-in"]);
    let deny = statement("Deny", ASSUME, EVERYBODY, tag);
    let text = document(&format!("[{},{deny}]", anywhere(ANYWHERE, "")));
    expect(&text, &[]);
}

#[test]
fn tokens_never_have_a_claim_of_another_provider() {
    let eks = "oidc.eks.eu-west-1.amazonaws.com/id";
    let principal = format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/{eks}/0A"}}"#);
    let sub = |id: &str| {
        format!(r#"{{"StringEquals":{{"{eks}/{id}:sub":"system:serviceaccount:ns:app"}}}}"#)
    };
    expect(&web_identity(&principal, &sub("0A")), &[]);
    expect(&web_identity(&principal, &sub("0B")), &["lets-nobody-in"]);
    let text = web_identity(&principal, &sub("0B"));
    let found = check(text.as_bytes(), CheckOptions::default()).remove(0);
    assert!(found.message.contains("/id/0B:sub"), "{found:?}");
    assert_eq!(
        found.path,
        format!("$.Statement.Condition.StringEquals['{eks}/0B:sub']")
    );
    // One of two providers has the claim.
    let two = format!(
        r#"{{"Federated":["{ACCOUNT}:oidc-provider/{eks}/0A","{ACCOUNT}:oidc-provider/{eks}/0B"]}}"#
    );
    expect(&web_identity(&two, &sub("0B")), &[]);
    let both = format!(r#"{{"StringEquals":{{"{eks}/0A:sub":"a","{eks}/0B:sub":"b"}}}}"#);
    expect(&web_identity(&two, &both), &["lets-nobody-in"]);
    // IAM ignores the case of a key and a slash at the end of a provider.
    let auth0 = format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/Acme.auth0.com/"}}"#);
    expect(
        &web_identity(&auth0, r#"{"StringEquals":{"acme.auth0.com:sub":"x"}}"#),
        &[],
    );
    let slash = r#"{"StringEquals":{"acme.auth0.com/:sub":"x"}}"#;
    expect(&web_identity(&auth0, slash), &[]);
    // The name of a tag can look like that of a provider.
    let tag = r#"{"StringEquals":{"example.org:sub":"x","aws:RequestTag/acme.com:team":"x"}}"#;
    let example = format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/example.org"}}"#);
    expect(&web_identity(&example, tag), &[]);
    // A test that is true without the key excludes nobody.
    let if_exists = sub("0B").replace("StringEquals", "StringEqualsIfExists");
    expect(
        &web_identity(&principal, &if_exists),
        &["oidc-subject-missing"],
    );
}

#[test]
fn mfa_of_federated_identities_is_an_error() {
    let saml = format!(r#"{{"Federated":"{ACCOUNT}:saml-provider/adfs"}}"#);
    let oidc = format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/example.org"}}"#);
    let sub = r#"{"StringEquals":{"example.org:sub":"x"}"#;
    for (principal, action, other) in [
        (&saml, "\"sts:AssumeRoleWithSAML\"", "{"),
        (&oidc, "\"sts:AssumeRoleWithWebIdentity\"", sub),
    ] {
        for condition in MFA_DEMANDED {
            let more = condition.strip_prefix('{').unwrap();
            let separator = if other == "{" { "" } else { "," };
            if more.starts_with("\"StringEquals") && other != "{" {
                continue;
            }
            let text = document(&statement(
                "Allow",
                action,
                principal,
                &format!("{other}{separator}{more}"),
            ));
            expect(&text, &["mfa-demanded"]);
        }
        let allow = statement(
            "Allow",
            action,
            principal,
            if other == "{" {
                ""
            } else {
                r#"{"StringEquals":{"example.org:sub":"x"}}"#
            },
        );
        for condition in MFA_DENIED {
            for denied in [
                action,
                "[\"sts:AssumeRole\",\"sts:AssumeRoleWithSAML\",\"sts:AssumeRoleWithWebIdentity\"]",
            ] {
                let deny = statement("Deny", denied, r#"{"AWS":"*"}"#, condition);
                expect(&document(&format!("[{allow},{deny}]")), &["mfa-demanded"]);
            }
            let deny = statement("Deny", ASSUME, r#"{"AWS":"*"}"#, condition);
            expect(&document(&format!("[{allow},{deny}]")), &[]);
        }
        let spared = r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"},"StringLike":{"aws:username":"*"}}"#;
        let deny = statement("Deny", action, r#"{"AWS":"*"}"#, spared);
        expect(&document(&format!("[{allow},{deny}]")), &[]);
    }
}

#[test]
fn mfa_of_roles_alone_is_a_warning() {
    let session = r#"{"AWS":"arn:aws:sts::123456789012:assumed-role/r/s"}"#;
    let age = r#"{"NumericLessThan":{"aws:MultiFactorAuthAge":"3600"}}"#;
    for principal in [ROLE, session] {
        for condition in [MFA_DEMANDED[0], age] {
            expect(&allow(principal, condition), &["mfa-of-role"]);
            assert_eq!(codes(&allow(principal, condition), true), ["mfa-demanded"]);
        }
        // A role's session has the key with the value false.
        for condition in [
            r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}"#,
            r#"{"ForAllValues:Bool":{"aws:MultiFactorAuthPresent":"true"}}"#,
            r#"{"StringNotEquals":{"aws:MultiFactorAuthPresent":"false"}}"#,
            r#"{"Null":{"aws:MultiFactorAuthPresent":"true"}}"#,
        ] {
            expect(&allow(principal, condition), &["mfa-of-role"]);
            assert_eq!(codes(&allow(principal, condition), true), ["mfa-demanded"]);
        }
        for condition in [
            r#"{"Bool":{"aws:MultiFactorAuthPresent":"false"}}"#,
            r#"{"Null":{"aws:MultiFactorAuthPresent":"false"}}"#,
        ] {
            expect(&allow(principal, condition), &[]);
            assert_eq!(codes(&allow(principal, condition), true), [""; 0]);
        }
    }
    for people in [
        format!(r#"{{"AWS":"{ACCOUNT}:user/bob"}}"#),
        format!(r#"{{"AWS":["{ACCOUNT}:user/bob","{ACCOUNT}:role/x"]}}"#),
    ] {
        expect(&allow(&people, MFA_DEMANDED[0]), &[]);
    }
    // A Deny that names a role applies to no other principal; one for everybody does.
    let root = statement(
        "Allow",
        ASSUME,
        &format!(r#"{{"AWS":"{ACCOUNT}:root"}}"#),
        "",
    );
    let role = statement("Allow", ASSUME, ROLE, "");
    let deny = |who: &str| statement("Deny", ASSUME, who, MFA_DENIED[0]);
    expect(
        &document(&format!("[{root},{}]", deny(ROLE))),
        &["whole-account"],
    );
    expect(
        &document(&format!("[{root},{}]", deny(r#"{"AWS":"*"}"#))),
        &["whole-account"],
    );
    expect(
        &document(&format!("[{role},{}]", deny(r#"{"AWS":"*"}"#))),
        &["mfa-of-role"],
    );
    // A role's session has the key, so Bool is enough.
    let bool = r#"{"Bool":{"aws:MultiFactorAuthPresent":"false"}}"#;
    let deny = statement("Deny", ASSUME, r#"{"AWS":"*"}"#, bool);
    let text = document(&format!("[{role},{deny}]"));
    expect(&text, &["mfa-of-role"]);
    assert_eq!(codes(&text, true), ["mfa-demanded"]);
    let message = |text: &str| {
        check(text.as_bytes(), CheckOptions::default())
            .remove(0)
            .message
    };
    let absent = message(&allow(
        LAMBDA,
        r#"{"Bool":{"aws:MultiFactorAuthPresent":"false"}}"#,
    ));
    assert!(
        absent.contains("do not have aws:MultiFactorAuthPresent"),
        "{absent}"
    );
}

#[test]
fn principals_of_two_partitions_are_an_error() {
    let of = |one: &str, other: &str| {
        allow(
            &format!(
                r#"{{"AWS":["arn:{one}:iam::123456789012:role/x","arn:{other}:iam::123456789012:role/y"]}}"#
            ),
            "",
        )
    };
    expect(&of("aws", "aws"), &[]);
    expect(&of("aws-cn", "aws-cn"), &[]);
    expect(&of("aws", "aws-cn"), &["bad-partition"]);
    expect(&of("aws-us-gov", "aws"), &["bad-partition"]);
    let web = statement(
        "Allow",
        "\"sts:AssumeRoleWithWebIdentity\"",
        r#"{"Federated":"arn:aws-cn:iam::123456789012:oidc-provider/example.org"}"#,
        r#"{"StringEquals":{"example.org:sub":"x"}}"#,
    );
    let role = statement("Allow", ASSUME, ROLE, "");
    let text = document(&format!("[{role},{web}]"));
    expect(&text, &["bad-partition"]);
    let path = check(text.as_bytes(), CheckOptions::default())
        .remove(0)
        .path;
    assert_eq!(path, "$.Statement[1].Principal.Federated");
}
