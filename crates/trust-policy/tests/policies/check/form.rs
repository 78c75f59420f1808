//! Diagnostics on the form of a document.

use trust_policy::{CheckOptions, Code, Diagnostic, check};

use super::{ACCOUNT, EC2, ROLE, allow, document, expect, statement};

#[test]
fn invalid_json_is_reported_with_its_location() {
    let at = |text: &[u8]| {
        let mut findings = check(text, CheckOptions::default());
        assert_eq!(findings.len(), 1, "{findings:?}");
        let Diagnostic {
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
fn repeated_keys_are_errors() {
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
fn unknown_and_miscased_keys_get_a_suggestion() {
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
        assert_eq!(found.help, format!("did you mean {near}?"), "{text}");
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
fn values_of_the_wrong_type_are_errors() {
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
        allow(EC2, r#"{"StringEquals":{"a":[]}}"#),
        allow(
            &format!(r#"{{"AWS":"{ACCOUNT}:user/bob"}}"#),
            r#"{"Bool":{"aws:MultiFactorAuthPresent":[]}}"#,
        ),
    ] {
        expect(&text, &["bad-value"]);
    }
    // IAM accepts this one.
    expect(&allow(EC2, r#"{"StringEquals":{}}"#), &["empty-operator"]);
}

#[test]
fn the_description_of_a_role_is_not_its_trust_policy() {
    let policy = allow(EC2, "");
    for wrapped in [
        format!(r#"{{"AssumeRolePolicyDocument":{policy}}}"#),
        format!(r#"{{"Role":{{"Path":"/","RoleName":"x","AssumeRolePolicyDocument":{policy}}}}}"#),
        r#"{"Role":{"AssumeRolePolicyDocument":"%7B%7D","AssumeRolePolicyDocument":1}}"#.to_owned(),
    ] {
        let findings = check(wrapped.as_bytes(), CheckOptions::default());
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].code, Code::UnknownKey);
        assert!(
            findings[0].path.ends_with(".AssumeRolePolicyDocument"),
            "{findings:?}"
        );
        assert!(
            findings[0]
                .help
                .contains("--query Role.AssumeRolePolicyDocument"),
            "{findings:?}"
        );
    }
    expect(
        r#"{"Role":{}}"#,
        &["unknown-key", "missing-element", "old-version"],
    );
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
fn documents_over_the_quota_are_reported() {
    let roles = |count: usize| {
        let arns: Vec<String> = (0..count)
            .map(|nth| format!("\"{ACCOUNT}:role/{nth:04}\""))
            .collect();
        allow(&format!(r#"{{"AWS":[{}]}}"#, arns.join(",")), "")
    };
    expect(&roles(40), &[]);
    expect(&roles(60), &["over-default-quota"]);
    expect(&roles(120), &["too-large"]);
    // The limits are exact.
    let filled = |size: usize| {
        let text = allow(ROLE, r#"{"StringEquals":{"aws:PrincipalTag/x":"VALUE"}}"#);
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
