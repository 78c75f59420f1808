//! `generate`: the man page and completions, from the same definition as the command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;

use super::CommandError;
use super::report::print;
use crate::cli::{Cli, Generate};
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
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        writeln!(out, ".SH \"COMMAND {}\"", sub.get_name().to_uppercase())?;
        let page = Man::new(sub.clone());
        let mut part = Vec::new();
        page.render_description_section(&mut part)?;
        page.render_synopsis_section(&mut part)?;
        page.render_options_section(&mut part)?;
        // Sections of the command become parts of its section.
        out.write_all(
            String::from_utf8_lossy(&part)
                .replace(".SH ", ".SS ")
                .as_bytes(),
        )?;
    }
    page.render_extra_section(out)?;
    page.render_version_section(out)
}
