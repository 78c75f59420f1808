//! README, `--help`, the man page and the pages in `docs` describe every command, option and finding of the program, and
//! no others.
//!
//! `tests/kernel/docs.rs` compares the output that they show with a run on a host.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory};
use ip_lockdown::cli::{Cli, EXIT_CODES};
use ip_lockdown::exit_code::ExitCode;
use ip_lockdown::verify::Check;
use lab::lockdown;
use lab::markdown::{anchors, links, rows, rows_below, section, sections, spans};
use lab::pages::{compare, page, pages, root};
use pretty_assertions::assert_eq;
use trust_policy::Code;

const USAGE: &str = "docs/usage.md";
const FINDINGS: &str = "docs/findings.md";
const TRUST_POLICY: &str = "docs/trust-policy.md";

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
fn usage_lists_every_command_with_its_arguments() {
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
    let written: BTreeSet<String> = rows(&section(&page(USAGE), 2, "Commands"))
        .iter()
        .flat_map(|row| spans(&row[0]))
        .map(|usage| usage.replace(['[', ']', '.'], ""))
        .collect();
    assert_eq!(written, defined);
}

/// The rows of the tables of options, in whichever page.
fn option_rows() -> Vec<Vec<String>> {
    pages()
        .values()
        .flat_map(|page| rows_below(page, &["option", "with", "does"]))
        .collect()
}

