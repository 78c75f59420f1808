//! README, `--help`, the man page and the pages in `docs` say what the program does, all of it and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a page that cannot be read as expected must fail the test"
)]

#[path = "docs/markdown.rs"]
mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Mutex;
use std::{env, fs};

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory};
use ip_lockdown::cli::Cli;
use ip_lockdown::exit_code::ExitCode;
use ip_lockdown::verify::Check;
use lab::{Done, Lab, Variant, lockdown_program};
use markdown::{blocks, rows, section, sections, spans};
use pretty_assertions::assert_eq;
use serde_json::Value;
use trust_policy::Code;

const README: &str = include_str!("../README.md");
const FINDINGS: &str = include_str!("../docs/findings.md");
const JSON: &str = include_str!("../docs/json.md");
const TRUST_POLICY: &str = include_str!("../docs/trust-policy.md");
const PACKAGING: &str = include_str!("../packaging/README.md");
const CHANGELOG: &str = include_str!("../CHANGELOG.md");

/// The long options of each command; those of the program itself are under "".
type Options = BTreeMap<String, BTreeSet<String>>;

/// The definition of the command line, complete.
fn definition() -> Command {
    let mut definition = Cli::command();
    definition.build();
    definition
}

fn commands(definition: &Command) -> impl Iterator<Item = &Command> {
    definition
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
}

/// The arguments of a command, and of the commands below it.
fn arguments(command: &Command) -> Vec<&Arg> {
    let below = commands(command).flat_map(arguments);
    command.get_arguments().chain(below).collect()
}

fn long_option(option: &Arg) -> Option<String> {
    Some(format!("--{}", option.get_long()?))
}

fn defined_options() -> Options {
    let definition = definition();
    let mut options: Options = commands(&definition)
        .map(|command| {
            let options = arguments(command).into_iter().filter_map(long_option);
            (command.get_name().to_owned(), options.collect())
        })
        .collect();
    let of_program = definition.get_arguments().filter_map(long_option);
    options.insert(String::new(), of_program.collect());
    options
}

/// Every word of the text that is a long option.
fn long_words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.strip_prefix("--").is_some_and(|name| !name.is_empty()))
        .map(str::to_owned)
}

fn value_name(positional: &Arg) -> String {
    match positional.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => positional.get_id().as_str().to_uppercase(),
    }
}

#[test]
fn readme_lists_every_command_with_its_words() {
    fn usages(command: &Command, before: &str) -> Vec<String> {
        let name = format!("{before}{}", command.get_name());
        // Without a subcommand, the command is complete as well: `trust-policy build [PRESET]`.
        if let Some(value) = command.get_subcommand_value_name() {
            return vec![format!("{name} {value}")];
        }
        if command.has_subcommands() {
            return commands(command)
                .flat_map(|sub| usages(sub, &format!("{name} ")))
                .collect();
        }
        let words = command.get_positionals().map(value_name);
        vec![
            std::iter::once(name)
                .chain(words)
                .collect::<Vec<_>>()
                .join(" "),
        ]
    }
    let mut defined: BTreeSet<String> = commands(&definition())
        .flat_map(|command| usages(command, ""))
        .collect();
    defined.insert("ip-lockdown ADDRESS USER".to_owned());
    let written: BTreeSet<String> = rows(&section(README, 2, "Commands"))
        .iter()
        .filter(|row| row.len() == 2)
        .flat_map(|row| spans(&row[0]))
        .map(|usage| usage.replace(['[', ']', '.'], ""))
        .collect();
    assert_eq!(written, defined);
}

/// The rows of the tables of options.
fn option_rows() -> Vec<Vec<String>> {
    ["Commands", "Trust policy"]
        .iter()
        .flat_map(|heading| rows(&section(README, 2, heading)))
        .filter(|row| row.len() == 3)
        .collect()
}

#[test]
fn readme_lists_every_option_of_every_command() {
    let defined = defined_options();
    let mut written: Options = defined
        .keys()
        .map(|command| (command.clone(), BTreeSet::new()))
        .collect();
    for row in option_rows() {
        let of: Vec<String> = match row[1].as_str() {
            "every command" => defined.keys().cloned().collect(),
            "no command" => vec![String::new()],
            _ => spans(&row[1]),
        };
        for command in of {
            let options = written.get_mut(&command);
            let options = options.unwrap_or_else(|| panic!("there is no command {command}"));
            options.extend(long_words(&row[0]));
        }
    }
    assert_eq!(written, defined);
}

