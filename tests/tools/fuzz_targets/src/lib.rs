//! The fuzz targets: what each does with an input, and the inputs that it starts from.
//!
//! A target panics where the program breaks a promise, and returns for every other input. `fuzz/`
//! runs the targets under libFuzzer, `tests/pure/fuzz.rs` runs them on the seeds and on the inputs
//! that failed once.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a target fails, and a corpus that cannot be read must stop the test"
)]
#![expect(
    clippy::missing_panics_doc,
    reason = "every function here panics for one reason: a promise is broken"
)]

mod arguments;
mod config;
mod iptables_save;
mod judged;
mod netlink;
mod seeds;
mod trust_policy;
mod units;

use std::path::PathBuf;

pub use self::arguments::arguments;
pub use self::config::config;
pub use self::iptables_save::iptables_save;
pub use self::netlink::netlink;
pub use self::trust_policy::{role_values, trust_policy};
pub use self::units::units;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of the file in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const ALL: [Target; 7] = [
    Target {
        name: "iptables_save",
        run: iptables_save,
        seeds: seeds::iptables_save,
    },
    Target {
        name: "netlink",
        run: netlink,
        seeds: seeds::netlink,
    },
    Target {
        name: "config",
        run: config,
        seeds: seeds::config,
    },
    Target {
        name: "arguments",
        run: arguments,
        seeds: seeds::arguments,
    },
    Target {
        name: "trust_policy",
        run: trust_policy,
        seeds: seeds::trust_policy,
    },
    Target {
        name: "role_values",
        run: role_values,
        seeds: seeds::role_values,
    },
    Target {
        name: "units",
        run: units,
        seeds: seeds::units,
    },
];

impl Target {
    /// The inputs that the target starts from.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }

    /// The folder of the inputs that failed once.
    #[must_use]
    pub fn regressions(&self) -> PathBuf {
        seeds::root().join("fuzz/regressions").join(self.name)
    }
}

/// The text, as the program takes what other programs print.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A message of the program has no control character that a terminal would obey.
#[track_caller]
fn assert_printable(message: &str) {
    let bad = message.chars().any(|c| c.is_control() && c != '\n');
    assert!(!bad, "a control character in {message:?}");
}
