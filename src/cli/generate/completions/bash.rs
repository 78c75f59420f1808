//! The script for bash, 4.2 or newer.

use std::fmt::Write;

use super::{Context, Kind, Value, commands, quoted, value_options};

/// Splits the command line before the cursor: `args` up to the word at the cursor, which is `cur`.
/// `command`, `count` and `expects` describe the context of that word.
const BEFORE: &str = r#"# bash completion for ip-lockdown
_ip_lockdown() {
    local cur word trim='' reply='' command='' expects='' literal='' kind='' choices='' count=0 n=0 i
    local -a args=()
    COMPREPLY=()

    # bash splits words at the characters of COMP_WORDBREAKS too, such as `=` and `:`. Join the parts again.
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i == COMP_CWORD)) && [[ ! $word =~ ^[=:]+$ ]]; then
            word=$2
        fi
        if ((n > 0)) && [[ -n $word ]] && [[ $word =~ ^[=:]+$ || ${args[n - 1]} == *[=:] ]]; then
            args[n - 1]+=$word
        else
            args[n]=$word
            n=$((n + 1))
        fi
    done
    cur=${args[n - 1]}
    for ((i = 1; i <= ${#cur}; i++)); do
        if [[ ${cur:i-1:1} == [=:] && $COMP_WORDBREAKS == *"${cur:i-1:1}"* ]]; then
            trim=${cur:0:i}
        fi
    done

    for ((i = 0; i < n - 1; i++)); do
        word=${args[i]}
        if [[ -n $expects ]]; then
            expects=
            continue
        fi
        if [[ -z $literal ]]; then
            case $word in
                --)
                    literal=yes
                    continue
                    ;;
                @VALUE_OPTIONS@)
                    expects=$word
                    continue
                    ;;
                -?*) continue ;;
            esac
        fi
        if ((count == 0)); then
            case $command/$word in
                @COMMANDS@)
                    command=${command:+$command }$word
                    continue
                    ;;
            esac
            # ADDRESS [USER]... without a command means `apply`.
            [[ -n $command ]] || command=apply
        fi
        count=$((count + 1))
    done

    if [[ -z $expects && -z $literal && $cur == --*=* ]]; then
        expects=${cur%%=*}
        reply=$expects=
        cur=${cur#*=}
    fi
    if [[ -n $expects ]]; then
        case $expects in
"#;

const AFTER: &str = r#"        esac
    fi

    case $kind in
        user) choices=$(compgen -u -- "$cur") ;;
        group) choices=$(compgen -g -- "$cur") ;;
        file)
            choices=$(compgen -f -- "$cur")
            compopt -o filenames
            ;;
        *) choices=$(compgen -W "$choices" -- "$cur") ;;
    esac
    while IFS= read -r word; do
        if [[ -n $word ]]; then
            # bash replaces only what is behind the last character of COMP_WORDBREAKS.
            word=$reply$word
            COMPREPLY+=("${word#"$trim"}")
        fi
    done <<<"$choices"
}
complete -F _ip_lockdown ip-lockdown
"#;

pub(super) fn script(contexts: &[Context]) -> String {
    let values = value_options(contexts);
    let options: Vec<&str> = values.iter().map(|(option, _)| *option).collect();
    let mut script = BEFORE
        .replace("@VALUE_OPTIONS@", &options.join(" | "))
        .replace("@COMMANDS@", &command_patterns(contexts));
    for (option, value) in values {
        if value.kind != Kind::Free {
            let _ = writeln!(script, "            {option}) {} ;;", assignment(value));
        }
    }
    script.push_str(
        "        esac\n    elif [[ -z $literal && $cur == -* ]]; then\n        case $command in\n",
    );
    for context in contexts {
        let words: Vec<&str> = context
            .options
            .iter()
            .flat_map(|option| option.short.iter().chain([&option.long]))
            .map(String::as_str)
            .collect();
        let (command, words) = (quoted(&context.command), quoted(&words.join(" ")));
        let _ = writeln!(script, "            {command}) choices={words} ;;");
    }
    script.push_str("        esac\n    else\n        case $command,$count in\n");
    for context in contexts {
        let command = quoted(&context.command);
        if !context.commands.is_empty() {
            let words = context.commands.iter().map(|below| below.word.as_str());
            let mut words: Vec<&str> = words.collect();
            if let Some(Kind::Choices(choices)) =
                context.positionals.first().map(|it| &it.value.kind)
            {
                words.extend(choices.iter().map(|choice| choice.word.as_str()));
            }
            let words = quoted(&words.join(" "));
            let _ = writeln!(script, "            {command},0) choices={words} ;;");
            continue;
        }
        for (nth, positional) in context.positionals.iter().enumerate() {
            let nth = if positional.repeated {
                "*".to_owned()
            } else {
                nth.to_string()
            };
            if positional.value.kind != Kind::Free {
                let assignment = assignment(&positional.value);
                let _ = writeln!(script, "            {command},{nth}) {assignment} ;;");
            }
        }
    }
    script.push_str(AFTER);
    script
}

/// The commands as patterns of `$command/$word`.
pub(super) fn command_patterns(contexts: &[Context]) -> String {
    let patterns: Vec<String> = commands(contexts)
        .map(|names| match names.rsplit_once(' ') {
            Some((before, name)) => quoted(&format!("{before}/{name}")),
            None => format!("/{names}"),
        })
        .collect();
    patterns.join(" | ")
}

fn assignment(value: &Value) -> String {
    match &value.kind {
        Kind::User => "kind='user'".to_owned(),
        Kind::Group => "kind='group'".to_owned(),
        Kind::File => "kind='file'".to_owned(),
        Kind::Choices(choices) => {
            let words: Vec<&str> = choices.iter().map(|choice| choice.word.as_str()).collect();
            format!("choices={}", quoted(&words.join(" ")))
        }
        Kind::Free => String::new(),
    }
}
