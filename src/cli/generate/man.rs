//! The man pages of the program and of `trust-policy`.

use clap::{Arg, Command};
use roff::{Inline, Roff, bold, italic, roman};

use crate::cli::{ENVIRONMENT, EXAMPLES, EXIT_CODES, Entry, FILES, SHARED_OPTIONS};

/// The command that has a page of its own.
const TRUST_POLICY: &str = "trust-policy";

/// Returns ip-lockdown(8).
pub(super) fn of_program(program: &Command) -> String {
    let mut page = title("ip-lockdown", "8");
    page.control("SH", ["NAME"]);
    page.text([roman(
        "ip-lockdown - restrict the EC2 instance metadata service to named OS users",
    )]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold("ip-lockdown"), roman(" [options] "), italic("ADDRESS")]);
    page.text([roman("["), italic("USER"), roman("]...")]);
    for command in documented(program) {
        page.control("br", []);
        page.text(synopsis("ip-lockdown ", command));
    }
    page.control("SH", ["DESCRIPTION"]);
    let about = program.get_long_about().map(ToString::to_string);
    paragraphs(
        &mut page,
        &about.unwrap_or_default().split("\n\n").collect::<Vec<_>>(),
    );
    page.control("SH", ["COMMANDS"]);
    for command in documented(program).filter(|command| command.get_name() != TRUST_POLICY) {
        for (before, command) in leaves("", command) {
            let apply = program.find_subcommand("apply");
            command_section(&mut page, &before, &before, command, apply);
        }
    }
    page.control("SS", [TRUST_POLICY]);
    page.text([roman("Builds and checks trust policies of IAM roles: see ")]);
    page.text([bold("ip-lockdown-trust-policy"), roman("(1).")]);
    page.control("SH", [SHARED_OPTIONS.to_uppercase().as_str()]);
    page.text([roman(
        "Every command accepts these options; a command ignores those that do not apply to it.",
    )]);
    options(&mut page, program);
    page.control("SH", ["EXAMPLES"]);
    for example in EXAMPLES {
        page.control("PP", []);
        page.text(prose(example.text));
        page.control("PP", []);
        page.control("RS", ["4"]);
        page.control("nf", []);
        page.text([bold(example.term)]);
        page.control("fi", []);
        page.control("RE", []);
    }
    entries(&mut page, "EXIT STATUS", &EXIT_CODES);
    entries(&mut page, "ENVIRONMENT", &ENVIRONMENT);
    page.control("PP", []);
    page.text([roman(
        "No other variable changes what ip-lockdown does. Programs that it runs inherit none of them.",
    )]);
    entries(&mut page, "FILES", &FILES);
    see_also(
        &mut page,
        &[
            ("ip-lockdown-config", "5"),
            ("ip-lockdown-trust-policy", "1"),
            ("iptables", "8"),
            ("iptables-extensions", "8"),
            ("nft", "8"),
            ("systemd.service", "5"),
        ],
    );
    page.render()
}

/// Returns ip-lockdown-trust-policy(1).
pub(super) fn of_trust_policy(program: &Command) -> String {
    let mut page = title("ip-lockdown-trust-policy", "1");
    page.control("SH", ["NAME"]);
    page.text([roman(
        "ip-lockdown-trust-policy - build and check trust policies of IAM roles",
    )]);
    let Some(command) = program.find_subcommand(TRUST_POLICY) else {
        return page.render();
    };
    page.control("SH", ["SYNOPSIS"]);
    for (nth, leaf) in leaves("", command).iter().enumerate() {
        if nth > 0 {
            page.control("br", []);
        }
        page.text(synopsis(&format!("ip-lockdown {}", leaf.0), leaf.1));
    }
    page.control("SH", ["DESCRIPTION"]);
    paragraphs(
        &mut page,
        &[
            "The trust policy of an IAM role determines who may assume the role, such as the EC2 \
           instances whose metadata service ip-lockdown(8) locks. These commands build and check \
           such policies. They need no privileges and call neither AWS nor iptables.",
        ],
    );
    page.control("SH", ["COMMANDS"]);
    for (before, command) in leaves("", command) {
        let heading = before.strip_prefix("trust-policy ").unwrap_or_default();
        command_section(&mut page, heading, &before, command, None);
    }
    page.control("SH", ["EXIT STATUS"]);
    paragraphs(&mut page, &["The exit codes are those of ip-lockdown(8)."]);
    see_also(&mut page, &[("ip-lockdown", "8")]);
    page.render()
}

