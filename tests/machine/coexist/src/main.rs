//! ip-lockdown beside the other tools that write firewall rules, on a real Debian with the real tools.
//!
//! `run.sh` boots the machine and calls this program twice: in the guest, to run a group of rows, and outside, to
//! compare all results with the expectations and write the page.
//!
//! ```text
//! rows      what is done, and what is expected of it: data
//! play      does one group: control, lock, each row, remove             -> measured rows, as JSON
//!   clients   who tries to get through meanwhile, and the results
//!   lockdown  the program under test, and its report on its layers
//!   foreign   other tools' rules
//! judge     expected against measured                                    -> contradictions
//! page      all groups                                                   -> docs/coexistence.md
//! ```
//!
//! The steps in the guest are bash commands, as an administrator would type them; `guest.sh` defines the longer ones.
//!
//! A contradiction in any row fails the run. So does a row in which a client did not try, or in which the packets of
//! a container did not get through without a lockdown: such a row would show nothing.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up must stop loudly"
)]

mod clients;
mod foreign;
mod judge;
mod lockdown;
mod page;
mod play;
mod rows;
mod shell;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::play::Played;

#[derive(Parser)]
#[command(name = "coexist", about = "ip-lockdown beside other firewall tools")]
enum Command {
    /// The names of the groups, one a line
    Groups,
    /// Play one group on this machine, which is changed by it: for the guest of run.sh only
    Play {
        /// The name of the group
        group: String,
        /// Where to write GROUP.json
        #[arg(long)]
        results: PathBuf,
    },
    /// Print the page of all results, and on standard error the contradictions. Exit code 1 when there is one
    Page {
        /// Where the GROUP.json are
        #[arg(long)]
        results: PathBuf,
        /// The day of the run
        #[arg(long)]
        date: String,
    },
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Groups => {
            for group in rows::GROUPS {
                println!("{}", group.name);
            }
            ExitCode::SUCCESS
        }
        Command::Play { group, results } => {
            let group = rows::GROUPS
                .iter()
                .find(|known| known.name == group)
                .unwrap_or_else(|| panic!("there is no group {group}"));
            let played = play::play(group);
            let path = results.join(group.name).with_extension("json");
            let json = serde_json::to_vec_pretty(&played).expect("results can be written as JSON");
            fs::write(&path, json).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            ExitCode::SUCCESS
        }
        Command::Page { results, date } => {
            let played: Vec<Played> = rows::GROUPS
                .iter()
                .map(|group| results.join(group.name).with_extension("json"))
                .filter(|path| path.exists())
                .map(|path| {
                    let json = fs::read(&path)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    serde_json::from_slice(&json)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
                })
                .collect();
            print!("{}", page::page(&played, &date));
            let contradictions: Vec<_> = played.iter().flat_map(Played::contradictions).collect();
            for contradiction in &contradictions {
                eprintln!("{contradiction}");
            }
            ExitCode::from(u8::from(played.is_empty() || !contradictions.is_empty()))
        }
    }
}
