//! Results go to standard output, log lines to standard error; by default, actions are not logged.

use lab::{Done, Lab, Variant};
use serde_json::Value;

use crate::cli::support::{Locked, V4};

#[test]
fn nothing_is_said_on_standard_error_when_all_is_well() {
    for variant in Variant::ALL {
        let lab = Lab::new(variant);
        for words in [
            &["--dry-run", V4, "root"][..],
            &[V4, "root"],
            &[V4, "root"],
            &["verify"],
            &["status"],
            &["remove"],
            &["remove"],
            &["status"],
            &["generate", "man"],
        ] {
            let done = lab.lockdown(words).expect_code(0);
            assert_eq!(done.stderr, "", "{done}");
            assert_ne!(done.stdout, "", "{done}");
        }
    }
}

/// The standard error of `status` with these options and this `RUST_LOG`.
#[track_caller]
fn logged(lab: &Lab, rust_log: Option<&str>, options: &[&str]) -> String {
    let mut command = lab.command("env");
    command.args(rust_log.map(|value| format!("RUST_LOG={value}")));
    command
        .arg(lab::lockdown_program())
        .arg(format!("--variant={}", lab.variant()));
    let done = Done::of(command.args(options).arg("status")).expect_code(0);
    assert!(done.stdout.starts_with("no address is locked"), "{done}");
    done.stderr
}

#[test]
fn more_is_logged_on_request() {
    let lab = Lab::new(Variant::Nft);
    assert_eq!(logged(&lab, None, &[]), "");
    assert!(logged(&lab, None, &["-vv"]).contains("debug: "));
    assert!(!logged(&lab, None, &["-v"]).contains("debug: "));
    assert!(logged(&lab, Some("debug"), &[]).contains("debug: "));
    assert!(logged(&lab, Some("ip_lockdown=debug"), &[]).contains("debug: "));
    assert_eq!(logged(&lab, Some("error"), &["-vv"]), "");
    assert_eq!(logged(&lab, Some("off"), &["-vv"]), "");
    assert_eq!(logged(&lab, Some(""), &[]), "");
    let bad = logged(&lab, Some("=,=\u{1b}"), &[]);
    assert!(
        bad.contains("is not a valid filter") && !bad.contains('\u{1b}'),
        "{bad}"
    );
    // No terminal, no colours.
    assert!(!logged(&lab, Some("trace"), &[]).contains('\u{1b}'));
}

#[test]
fn json_is_one_object_for_every_command_and_error() {
    let lab = Lab::new(Variant::Nft);
    for (words, command, code) in [
        (&["status"][..], "status", 0),
        (&["verify"], "verify", 1),
        (&["remove"], "remove", 0),
        (&["--dry-run", V4, "root"], "apply", 0),
        (&[V4, "root"], "apply", 0),
        (&["apply", V4], "apply", 0),
        (&["verify"], "verify", 0),
        (&["verify", V4, "root"], "verify", 1),
        (&["verify", "--no-probe"], "verify", 4),
        (&["remove", V4], "remove", 0),
        (&["somewhere", "root"], "apply", 2),
        (&[V4, "nosuchuser"], "apply", 2),
        (&["verify", V4, "a b"], "verify", 2),
        (&["remove", "10.0.0.0/8"], "remove", 2),
        (&["verify", "--bogus"], "usage", 2),
        (&["verify", "--only"], "usage", 2),
        (&["stauts"], "usage", 2),
    ] {
        let done = Done::of(lab.program().arg("--output=json").args(words)).expect_code(code);
        let json: Value = done.json();
        assert_eq!(json["schema"], 1, "{done}");
        assert_eq!(json["command"], command, "{done}");
        assert_eq!(json["exit_code"], code, "{done}");
        assert!(done.stdout.ends_with("}\n"), "{done}");
        if code == 2 {
            let error = json["error"].as_str().expect("a message");
            assert!(done.stderr.contains(error), "{done}");
        }
    }
}

#[test]
fn a_result_that_cannot_be_written_is_an_error_and_no_panic() {
    let locked = Locked::new(Variant::Nft);
    for words in [
        "status",
        "verify",
        "status --output=json",
        "verify --output=json",
        "169.254.169.254 root",
        "169.254.169.254 root --output=json",
        "--dry-run 169.254.169.254 alice",
        "generate man",
        "generate completions bash",
        "generate completions fish",
        "--help",
        "-h",
        "--version",
        "help verify",
        "trust-policy build",
        "trust-policy build --help",
    ] {
        let program = lab::lockdown_program();
        let script = format!("{} --variant=nft {words} > /dev/full", program.display());
        let done = locked.lab.run(&["bash", "-c", &script]).expect_code(3);
        assert!(
            done.stderr.contains("cannot write to standard output"),
            "{done}"
        );
        assert!(!done.stderr.contains("panicked"), "{done}");
    }
    locked.expect_unchanged();
}

#[test]
fn closed_and_broken_outputs_cause_no_panic() {
    let locked = Locked::new(Variant::Nft);
    let program = lab::lockdown_program();
    for redirection in [
        ">&-",
        "2>&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        "| true",
        "> /dev/full 2> /dev/full",
    ] {
        for words in [
            "status",
            "verify",
            "169.254.169.254 root",
            "--help",
            "--version",
            "somewhere",
            "generate man",
        ] {
            let script = format!("{} --variant=nft {words} {redirection}", program.display());
            let done = locked.lab.run(&["bash", "-c", &script]);
            assert!(!done.stderr.contains("panicked"), "{redirection}: {done}");
            // 134 is the abort of a panic.
            assert!(
                done.code.is_some_and(|code| code <= 4),
                "{redirection}: {done}"
            );
        }
    }
    locked.expect_unchanged();
}

#[test]
fn help_and_version_are_no_errors() {
    let lab = Lab::new(Variant::Nft);
    for (words, says) in [
        (&["--help"][..], "169.254.169.254"),
        (&["-h"], "ADDRESS"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["-V"], env!("CARGO_PKG_VERSION")),
        (&["help"], "Exit codes"),
        (&["help", "apply"], "--dry-run"),
        (&["apply", "--help"], "--dry-run"),
        (&["verify", "--help"], "--no-probe"),
        (&["status", "--help"], "--output"),
        (&["remove", "--help"], "--only"),
        (&["generate", "--help"], "completions"),
    ] {
        let done = Done::of(lab.command(lab::lockdown_program()).args(words)).expect_code(0);
        assert!(done.stdout.contains(says), "no {says:?} in {done}");
        assert_eq!(done.stderr, "");
    }
}

#[test]
fn bash_completions_are_a_script_that_bash_takes() {
    let lab = Lab::new(Variant::Nft);
    let program = lab::lockdown_program();
    let script = format!(
        "{0} generate completions bash > /run/completions; bash -n /run/completions; \
         . /run/completions; complete -p ip-lockdown",
        program.display()
    );
    let done = lab.run(&["bash", "-euc", &script]).expect_code(0);
    assert!(done.stdout.contains("ip-lockdown"), "{done}");
    for shell in ["zsh", "fish"] {
        let done = lab
            .lockdown(&["generate", "completions", shell])
            .expect_code(0);
        assert!(done.stdout.contains("ip-lockdown"), "{done}");
    }
}
