//! What holds for any role that is built, and for any text that is checked.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use trust_policy::value::{Branch, ProviderArn, RoleArn, ServiceName, Subject};
use trust_policy::{
    CheckOptions, Code, Format, MAX_BYTES, Preset, RoleOptions, Severity, check, render,
};

use crate::any::{policy_like, request};

/// Every diagnostic has a location in the text, and contains no control character.
fn sound(text: &[u8], options: CheckOptions) -> Result<(), TestCaseError> {
    let lines = text.split(|&byte| byte == b'\n').count();
    for found in check(text, options) {
        prop_assert!((1..=lines).contains(&found.line), "{found:?}");
        prop_assert!(
            found.column >= 1 && found.column <= text.len() + 1,
            "{found:?}"
        );
        prop_assert!(found.path.starts_with('$'), "{found:?}");
        for text in [&found.path, &found.message, &found.help] {
            prop_assert!(
                !text.is_empty() && !text.contains(char::is_control),
                "{found:?}"
            );
        }
    }
    Ok(())
}

/// The strings of a document as JSON, in their order.
fn strings(value: &Value, strings: &mut Vec<String>) {
    match value {
        Value::String(text) => strings.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| self::strings(item, strings)),
        Value::Object(entries) => entries
            .values()
            .for_each(|item| self::strings(item, strings)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn what_build_prints_passes_check((preset, options) in request()) {
        let (role, warnings) = preset.build(&options).unwrap();
        prop_assert!(warnings.iter().all(|found| found.severity() == Severity::Warning));
        let tree = role.trust.tree();
        for text in [
            tree.pretty(),
            tree.compact(),
            render(&role, Format::Json),
            render(&role, Format::CompactJson),
        ] {
            for automated in [false, true] {
                let findings = check(text.as_bytes(), CheckOptions { automated });
                let errors: Vec<_> = findings.iter().filter(|found| found.severity() == Severity::Error).collect();
                prop_assert!(errors.is_empty(), "{text}{errors:#?}");
                let hint = findings.iter().any(|found| found.code == Code::PairWithLockdown);
                prop_assert_eq!(hint, preset.trusts_ec2());
            }
        }
    }

    #[test]
    fn every_format_has_every_document((preset, options) in request()) {
        let (role, _) = preset.build(&options).unwrap();
        let trust: Value = serde_json::from_str(&role.trust.tree().pretty()).unwrap();
        let json = render(&role, Format::Json);
        let documents: Vec<Value> = serde_json::Deserializer::from_str(&json).into_iter().map(Result::unwrap).collect();
        let count = 1 + usize::from(role.permissions.is_some()) + usize::from(role.guardrail.is_some());
        prop_assert_eq!(documents.len(), count);
        prop_assert_eq!(&documents[0], &trust);
        prop_assert_eq!(render(&role, Format::CompactJson).lines().count(), count);
        // Whether they are well-formed is for `make judge`; here, that nothing is lost.
        let mut all = Vec::new();
        for document in &documents {
            strings(document, &mut all);
        }
        let (terraform, yaml) = (render(&role, Format::Terraform), render(&role, Format::CloudFormation));
        for text in all {
            let quoted = Value::from(text).to_string();
            prop_assert!(yaml.contains(&quoted), "{quoted} in {yaml}");
            let escaped = quoted.replace("${", "$${").replace("%{", "%%{");
            prop_assert!(terraform.contains(&escaped), "{escaped} in {terraform}");
        }
        for text in [&terraform, &yaml] {
            prop_assert_eq!(text.contains("nstance") && text.to_lowercase().contains("profile"), preset.trusts_ec2());
        }
    }

    #[test]
    fn any_bytes_give_findings_and_never_panic(bytes in vec(any::<u8>(), 0..200), automated: bool) {
        sound(&bytes, CheckOptions { automated })?;
    }

    #[test]
    fn any_text_gives_findings_and_never_panics(text in "\\PC{0,200}", automated: bool) {
        sound(text.as_bytes(), CheckOptions { automated })?;
    }

    #[test]
    fn anything_like_a_policy_gives_findings_and_never_panics(text in policy_like(), automated: bool) {
        sound(text.as_bytes(), CheckOptions { automated })?;
    }

    #[test]
    fn a_policy_cut_or_damaged_anywhere_never_panics(
        (preset, options) in request(), cut in any::<prop::sample::Index>(), byte: u8,
    ) {
        let text = render(&preset.build(&options).unwrap().0, Format::Json);
        let at = cut.index(text.len());
        sound(&text.as_bytes()[..at], CheckOptions::default())?;
        let mut damaged = text.into_bytes();
        damaged[at] = byte;
        sound(&damaged, CheckOptions::default())?;
    }

    #[test]
    fn any_value_is_accepted_or_refused_and_never_panics(text in prop_oneof![
        "\\PC{0,40}", "arn:[a-z*-]{0,9}:(iam|sts|s3)?:.{0,3}:[0-9*]{0,13}:\\PC{0,20}", "[ -~]{0,20}\\.amazonaws\\.com(\\.cn)?",
    ]) {
        // An accepted value is printed as it was given, and cannot break out of a line or a string.
        let accepted = [
            text.parse::<ServiceName>().map(|value| value.to_string()),
            text.parse::<RoleArn>().map(|value| value.to_string()),
            text.parse::<ProviderArn>().map(|value| value.to_string()),
            text.parse::<Branch>().map(|value| value.to_string()),
            text.parse::<Subject>().map(|value| value.to_string()),
        ];
        for result in accepted {
            match result {
                Ok(value) => prop_assert!(value.contains(&text) && value.is_ascii() && !value.contains(char::is_control)),
                Err(error) => prop_assert!(!error.to_string().contains(char::is_control), "{error}"),
            }
        }
    }

    #[test]
    fn white_space_makes_no_difference(text in policy_like()) {
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            return Ok(());
        };
        let codes = |text: &str| {
            let mut codes: Vec<_> =
                check(text.as_bytes(), CheckOptions::default()).iter().map(|found| (found.code, found.path.clone())).collect();
            codes.sort();
            codes
        };
        // Both texts come from `Value`, which drops repeated keys.
        let (short, long) = (value.to_string(), serde_json::to_string_pretty(&value).unwrap());
        prop_assert_eq!(codes(&short), codes(&long));
    }
}

