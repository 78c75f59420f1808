//! `trust-policy`: arguments -> crate `trust_policy` -> output. Needs neither privileges nor a firewall.

use trust_policy::{CheckOptions, MAX_BYTES, check};

use super::CommandError;
use crate::cli::settings::Settings;
use crate::cli::{BuildArgs, CheckArgs, TrustPolicy};
use crate::exit_code::ExitCode;
use crate::output::trust_policy as output;
use crate::sys::input;

pub(super) fn run(what: &TrustPolicy, settings: &Settings) -> Result<ExitCode, CommandError> {
    match what {
        TrustPolicy::Build(args) => build(args),
        TrustPolicy::Guard(args) => Ok(output::guardrail(
            args.guardrail,
            args.partition,
            args.compact,
        )?),
        TrustPolicy::Check(args) => check_file(args, settings),
    }
}

fn build(args: &BuildArgs) -> Result<ExitCode, CommandError> {
    let preset = args.preset()?;
    let format = args.role.format()?;
    let (role, warnings) = preset.build(&args.role.options())?;
    Ok(output::built(&role, &warnings, format)?)
}

fn check_file(args: &CheckArgs, settings: &Settings) -> Result<ExitCode, CommandError> {
    // One byte more than is checked, so that a text over the limit is reported as too large.
    let text = input::read(&args.file, MAX_BYTES as u64 + 1)?;
    let options = CheckOptions {
        automated: args.automated,
    };
    let found = check(&text, options);
    Ok(settings
        .output
        .diagnostics(&input::name(&args.file), &found)?)
}
