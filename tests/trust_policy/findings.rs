//! Documents, good and bad, by the dozen: each with just the codes that it is to have.

use ip_lockdown::trust_policy::{CheckOptions, Code, Finding, check};

const ACCOUNT: &str = "arn:aws:iam::123456789012";
const EC2: &str = r#"{"Service":"ec2.amazonaws.com"}"#;
const LAMBDA: &str = r#"{"Service":"lambda.amazonaws.com"}"#;
const ROLE: &str = r#"{"AWS":"arn:aws:iam::123456789012:role/jenkins"}"#;
const GITHUB: &str = r#"{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"}"#;

/// The codes of the findings but the hint, in the order of their codes.
fn codes(text: &str, automated: bool) -> Vec<&'static str> {
    let findings = check(text.as_bytes(), CheckOptions { automated });
    let mut codes: Vec<_> = findings
        .iter()
        .map(|found| found.code)
        .filter(|code| *code != Code::PairWithLockdown)
        .collect();
    codes.sort();
    codes.into_iter().map(Code::id).collect()
}

#[track_caller]
fn expect(text: &str, expected: &[&str]) {
    assert_eq!(codes(text, false), expected, "{text}");
}

fn document(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#)
}

fn statement(effect: &str, action: &str, principal: &str, condition: &str) -> String {
    let condition = match condition {
        "" => String::new(),
        condition => format!(r#","Condition":{condition}"#),
    };
    format!(r#"{{"Effect":"{effect}","Action":{action},"Principal":{principal}{condition}}}"#)
}

/// One statement that allows sts:AssumeRole.
fn allow(principal: &str, condition: &str) -> String {
    document(&format!(
        "[{}]",
        statement("Allow", "\"sts:AssumeRole\"", principal, condition)
    ))
}

fn web_identity(principal: &str, condition: &str) -> String {
    document(&statement(
        "Allow",
        "\"sts:AssumeRoleWithWebIdentity\"",
        principal,
        condition,
    ))
}

#[test]
fn good_documents_have_no_finding() {
    let with = |action: &str, principal: &str| document(&statement("Allow", action, principal, ""));
    let user = format!(
        r#"{{"AWS":["{ACCOUNT}:user/bob","{ACCOUNT}:role/a/b/c","arn:aws:sts::123456789012:assumed-role/r/s"]}}"#
    );
    for text in [
        allow(EC2, ""),
        allow(LAMBDA, ""),
        allow(ROLE, ""),
        allow(&user, ""),
        allow(r#"{"Service":["ec2.amazonaws.com","lambda.amazonaws.com"]}"#, ""),
        allow(r#"{"Service":"states.eu-central-1.amazonaws.com"}"#, ""),
        allow(&format!(r#"{{"Service":"ec2.amazonaws.com","AWS":"{ACCOUNT}:role/x"}}"#), ""),
        allow(r#"{"AWS":"arn:aws-us-gov:iam::123456789012:role/x"}"#, ""),
        allow(r#"{"AWS":"arn:aws-cn:iam::123456789012:role/x"}"#, ""),
        allow(&format!(r#"{{"AWS":"{ACCOUNT}:root"}}"#), r#"{"StringEquals":{"sts:ExternalId":"abc-123"}}"#),
        allow(r#"{"AWS":"464622532012"}"#, r#"{"StringEquals":{"STS:externalid":"0123_abc"}}"#),
        allow(&format!(r#"{{"AWS":"{ACCOUNT}:root"}}"#), &format!(r#"{{"ArnLike":{{"aws:PrincipalArn":"{ACCOUNT}:role/x*"}}}}"#)),
        allow(r#"{"Service":"ecs-tasks.amazonaws.com"}"#, r#"{"StringEquals":{"aws:SourceAccount":"123456789012"}}"#),
        allow(EC2, r#"{"StringEqualsIfExists":{"aws:SourceAccount":"123456789012"}}"#),
        // People who have MFA.
        allow(ROLE, r#"{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#),
        allow(ROLE, r#"{"Bool":{"aws:MultiFactorAuthPresent":true}}"#),
        with(r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#, ROLE),
        with(r#"["STS:assumerole"]"#, ROLE),
        with(r#"["sts:AssumeRole","sts:TagSession"]"#, r#"{"Service":"pods.eks.amazonaws.com"}"#),
        with("\"sts:AssumeRoleWithSAML\"", &format!(r#"{{"Federated":"{ACCOUNT}:saml-provider/adfs"}}"#)),
        with("\"sts:AssumeRoleWithWebIdentity\"", r#"{"Federated":"accounts.google.com"}"#),
        with("\"sts:AssumeRoleWithWebIdentity\"", &format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/0A"}}"#)),
        web_identity(GITHUB, r#"{"StringEquals":{"token.actions.githubusercontent.com:sub":"repo:o/r:ref:refs/heads/main"}}"#),
        web_identity(
            &format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/app.terraform.io"}}"#),
            r#"{"StringLike":{"app.terraform.io:sub":"organization:acme:*"}}"#,
        ),
        document(&format!("[{},{}]",
            statement("Allow", "\"sts:AssumeRole\"", ROLE, ""),
            statement("Deny", "\"sts:AssumeRole\"", r#"{"AWS":"*"}"#, r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}}"#))),
        r#"{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"","Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ec2.amazonaws.com"}}]}"#.to_owned(),
        allow(EC2, "").replace("{\"Version", " \r\n\t{\"Version"),
        format!("{}\n\n", allow(EC2, "{}")),
    ] {
        expect(&text, &[]);
    }
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    let at = |text: &[u8]| {
        let mut findings = check(text, CheckOptions::default());
        assert_eq!(findings.len(), 1, "{findings:?}");
        let Finding {
            code, line, column, ..
        } = findings.remove(0);
        (code.id(), line, column)
    };
    for (text, line, column) in [
        ("", 1, 1),
        (" \n ", 2, 2),
        ("{", 1, 2),
        ("{\n  \"Version\": 2012-10-17\n}", 2, 18),
        ("{\n\"a\": 1,\n}", 3, 1),
        ("{'a': 1}", 1, 2),
        ("{\"a\" 1}", 1, 6),
        ("{} {}", 1, 4),
        ("{\n}\n{\n}", 3, 1),
        ("// a\n{}", 1, 1),
        ("{\"a\": \"\n\"}", 1, 7),
        ("{\"\u{e9}\": \u{e9}}", 1, 7),
        ("{\"a\": \"\\ud800\"}", 1, 8),
        ("{\"a\": 01}", 1, 8),
        ("\u{feff}{}", 1, 1),
        ("Version: \"2012-10-17\"", 1, 1),
        ("NaN", 1, 1),
    ] {
        assert_eq!(at(text.as_bytes()), ("not-json", line, column), "{text:?}");
    }
    assert_eq!(at(b"{\n\"a\": \"\xff\"}"), ("not-json", 2, 7));
    assert_eq!(
        at(&"{}"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect::<Vec<_>>()),
        ("not-json", 1, 1)
    );
    assert_eq!(at("[".repeat(60_000).as_bytes()), ("not-json", 1, 60_001));
    let nested = "[".repeat(30_000) + &"]".repeat(30_000);
    assert_eq!(at(nested.as_bytes()), ("not-json", 1, 513));
    assert_eq!(at(&vec![b' '; 65_537]), ("too-large", 1, 1));
}

#[test]
fn keys_that_stand_twice_are_errors() {
    expect(
        &allow(EC2, "").replacen('{', r#"{"Version":"2012-10-17","#, 1),
        &["duplicate-key"],
    );
    expect(
        &allow(EC2, "").replace("\"Effect\"", "\"Effect\":\"Allow\",\"\\u0045ffect\""),
        &["duplicate-key"],
    );
    expect(
        &allow(
            r#"{"AWS":"arn:aws:iam::123456789012:role/x","AWS":"arn:aws:iam::123456789012:role/y"}"#,
            "",
        ),
        &["duplicate-key"],
    );
    expect(
        &allow(
            ROLE,
            r#"{"StringEquals":{"sts:ExternalId":"ab","sts:ExternalId":"cd"}}"#,
        ),
        &["duplicate-key"],
    );
}

#[test]
fn unknown_and_miscased_keys_are_told_with_the_near_one() {
    for (from, to, near) in [
        ("\"Version\"", "\"version\"", "Version"),
        ("\"Statement\"", "\"Statements\"", "Statement"),
        ("\"Effect\"", "\"effect\"", "Effect"),
        ("\"Action\"", "\"Actions\"", "Action"),
        ("\"Principal\"", "\"Principals\"", "Principal"),
        ("\"Service\"", "\"service\"", "Service"),
        ("\"Condition\"", "\"Conditions\"", "Condition"),
    ] {
        let text = allow(EC2, "{}").replace(from, to);
        let findings = check(text.as_bytes(), CheckOptions::default());
        let found = findings
            .iter()
            .find(|found| found.code == Code::UnknownKey)
            .unwrap();
        assert_eq!(found.cure, format!("did you mean {near}?"), "{text}");
    }
    expect(
        &allow(EC2, "").replace("\"Effect\"", "\"Comment\":\"x\",\"Effect\""),
        &["unknown-key"],
    );
}

#[test]
fn missing_elements_are_errors() {
    expect("{}", &["missing-element", "old-version"]);
    expect(r#"{"Version":"2012-10-17"}"#, &["missing-element"]);
    expect(&document("[{}]"), &["missing-element"; 3]);
    expect(
        &document(r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#),
        &["missing-element"],
    );
    expect(
        &document(&format!(r#"{{"Effect":"Allow","Principal":{EC2}}}"#)),
        &["missing-element"],
    );
    expect(
        &document(&format!(
            r#"{{"Action":"sts:AssumeRole","Principal":{EC2}}}"#
        )),
        &["missing-element"],
    );
}

#[test]
fn values_of_the_wrong_kind_are_errors() {
    for text in [
        "[]".to_owned(),
        "null".to_owned(),
        "\"x\"".to_owned(),
        document("[]"),
        document("\"x\""),
        document("[1]"),
        allow(EC2, "").replace("\"Allow\"", "\"allow\""),
        allow(EC2, "").replace("\"Allow\"", "true"),
        allow(EC2, "").replace("2012-10-17", "2012-10-18"),
        allow(EC2, "").replace("\"2012-10-17\"", "1"),
        allow(EC2, "").replace("\"Effect\"", "\"Sid\":1,\"Effect\""),
        allow(EC2, "").replace("\"sts:AssumeRole\"", "[]"),
        allow(EC2, "").replace("\"sts:AssumeRole\"", "{}"),
        allow("\"ec2.amazonaws.com\"", ""),
        allow("{}", ""),
        allow(r#"{"Service":[]}"#, ""),
        allow(r#"{"AWS":123456789012}"#, ""),
        allow(r#"{"AWS":[null]}"#, ""),
        allow(EC2, "[]"),
        allow(EC2, r#"{"Bool":"true"}"#),
        allow(EC2, r#"{"StringEquals":{"a":{}}}"#),
    ] {
        expect(&text, &["bad-value"]);
    }
}

#[test]
fn elements_of_other_policies_are_errors() {
    for element in ["Resource", "NotResource", "NotPrincipal", "NotAction"] {
        let text = allow(EC2, "").replace("\"Effect\"", &format!("\"{element}\":\"*\",\"Effect\""));
        expect(&text, &["not-in-trust-policy"]);
    }
    expect(
        &allow(EC2, "").replace("\"Principal\"", "\"NotPrincipal\""),
        &["not-in-trust-policy"],
    );
    expect(
        &allow(EC2, "").replace("\"Action\"", "\"NotAction\""),
        &["not-in-trust-policy"],
    );
}

#[test]
fn other_actions_and_wildcards_are_errors() {
    for action in [
        "*",
        "sts:*",
        "sts:Assume*",
        "sts:AssumeRol?",
        "sts:AssumeRol",
        "AssumeRole",
        "s3:GetObject",
        "iam:PassRole",
        "sts:GetCallerIdentity",
        "",
    ] {
        expect(
            &allow(EC2, "").replace("sts:AssumeRole", action),
            &["bad-action"],
        );
    }
    expect(
        &document(&statement(
            "Allow",
            r#"["sts:AssumeRole","sts:*"]"#,
            EC2,
            "",
        )),
        &["bad-action"],
    );
}

#[test]
fn actions_and_principals_have_to_fit() {
    let saml = format!(r#"{{"Federated":"{ACCOUNT}:saml-provider/adfs"}}"#);
    let oidc = format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/example.org"}}"#);
    for (action, principal) in [
        ("sts:AssumeRole", saml.as_str()),
        ("sts:AssumeRole", &oidc),
        ("sts:AssumeRoleWithSAML", EC2),
        ("sts:AssumeRoleWithSAML", ROLE),
        ("sts:AssumeRoleWithSAML", &oidc),
        ("sts:AssumeRoleWithWebIdentity", EC2),
        ("sts:AssumeRoleWithWebIdentity", ROLE),
        ("sts:AssumeRoleWithWebIdentity", &saml),
        (
            "sts:AssumeRoleWithWebIdentity",
            r#"{"AWS":"arn:aws:iam::123456789012:role/x"}"#,
        ),
    ] {
        expect(
            &document(&statement("Allow", &format!("\"{action}\""), principal, "")),
            &["action-principal-mismatch"],
        );
    }
    let both =
        format!(r#"{{"Service":"ec2.amazonaws.com","Federated":"{ACCOUNT}:saml-provider/x"}}"#);
    expect(&allow(&both, ""), &["action-principal-mismatch"]);
    expect(
        &document(&statement(
            "Allow",
            r#"["sts:AssumeRole","sts:AssumeRoleWithSAML"]"#,
            &both,
            "",
        )),
        &[],
    );
}

#[test]
fn principals_under_the_wrong_kind_are_errors() {
    expect(
        &allow(&format!(r#"{{"Service":"{ACCOUNT}:root"}}"#), ""),
        &["arn-as-service"],
    );
    expect(
        &allow(&format!(r#"{{"Service":"{ACCOUNT}:role/x"}}"#), ""),
        &["arn-as-service"],
    );
    for service in [
        "ec2.amazonaws.com",
        "lambda.amazonaws.com",
        "ec2",
        "foo.amazonaws.com.cn",
    ] {
        expect(
            &allow(&format!(r#"{{"AWS":"{service}"}}"#), ""),
            &["service-as-aws"],
        );
    }
    expect(
        &allow(r#"{"CanonicalUser":"79a59d"}"#, ""),
        &["unsupported-principal"],
    );
    expect(
        &allow(&format!(r#"{{"AWS":"{ACCOUNT}:group/admins"}}"#), ""),
        &["unsupported-principal"],
    );
}

#[test]
fn malformed_and_misspelt_services_are_told_with_what_was_meant() {
    for (service, meant) in [
        ("ec2", Some("ec2")),
        ("EC2.amazonaws.com", Some("ec2")),
        ("ec2.amazon.com", Some("ec2")),
        ("ec2.amazonaws.com ", Some("ec2")),
        ("https://ec2.amazonaws.com", Some("ec2")),
        ("ecs.task.amazonaws.com", Some("ecs-tasks")),
        ("lamda.amazonaws.com", Some("lambda")),
        ("lambda.amazonws.com", Some("lambda")),
        ("cloudformtion.amazonaws.com", Some("cloudformation")),
        ("sagemaker.amazonaws.org", Some("sagemaker")),
        ("", None),
        ("example.org", None),
        (".amazonaws.com", None),
        ("a..b.amazonaws.com", None),
    ] {
        let text = allow(&format!(r#"{{"Service":"{service}"}}"#), "");
        expect(&text, &["bad-service-name"]);
        if let Some(meant) = meant {
            let findings = check(text.as_bytes(), CheckOptions::default());
            assert_eq!(
                findings[0].cure,
                format!("did you mean \"{meant}.amazonaws.com\"?"),
                "{service}"
            );
        }
    }
    expect(
        &allow(r#"{"Service":"brandnewservice.amazonaws.com"}"#, ""),
        &["unknown-service"],
    );
    expect(
        &allow(r#"{"Service":"ec2.amazonaws.com.cn"}"#, ""),
        &["china-suffix"],
    );
    expect(
        &allow(
            r#"{"Service":"codedeploy.cn-north-1.amazonaws.com.cn"}"#,
            "",
        ),
        &["china-suffix"],
    );
}

#[test]
fn wildcards_among_principals_are_errors() {
    for principal in [
        r#""*""#.to_owned(),
        r#"{"AWS":"*"}"#.to_owned(),
        r#"{"AWS":["arn:aws:iam::123456789012:role/x","*"]}"#.to_owned(),
        r#"{"Service":"*"}"#.to_owned(),
        r#"{"Service":"*.amazonaws.com"}"#.to_owned(),
        r#"{"Federated":"*"}"#.to_owned(),
        format!(r#"{{"AWS":"{ACCOUNT}:role/*"}}"#),
        format!(r#"{{"AWS":"{ACCOUNT}:user/b?b"}}"#),
        r#"{"AWS":"arn:aws:iam::*:root"}"#.to_owned(),
        r#"{"AWS":"1234*"}"#.to_owned(),
    ] {
        expect(&allow(&principal, ""), &["wildcard-principal"]);
    }
    let deny = statement("Deny", "\"sts:AssumeRole\"", "\"*\"", "");
    expect(&document(&deny), &["wildcard-principal"]);
}

#[test]
fn bad_accounts_arns_and_partitions_are_errors() {
    for (principal, code) in [
        ("12345678901", "bad-account"),
        ("1234567890123", "bad-account"),
        ("1234-5678-9012", "bad-account"),
        ("", "bad-account"),
        ("arn:aws:iam::12345:root", "bad-account"),
        ("arn:aws:iam:::root", "bad-account"),
        ("arn:aws:iam::${AWS::AccountId}:root", "bad-account"),
        ("arn:aws-china:iam::123456789012:root", "bad-partition"),
        ("arn:AWS:iam::123456789012:root", "bad-partition"),
        ("arn::iam::123456789012:root", "bad-partition"),
        ("arn:aws:iam:us-east-1:123456789012:root", "bad-arn"),
        ("arn:aws:iam::123456789012", "bad-arn"),
        ("arn:aws:iam::123456789012:role", "bad-arn"),
        ("arn:aws:iam::123456789012:role/", "bad-arn"),
        ("arn:aws:iam::123456789012:roles/x", "bad-arn"),
        ("arn:aws:iam::123456789012:instance-profile/x", "bad-arn"),
        ("arn:aws:iam::123456789012:policy/x", "bad-arn"),
        ("arn:aws:s3:::bucket", "bad-arn"),
        ("arn:aws:sts::123456789012:assumed-role/x", "bad-arn"),
        ("arn:aws:iam::123456789012:role/a b", "bad-arn"),
        ("AIDACKCEVSQ6C2EXAMPLE", "bad-arn"),
        ("AROACKCEVSQ6C2EXAMPLE", "bad-arn"),
        ("bob", "bad-arn"),
        ("<ACCOUNT>", "bad-arn"),
    ] {
        expect(&allow(&format!(r#"{{"AWS":"{principal}"}}"#), ""), &[code]);
    }
    for provider in [
        "example.org",
        "https://accounts.google.com",
        "arn:aws:iam::123456789012:oidc-provider/",
        "arn:aws:iam::123456789012:role/x",
        "arn:aws:iam::123456789012:saml-provider/a/b",
    ] {
        expect(
            &web_identity(&format!(r#"{{"Federated":"{provider}"}}"#), ""),
            &["bad-arn"],
        );
    }
}

/// Every form in which MFA can be demanded.
const MFA_DEMANDED: [&str; 9] = [
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

/// Every form in which it can be denied to be without.
const MFA_DENIED: [&str; 5] = [
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
        expect(&allow(ROLE, condition), &[]);
        assert_eq!(
            codes(&allow(ROLE, condition), true),
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
                expect(&of(ROLE), &[]);
                assert_eq!(codes(&of(ROLE), true), ["mfa-demanded"], "{condition}");
            }
        }
    }
    let web = web_identity(r#"{"Federated":"accounts.google.com"}"#, MFA_DEMANDED[0]);
    assert_eq!(codes(&web, true), ["mfa-demanded"]);
}

#[test]
fn a_test_of_mfa_that_tests_nothing_is_a_warning() {
    for condition in [
        r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}"#,
        r#"{"NumericLessThanIfExists":{"aws:MultiFactorAuthAge":"3600"}}"#,
        r#"{"ForAllValues:Bool":{"aws:MultiFactorAuthPresent":"true"}}"#,
    ] {
        for principal in [EC2, ROLE] {
            expect(&allow(principal, condition), &["mfa-tests-nothing"]);
        }
    }
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
        "${id}",
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
fn shared_providers_need_a_real_subject() {
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
        "",
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
fn documents_that_are_too_large_are_told() {
    let roles = |count: usize| {
        let arns: Vec<String> = (0..count)
            .map(|nth| format!("\"{ACCOUNT}:role/{nth:04}\""))
            .collect();
        allow(&format!(r#"{{"AWS":[{}]}}"#, arns.join(",")), "")
    };
    expect(&roles(40), &[]);
    expect(&roles(60), &["over-default-quota"]);
    expect(&roles(120), &["too-large"]);
    // To the letter.
    let filled = |size: usize| {
        let text = allow(EC2, r#"{"StringEquals":{"aws:PrincipalTag/x":"VALUE"}}"#);
        let value = "x".repeat(size - text.len() + "VALUE".len());
        text.replace("VALUE", &value)
    };
    expect(&filled(2048), &[]);
    expect(&filled(2049), &["over-default-quota"]);
    expect(&filled(4096), &["over-default-quota"]);
    expect(&filled(4097), &["too-large"]);
    expect(&filled(2048).replace(',', " ,\n\t"), &[]);
}

#[test]
fn sids_are_plain_and_unique() {
    let sid =
        |sid: &str| allow(EC2, "").replace("\"Effect\"", &format!("\"Sid\":\"{sid}\",\"Effect\""));
    expect(&sid("TrustEc2"), &[]);
    for bad in ["a b", "a-b", "a_b", "a.b", "\u{e9}"] {
        expect(&sid(bad), &["bad-sid"]);
    }
    let two = |one: &str, other: &str| {
        let role = statement("Allow", "\"sts:AssumeRole\"", ROLE, "");
        let named =
            |sid: &str| role.replace("\"Effect\"", &format!("\"Sid\":\"{sid}\",\"Effect\""));
        document(&format!("[{},{}]", named(one), named(other)))
    };
    expect(&two("A", "B"), &[]);
    expect(&two("", ""), &[]);
    expect(&two("A", "A"), &["bad-sid"]);
}

#[test]
fn unknown_operators_are_told_with_the_near_one() {
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
    ] {
        let text = allow(
            ROLE,
            &format!(r#"{{"{operator}":{{"aws:PrincipalTag/team":"x"}}}}"#),
        );
        expect(&text, &["unknown-operator"]);
        let findings = check(text.as_bytes(), CheckOptions::default());
        assert_eq!(
            findings[0].cure,
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

#[test]
fn characters_out_of_range_are_errors() {
    let tag = |text: &str| {
        allow(
            ROLE,
            &format!(r#"{{"StringEquals":{{"aws:PrincipalTag/team":"{text}"}}}}"#),
        )
    };
    for bad in ["\u{100}", "\u{2019}", "\u{1F600}", "\u{3b1}\u{3b2}"] {
        expect(&tag(bad), &["bad-character"]);
    }
    for good in ["\u{e9}", "\u{ff}", "~ !", "\\u0100"] {
        expect(&tag(good), &[]);
    }
}

#[test]
fn what_is_weaker_than_it_should_be_is_a_warning() {
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
fn ec2_is_told_of_the_lockdown() {
    let hint = |text: &str| {
        check(text.as_bytes(), CheckOptions::default())
            .into_iter()
            .find(|found| found.code == Code::PairWithLockdown)
    };
    let found = hint(&allow(EC2, "")).unwrap();
    assert!(
        found.cure.contains("ip-lockdown 169.254.169.254 root"),
        "{found:?}"
    );
    assert!(
        found.cure.contains("trust-policy guard imdsv2"),
        "{found:?}"
    );
    assert_eq!(found.path, "$.Statement[0].Principal.Service");
    assert_eq!(hint(&allow(LAMBDA, "")), None);
    assert_eq!(
        hint(&document(&statement("Deny", "\"sts:AssumeRole\"", EC2, ""))),
        None
    );
}

#[test]
fn all_that_is_wrong_is_found_at_once_in_the_order_of_the_text() {
    let text = "{\n  \"Version\": \"2008-10-17\",\n  \"Statement\": {\n    \"Effect\": \"Allow\",\n    \"Action\": \"sts:*\",\n    \
                \"Principal\": {\"Service\": \"lamda.amazonaws.com\"},\n    \"Resource\": \"*\"\n  }\n}\n";
    let findings = check(text.as_bytes(), CheckOptions::default());
    let found: Vec<_> = findings
        .iter()
        .map(|found| {
            (
                found.code.id(),
                found.line,
                found.column,
                found.path.as_str(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("old-version", 2, 14, "$.Version"),
            ("bad-action", 5, 15, "$.Statement.Action"),
            ("bad-service-name", 6, 30, "$.Statement.Principal.Service"),
            ("not-in-trust-policy", 7, 5, "$.Statement.Resource"),
        ]
    );
}
