//! `trust-policy`: output, messages and exit codes of the program.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests start the program themselves"
)]
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Done, lockdown_program};
use serde_json::Value;

/// Runs `ip-lockdown trust-policy` with these arguments.
#[track_caller]
fn run(arguments: &str) -> Done {
    Done::of(command().args(arguments.split_whitespace()))
}

fn command() -> Command {
    let mut command = Command::new(lockdown_program());
    // Without programs, a home directory and AWS credentials.
    command
        .env_clear()
        .env("PATH", "/nonexistent")
        .arg("trust-policy");
    command
}

/// Checks this text, in a file.
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
fn the_exit_code_distinguishes_valid_invalid_and_unreadable() {
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
fn a_file_keeps_the_name_that_was_given() {
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
        // The terminal must print control characters, not interpret them.
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
    for (arguments, says) in [
        ("build machine-user".to_owned(), "IAM users need long-lived access keys"),
        ("build machine-user".to_owned(), "use third-party"),
        ("build machine-user --account x --service y".to_owned(), "or oidc"),
        ("build nothing".to_owned(), "unrecognized subcommand 'nothing'"),
        ("build --service lamda".to_owned(), "did you mean \"lambda.amazonaws.com\"?"),
        ("build --service EC2".to_owned(), "did you mean \"ec2.amazonaws.com\"?"),
        ("build --service *".to_owned(), "a service must be named in full"),
        ("build --service efs".to_owned(), "did you mean \"elasticfilesystem.amazonaws.com\"?"),
        ("build --service arn:aws:iam::123456789012:root".to_owned(), "is an ARN"),
        ("build --service ec2.example.org".to_owned(), "is not the name of an AWS service"),
        ("build --account 123456789012".to_owned(), "unexpected argument '--account'"),
        ("build consul-cluster --service ec2".to_owned(), "unexpected argument '--service'"),
        ("build --service ec2 consul-cluster".to_owned(), "--service belongs to the preset service"),
        ("build auto-deploy".to_owned(), "--account <ID>|--role-arn <ARN>"),
        ("build auto-deploy --account 1234".to_owned(), "an AWS account ID has 12 digits"),
        ("build auto-deploy --role-arn arn:aws:iam::123456789012:user/bob".to_owned(), "not the ARN of a role"),
        ("build auto-deploy --role-arn arn:aws:iam::123456789012:role/*".to_owned(), "contains a wildcard"),
        ("build auto-deploy --role-arn arn:aws:iam::123456789012:group/x".to_owned(), "is a group"),
        (
            "build auto-deploy --role-arn arn:aws-cn:iam::123456789012:role/x".to_owned(),
            "choose the partition aws-cn",
        ),
        ("build ssh-grunt".to_owned(), "--account <ID>"),
        (format!("build third-party --account {ID}"), "--external-id <ID>"),
        ("build third-party --external-id abc".to_owned(), "--account <ID>"),
        (format!("build third-party --account {ID} --external-id a"), "an external ID has 2 to 1224 characters"),
        (format!("build third-party --account {ID} --external-id a*"), "an external ID has 2 to 1224 characters"),
        ("build oidc".to_owned(), "Usage: ip-lockdown trust-policy build oidc"),
        ("build oidc --provider gitea".to_owned(), "\"gitea\" is not an identity provider"),
        ("build oidc gitea".to_owned(), "unrecognized subcommand 'gitea'"),
        (github.to_owned(), "--account <ID>"),
        (format!("{github} --account {ID} --account {ID}"), "cannot be used multiple times"),
        (format!("{github} --account {ID} --org o"), "unexpected argument '--org'"),
        (format!("build oidc --provider github --repo o/r --account {ID}"), "--branch <BRANCH>"),
        (format!("build oidc --provider github --branch b --account {ID}"), "--repo <ORG/REPO>"),
        (format!("build oidc --provider github --repo o/* --branch b --account {ID}"), "a GitHub repository is ORG/REPO"),
        (format!("build oidc --provider github --repo o@1/r --branch b --account {ID}"), "or ORG@ID/REPO@ID"),
        (format!("build oidc --provider github --repo o/r@1 --branch b --account {ID}"), "a GitHub repository is"),
        (format!("build oidc --provider github --repo o@1/r@x --branch b --account {ID}"), "a GitHub repository is"),
        (format!("build oidc --provider github --repo o@/r@ --branch b --account {ID}"), "a GitHub repository is"),
        (format!("build oidc --provider github --repo o/r --branch * --account {ID}"), "name of one git branch"),
        (format!("build oidc --provider circleci --org o --project p --account {ID}"), "a CircleCI ID is a UUID"),
        ("build oidc --provider arn:aws:iam::123456789012:saml-provider/x --aud a --sub b".to_owned(), "OIDC provider"),
        (format!("{OTHER} --sub b"), "--aud <AUDIENCE>"),
        (format!("{OTHER} --aud a --sub *"), "not only wildcards"),
        (format!("{OTHER} --aud a* --sub b"), "an audience has"),
        (format!("{OTHER} --aud ${{x}} --sub b"), "an audience has"),
        (format!("{OTHER} --aud a --sub b${{x}}"), "a subject has"),
        (format!("{OTHER} --aud a --sub <sub>"), "a subject has"),
        (format!("build oidc --provider github --repo o/r --branch ${{x}} --account {ID}"), "name of one git branch"),
        (format!("build oidc --provider github --repo ${{o}}/r --branch b --account {ID}"), "a GitHub repository is"),
        (
            "build oidc --provider arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com \
             --aud a --sub repo:*/shop:*"
                .to_owned(),
            "matches strangers",
        ),
        ("build --with-permissions".to_owned(), "unexpected argument '--with-permissions'"),
        ("build --sid a-b".to_owned(), "a Sid has letters and digits only"),
        ("build --name web".to_owned(), "--name needs --format terraform"),
        ("build --name a/b --format terraform".to_owned(), "a role name has 1 to 64 characters"),
        ("build --compact --format terraform".to_owned(), "--compact is an option of --format json"),
        ("guard imdsv3".to_owned(), "invalid value 'imdsv3'"),
    ] {
        let done = run(&arguments).expect_code(2);
        assert!(done.stderr.contains(says), "{arguments}: no {says:?} in {done}");
        assert_eq!(done.stdout, "", "{arguments}");
    }
    let many: Vec<String> = (0..200).map(|nth| format!("--account {nth:012}")).collect();
    let done = run(&format!("build auto-deploy {}", many.join(" "))).expect_code(2);
    assert!(done.stderr.contains("AWS accepts at most 4096"), "{done}");
}

/// The presets of `presets.txt`: a name, and the arguments.
fn presets() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("../tools/judge/presets.txt").lines();
    lines.filter_map(|line| line.split_once(": ").filter(|_| !line.starts_with('#')))
}

