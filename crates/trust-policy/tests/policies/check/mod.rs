//! Documents, valid and invalid, each with exactly the codes that check must report.

mod form;
mod nobody;
mod reach;
mod shared;
mod variables;
mod web_identity;
mod when;
mod who;

use trust_policy::{CheckOptions, Code, check};

const ACCOUNT: &str = "arn:aws:iam::123456789012";
const EC2: &str = r#"{"Service":"ec2.amazonaws.com"}"#;
const LAMBDA: &str = r#"{"Service":"lambda.amazonaws.com"}"#;
const ROLE: &str = r#"{"AWS":"arn:aws:iam::123456789012:role/jenkins"}"#;
const GITHUB: &str = r#"{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"}"#;

/// The codes of the diagnostics, sorted, without the hint on EC2.
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
fn valid_documents_have_no_diagnostic() {
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
        allow(&format!(r#"{{"AWS":"{ACCOUNT}:user/bob"}}"#), r#"{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#),
        allow(&format!(r#"{{"AWS":"{ACCOUNT}:user/bob"}}"#), r#"{"Bool":{"aws:MultiFactorAuthPresent":true}}"#),
        with(r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#, ROLE),
        with(r#"["STS:assumerole"]"#, ROLE),
        with(r#"["sts:AssumeRole","sts:TagSession"]"#, r#"{"Service":"pods.eks.amazonaws.com"}"#),
        with("\"sts:AssumeRoleWithSAML\"", &format!(r#"{{"Federated":"{ACCOUNT}:saml-provider/adfs"}}"#)),
        web_identity(
            &format!(r#"{{"Federated":"{ACCOUNT}:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/0A"}}"#),
            r#"{"StringEquals":{"oidc.eks.eu-west-1.amazonaws.com/id/0A:sub":"system:serviceaccount:ns:app"}}"#,
        ),
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
fn trust_in_ec2_gets_a_hint_on_the_lockdown() {
    let hint = |text: &str| {
        check(text.as_bytes(), CheckOptions::default())
            .into_iter()
            .find(|found| found.code == Code::PairWithLockdown)
    };
    let found = hint(&allow(EC2, "")).unwrap();
    assert!(
        found.help.contains("ip-lockdown 169.254.169.254 root"),
        "{found:?}"
    );
    assert!(
        found.help.contains("trust-policy guard imdsv2"),
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
fn one_run_reports_every_problem_in_the_order_of_the_text() {
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
