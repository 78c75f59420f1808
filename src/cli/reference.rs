//! The sections of the long help and of the man page after the options: exit codes, environment,
//! files and examples.

use std::fmt::Write;

/// The widest line of the long help.
const WIDTH: usize = 96;

/// A term and its explanation.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What is explained.
    pub term: &'static str,
    /// The explanation.
    pub text: &'static str,
}

const fn entry(term: &'static str, text: &'static str) -> Entry {
    Entry { term, text }
}

/// The meaning of each exit code.
pub const EXIT_CODES: [Entry; 5] = [
    entry("0", "success"),
    entry(
        "1",
        "the check failed: drift, a failed probe, errors in a trust policy",
    ),
    entry(
        "2",
        "bad usage, configuration or name, or a trust policy that cannot be read; nothing was changed",
    ),
    entry(
        "3",
        "the operation or check could not be completed: missing privileges, a missing program, a \
         lock held too long; a failed change leaves the existing rules installed",
    ),
    entry(
        "4",
        "locked but degraded: the lockdown works, but a safeguard is missing (such as a second layer), \
         a name or the configuration could not be used at boot, or a minor check could not be \
         completed (such as probes, with --no-probe)",
    ),
];

/// The environment variables that the program reads.
pub const ENVIRONMENT: [Entry; 2] = [
    entry(
        "RUST_LOG",
        "What to log to standard error: a level such as `debug`, or `module=level` pairs. Overrides -v.",
    ),
    entry("NO_COLOR", "If set, errors and help have no colours."),
];

/// The files that the program uses.
pub const FILES: [Entry; 3] = [
    entry(
        "/etc/ip-lockdown/config.toml",
        "The configuration: ip-lockdown-config(5).",
    ),
    entry(
        "/etc/ip-lockdown/conf.d/*.toml",
        "Drop-ins, which can add users and addresses to the configuration.",
    ),
    entry(
        "/run/ip-lockdown.lock",
        "Held while rules are read or changed, so that two runs never overlap. No other state is \
         kept outside the firewall.",
    ),
];

/// Command lines, each with the situation that it is for.
pub const EXAMPLES: [Entry; 8] = [
    entry(
        "ip-lockdown enable --now 169.254.169.254 root && ip-lockdown verify 169.254.169.254 root",
        "In an AMI build, as the last step: lock the metadata service now and at every boot of the \
         instances, and fail the build unless the lockdown works.",
    ),
    entry(
        "ip-lockdown enable --now 169.254.169.254 root cwagent",
        "On a running instance: lock the metadata service now and at every boot.",
    ),
    entry(
        "cloud-init-per instance ip-lockdown ip-lockdown enable --now 169.254.169.254 root",
        "In user-data, as a command of `bootcmd`, if the image was built without `enable`: lock the \
         metadata service now and at every boot. The first `ip-lockdown` is only a name for \
         cloud-init-per.",
    ),
    entry(
        "ip-lockdown 169.254.169.254 root",
        "Until the next boot, let only root reach the metadata service.",
    ),
    entry(
        "ip-lockdown --forwarded allow 169.254.169.254 root",
        "On a container host whose containers need the metadata service: restrict only the \
         processes of the host itself.",
    ),
    entry(
        "ip-lockdown --dry-run 169.254.169.254 root",
        "Print the transactions that would install the rules, and change nothing.",
    ),
    entry(
        "ip-lockdown verify 169.254.169.254 root",
        "In CI or a health check: fail unless the metadata service is locked for exactly root.",
    ),
    entry(
        "ip-lockdown remove",
        "Open every address until the configuration is applied again, such as at the next boot. \
         `ip-lockdown disable --now` opens them for good.",
    ),
];

/// Returns the sections at the end of the long help.
pub(super) fn after_long_help() -> String {
    let sections = [
        ("Exit codes", &EXIT_CODES[..]),
        ("Environment", &ENVIRONMENT),
        ("Files", &FILES),
        ("Examples", &EXAMPLES),
    ];
    let mut text = String::new();
    for (heading, entries) in sections {
        let _ = writeln!(text, "{heading}:");
        for entry in entries {
            let short = entry.term.len() < 10;
            let indent = if short { entry.term.len() + 4 } else { 10 };
            let end = if short { "  " } else { "\n          " };
            let _ = writeln!(text, "  {}{end}{}", entry.term, wrapped(entry.text, indent));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// Breaks the text into lines; all but the first start with `indent` spaces.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = indent;
    for word in text.split(' ') {
        if column > indent && column + 1 + word.len() > WIDTH {
            let _ = write!(lines, "\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += word.len();
    }
    lines
}