/// Starts a page.
pub(super) fn title(name: &str, section: &str) -> Roff {
    let version = concat!("ip-lockdown ", env!("CARGO_PKG_VERSION"));
    let mut page = Roff::new();
    page.control("TH", [name, section, "\"\"", version]);
    page
}

/// Adds each text as a paragraph.
pub(super) fn paragraphs(page: &mut Roff, texts: &[&str]) {
    for text in texts {
        page.control("PP", []);
        page.text(prose(&sentence(text)));
    }
}

/// The commands that a page describes: all but clap's `help`.
fn documented(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
}

/// The commands below this one that have none below them, each with the names before its own.
fn leaves<'a>(before: &str, command: &'a Command) -> Vec<(String, &'a Command)> {
    if !command.has_subcommands() {
        return vec![(before.to_owned(), command)];
    }
    let before = format!("{before}{} ", command.get_name());
    documented(command)
        .flat_map(|command| leaves(&before, command))
        .collect()
}

/// `NAME [OPTIONS] POSITIONALS`, as one line.
fn synopsis(before: &str, command: &Command) -> Vec<Inline> {
    let mut line = vec![bold(format!("{before}{}", command.get_name()))];
    if command.has_subcommands() {
        line.extend([roman(" "), italic("COMMAND"), roman(" ...")]);
        return line;
    }
    if command.get_arguments().any(is_own_option) {
        line.push(roman(" [options]"));
    }
    // `ADDRESS [USER]...` is optional as a whole: no USER without ADDRESS.
    let mut open = 0;
    for positional in command.get_positionals() {
        line.push(roman(" "));
        if !positional.is_required_set() {
            line.push(roman("["));
            open += 1;
        }
        line.push(italic(value_name(positional)));
        if is_repeated(positional) {
            line.push(roman("]..."));
            open -= 1;
        }
    }
    line.push(roman("]".repeat(open)));
    line
}

/// Describes a command: synopsis, what it does, positionals, options. `before` are the names before
/// its own, of which the heading shows those in `heading`. Arguments that `described` has too, with
/// the same help, are only listed.
fn command_section(
    page: &mut Roff,
    heading: &str,
    before: &str,
    command: &Command,
    described: Option<&Command>,
) {
    page.control("SS", [format!("{heading}{}", command.get_name()).as_str()]);
    page.text(synopsis(&format!("ip-lockdown {before}"), command));
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    paragraphs(page, &about.split("\n\n").collect::<Vec<_>>());
    let own = command
        .get_arguments()
        .filter(|argument| argument.is_positional() || is_own_option(argument));
    let described = described.filter(|other| other.get_name() != command.get_name());
    let (known, new): (Vec<&Arg>, Vec<&Arg>) = own.partition(|argument| {
        described.is_some_and(|other| other.get_arguments().any(|it| is_alike(it, argument)))
    });
    for argument in new {
        page.control("TP", []);
        page.text(spelling(argument));
        explanation(page, argument);
    }
    if let (false, Some(other)) = (known.is_empty(), described) {
        page.control("TP", []);
        let mut line = Vec::new();
        for argument in known {
            if !line.is_empty() {
                line.push(roman(", "));
            }
            line.extend(spelling(argument));
        }
        page.text(line);
        page.text([
            roman("The same as for "),
            bold(other.get_name()),
            roman("."),
        ]);
    }
}

