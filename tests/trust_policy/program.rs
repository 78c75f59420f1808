//! The program as its callers meet it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Done, lockdown_program};
use serde_json::Value;

/// Runs `ip-lockdown trust-policy` with these words, as somebody without any privilege.
#[track_caller]
pub(crate) fn run(words: &str) -> Done {
    Done::of(command().args(words.split_whitespace()))
}

fn command() -> Command {
    let mut command = Command::new(lockdown_program());
    // What is not there cannot be needed: no program, no home, no AWS credentials.
    command
        .env_clear()
        .env("PATH", "/nonexistent")
        .arg("trust-policy");
    command
}

/// Has this text checked, by way of a file.
#[track_caller]
fn check(text: &str, options: &[&str]) -> Done {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(text.as_bytes()).unwrap();
    Done::of(command().arg("check").arg(file.path()).args(options))
}

const MFA: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
 "Principal": {"AWS": "arn:aws:iam::123456789012:role/jenkins"},
 "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}]}"#;

#[test]
fn exit_codes_tell_clean_from_wrong_from_unreadable() {
    check(MFA, &[]).expect_code(0);
    let done = check(MFA, &["--automated"]).expect_code(1);
    assert!(
        done.stdout.contains(":3:25: error mfa-demanded $.Statement[0].Condition.Bool['aws:MultiFactorAuthPresent']\n"),
        "{done}"
    );
    assert!(done.stdout.ends_with(": 1 error, no warnings\n"), "{done}");
    for (words, says) in [
        (
            "check /nonexistent/policy.json",
            "cannot read /nonexistent/policy.json: No such file",
        ),
        ("check /", "cannot read /: Is a directory"),
        ("check", "FILE"),
        ("check a b", "unexpected"),
        ("", "build"),
        ("frobnicate", "frobnicate"),
    ] {
        let done = run(words).expect_code(2);
        assert!(done.stderr.contains(says), "no {says:?} in {done}");
    }
}

#[test]
fn json_has_what_the_text_has() {
    let json: Value = check(MFA, &["--automated", "--output", "json"])
        .expect_code(1)
        .json();
    assert_eq!(json["command"], "trust-policy");
    assert_eq!(json["exit_code"], 1);
    let found = &json["findings"][0];
    assert_eq!(found["code"], "mfa-demanded");
    assert_eq!(found["severity"], "error");
    assert_eq!(
        found["path"],
        "$.Statement[0].Condition.Bool['aws:MultiFactorAuthPresent']"
    );
    assert_eq!(
        (&found["line"], &found["column"]),
        (&Value::from(3), &Value::from(25))
    );
    assert!(found["message"].as_str().unwrap().contains("MFA"));
    assert!(found["cure"].as_str().unwrap().contains("MFA"));
    let error: Value = run("check /nonexistent --output json")
        .expect_code(2)
        .json();
    assert_eq!(error["command"], "trust-policy");
}

#[test]
fn a_file_is_called_as_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let checked = |name: &str, options: &[&str]| {
        let path = folder.path().join(name);
        std::fs::write(&path, MFA).unwrap();
        let mut command = command();
        command.current_dir(folder.path());
        Done::of(command.args(["check", name]).args(options)).expect_code(0)
    };
    for name in [
        "it's \"q\" \u{e9} e\u{301} \\.json",
        "a\u{1b}[31m\n\u{9b}.json",
    ] {
        let json: Value = checked(name, &["--output", "json"]).json();
        assert_eq!(json["file"], name);
        let text = checked(name, &[]).stdout;
        // A terminal is to print it, and not to obey it.
        let shown = name.replace('\u{1b}', "\\u{1b}");
        let shown = shown.replace('\u{9b}', "\\u{9b}").replace('\n', "\\n");
        assert!(text.starts_with(&format!("{shown}:3:")), "{text:?}");
    }
    let missing = run("check a\u{7}b").expect_code(2);
    assert!(
        missing.stderr.contains("cannot read a\\u{7}b: "),
        "{missing}"
    );
}

