//! Diagnostics on how many principals can assume the role: everybody, a whole account, or nobody.

use trust_policy::{CheckOptions, check};

use super::{ACCOUNT, EC2, LAMBDA, allow, document, expect, statement};

#[test]
fn a_narrowed_wildcard_is_a_warning() {
    const EVERYBODY: &str = r#"{"AWS":"*"}"#;
    let test = |operator: &str, key: &str, value: &str| {
        allow(
            EVERYBODY,
            &format!(r#"{{"{operator}":{{"{key}":{value}}}}}"#),
        )
    };
    for (operator, key, value) in [
        ("StringEquals", "aws:PrincipalOrgID", r#""o-a1b2c3""#),
        (
            "StringLike",
            "AWS:principalorgid",
            r#"["o-a1b2c3","o-d4e5f6"]"#,
        ),
        ("StringEquals", "aws:PrincipalAccount", "\"123456789012\""),
        (
            "ForAnyValue:StringLike",
            "aws:PrincipalOrgPaths",
            r#"["o-a1b2c3/r-ab12/*"]"#,
        ),
        (
            "ForAnyValue:StringEquals",
            "aws:PrincipalOrgPaths",
            r#""o-a1b2c3/r-ab12/ou-x/""#,
        ),
        (
            "ArnLike",
            "aws:PrincipalArn",
            r#""arn:aws:iam::123456789012:role/*""#,
        ),
        (
            "ArnEquals",
            "aws:PrincipalArn",
            r#""arn:*:iam::123456789012:*""#,
        ),
        (
            "StringEquals",
            "aws:PrincipalArn",
            r#""arn:aws:iam::123456789012:role/x""#,
        ),
    ] {
        expect(&test(operator, key, value), &["wildcard-narrowed"]);
    }
    for (operator, key, value) in [
        (
            "StringEqualsIfExists",
            "aws:PrincipalOrgID",
            r#""o-a1b2c3""#,
        ),
        ("StringNotEquals", "aws:PrincipalOrgID", r#""o-a1b2c3""#),
        (
            "ForAllValues:StringEquals",
            "aws:PrincipalOrgID",
            r#""o-a1b2c3""#,
        ),
        ("StringLike", "aws:PrincipalOrgID", r#""o-*""#),
        ("StringLike", "aws:PrincipalOrgID", r#"["o-a1b2c3","*"]"#),
        ("Null", "aws:PrincipalOrgID", "\"false\""),
        ("StringLike", "aws:PrincipalAccount", r#""12345678901?""#),
        (
            "ForAnyValue:StringLike",
            "aws:PrincipalOrgPaths",
            r#""*/r-ab12/*""#,
        ),
        ("ArnLike", "aws:PrincipalArn", r#""*""#),
        (
            "ArnLike",
            "aws:PrincipalArn",
            r#""arn:aws:iam::*:role/jenkins""#,
        ),
        ("StringLike", "aws:PrincipalArn", r#""*:role/jenkins""#),
        ("StringEquals", "aws:PrincipalTag/team", r#""x""#),
        ("StringEquals", "sts:ExternalId", r#""abc""#),
        ("IpAddress", "aws:SourceIp", r#""192.0.2.0/24""#),
    ] {
        expect(&test(operator, key, value), &["wildcard-principal"]);
    }
    // IAM refuses this one, with any condition.
    let narrowed = test("StringEquals", "aws:PrincipalOrgID", r#""o-a1b2c3""#);
    expect(
        &narrowed.replace(EVERYBODY, "\"*\""),
        &["wildcard-principal"],
    );
    expect(
        &narrowed.replace("sts:AssumeRole", "sts:AssumeRoleWithSAML"),
        &["action-principal-mismatch", "wildcard-narrowed"],
    );
    let message = &check(narrowed.as_bytes(), CheckOptions::default())[0].message;
    assert!(message.contains("aws:PrincipalOrgID"), "{message}");
}

#[test]
fn a_wildcard_alone_narrows_nothing() {
    let root = format!(r#"{{"AWS":"{ACCOUNT}:root"}}"#);
    for (operator, key, value) in [
        ("ArnLike", "aws:PrincipalArn", "*"),
        ("StringLike", "aws:PrincipalArn", "*?"),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::123456789012:*"),
        ("ArnLike", "aws:PrincipalArn", "arn:*:iam::*:role/*"),
        ("ArnEquals", "aws:PrincipalArn", "arn:*"),
        ("StringLike", "aws:userid", "*"),
        ("StringLike", "aws:userid", "*:*"),
        ("StringLike", "aws:PrincipalTag/team", "*"),
    ] {
        expect(
            &allow(&root, &format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#)),
            &["whole-account"],
        );
    }
    for (operator, key, value) in [
        ("ArnLike", "aws:PrincipalArn", "*jenkins*"),
        (
            "ArnLike",
            "aws:PrincipalArn",
            "arn:aws:iam::123456789012:role/ci/*",
        ),
        ("StringLike", "aws:userid", "AROAEXAMPLE:*"),
        ("StringLike", "aws:PrincipalTag/team", "a*"),
        (
            "StringEquals",
            "aws:PrincipalArn",
            "arn:aws:iam::123456789012:role/x",
        ),
    ] {
        expect(
            &allow(&root, &format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#)),
            &[],
        );
    }
    for (operator, key, value) in [
        ("StringLike", "aws:SourceAccount", "*"),
        ("ArnLike", "aws:SourceArn", "*"),
        ("ArnLike", "aws:SourceArn", "arn:aws:ecs:*"),
        ("ArnLike", "aws:SourceArn", "arn:aws:ecs:*:*:*"),
        ("StringLike", "aws:SourceOrgID", "o-*"),
        ("StringNotEquals", "aws:SourceAccount", "123456789012"),
        ("Null", "aws:SourceAccount", "false"),
    ] {
        let condition = format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#);
        expect(
            &allow(r#"{"Service":"ecs-tasks.amazonaws.com"}"#, &condition),
            &["source-key-missing"],
        );
    }
    for (operator, key, value) in [
        ("StringLike", "aws:SourceAccount", "123456789012"),
        ("ArnLike", "aws:SourceArn", "arn:aws:ecs:*:123456789012:*"),
        ("StringEquals", "aws:SourceOrgID", "o-a1b2c3"),
        ("ForAnyValue:StringLike", "aws:SourceOrgPaths", "o-a1b2c3/*"),
    ] {
        let condition = format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#);
        expect(
            &allow(r#"{"Service":"ecs-tasks.amazonaws.com"}"#, &condition),
            &[],
        );
    }
}

#[test]
fn a_document_by_which_nobody_can_assume_the_role_is_an_error() {
    let deny =
        |condition: &str| statement("Deny", "\"sts:AssumeRole\"", r#"{"AWS":"*"}"#, condition);
    let ec2 = statement("Allow", "\"sts:AssumeRole\"", EC2, "");
    expect(&document(&deny("")), &["lets-nobody-in"]);
    expect(
        &document(&format!("[{},{}]", deny(""), deny("{}"))),
        &["lets-nobody-in"],
    );
    for action in [
        r#""sts:TagSession""#,
        r#"["sts:TagSession","sts:SetSourceIdentity","sts:SetContext"]"#,
    ] {
        expect(
            &document(&statement("Allow", action, EC2, "")),
            &["lets-nobody-in"],
        );
        expect(
            &document(&format!("[{},{ec2}]", statement("Allow", action, EC2, ""))),
            &[],
        );
    }
    // Allowed, and denied to everybody.
    expect(
        &document(&format!("[{ec2},{}]", deny(""))),
        &["lets-nobody-in"],
    );
    expect(
        &document(&format!(
            "[{ec2},{}]",
            deny(r#"{"Bool":{"aws:SecureTransport":"false"}}"#)
        )),
        &[],
    );
    expect(
        &document(&format!(
            "[{ec2},{}]",
            deny("").replace("sts:AssumeRole", "sts:TagSession")
        )),
        &[],
    );
    expect(
        &document(&format!(
            "[{ec2},{}]",
            deny("").replace("\"*\"", "\"123456789012\"")
        )),
        &[],
    );
    // A statement that could not be parsed may allow a principal.
    expect(
        &document(&statement("Allow", "\"sts:*\"", EC2, "")),
        &["bad-action"],
    );
    let path = |text: &str| {
        check(text.as_bytes(), CheckOptions::default())
            .remove(0)
            .path
    };
    assert_eq!(path(&document(&deny(""))), "$.Statement");
}

#[test]
fn a_weak_document_is_a_warning() {
    expect(
        &allow(EC2, "").replace("2012-10-17", "2008-10-17"),
        &["old-version"],
    );
    expect(
        &allow(EC2, "").replace("\"Version\":\"2012-10-17\",", ""),
        &["old-version"],
    );
    for account in [
        "123456789012",
        "arn:aws:iam::123456789012:root",
        "arn:aws-cn:iam::123456789012:root",
    ] {
        let principal = format!(r#"{{"AWS":"{account}"}}"#);
        expect(&allow(&principal, ""), &["whole-account"]);
        expect(
            &allow(
                &principal,
                r#"{"StringEqualsIfExists":{"sts:ExternalId":"abc"}}"#,
            ),
            &["whole-account"],
        );
        expect(
            &allow(
                &principal,
                r#"{"StringNotEquals":{"sts:ExternalId":"abc"}}"#,
            ),
            &["whole-account"],
        );
        expect(
            &allow(&principal, r#"{"Null":{"sts:ExternalId":"false"}}"#),
            &["whole-account"],
        );
    }
    expect(
        &allow(r#"{"AWS":"464622532012"}"#, ""),
        &["whole-account", "no-external-id"],
    );
    expect(
        &allow(r#"{"AWS":"arn:aws:iam::464622532012:role/x"}"#, ""),
        &["no-external-id"],
    );
    for (principal, key) in [
        (EC2, "aws:SourceAccount"),
        (LAMBDA, "aws:SourceArn"),
        (EC2, "AWS:sourcearn"),
    ] {
        let condition = format!(r#"{{"StringLike":{{"{key}":"x"}}}}"#);
        expect(&allow(principal, &condition), &["source-key-not-sent"]);
    }
    let deny = statement(
        "Deny",
        "\"sts:AssumeRole\"",
        EC2,
        r#"{"StringNotEquals":{"aws:SourceAccount":"123456789012"}}"#,
    );
    let ec2 = statement("Allow", "\"sts:AssumeRole\"", EC2, "");
    expect(
        &document(&format!("[{ec2},{deny}]")),
        &["source-key-not-sent"],
    );
    // As the help says: a Deny with a Null condition on the key.
    let null = deny.replace("}}}", r#"},"Null":{"aws:SourceAccount":"false"}}}"#);
    assert_ne!(null, deny);
    expect(&document(&format!("[{ec2},{null}]")), &[]);
    for service in ["ecs-tasks", "spotfleet", "autoscaling"] {
        let principal = format!(r#"{{"Service":"{service}.amazonaws.com"}}"#);
        expect(&allow(&principal, ""), &["source-key-missing"]);
        expect(
            &allow(
                &principal,
                r#"{"ArnLike":{"aws:SourceArn":"arn:aws:ecs:*:123456789012:*"}}"#,
            ),
            &[],
        );
    }
}

#[test]
fn a_deny_of_other_sources_restricts_a_service_as_well() {
    const ECS: &str = r#"{"Service":"ecs-tasks.amazonaws.com"}"#;
    let of = |principal: &str, action: &str, condition: &str| {
        let allow = statement("Allow", "\"sts:AssumeRole\"", ECS, "");
        let deny = statement("Deny", action, principal, condition);
        document(&format!("[{allow},{deny}]"))
    };
    let other = r#"{"StringNotEquals":{"aws:SourceAccount":"123456789012"}}"#;
    expect(&of(ECS, "\"sts:AssumeRole\"", other), &[]);
    expect(&of(r#"{"AWS":"*"}"#, "\"sts:AssumeRole\"", other), &[]);
    for unguarded in [
        of(
            r#"{"Service":"sns.amazonaws.com"}"#,
            "\"sts:AssumeRole\"",
            r#"{"StringNotEqualsIfExists":{"aws:SourceAccount":"123456789012"}}"#,
        ),
        of(ECS, "\"sts:TagSession\"", other),
        of(
            ECS,
            "\"sts:AssumeRole\"",
            r#"{"StringEquals":{"aws:SourceAccount":"123456789012"}}"#,
        ),
        of(
            ECS,
            "\"sts:AssumeRole\"",
            r#"{"StringNotLike":{"aws:SourceAccount":"*"}}"#,
        ),
    ] {
        expect(&unguarded, &["source-key-missing"]);
    }
    // A service whose name contains that of another.
    let scaling = r#"{"Service":"ec2.application-autoscaling.amazonaws.com"}"#;
    let source = r#"{"StringEquals":{"aws:SourceAccount":"123456789012"}}"#;
    expect(&allow(scaling, source), &[]);
    expect(
        &allow(r#"{"Service":"autoscaling.eu-west-1.amazonaws.com"}"#, ""),
        &["source-key-missing"],
    );
}