#[test]
fn readme_gives_the_values_of_every_option() {
    let definition = definition();
    let table = option_rows();
    for option in arguments(&definition) {
        let Some(long) = long_option(option) else {
            continue;
        };
        let row = table
            .iter()
            .find(|row| long_words(&row[0]).any(|word| word == long))
            .unwrap_or_else(|| panic!("README has no row for {long}"));
        if let Some(short) = option.get_short() {
            assert!(row[0].contains(&format!("`-{short}`")), "{row:?}");
        }
        if !option.get_action().takes_values() {
            continue;
        }
        let values: Vec<_> = option
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect();
        let shown = match values.len() {
            0 => value_name(option),
            _ => values.join("|"),
        };
        assert!(row[0].contains(&format!("`{long} {shown}`")), "{row:?}");
        for default in option.get_default_values() {
            let default = default.to_str().unwrap();
            let says = row[2].contains(default) || row[0].contains(&format!("{long} {default}|"));
            assert!(says, "{row:?} has no {default}");
        }
    }
}

#[test]
fn every_command_line_in_the_pages_is_one_that_the_program_takes() {
    let mut seen = 0;
    for page in [README, FINDINGS, JSON, TRUST_POLICY, PACKAGING, CHANGELOG] {
        let code = page.split("```").skip(1).step_by(2).flat_map(str::lines);
        for line in code.map(str::to_owned).chain(spans(page)) {
            let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
            if !line.starts_with("ip-lockdown ") {
                continue;
            }
            let words = line
                .split_whitespace()
                .take_while(|word| !["#", "|", "&&"].contains(word));
            match Cli::from_words(words.map(OsString::from).collect()) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::DisplayHelp => {}
                Err(error) => panic!("{line}: {error}"),
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} command lines were found");
}

#[test]
fn no_page_names_an_option_that_does_not_exist() {
    let defined: BTreeSet<String> = defined_options().into_values().flatten().collect();
    for page in [README, FINDINGS, JSON, TRUST_POLICY, PACKAGING, CHANGELOG] {
        for span in spans(page).iter().filter(|span| span.starts_with("--")) {
            let option = long_words(span).next().unwrap();
            assert!(defined.contains(&option), "`{span}`");
        }
    }
}

/// The man page, without the escapes of roff.
fn man_page(lab: &Lab) -> String {
    let page = lab.run(&[lockdown_program().to_str().unwrap(), "generate", "man"]);
    let text = page.expect_code(0).stdout;
    [
        ("\\-", "-"),
        ("\\fB", ""),
        ("\\fI", ""),
        ("\\fR", ""),
        ("\\*(Aq", "'"),
        ("\\&", ""),
        ("\\.", "."),
    ]
    .into_iter()
    .fold(text, |text, (roff, plain)| text.replace(roff, plain))
}

#[test]
fn the_man_page_of_the_configuration_has_every_key_and_a_configuration_as_example() {
    let lab = Lab::new(Variant::Nft);
    let page = lab.lockdown(&["generate", "config-man"]);
    let page = page.expect_code(0).stdout;
    for key in ip_lockdown::config::KEYS {
        assert!(
            page.contains(&format!("\\fB{}\\fR = ", key.name)),
            "{}: {page}",
            key.name
        );
    }
    let example = page.split(".SH EXAMPLE\n.nf\n").nth(1).unwrap();
    let text = example.split("\n.fi").next().unwrap().replace("\\-", "-");
    let source = ip_lockdown::config::Source {
        name: "the example".to_owned(),
        text,
    };
    assert_eq!(ip_lockdown::config::parse(&[source]).unwrap().len(), 1);
}

#[test]
fn the_man_page_lists_every_option_of_every_command() {
    let lab = Lab::new(Variant::Nft);
    let page = man_page(&lab);
    let mut written = Options::new();
    let mut command = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix(".SH \"COMMAND ") {
            // The commands of a command have sections of their own: COMMAND GENERATE MAN.
            let name = heading.split([' ', '"']).next().unwrap();
            command = name.to_lowercase();
        }
        if line == ".TP" {
            let options = written.entry(command.clone()).or_default();
            options.extend(long_words(lines.next().unwrap()));
        }
    }
    assert_eq!(written, defined_options());
}