#[test]
fn what_cannot_be_built_is_refused_with_the_reason() {
    const ID: &str = "123456789012";
    const OTHER: &str = "build oidc --provider arn:aws:iam::123456789012:oidc-provider/gitlab.com";
    let github = "build oidc --provider github --repo o/r --branch b";
    for (words, says) in [
        ("build machine-user".to_owned(), "access keys, which do not expire"),
        ("build machine-user".to_owned(), "instead: third-party"),
        ("build machine-user --account x --service y".to_owned(), "or oidc"),
        ("build nothing".to_owned(), "invalid value 'nothing'"),
        ("build --service lamda".to_owned(), "did you mean \"lambda.amazonaws.com\"?"),
        ("build --service EC2".to_owned(), "did you mean \"ec2.amazonaws.com\"?"),
        ("build --service *".to_owned(), "a service is named whole"),
        ("build --service efs".to_owned(), "did you mean \"elasticfilesystem.amazonaws.com\"?"),
        ("build --service arn:aws:iam::123456789012:root".to_owned(), "is an ARN"),
        ("build --service ec2.example.org".to_owned(), "is not the name of a service"),
        ("build --account 123456789012".to_owned(), "--account does not go with the preset service"),
        ("build consul-cluster --service ec2".to_owned(), "--service does not go with"),
        ("build auto-deploy".to_owned(), "trusts nobody yet: give --account or --role-arn"),
        ("build auto-deploy --account 1234".to_owned(), "\"1234\" is not an AWS account"),
        ("build auto-deploy --role-arn arn:aws:iam::123456789012:user/bob".to_owned(), "is not the ARN of a role"),
        ("build auto-deploy --role-arn arn:aws:iam::123456789012:role/*".to_owned(), "has a wildcard"),
        ("build auto-deploy --role-arn arn:aws:iam::123456789012:group/x".to_owned(), "is a group"),
        (
            "build auto-deploy --role-arn arn:aws-cn:iam::123456789012:role/x".to_owned(),
            "say --partition aws-cn",
        ),
        ("build ssh-grunt".to_owned(), "trusts nobody yet: give --account"),
        (format!("build third-party --account {ID}"), "third-party needs --external-id"),
        ("build third-party --external-id abc".to_owned(), "trusts nobody yet: give --account"),
        (format!("build third-party --account {ID} --external-id a"), "is not an external id"),
        (format!("build third-party --account {ID} --external-id a*"), "is not an external id"),
        ("build oidc".to_owned(), "oidc needs --provider"),
        ("build oidc --provider gitea".to_owned(), "is not a provider"),
        (github.to_owned(), "--provider github needs --account"),
        (format!("{github} --account {ID} --account {ID}"), "--account once"),
        (format!("{github} --account {ID} --org o"), "--org does not go with --provider \"github\""),
        (format!("build oidc --provider github --repo o/r --account {ID}"), "needs --branch"),
        (format!("build oidc --provider github --branch b --account {ID}"), "needs --repo"),
        (format!("build oidc --provider github --repo o/* --branch b --account {ID}"), "is not a GitHub repository"),
        (format!("build oidc --provider github --repo o@1/r --branch b --account {ID}"), "or ORG@ID/REPO@ID"),
        (format!("build oidc --provider github --repo o/r@1 --branch b --account {ID}"), "is not a GitHub repository"),
        (format!("build oidc --provider github --repo o@1/r@x --branch b --account {ID}"), "is not a GitHub repository"),
        (format!("build oidc --provider github --repo o@/r@ --branch b --account {ID}"), "is not a GitHub repository"),
        (format!("build oidc --provider github --repo o/r --branch * --account {ID}"), "is not a branch"),
        (format!("build oidc --provider circleci --org o --project p --account {ID}"), "is not a CircleCI id"),
        ("build oidc --provider arn:aws:iam::123456789012:saml-provider/x --aud a --sub b".to_owned(), "OIDC provider"),
        ("build oidc --provider arn:aws:iam::123456789012:oidc-provider/gitlab.com --sub b".to_owned(), "needs --aud"),
        (
            "build oidc --provider arn:aws:iam::123456789012:oidc-provider/gitlab.com --aud a --sub *".to_owned(),
            "not only wildcards",
        ),
        (format!("{OTHER} --aud a* --sub b"), "is not an audience"),
        (format!("{OTHER} --aud ${{x}} --sub b"), "is not an audience"),
        (format!("{OTHER} --aud a --sub b${{x}}"), "cannot be the value of a claim"),
        (format!("{OTHER} --aud a --sub <sub>"), "cannot be the value of a claim"),
        (format!("build oidc --provider github --repo o/r --branch ${{x}} --account {ID}"), "is not a branch"),
        (format!("build oidc --provider github --repo ${{o}}/r --branch b --account {ID}"), "is not a GitHub repository"),
        (
            "build oidc --provider arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com \
             --aud a --sub repo:*/shop:*"
                .to_owned(),
            "lets strangers in by a wildcard",
        ),
        ("build --with-permissions".to_owned(), "service has no permissions of its own"),
        ("build --sid a-b".to_owned(), "is not a Sid"),
        ("build --name web".to_owned(), "--name does not go with --format json"),
        ("build --name a/b --format terraform".to_owned(), "is not a role's name"),
        ("build --compact --format terraform".to_owned(), "--compact does not go with"),
        ("guard imdsv3".to_owned(), "invalid value 'imdsv3'"),
    ] {
        let done = run(&words).expect_code(2);
        assert!(done.stderr.contains(says), "{words}: no {says:?} in {done}");
        assert_eq!(done.stdout, "", "{words}");
    }
    let many: Vec<String> = (0..200).map(|nth| format!("--account {nth:012}")).collect();
    let done = run(&format!("build auto-deploy {}", many.join(" "))).expect_code(2);
    assert!(done.stderr.contains("AWS takes 4096 at most"), "{done}");
}

