//! `generate`: the man page and completions, from the same definition as the command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;

use super::CommandError;
use super::report::print;
use crate::cli::{Cli, ENVIRONMENT, EXIT_CODES, FILES, Generate};
use crate::exit_code::ExitCode;

pub(super) fn run(what: &Generate) -> Result<ExitCode, CommandError> {
    let mut text = Vec::new();
    match what {
        Generate::Man => man(&mut text)?,
        Generate::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "ip-lockdown", &mut text);
        }
    }
    print(&text)?;
    Ok(ExitCode::Done)
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