/// The numbers and meanings below the heading, which end at an empty line or roff's next request.
fn exit_codes(text: &str, heading: &str) -> Vec<(String, String)> {
    let mut codes: Vec<(String, String)> = Vec::new();
    let after = text.split(heading).nth(1).expect("exit codes");
    for line in after.lines().skip(1) {
        let line = line.trim();
        match line.split_once("  ") {
            _ if line.is_empty() || line.starts_with('.') => break,
            Some((number, meaning)) if number.parse::<u8>().is_ok() => {
                codes.push((number.to_owned(), meaning.trim().to_owned()));
            }
            _ => {
                let (_, meaning) = codes.last_mut().expect("a code before its second line");
                *meaning = format!("{meaning} {line}");
            }
        }
    }
    codes
}

#[test]
fn readme_help_and_man_page_give_the_same_exit_codes() {
    let written: Vec<(String, String)> = rows(&section(README, 2, "Exit codes"))
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let numbers = [
        ExitCode::Done,
        ExitCode::DoesNotHold,
        ExitCode::BadInput,
        ExitCode::CouldNot,
        ExitCode::Degraded,
    ]
    .map(|code| code.number().to_string());
    assert!(written.iter().map(|(number, _)| number).eq(&numbers));
    let help = definition().render_long_help().to_string();
    assert_eq!(exit_codes(&help, "Exit codes:"), written);
    assert_eq!(
        exit_codes(
            &man_page(&Lab::new(Variant::Nft)),
            ".SH \"EXIT STATUS\"\n.nf"
        ),
        written
    );
}

#[test]
fn every_check_has_its_place_in_the_findings() {
    let headings: Vec<&str> = sections(FINDINGS, 3)
        .into_iter()
        .map(|(heading, text)| {
            for part in ["Looked at", "Fail", "Cause", "Cure"] {
                assert!(
                    text.contains(&format!("- **{part}**")),
                    "{heading}: no {part}"
                );
            }
            heading
        })
        .collect();
    assert_eq!(headings, Check::ALL.map(Check::id));
}

#[test]
fn every_code_of_trust_policies_has_its_row() {
    let table: Vec<_> = rows(&section(TRUST_POLICY, 2, "Diagnostics"));
    let written: BTreeSet<(String, String)> = table
        .iter()
        .map(|row| {
            let [code, severity, cause, fix] = &row[..] else {
                panic!("{row:?}");
            };
            assert!(!cause.is_empty() && !fix.is_empty(), "{row:?}");
            (spans(code).concat(), severity.clone())
        })
        .collect();
    let codes = Code::ALL.iter();
    let defined = codes.map(|code| (code.id().to_owned(), code.severity().to_string()));
    assert_eq!(written, defined.collect());
    assert_eq!(table.len(), Code::ALL.len());
}

/// Every key, by its path.
fn key_paths(value: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let path = format!("{path}.{key}");
                    collect(value, &path, paths);
                    paths.insert(path);
                }
            }
            Value::Array(array) => {
                for value in array {
                    collect(value, &format!("{path}[]"), paths);
                }
            }
            _ => {}
        }
    }
    let mut paths = BTreeSet::new();
    collect(value, "", &mut paths);
    paths
}

/// Puts the units of this tree where packages put them.
fn install_units(lab: &Lab) {
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd");
    let there = "/usr/lib/systemd/system";
    lab.sh(&format!(
        "mkdir -p {there}; cp {units}/ip-lockdown* {there}"
    ))
    .expect_code(0);
}

