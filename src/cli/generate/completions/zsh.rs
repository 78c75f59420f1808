//! The script for zsh.

use std::fmt::Write;

use super::bash::command_patterns;
use super::{Choice, Context, Kind, Opt, Value, quoted, value_options};

/// Finds the command, and removes its names from the words, so that `_arguments` sees only what
/// belongs to the command. (`path` and `words` are special in zsh.)
const BEFORE: &str = r#"#compdef ip-lockdown

@FIRST@
_ip_lockdown() {
    local word names= expects= literal=
    integer i count=0
    local -a kept=("${words[1]}") specs

    for ((i = 2; i < CURRENT; i++)); do
        word=${words[i]}
        if [[ -n $expects ]]; then
            expects=
        elif [[ -z $literal && $word == -- ]]; then
            literal=yes
        elif [[ -z $literal && $word == (@VALUE_OPTIONS@) ]]; then
            expects=yes
        elif [[ -z $literal && $word == -?* ]]; then
            :
        elif ((count == 0)) && [[ "$names/$word" == (@COMMANDS@) ]]; then
            names="${names:+$names }$word"
            continue
        else
            # ADDRESS [USER]... without a command means `apply`.
            [[ -n $names ]] || names=apply
            ((count += 1))
        fi
        kept+=("$word")
    done
    words=("${kept[@]}" "${(@)words[CURRENT,-1]}")
    CURRENT=$((${#kept} + 1))

    case $names in
"#;

const AFTER: &str = r#"    esac
    _arguments -s -S : "${specs[@]}"
}

if [[ "${funcstack[1]}" == _ip-lockdown ]]; then
    _ip_lockdown "$@"
else
    compdef _ip_lockdown ip-lockdown
fi
"#;

pub(super) fn script(contexts: &[Context]) -> String {
    let options: Vec<&str> = value_options(contexts).into_iter().map(|it| it.0).collect();
    let first = contexts.first().map(first).unwrap_or_default();
    let mut script = BEFORE
        .replace("@FIRST@", &first)
        .replace("@VALUE_OPTIONS@", &options.join("|"))
        .replace(
            "@COMMANDS@",
            &command_patterns(contexts).replace(" | ", "|"),
        );
    for context in contexts {
        let _ = writeln!(
            script,
            "        {})\n            specs=(",
            quoted(&context.command)
        );
        for spec in specs(context) {
            let _ = writeln!(script, "                {}", quoted(&spec));
        }
        script.push_str("            )\n            ;;\n");
    }
    script.push_str(AFTER);
    script
}

/// The specs of `_arguments`.
fn specs(context: &Context) -> Vec<String> {
    let mut specs: Vec<String> = context.options.iter().flat_map(option).collect();
    if context.commands.is_empty() {
        for (nth, positional) in context.positionals.iter().enumerate() {
            let nth = if positional.repeated {
                "*".to_owned()
            } else {
                (nth + 1).to_string()
            };
            specs.push(format!("{nth}{}", action(&positional.value)));
        }
    } else {
        let action = if context.positionals.is_empty() {
            choices(&context.commands).replace(':', "\\:")
        } else {
            "_ip_lockdown_first".to_owned()
        };
        specs.push(format!("1:command:{action}"));
    }
    specs
}

fn option(option: &Opt) -> Vec<String> {
    let names: Vec<&str> = option
        .short
        .iter()
        .chain([&option.long])
        .map(String::as_str)
        .collect();
    let excluded = if option.repeated {
        "*".to_owned()
    } else {
        format!("({})", names.join(" "))
    };
    let help = option.help.replace('[', "\\[").replace(']', "\\]");
    let spec = |name: &&str| match &option.value {
        Some(value) => format!("{excluded}{name}=[{help}]{}", action(value)),
        None => format!("{excluded}{name}[{help}]"),
    };
    names.iter().map(spec).collect()
}

/// The function that completes the first word: a command, or an address.
fn first(program: &Context) -> String {
    let mut groups = vec![format!("commands:command:{}", choices(&program.commands))];
    if let Some(Kind::Choices(words)) = program.positionals.first().map(|it| &it.value.kind) {
        groups.push(format!("addresses:address:{}", choices(words)));
    }
    let groups: Vec<String> = groups.iter().map(|group| quoted(group)).collect();
    let groups = groups.join(" \\\n        ");
    format!("_ip_lockdown_first() {{\n    _alternative \\\n        {groups}\n}}\n")
}

/// `:MESSAGE:ACTION`.
fn action(value: &Value) -> String {
    let action = match &value.kind {
        Kind::User => "_users".to_owned(),
        Kind::Group => "_groups".to_owned(),
        Kind::File => "_files".to_owned(),
        Kind::Choices(words) => choices(words).replace(':', "\\:"),
        // A space: nothing is completed, and the message is shown.
        Kind::Free => " ".to_owned(),
    };
    format!(":{}:{action}", value.name)
}

/// `((WORD:HELP ...))`: each a word of the shell, of which a colon in WORD is escaped.
fn choices(choices: &[Choice]) -> String {
    let all: Vec<String> = choices
        .iter()
        .map(|choice| {
            let word = choice.word.replace(':', "\\:");
            match choice.help.as_str() {
                "" => quoted(&word),
                help => quoted(&format!("{word}:{help}")),
            }
        })
        .collect();
    format!("(({}))", all.join(" "))
}