#[test]
fn what_build_prints_goes_into_check() {
    let built = run("build consul-cluster").expect_code(0);
    let done = piped(built.stdout.as_bytes());
    assert!(
        done.0.ends_with("standard input: no errors, no warnings\n"),
        "{}",
        done.0
    );
    assert!(done.0.contains("hint pair-with-lockdown"), "{}", done.0);
    assert_eq!(done.1, Some(0));
    let several = run("build consul-cluster --with-permissions --with-guard").expect_code(0);
    let done = piped(several.stdout.as_bytes());
    assert!(
        done.0.contains(":13:1: hint further-policy $\n"),
        "{}",
        done.0
    );
    assert_eq!(done.1, Some(0));
    let twice = built.stdout.repeat(2);
    let done = piped(twice.as_bytes());
    assert!(
        done.0.contains("check one trust policy at a time"),
        "{}",
        done.0
    );
    assert_eq!(done.1, Some(1));
}

#[test]
fn a_hundred_megabytes_and_a_hundred_thousand_brackets_end_at_once() {
    let begun = Instant::now();
    let (seen, code) = piped(&vec![b'['; 100_000_000]);
    assert!(seen.contains("too-large"), "{seen}");
    assert_eq!(code, Some(1));
    for text in ["[".repeat(60_000), "[".repeat(30_000) + &"]".repeat(30_000)] {
        let (seen, code) = piped(text.as_bytes());
        assert!(seen.contains("not-json"), "{seen}");
        assert_eq!(code, Some(1));
    }
    let (seen, _) = piped("[".repeat(100_000).as_bytes());
    assert!(seen.contains("too-large"), "{seen}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

/// What `check -` says of these bytes, in 256 MiB of memory, and its exit code.
fn piped(bytes: &[u8]) -> (String, Option<i32>) {
    let mut child = Command::new("prlimit")
        .arg("--as=268435456")
        .arg(lockdown_program())
        .args(["trust-policy", "check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It stops reading when it has seen enough.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    let output = child.wait_with_output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.code(),
    )
}

#[test]
fn the_role_in_packaging_is_what_the_program_prints() {
    let file = include_str!("../../packaging/terraform/role.tf");
    let (words, role) = file.split_once('\n').unwrap();
    let words = words.strip_prefix("# ip-lockdown trust-policy ").unwrap();
    pretty_assertions::assert_eq!(run(words).expect_code(0).stdout, role);
}