#[test]
fn the_json_page_has_every_key_that_the_program_prints() {
    let lab = Lab::new(Variant::Nft);
    let json = |code: i32, words: &[&str]| -> Value {
        lab.lockdown(&[&["--output", "json"], words].concat())
            .expect_code(code)
            .json()
    };
    let words = ["169.254.169.254", "root", "1000-1099", "--group", "adm"];
    let printed = [
        (
            "apply --dry-run",
            json(0, &[&["--dry-run"], &words[..]].concat()),
        ),
        ("apply", json(0, &words)),
        ("verify", json(0, &["verify"])),
        ("status", json(0, &["status"])),
        ("remove", json(0, &["remove"])),
        ("enable and disable", {
            install_units(&lab);
            json(0, &["enable", "169.254.169.254", "root"])
        }),
        (
            "trust-policy check",
            json(1, &["trust-policy", "check", "/dev/null"]),
        ),
        ("Errors", json(2, &["169.254.169.254", "no-such-user"])),
    ];
    let mut in_tables: BTreeSet<String> = BTreeSet::new();
    for row in rows(JSON) {
        in_tables.extend(spans(&row[0]));
    }
    let mut keys = BTreeSet::new();
    for (name, printed) in &printed {
        let examples = blocks(&section(JSON, 2, name), "json");
        let example: Value = serde_json::from_str(&examples[0]).unwrap();
        assert_eq!(key_paths(&example), key_paths(printed), "{name}");
        let paths = key_paths(printed);
        keys.extend(
            paths
                .iter()
                .map(|path| path.rsplit('.').next().unwrap().to_owned()),
        );
    }
    assert_eq!(in_tables, keys);
}

/// Makes the host of the lab the reader's: `sudo`, the program in its place, and iptables of that variant.
fn readers_host(variant: Variant) -> Lab {
    let lab = Lab::new(variant);
    lab.stub(
        "/usr/bin/sudo",
        "#!/bin/sh\nif [ \"$1\" = -u ]; then user=$2; shift 2; exec runuser -u \"$user\" -- \"$@\"; fi\nexec \"$@\"\n",
    );
    let program = lockdown_program();
    lab.stub(
        "/usr/sbin/ip-lockdown",
        &format!("#!/bin/sh\nexec {} \"$@\"\n", program.display()),
    );
    lab.sh(&format!(
        "for program in iptables ip6tables; do ln -sf \"$program-{variant}\" \"/usr/sbin/$program\"; done"
    ))
    .expect_code(0);
    lab
}

/// Types the command lines of the block into a shell of the reader's host; gives the block as it is then.
fn play(lab: &Lab, block: &str) -> String {
    let mut seen = String::new();
    for line in block.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        let script = format!("exec 2>&1; {command}");
        let Done { stdout, .. } = lab.run(&["bash", "-c", &script]);
        seen = format!("{seen}{line}\n{stdout}");
        if !stdout.is_empty() && !stdout.ends_with('\n') {
            seen.push('\n');
        }
    }
    seen
}

/// Without what differs from run to run, or from one release of curl to the next.
fn steady(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| match line {
            _ if line.starts_with("curl: ") => line.split(" after ").next().unwrap().to_owned(),
            _ if line.contains("packets passed") => {
                let (address, counters) = line.rsplit_once(": ").unwrap();
                let counters = counters.replace(|c: char| c.is_ascii_digit(), "");
                format!("{address}: {counters}")
            }
            _ => line.to_owned(),
        })
        .collect()
}

/// Compares a block of README with what was seen. With BLESS=1 in the environment, what was seen takes its place.
#[track_caller]
fn compare(block: &str, seen: &str, variant: Variant) {
    static WRITING: Mutex<()> = Mutex::new(());
    if steady(block) == steady(seen) || env::var_os("BLESS").is_none() {
        assert_eq!(steady(seen), steady(block), "{variant}");
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let _alone = WRITING.lock().unwrap();
    let page = fs::read_to_string(&path).unwrap();
    fs::write(&path, page.replace(block, seen)).unwrap();
}

#[test]
fn the_tour_of_readme_goes_as_printed() {
    let lab = readers_host(Variant::Nft);
    let tour = blocks(&section(README, 2, "A minute's tour"), "console");
    assert!(!tour.is_empty());
    for block in tour {
        compare(&block, &play(&lab, &block), Variant::Nft);
    }
}

#[test]
fn readme_shows_the_rules_that_are_installed() {
    // With iptables-legacy other layers are laid, and the stamp tells.
    let lab = readers_host(Variant::Nft);
    lab.run(&["ip-lockdown", "169.254.169.254", "root"])
        .expect_code(0);
    let shown = blocks(&section(README, 2, "The rules"), "console");
    assert!(!shown.is_empty());
    for block in shown {
        compare(&block, &play(&lab, &block), Variant::Nft);
    }
}

#[test]
fn readme_shows_what_trust_policy_prints() {
    let lab = readers_host(Variant::Nft);
    let shown = blocks(&section(README, 2, "Trust policy"), "console");
    assert!(!shown.is_empty());
    for block in shown {
        compare(&block, &play(&lab, &block), Variant::Nft);
    }
}