#[test]
fn the_pages_list_every_option_of_every_command() {
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
fn the_pages_give_the_values_of_every_option() {
    let definition = definition();
    let table = option_rows();
    for option in arguments(&definition) {
        let Some(long) = long_option(option) else {
            continue;
        };
        let row = table
            .iter()
            .find(|row| long_words(&row[0]).any(|word| word == long))
            .unwrap_or_else(|| panic!("no page has a row for {long}"));
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
    for (path, page) in pages() {
        let code = page.split("```").skip(1).step_by(2).flat_map(str::lines);
        for line in code.map(str::to_owned).chain(spans(&page)) {
            let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
            if !line.starts_with("ip-lockdown ") {
                continue;
            }
            let words = line
                .split_whitespace()
                .take_while(|word| !["#", "|", "||", "&&"].contains(word));
            match Cli::from_arguments(words.map(OsString::from).collect()) {
                Ok(_) => {}
                Err(error)
                    if [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion]
                        .contains(&error.kind()) => {}
                Err(error) => panic!("{path}: {line}: {error}"),
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} command lines were found");
}

#[test]
fn no_page_names_an_option_that_does_not_exist() {
    let defined: BTreeSet<String> = defined_options().into_values().flatten().collect();
    for (path, page) in pages() {
        for span in spans(&page).iter().filter(|span| span.starts_with("--")) {
            let option = long_words(span).next().unwrap();
            assert!(defined.contains(&option), "{path}: `{span}`");
        }
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut all = pages();
    all.insert("CONTRIBUTING.md".to_owned(), page("CONTRIBUTING.md"));
    let mut seen = 0;
    for (path, text) in &all {
        for link in links(text).iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => root().join(path),
                _ => root().join(path).parent().unwrap().join(file),
            };
            assert!(target.exists(), "{path}: {link}: there is no such file");
            if !anchor.is_empty() {
                let headings = anchors(&fs::read_to_string(&target).unwrap());
                assert!(
                    headings.iter().any(|heading| heading == anchor),
                    "{path}: {link}: none of {headings:?}"
                );
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} links were found");
}

#[test]
fn readme_is_short_and_links_every_page() {
    let readme = page("README.md");
    let lines = readme.lines().count();
    assert!(lines <= 160, "README.md has {lines} lines");
    for path in pages().keys().filter(|path| *path != "README.md") {
        assert!(
            path == "CHANGELOG.md" || links(&readme).contains(path),
            "README.md does not link {path}"
        );
    }
}

/// A man page, without the escapes of roff.
fn man_page(what: &str) -> String {
    let page = lockdown(&["generate", what]);
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
    let page = lockdown(&["generate", "config-man"]);
    let page = page.expect_code(0).stdout;
    let host = ip_lockdown::config::HOST_KEYS;
    for key in host.into_iter().chain(ip_lockdown::config::KEYS) {
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

/// The long options in each `.SS` of the COMMANDS of a man page, and those in its SHARED OPTIONS, under "".
fn options_in(page: &str) -> Options {
    let mut written = Options::new();
    let (mut section, mut command) = ("", "");
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix(".SH ") {
            section = heading.trim_matches('"');
            command = "";
        } else if let Some(name) = line.strip_prefix(".SS ") {
            command = name.trim_matches('"');
            written.entry(command.to_owned()).or_default();
        } else if line == ".TP" && ["COMMANDS", "SHARED OPTIONS"].contains(&section) {
            let options = written.entry(command.to_owned()).or_default();
            options.extend(long_words(lines.next().unwrap()));
        }
    }
    written
}

/// The options of each command that has none below it, by the names of the command, without shared and hidden ones.
fn own_options(command: &Command, before: &str) -> Options {
    let mut all = Options::new();
    for below in commands(command) {
        let names = format!("{before}{}", below.get_name());
        if below.has_subcommands() {
            all.extend(own_options(below, &format!("{names} ")));
            continue;
        }
        let own = below.get_arguments();
        let own =
            own.filter(|it| !it.is_global_set() && !it.is_hide_set() && it.get_id() != "help");
        all.insert(names, own.filter_map(long_option).collect());
    }
    all
}

#[test]
fn the_man_pages_list_every_option_of_every_command() {
    let definition = definition();
    let mut defined = own_options(&definition, "");
    let of_trust_policy = own_options(definition.find_subcommand("trust-policy").unwrap(), "");
    assert_eq!(options_in(&man_page("trust-policy-man")), of_trust_policy);
    defined.retain(|names, _| !names.starts_with("trust-policy"));
    // It has a page of its own.
    defined.insert("trust-policy".to_owned(), BTreeSet::new());
    let of_program = definition.get_arguments().filter_map(long_option);
    defined.insert(String::new(), of_program.collect());
    assert_eq!(options_in(&man_page("man")), defined);
}

#[test]
fn usage_help_and_man_page_give_the_same_exit_codes() {
    let defined = EXIT_CODES.map(|code| (code.term.to_owned(), code.text.to_owned()));
    let help = definition().render_long_help().to_string();
    let on_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (number, meaning) in &defined {
        assert!(on_one_line(&help).contains(&format!("{number} {meaning}")));
    }
    let help = defined.to_vec();
    let table = |codes: &[(String, String)]| -> String {
        let row = |(number, meaning): &(String, String)| format!("| {number} | {meaning} |\n");
        codes.iter().map(row).collect()
    };
    let written: Vec<(String, String)> = rows(&section(&page(USAGE), 2, "Exit codes"))
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    compare(USAGE, &table(&written), &table(&help));
    let numbers = [
        ExitCode::Success,
        ExitCode::CheckFailed,
        ExitCode::BadInput,
        ExitCode::Incomplete,
        ExitCode::Degraded,
    ]
    .map(|code| code.number().to_string());
    assert!(help.iter().map(|(number, _)| number).eq(&numbers));
    let page = man_page("man");
    for (number, meaning) in help {
        assert!(page.contains(&format!(".TP\n{number}\n{meaning}\n")));
    }
}

#[test]
fn every_check_has_its_place_in_the_findings() {
    let findings = page(FINDINGS);
    let headings: Vec<&str> = sections(&findings, 3)
        .into_iter()
        .map(|(heading, text)| {
            for part in ["Checked", "Fail", "Cause", "Help"] {
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
    let table = rows(&section(&page(TRUST_POLICY), 2, "Diagnostics"));
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
