//! Diagnostics on conditions.

use trust_policy::{CheckOptions, check};

use super::{ACCOUNT, EC2, LAMBDA, ROLE, allow, codes, document, expect, statement};

const USER: &str = r#"{"AWS":"arn:aws:iam::123456789012:user/bob"}"#;

/// Every form of a condition that requires MFA.
pub(super) const MFA_DEMANDED: [&str; 9] = [
    r#"{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#,
    r#"{"Bool":{"aws:MultiFactorAuthPresent":true}}"#,
    r#"{"Bool":{"AWS:multifactorauthpresent":["true"]}}"#,
    r#"{"ForAnyValue:Bool":{"aws:MultiFactorAuthPresent":"true"}}"#,
    r#"{"StringEquals":{"aws:MultiFactorAuthPresent":"true"}}"#,
    r#"{"NumericLessThan":{"aws:MultiFactorAuthAge":"3600"}}"#,
    r#"{"NumericLessThanEquals":{"aws:MultiFactorAuthAge":3600}}"#,
    r#"{"Null":{"aws:MultiFactorAuthAge":"false"}}"#,
    r#"{"Null":{"aws:MultiFactorAuthPresent":false}}"#,
];

/// Every form of a condition by which a Deny requires MFA.
pub(super) const MFA_DENIED: [&str; 5] = [
    r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}"#,
    r#"{"Null":{"aws:MultiFactorAuthAge":"true"}}"#,
    r#"{"NumericGreaterThanIfExists":{"aws:MultiFactorAuthAge":"3600"}}"#,
    r#"{"StringNotEquals":{"aws:MultiFactorAuthPresent":"true"}}"#,
    r#"{"ForAllValues:Bool":{"aws:MultiFactorAuthPresent":"false"}}"#,
];

#[test]
fn mfa_of_a_service_is_an_error_in_every_form() {
    for condition in MFA_DEMANDED {
        expect(&allow(EC2, condition), &["mfa-demanded"]);
        expect(&allow(LAMBDA, condition), &["mfa-demanded"]);
        expect(&allow(USER, condition), &[]);
        assert_eq!(
            codes(&allow(USER, condition), true),
            ["mfa-demanded"],
            "{condition}"
        );
    }
    for condition in MFA_DENIED {
        for everybody in [r#"{"AWS":"*"}"#, EC2] {
            let deny = statement("Deny", "\"sts:AssumeRole\"", everybody, condition);
            let of = |principal| {
                let allow = statement("Allow", "\"sts:AssumeRole\"", principal, "");
                document(&format!("[{allow},{deny}]"))
            };
            expect(&of(EC2), &["mfa-demanded"]);
            if everybody != EC2 {
                expect(&of(USER), &[]);
                assert_eq!(codes(&of(ROLE), true), ["mfa-demanded"], "{condition}");
            }
        }
    }
}

