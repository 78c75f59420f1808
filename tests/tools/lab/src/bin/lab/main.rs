//! The program of the test bench: the fake metadata service and the clients, each run in a namespace of the lab.
//! A client reports one line of JSON; the `lab` library describes its content.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that cannot be set up must stop the test loudly"
)]

mod attempt;
mod dump;
mod hammer;
mod hold;
mod identity;
mod imds;
mod pace;
mod peak;
mod requests;
mod sink;
mod steady;
mod without;

use clap::Parser;
use serde::Serialize;

#[derive(Parser)]
#[command(
    name = "lab",
    about = "The fake metadata service of ip-lockdown's test bench, and its clients"
)]
enum Command {
    Imds(imds::Imds),
    Hammer(hammer::Hammer),
    Requests(requests::Requests),
    Steady(steady::Steady),
    Try(attempt::Try),
    Hold(hold::Hold),
    Without(without::Without),
    Pace(pace::PaceArgs),
    Sink(sink::Sink),
    Peak(peak::PeakArgs),
    Dump(dump::DumpArgs),
}

fn main() {
    match Command::parse() {
        Command::Imds(imds) => imds.serve(),
        Command::Hammer(hammer) => report(hammer.run()),
        Command::Requests(requests) => report(requests.run()),
        Command::Steady(steady) => steady.run(),
        Command::Try(attempt) => report(attempt.run()),
        Command::Hold(hold) => report(hold.run()),
        Command::Without(without) => without.run(),
        Command::Pace(pace) => report(pace.run()),
        Command::Sink(sink) => sink.run(),
        Command::Peak(peak) => report(peak.run()),
        Command::Dump(dump) => dump.run(),
    }
}

fn report(what: impl Serialize) {
    println!(
        "{}",
        serde_json::to_string(&what).expect("a report can be written as JSON")
    );
}
