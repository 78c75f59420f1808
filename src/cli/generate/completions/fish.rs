//! The script for fish, 3.0 or newer.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Choice, Context, Kind, Opt, Value, commands, value_options};

const BEFORE: &str = r"# fish completion for ip-lockdown

# Whether the cursor is behind one of these commands; with `--nth N` or `--from N`, at the Nth positional, or one
# from the Nth on, of the first of them.
function __ip_lockdown_at
    argparse 'nth=' 'from=' -- $argv
    set -l names ''
    set -l count 0
    set -l expects
    set -l literal
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        if set -q expects[1]
            set expects
            continue
        end
        if not set -q literal[1]
            switch $word
                case --
                    set literal yes
                    continue
                case @VALUE_OPTIONS@
                    set expects yes
                    continue
                case '-*'
                    continue
            end
        end
        if test $count -eq 0
            switch $names/$word
                case @COMMANDS@
                    set names (string trim -- $names' '$word)
                    continue
            end
            # ADDRESS [USER]... without a command means `apply`.
            test -n $names; or set names apply
        end
        set count (math $count + 1)
    end
    contains -- $names $argv
    and begin
        not set -q _flag_nth; or test $count -eq $_flag_nth
    end
    and begin
        not set -q _flag_from; or test $count -ge $_flag_from
    end
end

complete -c ip-lockdown -f
";

pub(super) fn script(contexts: &[Context]) -> String {
    let options: Vec<&str> = value_options(contexts).into_iter().map(|it| it.0).collect();
    let names: Vec<String> = commands(contexts)
        .map(|names| match names.rsplit_once(' ') {
            Some((before, name)) => quoted(&format!("{before}/{name}")),
            None => format!("/{names}"),
        })
        .collect();
    let mut script = BEFORE
        .replace("@VALUE_OPTIONS@", &options.join(" "))
        .replace("@COMMANDS@", &names.join(" "));
    for context in contexts
        .iter()
        .filter(|context| !context.commands.is_empty())
    {
        line(
            &mut script,
            &format!("{} --nth 0", quoted(&context.command)),
            &format!("-a {}", list(&context.commands)),
        );
    }
    for context in contexts {
        let below = !context.commands.is_empty();
        for (nth, positional) in
            context
                .positionals
                .iter()
                .enumerate()
                .take(if below { 1 } else { usize::MAX })
        {
            let which = if positional.repeated {
                "--from"
            } else {
                "--nth"
            };
            if let Some(values) = values(&positional.value) {
                line(
                    &mut script,
                    &format!("{} {which} {nth}", quoted(&context.command)),
                    &values,
                );
            }
        }
    }
    // One line for each option, with all commands that take it.
    let mut by_option: BTreeMap<&str, (&Opt, Vec<String>)> = BTreeMap::new();
    for context in contexts {
        for option in &context.options {
            let entry = by_option
                .entry(&option.long)
                .or_insert((option, Vec::new()));
            entry.1.push(quoted(&context.command));
        }
    }
    for (option, commands) in by_option.values() {
        let mut what = format!("-l {}", option.long.trim_start_matches('-'));
        if let Some(short) = &option.short {
            let _ = write!(what, " -s {}", short.trim_start_matches('-'));
        }
        let _ = write!(what, " -d {}", quoted(&option.help));
        if let Some(value) = &option.value {
            let exclusive = if value.kind == Kind::File { "-r" } else { "-x" };
            let _ = write!(what, " {exclusive}");
            if let Some(values) = values(value) {
                let _ = write!(what, " {values}");
            }
        }
        line(&mut script, &commands.join(" "), &what);
    }
    script
}

fn line(script: &mut String, condition: &str, what: &str) {
    let condition = quoted(&format!("__ip_lockdown_at {condition}"));
    let _ = writeln!(script, "complete -c ip-lockdown -n {condition} {what}");
}

/// The options of `complete` that offer the values.
fn values(value: &Value) -> Option<String> {
    match &value.kind {
        Kind::User => Some("-a '(__fish_complete_users)'".to_owned()),
        Kind::Group => Some("-a '(__fish_complete_groups)'".to_owned()),
        Kind::File => Some("-F".to_owned()),
        Kind::Choices(choices) => Some(format!("-a {}", list(choices))),
        Kind::Free => None,
    }
}

/// The words with their descriptions, for `-a`: a command that prints them.
fn list(choices: &[Choice]) -> String {
    let pairs: Vec<String> = choices
        .iter()
        .map(|choice| format!("{} {}", quoted(&choice.word), quoted(&choice.help)))
        .collect();
    quoted(&format!("(printf '%s\\t%s\\n' {})", pairs.join(" ")))
}

/// In single quotes, as fish reads them.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
