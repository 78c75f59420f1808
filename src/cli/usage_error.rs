//! clap's errors in the form of the program's own: `error: ...`, then `help: ...`.

use clap::error::ErrorKind;

/// Rewrites an error about wrong arguments. Help and version, which clap returns as errors too, are
/// unchanged.
pub(super) fn in_our_form(error: clap::Error) -> clap::Error {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return error;
    }
    // clap prints `error: MESSAGE`, then `tip: ...` lines, the usage, and a pointer to --help.
    let rendered = error.to_string();
    let mut message: Vec<String> = Vec::new();
    let mut help: Vec<String> = Vec::new();
    let mut command = vec!["ip-lockdown"];
    for line in rendered.lines().filter(|line| !line.trim().is_empty()) {
        let text = line.trim_start();
        let values = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Some(tip) = text.strip_prefix("tip: ").or(values) {
            help.push(format!("help: {tip}"));
        } else if let Some(usage) = line.strip_prefix("Usage: ") {
            let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
            command = usage.split(' ').take_while(is_name).collect();
            break;
        } else if line.starts_with("For more information") {
            break;
        } else {
            message.push(line.to_owned());
        }
    }
    if help.is_empty() {
        help.push(format!("help: run `{} --help`", command.join(" ")));
    }
    message.extend(help);
    // `raw` writes `error: ` itself.
    let text = message.join("\n") + "\n";
    clap::Error::raw(error.kind(), text.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::Cli;

    fn rendered(words: &str) -> String {
        let words = std::iter::once("ip-lockdown").chain(words.split(' '));
        let words = words.map(OsString::from).collect();
        Cli::from_arguments(words).unwrap_err().to_string()
    }

    #[test]
    fn usage_errors_have_the_form_of_the_programs_own() {
        for (words, expected) in [
            (
                "verify --no-prob",
                "error: unexpected argument '--no-prob' found\n\
                 help: a similar argument exists: '--no-probe'\n",
            ),
            (
                "stauts",
                "error: unrecognized subcommand 'stauts'\n\
                 help: a similar subcommand exists: 'status'\n",
            ),
            (
                "status --output xml",
                "error: invalid value 'xml' for '--output <FORMAT>'\n\
                 help: possible values: text, json\n",
            ),
            (
                "remove --only",
                "error: the following required arguments were not provided:\n  <ADDRESS>\n\
                 help: run `ip-lockdown remove --help`\n",
            ),
            (
                "-q status -v",
                "error: the argument '--quiet' cannot be used with '--verbose'\n\
                 help: run `ip-lockdown --help`\n",
            ),
        ] {
            assert_eq!(rendered(words), expected, "{words}");
        }
    }

    #[test]
    fn help_is_no_usage_error() {
        assert!(rendered("verify --help").contains("Usage: ip-lockdown verify"));
    }
}
