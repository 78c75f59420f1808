//! Completion scripts.
//!
//! bash, zsh and fish get scripts of our own, because those of `clap_complete` complete neither the
//! options of commands (bash, where the program's name has a dash), nor `ADDRESS [USER]...` without
//! a command, nor users and groups. They use what every installation of the shell has, and they
//! never run ip-lockdown.

mod bash;
mod fish;
mod zsh;

use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;

use crate::ruleset::Layer;

/// The addresses of the metadata service.
const ADDRESSES: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];

/// Returns the script for the shell.
pub(super) fn script(shell: Shell, definition: &Command) -> String {
    let contexts = contexts(definition);
    match shell {
        Shell::Bash => bash::script(&contexts),
        Shell::Fish => fish::script(&contexts),
        Shell::Zsh => zsh::script(&contexts),
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut definition.clone(), "ip-lockdown", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    }
}

/// What can follow a command.
#[derive(Debug)]
struct Context {
    /// The names of the command, such as `trust-policy build`; empty for the program itself.
    command: String,
    /// The commands below it.
    commands: Vec<Choice>,
    options: Vec<Opt>,
    positionals: Vec<Positional>,
}

/// A word and its description.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Choice {
    word: String,
    help: String,
}

#[derive(Debug, Clone)]
struct Opt {
    /// The short one with its dash.
    short: Option<String>,
    /// The long one with its dashes.
    long: String,
    help: String,
    /// The value that it takes.
    value: Option<Value>,
    /// Whether it can be given more than once.
    repeated: bool,
}

#[derive(Debug)]
struct Positional {
    value: Value,
    repeated: bool,
}

/// A value, by how it is completed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    /// `USER`.
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    User,
    Group,
    File,
    /// One of these, or, of addresses, also another.
    Choices(Vec<Choice>),
    /// Not completed.
    Free,
}

/// The contexts of the program and of all commands, the program first.
fn contexts(definition: &Command) -> Vec<Context> {
    let mut contexts = Vec::new();
    collect(definition, "", &mut contexts);
    // Without a command the arguments are those of `apply`.
    let apply = definition.find_subcommand("apply");
    if let (Some(apply), Some(program)) = (apply.map(|it| context(it, "")), contexts.first_mut()) {
        let own: Vec<String> = program.options.iter().map(|it| it.long.clone()).collect();
        let more = apply.options.into_iter();
        program
            .options
            .extend(more.filter(|option| !own.contains(&option.long)));
        program.positionals = apply.positionals;
    }
    contexts
}

fn collect(command: &Command, names: &str, contexts: &mut Vec<Context>) {
    contexts.push(context(command, names));
    for below in command.get_subcommands() {
        let names = format!("{names} {}", below.get_name());
        collect(below, names.trim_start(), contexts);
    }
}

fn context(command: &Command, names: &str) -> Context {
    let visible = |argument: &&Arg| !argument.is_hide_set();
    Context {
        command: names.to_owned(),
        commands: command
            .get_subcommands()
            .map(|below| Choice {
                word: below.get_name().to_owned(),
                help: first_sentence(below.get_about()),
            })
            .collect(),
        options: command
            .get_arguments()
            .filter(visible)
            .filter_map(option)
            .collect(),
        positionals: command
            .get_positionals()
            .map(|argument| Positional {
                value: value(argument),
                repeated: argument
                    .get_num_args()
                    .is_some_and(|it| it.max_values() > 1),
            })
            .collect(),
    }
}

fn option(argument: &Arg) -> Option<Opt> {
    let takes_value = argument.get_action().takes_values();
    Some(Opt {
        short: argument.get_short().map(|short| format!("-{short}")),
        long: format!("--{}", argument.get_long()?),
        help: first_sentence(argument.get_help()),
        value: takes_value.then(|| value(argument)),
        repeated: matches!(
            argument.get_action(),
            clap::ArgAction::Append | clap::ArgAction::Count
        ),
    })
}

fn value(argument: &Arg) -> Value {
    let name = match argument.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => argument.get_id().as_str().to_uppercase(),
    };
    let words = |words: &[&str]| {
        let choice = |word: &&str| Choice {
            word: (*word).to_owned(),
            help: String::new(),
        };
        Kind::Choices(words.iter().map(choice).collect())
    };
    let possible: Vec<Choice> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| Choice {
            word: value.get_name().to_owned(),
            help: first_sentence(value.get_help()),
        })
        .collect();
    let kind = match name.as_str() {
        "USER" => Kind::User,
        "GROUP" => Kind::Group,
        "ADDRESS" => words(&ADDRESSES),
        "LAYERS" => words(&[&["auto"][..], &Layer::ALL.map(Layer::name)].concat()),
        _ if !possible.is_empty() => Kind::Choices(possible),
        "FILE" => Kind::File,
        _ if argument.get_value_hint() == ValueHint::FilePath => Kind::File,
        _ => Kind::Free,
    };
    Value { name, kind }
}

/// The first sentence, or the first part of it, as a description of a few words.
fn first_sentence(help: Option<&clap::builder::StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    let end = ["\n", ". ", ": ", " [", " ("]
        .iter()
        .filter_map(|end| help.find(end))
        .min();
    help[..end.unwrap_or(help.len())].replace('`', "")
}

/// Every option that takes a value, as it is typed, with the value.
fn value_options(contexts: &[Context]) -> Vec<(&str, &Value)> {
    let mut all: Vec<(&str, &Value)> = Vec::new();
    for option in contexts.iter().flat_map(|context| &context.options) {
        let Some(value) = &option.value else { continue };
        for word in option.short.iter().chain([&option.long]) {
            if !all.iter().any(|(known, _)| known == word) {
                all.push((word, value));
            }
        }
    }
    all
}

/// Every command with its names, but not the program itself.
fn commands(contexts: &[Context]) -> impl Iterator<Item = &str> {
    let names = contexts.iter().map(|context| context.command.as_str());
    names.filter(|names| !names.is_empty())
}

/// In single quotes, as bash and zsh read them.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn an_option_is_the_same_in_every_command() {
        let mut definition = Cli::command();
        definition.build();
        let contexts = contexts(&definition);
        let options: Vec<&Opt> = contexts.iter().flat_map(|it| &it.options).collect();
        for option in &options {
            for other in options.iter().filter(|other| other.long == option.long) {
                assert_eq!(option.value, other.value, "{}", option.long);
                assert_eq!(option.short, other.short, "{}", option.long);
            }
        }
        assert!(contexts.len() > 10 && options.len() > 20);
    }
}