/// A file that the tests of the crate compare with, and write.
fn golden(name: &str) -> String {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/crates/trust-policy/tests/policies/golden"
    );
    std::fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

#[test]
fn the_arguments_of_every_preset_build_its_role() {
    let mut seen = 0;
    for (name, arguments) in presets() {
        for (ending, format) in [
            ("json", ""),
            ("tf", " --format terraform"),
            ("yaml", " --format=cloudformation"),
        ] {
            let printed = run(&format!("{arguments}{format}")).expect_code(0).stdout;
            assert_eq!(
                printed,
                golden(&format!("{name}.{ending}")),
                "{arguments}{format}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, 16);
    let named = run("build --name 1st.web@prod --format terraform").expect_code(0);
    assert_eq!(named.stdout, golden("named.tf"));
}

#[test]
fn a_provider_is_a_subcommand_or_an_option() {
    let arn = "arn:aws:iam::123456789012:oidc-provider/gitlab.com --aud https://gitlab.com";
    for (name, arguments) in [
        (
            "github-immutable",
            "github --repo octocat@123456/my-repo@456789 --branch main --account 123456789012",
        ),
        (
            "github-immutable",
            "--repo octocat@123456/my-repo@456789 --branch main --account 123456789012 --provider=github",
        ),
        (
            "gitlab-pattern",
            &format!("other --provider {arn} --sub project_path:group/*"),
        ),
        (
            "gitlab-pattern",
            &format!("--sub project_path:group/* --provider {arn}"),
        ),
    ] {
        let printed = run(&format!("build oidc {arguments}"))
            .expect_code(0)
            .stdout;
        assert_eq!(printed, golden(&format!("{name}.json")), "{arguments}");
    }
}

#[test]
fn options_of_every_preset_stand_before_or_after_it() {
    for arguments in [
        "build",
        "build service",
        "build --service ec2",
        "build service --service ec2.amazonaws.com --service ec2",
        "build --format json consul-cluster --partition aws-cn",
        "build --partition=aws-us-gov service",
    ] {
        assert_eq!(
            run(arguments).expect_code(0).stdout,
            golden("ec2.json"),
            "{arguments}"
        );
    }
    let compact = run("build --compact consul-cluster").expect_code(0).stdout;
    assert_eq!(compact, golden("ec2.json").replace([' ', '\n'], "") + "\n");
}

#[test]
fn guard_prints_its_policy_and_where_to_attach_it() {
    for guard in ["imdsv2", "same-vpc", "same-instance", "launch"] {
        let done = run(&format!("guard {guard}")).expect_code(0);
        assert_eq!(done.stdout, golden(&format!("guard-{guard}.json")));
        assert!(done.stderr.starts_with("note: attach it to "), "{done}");
        assert_eq!(done.stderr.lines().count(), 1, "{done}");
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
fn a_weak_role_is_built_with_a_warning() {
    for (arguments, says) in [
        (
            "build auto-deploy --account 123456789012",
            "whole-account: ",
        ),
        ("build --service imaginary", "unknown-service: "),
        (
            "build --service lambda --with-guard",
            "--with-guard has no effect on this role",
        ),
        (
            "build oidc --account 123456789012 --provider github --repo o/r --branch b --with-guard",
            "--with-guard has no effect on this role",
        ),
    ] {
        let done = run(arguments).expect_code(0);
        assert!(done.stderr.contains(says), "no {says:?} in {done}");
    }
    for arguments in [
        "build",
        "build auto-deploy --role-arn arn:aws:iam::123456789012:role/jenkins",
    ] {
        assert_eq!(run(arguments).expect_code(0).stderr, "");
    }
    let many: Vec<String> = (0..61).map(|nth| format!("--account {nth:012}")).collect();
    let done = run(&format!("build auto-deploy {}", many.join(" "))).expect_code(0);
    let is_warning = |line: &&str| line.contains("whole-account");
    let lines: Vec<&str> = done.stderr.lines().filter(is_warning).collect();
    assert_eq!(lines.len(), 1, "{done}");
    assert!(lines[0].contains("(and more of these)"), "{done}");
}

#[test]
fn check_accepts_what_build_prints() {
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

/// The output of `check -` on these bytes, in 256 MiB of memory, and its exit code.
fn piped(bytes: &[u8]) -> (String, Option<i32>) {
    let mut child = Command::new("prlimit")
        .arg("--as=268435456")
        .arg(lockdown_program())
        .args(["trust-policy", "check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The program stops reading at its limit.
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
