//! Log lines for people, on standard error.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// Starts logging: warnings and errors; with one `-v` what is done, with two everything.
/// `RUST_LOG` goes before (a level, or `target=level` pairs; tracing-subscriber, `Targets`).
pub(crate) fn start(verbose: u8) {
    let by_flag = Targets::new().with_default(match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    });
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    let (filter, bad) = match wanted.map(|text| (Targets::from_str(&text), text)) {
        None => (by_flag, None),
        // What it does not name keeps its errors and warnings: a failure never goes unsaid
        // because somebody wanted to hear more of something else.
        Some((Ok(filter), _)) if filter.default_level().is_none() => {
            (filter.with_default(Level::WARN), None)
        }
        Some((Ok(filter), _)) => (filter, None),
        Some((Err(_), text)) => (by_flag, Some(text)),
    };
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time();
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
    if let Some(text) = bad {
        tracing::warn!("RUST_LOG={text:?} is not understood, so it is not used");
    }
}