#[test]
fn the_largest_text_is_checked_within_seconds() {
    let services: Vec<String> = (0..2000)
        .map(|nth| format!("\"abcdefg{nth}.amazonaws.com\""))
        .collect();
    let statement = "{\"Effect\":\"Deny\",\"Principal\":{\"AWS\":\"*\"},\"Condition\":{\"Bool\":{\"aws:MultiFactorAuthAge\":1}}}";
    for text in [
        format!(
            "{{\"Statement\":{{\"Principal\":{{\"Service\":[{}]}}}}}}",
            services.join(",")
        ),
        format!("{{\"Statement\":[{}]}}", vec![statement; 600].join(",")),
        format!(
            "{{\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{{\"AWS\":[{}]}}}},{}]}}",
            vec!["\"arn:aws:iam::123456789012:role/x\""; 800].join(","),
            vec![statement.replace("}}}", "}},\"Action\":\"sts:AssumeRole\"}"); 240].join(",")
        ),
        format!(
            "{{\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRoleWithWebIdentity\",\"Principal\":{{\"Federated\":[{}]}},\"Condition\":{{\"StringLike\":{{{}}}}}}}]}}",
            vec!["\"arn:aws:iam::123456789012:oidc-provider/a.b\""; 600].join(","),
            vec!["\"a.b:x\":\"y\""; 2000].join(",")
        ),
        format!("{{{}}}", vec!["\"a\":1"; 9000].join(",")),
        format!(
            "{}{}{}",
            "{\"aaaaaaaaaaaaaaaaaaaa\":".repeat(400),
            vec!["1"; 20_000].join(","),
            "}".repeat(400)
        ),
        "\"\u{100}\"".repeat(16_000),
    ] {
        assert!(text.len() < MAX_BYTES, "{}", text.len());
        let begun = std::time::Instant::now();
        let findings = check(text.as_bytes(), CheckOptions { automated: true });
        assert!(findings.len() < 500, "{}", findings.len());
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}

#[test]
fn a_preset_without_principals_is_refused() {
    for preset in [
        Preset::Service(vec![]),
        Preset::AutoDeploy {
            accounts: vec![],
            roles: vec![],
        },
        Preset::SshGrunt {
            accounts: vec![],
            with_permissions: true,
        },
    ] {
        preset.build(&RoleOptions::default()).unwrap_err();
    }
}