/// Whether two commands have this argument, with the same meaning.
fn is_alike(argument: &Arg, other: &Arg) -> bool {
    let help = |argument: &Arg| argument.get_long_help().map(ToString::to_string);
    argument.get_id() == other.get_id() && help(argument) == help(other)
}

/// Describes the options of the program itself, which every command has.
fn options(page: &mut Roff, program: &Command) {
    let mut all: Vec<&Arg> = program.get_arguments().collect();
    all.sort_by_key(|option| option.get_display_order());
    for option in all {
        page.control("TP", []);
        page.text(spelling(option));
        explanation(page, option);
    }
}

/// How an argument is written: `USER`, or `-o, --option VALUE`.
fn spelling(argument: &Arg) -> Vec<Inline> {
    if argument.is_positional() {
        return vec![italic(value_name(argument))];
    }
    let mut line = Vec::new();
    if let Some(short) = argument.get_short() {
        line.extend([bold(format!("-{short}")), roman(", ")]);
    }
    let long = argument.get_long().unwrap_or_default();
    line.push(bold(format!("--{long}")));
    if argument.get_action().takes_values() {
        line.extend([roman(" "), italic(value_name(argument))]);
    }
    line
}

/// The help of an argument, its values and its default.
fn explanation(page: &mut Roff, argument: &Arg) {
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let mut texts: Vec<String> = help.split("\n\n").map(sentence).collect();
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        texts.push(format!("The default is {}.", defaults.join(", ")));
    }
    for (nth, text) in texts.iter().enumerate() {
        if nth > 0 {
            page.control("IP", []);
        }
        page.text(prose(text));
    }
    let mut values = argument.get_possible_values();
    values.retain(|value| !value.is_hide_set());
    if !argument.get_action().takes_values() || values.is_empty() {
        return;
    }
    if values.iter().all(|value| value.get_help().is_none()) {
        let names: Vec<&str> = values
            .iter()
            .map(clap::builder::PossibleValue::get_name)
            .collect();
        page.control("IP", []);
        page.text([roman(format!("One of {}.", names.join(", ")))]);
        return;
    }
    page.control("RS", []);
    for value in values {
        page.control("TP", []);
        page.text([bold(value.get_name())]);
        let help = value.get_help().map(ToString::to_string);
        page.text(prose(&sentence(&help.unwrap_or_default())));
    }
    page.control("RE", []);
}

/// A section of terms and their explanations.
fn entries(page: &mut Roff, heading: &str, entries: &[Entry]) {
    page.control("SH", [heading]);
    for entry in entries {
        page.control("TP", []);
        page.text([bold(entry.term)]);
        page.text(prose(entry.text));
    }
}

fn see_also(page: &mut Roff, pages: &[(&str, &str)]) {
    page.control("SH", ["SEE ALSO"]);
    for (nth, (name, section)) in pages.iter().enumerate() {
        let comma = if nth + 1 < pages.len() { "," } else { "" };
        page.text([bold(*name), roman(format!("({section}){comma}"))]);
    }
}

/// Whether the page shows this option with its command: not a shared one, nor `--help`.
fn is_own_option(option: &Arg) -> bool {
    !option.is_positional()
        && !option.is_global_set()
        && !option.is_hide_set()
        && option.get_id() != "help"
}

fn is_repeated(positional: &Arg) -> bool {
    positional
        .get_num_args()
        .is_some_and(|count| count.max_values() > 1)
}

fn value_name(argument: &Arg) -> String {
    match argument.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => argument.get_id().as_str().to_uppercase(),
    }
}

/// The text, with what is between backticks in bold.
fn prose(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts
        .filter(|(_, part)| !part.is_empty())
        .map(|(nth, part)| {
            if nth % 2 == 1 {
                bold(part)
            } else {
                roman(part)
            }
        })
        .collect()
}

/// Ends the text with a full stop, which clap removes from help texts of one sentence.
fn sentence(text: &str) -> String {
    if text.ends_with(['.', ':']) || text.is_empty() {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}
