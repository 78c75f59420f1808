//! `generate`: the man page and completions, from the same definition as the command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::CommandError;
use super::report::print;
use crate::cli::{Cli, ENVIRONMENT, EXIT_CODES, FILES, Generate};
use crate::config::KEYS;
use crate::exit_code::ExitCode;

pub(super) fn run(what: &Generate) -> Result<ExitCode, CommandError> {
    let mut text = Vec::new();
    match what {
        Generate::Man => man(&mut text)?,
        Generate::ConfigMan => text.extend(config_man().into_bytes()),
        Generate::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "ip-lockdown", &mut text);
        }
    }
    print(&text)?;
    Ok(ExitCode::Success)
}

/// One page for the program and all its commands, section 8 (system administration).
fn man(out: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let page = Man::new(command.clone()).section("8");
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    for sub in command.get_subcommands() {
        man_of_command(sub, sub.get_name(), out)?;
    }
    for (title, text) in [
        ("EXIT STATUS", EXIT_CODES),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
    ] {
        let text = text.replace("\n  ", "\n");
        writeln!(out, ".SH \"{title}\"\n.nf\n{}\n.fi", text.trim_start())?;
    }
    page.render_version_section(out)
}

fn man_of_command(command: &clap::Command, name: &str, out: &mut Vec<u8>) -> io::Result<()> {
    if command.get_name() == "help" {
        return Ok(());
    }
    writeln!(out, ".SH \"COMMAND {}\"", name.to_uppercase())?;
    let page = Man::new(command.clone());
    let mut part = Vec::new();
    page.render_description_section(&mut part)?;
    page.render_synopsis_section(&mut part)?;
    page.render_options_section(&mut part)?;
    // Sections of the command become parts of its section; clap_mangen shows a repeated argument
    // as if it were one.
    let part = String::from_utf8_lossy(&part)
        .replace(".SH ", ".SS ")
        .replace("[\\fIUSER\\fR] ", "[\\fIUSER\\fR]... ");
    out.write_all(part.as_bytes())?;
    command
        .get_subcommands()
        .try_for_each(|sub| man_of_command(sub, &format!("{name} {}", sub.get_name()), out))
}

/// The page of the configuration, section 5 (file formats).
fn config_man() -> String {
    let mut page = Roff::new();
    let version = concat!("ip-lockdown ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["ip-lockdown-config", "5", "", version]);
    page.control("SH", ["NAME"]);
    page.text([roman("ip-lockdown-config - who may reach a locked address")]);
    page.control("SH", ["SYNOPSIS"]);
    for file in [
        "/etc/ip-lockdown/config.toml",
        "/etc/ip-lockdown/conf.d/*.toml",
    ] {
        page.text([italic(file)]);
        page.control("br", []);
    }
    page.control("SH", ["DESCRIPTION"]);
    paragraphs(
        &mut page,
        &[
            "What ip-lockdown puts in force at boot, and when apply is given no address. TOML: one \
             table [[lockdown]] for each address. Unknown keys are errors.",
            "`ip-lockdown enable ADDRESS USER...` writes the file, and keeps what else is in it. \
             Drop-ins are read after it, in the order of their names. Entries for one address are \
             one lockdown: their users and groups are added up, so that a package can drop in its \
             own user. `forwarded` and `only` are what the first of them says, or their defaults; \
             to say otherwise later is an error. With --config FILE, drop-ins are looked for in conf.d beside that file.",
            "The files, and all folders and links on the way to them, must belong to root, and \
             nobody else may be able to write to them; else nothing is read.",
        ],
    );
    page.control("SH", ["KEYS OF [[lockdown]]"]);
    for key in KEYS {
        page.control("TP", []);
        page.text([bold(key.name), roman(" = "), roman(key.form)]);
        page.text([roman(key.meaning)]);
    }
    page.control("SH", ["WHEN SOMETHING IS WRONG"]);
    paragraphs(
        &mut page,
        &[
            "On the command line, apply changes nothing then, and says file, line and column; exit \
             code 2. So it is with names that do not exist.",
            "At boot, and on `systemctl reload ip-lockdown`, what is locked stays locked, and the \
             metadata service, if it is not, is locked to root. Other addresses that are not locked \
             yet stay open. A name that does not exist is left out, or \
             keeps the id that it has in the rules, and ip-lockdown-settle.service waits for it. \
             The journal has a warning; exit code 4.",
        ],
    );
    page.control("SH", ["EXAMPLE"]);
    page.control("nf", []);
    for line in EXAMPLE.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("ip-lockdown"), roman("(8)")]);
    page.render()
}

/// An example of a configuration.
const EXAMPLE: &str = "\
[[lockdown]]
address = \"169.254.169.254\"
users = [\"root\", \"cwagent\", \"ec2-instance-connect\"]
";

fn paragraphs(page: &mut Roff, all: &[&str]) {
    for text in all {
        page.control("PP", []);
        page.text([roman(*text)]);
    }
}
