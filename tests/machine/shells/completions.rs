//! The completion scripts, in real shells on a terminal. Needs no root; needs bash, bash-completion, zsh and fish.
//!
//! `ip-lockdown` is a function of the shell here, which prints its arguments: after Tab and Enter they show what the
//! shell completed.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::terminal::Terminal;

/// What is typed before Tab, and the arguments that the command line then has.
const COMPLETED: [(&str, &[&str]); 26] = [
    ("ver", &["verify"]),
    ("trust-policy che", &["trust-policy", "check"]),
    ("generate config", &["generate", "config-man"]),
    (
        "generate completions fi",
        &["generate", "completions", "fish"],
    ),
    ("help stat", &["help", "status"]),
    // Options, also of commands.
    ("--layer", &["--layers"]),
    ("verify --no-p", &["verify", "--no-probe"]),
    ("verify --vari", &["verify", "--variant"]),
    ("-v verify --no-p", &["-v", "verify", "--no-probe"]),
    (
        "--wait 3 verify --no-p",
        &["--wait", "3", "verify", "--no-probe"],
    ),
    (
        "trust-policy check --auto",
        &["trust-policy", "check", "--automated"],
    ),
    // Their values.
    ("--output js", &["--output", "json"]),
    ("verify --output js", &["verify", "--output", "json"]),
    ("apply --forwarded al", &["apply", "--forwarded", "allow"]),
    ("status --layers nft", &["status", "--layers", "nftables"]),
    ("verify --output=js", &["verify", "--output=json"]),
    (
        "verify --config USED",
        &["verify", "--config", "USED-here.toml"],
    ),
    // Addresses, users and groups.
    ("verify 169.", &["verify", "169.254.169.254"]),
    ("verify fd00:e", &["verify", "fd00:ec2::254"]),
    (
        "verify 169.254.169.254 USER",
        &["verify", "169.254.169.254", "USER"],
    ),
    (
        "verify fd00:ec2::254 bin USER",
        &["verify", "fd00:ec2::254", "bin", "USER"],
    ),
    ("enable --group GROUP", &["enable", "--group", "GROUP"]),
    // Without a command: `apply`.
    ("169.", &["169.254.169.254"]),
    ("169.254.169.254 USER", &["169.254.169.254", "USER"]),
    (
        "169.254.169.254 root --dry",
        &["169.254.169.254", "root", "--dry-run"],
    ),
    (
        "--variant nft 169.254.169.254 verify --group GROUP",
        &[
            "--variant",
            "nft",
            "169.254.169.254",
            "verify",
            "--group",
            "GROUP",
        ],
    ),
];

/// What is typed before Tab, words that the shell then offers, and words that it does not.
const OFFERED: [(&str, &[&str], &[&str]); 4] = [
    (
        "",
        &[
            "apply",
            "verify",
            "status",
            "trust-policy",
            "169.254.169.254",
        ],
        &["no-probe"],
    ),
    (
        "verify --",
        &["--no-probe", "--group", "--layers", "--quiet"],
        &["dry-run", "settle"],
    ),
    (
        "169.254.169.254 --",
        &["--dry-run", "--forwarded", "--output"],
        &["no-probe"],
    ),
    ("remove --o", &["--only", "--output"], &["forwarded"]),
];

/// A name, of those that `getent` lists, that is the only one with all but its last letter.
fn unique_name(database: &str) -> String {
    let listed = Command::new("getent")
        .arg(database)
        .output()
        .expect("getent");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    let is_unique = |name: &&&str| {
        let start = &name[..name.len() - 1];
        name.len() > 3
            && name.bytes().all(|byte| byte.is_ascii_lowercase())
            && names
                .iter()
                .filter(|other| other.starts_with(start))
                .count()
                == 1
    };
    let name = names.iter().find(is_unique);
    (*name.unwrap_or_else(|| panic!("no name of {names:?} has a beginning of its own"))).to_owned()
}

