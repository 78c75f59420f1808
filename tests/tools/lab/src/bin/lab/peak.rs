//! `lab peak`: how much memory a program takes.

use std::process::{Command, Stdio};

use clap::Args;
use lab::Peak;
use nix::sys::resource::{UsageWho, getrusage};

/// Run a program, and tell how large the largest process of it was
#[derive(Args)]
pub(crate) struct PeakArgs {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl PeakArgs {
    pub(crate) fn run(self) -> Peak {
        let (program, arguments) = self.words.split_first().expect("clap asks for one");
        let status = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .status()
            .expect("the program can be started");
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel keeps account");
        Peak {
            code: status.code(),
            // In KiB (getrusage(2)).
            kib: usage.max_rss().try_into().expect("not negative"),
        }
    }
}
