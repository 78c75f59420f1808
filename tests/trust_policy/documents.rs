//! What `build` and `guard` print: `tests/trust_policy/golden`. `BLESS=1` writes it anew.

use std::fs;
use std::path::Path;

use pretty_assertions::assert_str_eq;

use crate::program::run;

/// Runs the program with these words, and compares what it prints with the file.
#[track_caller]
fn assert_golden(name: &str, words: &str) {
    let done = run(words).expect_code(0);
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/trust_policy/golden")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &done.stdout).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_str_eq!(
        known,
        done.stdout,
        "{name}; if the new text is right: BLESS=1 cargo test --test trust_policy"
    );
}

#[test]
fn the_document_of_ec2_is_the_one_that_users_know() {
    const EC2: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "sts:AssumeRole",
      "Principal": {
        "Service": "ec2.amazonaws.com"
      }
    }
  ]
}
"#;
    for words in [
        "build",
        "build service",
        "build --service ec2",
        "build service --service ec2.amazonaws.com --service ec2",
        "build consul-cluster",
        "build --format json --partition aws-cn",
    ] {
        assert_str_eq!(run(words).expect_code(0).stdout, EC2, "{words}");
    }
    let lambda = run("build --service lambda").expect_code(0);
    assert_str_eq!(lambda.stdout, EC2.replace("ec2.", "lambda."));
    let compact = run("build --compact").expect_code(0);
    assert_str_eq!(compact.stdout, EC2.replace([' ', '\n'], "") + "\n");
}

#[test]
fn a_service_gets_the_actions_that_it_calls() {
    let actions = |services: &str| {
        let built = run(&format!("build {services} --compact")).expect_code(0);
        assert!(!built.stderr.contains("session-action"), "{built}");
        let json: serde_json::Value = built.json();
        json["Statement"][0]["Action"].to_string()
    };
    let pods = "--service pods.eks.amazonaws.com";
    assert_eq!(actions(pods), r#"["sts:AssumeRole","sts:TagSession"]"#);
    let all = r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#;
    assert_eq!(actions("--service rolesanywhere"), all);
    assert_eq!(actions(&format!("{pods} --service rolesanywhere")), all);
}

#[test]
fn the_ids_of_circleci_are_in_small_letters() {
    // As its tokens have them; StringEquals minds the case.
    let of = |id: &str| {
        let words = "build oidc --provider circleci --account 123456789012";
        run(&format!("{words} --org {id} --project {id}"))
            .expect_code(0)
            .stdout
    };
    let small = of("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
    assert_str_eq!(of("AAAAAAAA-bbbb-CCCC-dddd-EEEEEEEEEEEE"), small);
}

/// Every row of the table of presets, with every option somewhere: a name and the words.
fn presets() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("presets.txt").lines();
    lines.filter_map(|line| line.split_once(": ").filter(|_| !line.starts_with('#')))
}

#[test]
fn every_preset_prints_its_document_in_every_format() {
    for (name, words) in presets() {
        assert_golden(&format!("{name}.json"), words);
        assert_golden(
            &format!("{name}.tf"),
            &format!("{words} --format terraform"),
        );
        assert_golden(
            &format!("{name}.yaml"),
            &format!("{words} --format cloudformation"),
        );
    }
}

#[test]
fn a_name_is_the_name_of_everything() {
    assert_golden("named.tf", "build --name 1st.web@prod --format terraform");
    assert_golden(
        "named.yaml",
        "build --name 1st.web@prod --format cloudformation",
    );
}

#[test]
fn every_guard_prints_its_policy_and_where_to_attach_it() {
    for guard in ["imdsv2", "same-vpc", "same-instance", "launch"] {
        assert_golden(&format!("guard-{guard}.json"), &format!("guard {guard}"));
        let note = run(&format!("guard {guard}")).stderr;
        assert!(note.starts_with("note: attach it to "), "{note}");
        assert!(note.contains("; caveat: "), "{note}");
        assert_eq!(note.lines().count(), 1, "{note}");
    }
    let china = run("guard launch --partition aws-cn --compact")
        .expect_code(0)
        .stdout;
    assert!(
        china.contains("\"arn:aws-cn:ec2:*:*:instance/*\""),
        "{china}"
    );
    assert_eq!(china.lines().count(), 1);
}

#[test]
fn what_is_built_is_said_to_be_weak_where_it_is() {
    for (words, says) in [
        (
            "build auto-deploy --account 123456789012",
            "whole-account: ",
        ),
        ("build ssh-grunt --account 123456789012", "whole-account: "),
        ("build --service imaginary", "unknown-service: "),
        ("build --service ec2.amazonaws.com.cn", "china-suffix: "),
        ("build --service ecs-tasks", "source-key-missing: "),
        (
            "build --service lambda --with-guard",
            "does nothing to this role",
        ),
        (
            "build oidc --account 123456789012 --provider github --repo o/r --branch b --with-guard",
            "does nothing to this role",
        ),
    ] {
        let done = run(words).expect_code(0);
        assert!(done.stderr.contains(says), "no {says:?} in {done}");
    }
    for words in [
        "build",
        "build auto-deploy --role-arn arn:aws:iam::123456789012:role/jenkins",
    ] {
        assert_eq!(run(words).expect_code(0).stderr, "");
    }
}

#[test]
fn one_line_warns_of_many_principals() {
    let many: Vec<String> = (0..61).map(|nth| format!("--account {nth:012}")).collect();
    let done = run(&format!("build auto-deploy {}", many.join(" "))).expect_code(0);
    let lines: Vec<&str> = done
        .stderr
        .lines()
        .filter(|line| line.contains("whole-account"))
        .collect();
    assert_eq!(lines.len(), 1, "{done}");
    assert!(lines[0].contains("(and more of these)"), "{done}");
}