/// A directory with the completion script of this shell, at the path that the shell loads it from, and a file
/// to complete.
fn directory(shell: &str, path: &str) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    let script = Command::new(env!("CARGO_BIN_EXE_ip-lockdown"))
        .args(["generate", "completions", shell])
        .output()
        .expect("the program");
    assert!(script.status.success(), "{script:?}");
    let path = directory.path().join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(path, script.stdout).expect("the script");
    fs::write(directory.path().join("USED-here.toml"), "").expect("a file");
    directory
}

/// Starts the shell in the directory, and tries everything.
fn expect_completions(shell: &[&str], setup: &str, directory: &Path) {
    let mut terminal = Terminal::start(shell, directory);
    terminal.press(&format!("{setup}\r"));
    terminal.press("echo rea''dy\r");
    terminal.expect("ready");
    terminal.settle();
    let (user, group) = (unique_name("passwd"), unique_name("group"));
    for command in ["ip-lockdown", "sudo ip-lockdown"] {
        for (typed, arguments) in COMPLETED {
            let short = |name: &str| name[..name.len() - 1].to_owned();
            let typed = typed
                .replace("USER", &short(&user))
                .replace("GROUP", &short(&group));
            let arguments = arguments.join("><");
            let arguments = arguments.replace("USER", &user).replace("GROUP", &group);
            terminal.forget();
            terminal.press(&format!("{command} {typed}\t"));
            terminal.settle();
            terminal.press("\r");
            terminal.expect(&format!("<{arguments}>."));
        }
    }
    for (typed, offered, not_offered) in OFFERED {
        terminal.forget();
        terminal.press(&format!("ip-lockdown {typed}\t\t"));
        for word in offered {
            terminal.expect(word);
        }
        terminal.settle();
        let seen = terminal.screen();
        for word in not_offered {
            assert!(!seen.contains(word), "{word} after {typed:?}: {seen}");
        }
        // Ctrl-C: the next line is a new one.
        terminal.press("\u{3}");
        terminal.settle();
    }
}

/// Functions of bash and zsh for the program and for sudo.
const FUNCTIONS: &str = "ip-lockdown() { printf '<%s>' \"$@\"; echo .; }; sudo() { \"$@\"; }";

#[test]
fn bash_completes_with_bash_completion() {
    let loader = "/usr/share/bash-completion/bash_completion";
    assert!(
        Path::new(loader).exists(),
        "bash-completion is missing: sudo tests/requirements.sh test"
    );
    // bash-completion loads the script when it is first needed, from `completions` below this directory.
    let directory = directory("bash", "completions/ip-lockdown");
    let setup = format!(
        "export BASH_COMPLETION_USER_DIR=$PWD; . {loader}; bind 'set page-completions off'; {FUNCTIONS}"
    );
    expect_completions(&["bash", "--norc", "--noprofile"], &setup, directory.path());
}

#[test]
fn bash_completes_without_bash_completion() {
    let directory = directory("bash", "script");
    let setup = format!(
        ". ./script; bind 'set page-completions off'; {FUNCTIONS}; complete -F _sudo sudo; \
         _sudo() {{ COMP_WORDS=(\"${{COMP_WORDS[@]:1}}\"); COMP_CWORD=$((COMP_CWORD - 1)); _ip_lockdown ip-lockdown \"$2\" \"$3\"; }}"
    );
    expect_completions(&["bash", "--norc", "--noprofile"], &setup, directory.path());
}

#[test]
fn zsh_completes() {
    let directory = directory("zsh", "site-functions/_ip-lockdown");
    let setup = format!(
        "PS1='%# '; fpath=($PWD/site-functions $fpath); autoload -Uz compinit; compinit -u -D; \
         LISTMAX=0; unsetopt automenu; {FUNCTIONS}"
    );
    expect_completions(&["zsh", "-f", "-i"], &setup, directory.path());
}

#[test]
fn fish_completes() {
    let directory = directory("fish", "completions/ip-lockdown.fish");
    let setup = "set fish_complete_path $PWD/completions $fish_complete_path; set fish_greeting; set fish_autosuggestion_enabled 0; \
                 function ip-lockdown; printf '<%s>' $argv; echo .; end; function sudo; $argv; end";
    expect_completions(&["fish", "--private"], setup, directory.path());
}