/// A statement that allows this principal, and one that denies everybody without MFA, with another test.
fn denied_beside(principal: &str, test: &str) -> String {
    let allow = statement("Allow", "\"sts:AssumeRole\"", principal, "");
    let condition =
        format!(r#"{{"BoolIfExists":{{"aws:MultiFactorAuthPresent":"false"}},{test}}}"#);
    let deny = statement("Deny", "\"sts:AssumeRole\"", r#"{"AWS":"*"}"#, &condition);
    document(&format!("[{allow},{deny}]"))
}

#[test]
fn a_deny_that_excludes_services_requires_no_mfa_of_them() {
    for spared in [
        r#""Bool":{"aws:PrincipalIsAWSService":"false"}"#,
        r#""ForAnyValue:Bool":{"aws:PrincipalIsAWSService":[false]}"#,
        r#""StringEquals":{"aws:PrincipalIsAWSService":"false"}"#,
        r#""StringNotEquals":{"aws:PrincipalIsAWSService":"true"}"#,
        r#""StringEquals":{"aws:PrincipalType":"User"}"#,
        r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:user/*"}"#,
        r#""StringLike":{"aws:username":"*"}"#,
        r#""Null":{"aws:MultiFactorAuthPresent":"false"}"#,
        r#""Null":{"aws:PrincipalTag/team":"false"}"#,
    ] {
        expect(&denied_beside(EC2, spared), &[]);
    }
    for hit in [
        r#""Bool":{"aws:PrincipalIsAWSService":"true"}"#,
        r#""StringEqualsIfExists":{"aws:PrincipalType":"User"}"#,
        r#""StringNotEquals":{"aws:PrincipalType":"User"}"#,
        r#""Bool":{"aws:SecureTransport":"true"}"#,
        r#""Null":{"aws:PrincipalTag/team":"true"}"#,
    ] {
        expect(&denied_beside(EC2, hit), &["mfa-demanded"]);
    }
    // In an Allow, no other test changes the result.
    let both =
        r#"{"Bool":{"aws:MultiFactorAuthPresent":"true","aws:PrincipalIsAWSService":"false"}}"#;
    expect(&allow(EC2, both), &["lets-nobody-in", "mfa-demanded"]);
}

#[test]
fn a_deny_of_users_requires_no_mfa_of_roles() {
    let user = format!(r#"{{"AWS":"{ACCOUNT}:user/ci"}}"#);
    let session = r#"{"AWS":"arn:aws:sts::123456789012:assumed-role/r/s"}"#;
    for spared in [
        r#""StringEquals":{"aws:PrincipalType":"User"}"#,
        r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"}"#,
        r#""StringLike":{"aws:username":"*"}"#,
    ] {
        assert_eq!(
            codes(&denied_beside(ROLE, spared), true),
            [""; 0],
            "{spared}"
        );
        assert_eq!(
            codes(&denied_beside(session, spared), true),
            [""; 0],
            "{spared}"
        );
        assert_eq!(
            codes(&denied_beside(&user, spared), true),
            ["mfa-demanded"],
            "{spared}"
        );
    }
    for hit in [
        r#""StringEquals":{"aws:PrincipalType":["User","AssumedRole"]}"#,
        r#""StringLike":{"aws:PrincipalType":"*"}"#,
        r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:*"}"#,
        r#""Bool":{"aws:PrincipalIsAWSService":"false"}"#,
    ] {
        assert_eq!(
            codes(&denied_beside(ROLE, hit), true),
            ["mfa-demanded"],
            "{hit}"
        );
    }
}

#[test]
fn a_deny_with_exceptions_requires_no_mfa_of_programs() {
    let root = format!(r#"{{"AWS":"{ACCOUNT}:root"}}"#);
    let of = |principal: &str, test: &str| codes(&denied_beside(principal, test), true);
    for spared in [
        r#""ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/jenkins"}"#,
        r#""StringNotEqualsIfExists":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/jenkins"}"#,
        r#""StringNotEquals":{"aws:PrincipalTag/robot":"true"}"#,
    ] {
        assert_eq!(of(&root, spared), ["whole-account"], "{spared}");
        assert_eq!(of(ROLE, spared), [""; 0], "{spared}");
        expect(&denied_beside(ROLE, spared), &[]);
        // This principal is not a service.
        assert_eq!(of(EC2, spared), ["mfa-demanded"], "{spared}");
    }
    for hit in [
        r#""Bool":{"aws:PrincipalIsAWSService":"false"}"#,
        r#""StringNotEquals":{"aws:SourceVpc":"vpc-1"}"#,
    ] {
        assert_eq!(of(&root, hit), ["mfa-demanded", "whole-account"], "{hit}");
    }
}

#[test]
fn a_deny_of_other_actions_requires_no_mfa() {
    const ASSUME: &str = "\"sts:AssumeRole\"";
    let of = |allowed: &str, denied: &str| {
        let allow = statement("Allow", allowed, EC2, "");
        let deny = statement("Deny", denied, r#"{"AWS":"*"}"#, MFA_DENIED[0]);
        document(&format!("[{allow},{deny}]"))
    };
    expect(&of(ASSUME, "\"sts:AssumeRoleWithSAML\""), &[]);
    expect(&of(ASSUME, "\"sts:TagSession\""), &[]);
    expect(
        &of(ASSUME, r#"["sts:TagSession","STS:assumeRole"]"#),
        &["mfa-demanded"],
    );
    expect(
        &of(
            r#"["sts:AssumeRole","sts:TagSession"]"#,
            "\"sts:TagSession\"",
        ),
        &["mfa-demanded"],
    );
    // A Deny that names the service applies to the actions that the service is allowed.
    let named = of(ASSUME, "\"sts:TagSession\"").replace(r#"{"AWS":"*"}"#, EC2);
    expect(&named, &[]);
}

#[test]
fn a_condition_on_mfa_that_tests_nothing_is_a_warning() {
    for condition in [
        r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}"#,
        r#"{"NumericLessThanIfExists":{"aws:MultiFactorAuthAge":"3600"}}"#,
        r#"{"ForAllValues:Bool":{"aws:MultiFactorAuthPresent":"true"}}"#,
    ] {
        for principal in [EC2, USER] {
            expect(&allow(principal, condition), &["mfa-tests-nothing"]);
        }
    }
    // A role's session has one of the keys.
    let age = r#"{"NumericLessThanIfExists":{"aws:MultiFactorAuthAge":"3600"}}"#;
    expect(&allow(ROLE, age), &["mfa-tests-nothing"]);
    let deny = statement(
        "Deny",
        "\"sts:AssumeRole\"",
        r#"{"AWS":"*"}"#,
        r#"{"Bool":{"aws:MultiFactorAuthPresent":"false"}}"#,
    );
    let allow = statement("Allow", "\"sts:AssumeRole\"", EC2, "");
    expect(
        &document(&format!("[{allow},{deny}]")),
        &["mfa-tests-nothing"],
    );
}

#[test]
fn bad_external_ids_are_errors() {
    let root = format!(r#"{{"AWS":"{ACCOUNT}:root"}}"#);
    for id in [
        "",
        "x",
        "a b",
        "a*",
        "<id>",
        "\u{e9}\u{e9}",
        &"x".repeat(1225),
    ] {
        let text = allow(
            &root,
            &format!(r#"{{"StringEquals":{{"sts:ExternalId":"{id}"}}}}"#),
        );
        expect(&text, &["bad-external-id"]);
    }
    let text = allow(
        &root,
        &format!(
            r#"{{"StringEquals":{{"sts:ExternalId":"{}"}}}}"#,
            "x".repeat(1224)
        ),
    );
    expect(&text, &[]);
}

#[test]
fn unknown_operators_get_a_suggestion() {
    for (operator, near) in [
        ("StringEqual", "StringEquals"),
        ("stringequals", "StringEquals"),
        ("Stringlike", "StringLike"),
        ("StringEqualIfExists", "StringEqualsIfExists"),
        ("ForAllValue:StringLike", "ForAllValues:StringLike"),
        ("boolifexists", "BoolIfExists"),
        ("NullIfExists", "Null"),
        ("ForAnyValue:Null", "Null"),
        ("ArnLikes", "ArnLike"),
        ("StringEqualsIfExist", "StringEqualsIfExists"),
        ("StringEqualsIfExistsIfExists", "StringEqualsIfExists"),
        (
            "ForAnyValue:StringLikeIfExits",
            "ForAnyValue:StringLikeIfExists",
        ),
    ] {
        let text = allow(
            ROLE,
            &format!(r#"{{"{operator}":{{"aws:PrincipalTag/team":"x"}}}}"#),
        );
        expect(&text, &["unknown-operator"]);
        let findings = check(text.as_bytes(), CheckOptions::default());
        assert_eq!(
            findings[0].help,
            format!("did you mean {near}?"),
            "{operator}"
        );
    }
    for operator in ["Equals", "", "StringEquals:ForAnyValue", "IfExists"] {
        let text = allow(
            ROLE,
            &format!(r#"{{"{operator}":{{"aws:PrincipalTag/team":"x"}}}}"#),
        );
        expect(&text, &["unknown-operator"]);
    }
    for operator in [
        "ForAnyValue:StringLikeIfExists",
        "DateGreaterThan",
        "NotIpAddress",
        "BinaryEquals",
        "ArnNotLikeIfExists",
    ] {
        expect(
            &allow(
                ROLE,
                &format!(r#"{{"{operator}":{{"aws:PrincipalTag/team":"x"}}}}"#),
            ),
            &[],
        );
    }
}
