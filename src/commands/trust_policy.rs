//! `trust-policy`: arguments -> crate `trust_policy` -> output. Needs neither privileges nor a firewall.

use std::io::{self, Write};

use thiserror::Error;
use tracing::warn;
use trust_policy::value::ServiceName;
use trust_policy::{
    BuildError, CheckOptions, Diagnostic, Guardrail, MACHINE_USER, MAX_BYTES, Oidc, Preset,
    RoleOptions, Severity, check, render,
};

use super::CommandError;
use super::arguments::Settings;

use crate::cli::{
    BuildArgs, CheckArgs, GuardArgs, OidcArgs, PolicyFormat, PresetArgs, RoleArgs, ServiceArgs,
    TrustPolicy,
};
use crate::exit_code::ExitCode;
use crate::output::print;
use crate::sys::input::{self, InputError};

/// Why nothing was built or checked.
#[derive(Debug, Error)]
pub(super) enum TrustPolicyError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{MACHINE_USER}")]
    MachineUser,
    #[error("--service belongs to the preset service")]
    ServiceBeforePreset,
    #[error("--compact is an option of --format json")]
    CompactWithoutJson,
    #[error("--name needs --format terraform or --format cloudformation")]
    NameInJson,
}

impl TrustPolicyError {
    /// What the user can do about it.
    pub(super) fn help(&self) -> Option<String> {
        let help = match self {
            Self::Input(error) => return Some(error.help()),
            Self::ServiceBeforePreset => "remove it, or put it after `build service`",
            Self::CompactWithoutJson => "remove one of them",
            Self::NameInJson => {
                "remove --name; a policy document does not contain the name of the role"
            }
            Self::Build(_) | Self::MachineUser => return None,
        };
        Some(help.to_owned())
    }
}

pub(super) fn run(what: &TrustPolicy, settings: &Settings) -> Result<ExitCode, CommandError> {
    match what {
        TrustPolicy::Build(args) => build(args),
        TrustPolicy::Guard(args) => guard(args),
        TrustPolicy::Check(args) => check_file(args, settings),
    }
}

fn build(args: &BuildArgs) -> Result<ExitCode, CommandError> {
    let preset = preset(args)?;
    let format = format(&args.role)?;
    let (role, warnings) = preset
        .build(&options(&args.role))
        .map_err(TrustPolicyError::from)?;
    for (found, is_only) in first_of_each_code(&warnings) {
        let more = if is_only { "" } else { " (and more of these)" };
        warn!("{}: {}{more}; {}", found.code, found.message, found.help);
    }
    if args.role.with_guard && !preset.trusts_ec2() {
        warn!(
            "--with-guard has no effect on this role: the policy (guardrail) imdsv2 applies only to \
             credentials of EC2 instances"
        );
    }
    print(render(&role, format).as_bytes())?;
    if args.role.format == PolicyFormat::Json {
        if role.permissions.is_some() {
            note(
                "the document after the trust policy contains the permissions; attach it to the role",
            )?;
        }
        if role.guardrail.is_some() {
            let attach = Guardrail::Imdsv2.note();
            note(&format!(
                "the last document is the policy (guardrail) imdsv2; {attach}"
            ))?;
        }
    }
    Ok(ExitCode::Success)
}

fn guard(args: &GuardArgs) -> Result<ExitCode, CommandError> {
    let policy = args.guardrail.document(args.partition).tree();
    let text = if args.compact {
        policy.compact()
    } else {
        policy.pretty()
    };
    print(text.as_bytes())?;
    note(args.guardrail.note())?;
    Ok(ExitCode::Success)
}

fn check_file(args: &CheckArgs, settings: &Settings) -> Result<ExitCode, CommandError> {
    // One byte more than is checked, so that a text over the limit is reported as too large.
    let text = input::read(&args.file, MAX_BYTES as u64 + 1).map_err(TrustPolicyError::from)?;
    let options = CheckOptions {
        automated: args.automated,
    };
    let found = check(&text, options);
    let code = if found
        .iter()
        .any(|found| found.severity() == Severity::Error)
    {
        ExitCode::CheckFailed
    } else {
        ExitCode::Success
    };
    settings
        .output
        .diagnostics(&input::name(&args.file), &found, code)?;
    Ok(code)
}

fn preset(args: &BuildArgs) -> Result<Preset, TrustPolicyError> {
    let Some(preset) = args.preset.clone() else {
        return Ok(service(args.service.clone()));
    };
    if !args.service.services.is_empty() {
        return Err(TrustPolicyError::ServiceBeforePreset);
    }
    Ok(match preset {
        PresetArgs::Service(args) => service(args),
        PresetArgs::ConsulCluster(args) => Preset::ConsulCluster {
            with_permissions: args.with_permissions,
        },
        PresetArgs::AutoDeploy(args) => Preset::AutoDeploy {
            accounts: args.accounts,
            roles: args.roles,
        },
        PresetArgs::SshGrunt(args) => Preset::SshGrunt {
            accounts: args.accounts,
            with_permissions: args.permissions.with_permissions,
        },
        PresetArgs::ThirdParty(args) => Preset::ThirdParty {
            accounts: args.accounts,
            external_id: args.external_id,
        },
        PresetArgs::Oidc(args) => Preset::Oidc(oidc(args)),
        PresetArgs::MachineUser { .. } => return Err(TrustPolicyError::MachineUser),
    })
}

fn service(args: ServiceArgs) -> Preset {
    Preset::Service(if args.services.is_empty() {
        vec![ServiceName::ec2()]
    } else {
        args.services
    })
}

fn oidc(args: OidcArgs) -> Oidc {
    match args {
        OidcArgs::GitHub(args) => Oidc::GitHub {
            account: args.provider.account,
            repository: args.repo,
            branch: args.branch,
        },
        OidcArgs::CircleCi(args) => Oidc::CircleCi {
            account: args.provider.account,
            organization: args.org,
            project: args.project,
        },
        OidcArgs::Other(args) => Oidc::Other {
            provider: args.provider,
            audience: args.audience,
            subject: args.subject,
        },
    }
}

fn format(args: &RoleArgs) -> Result<trust_policy::Format, TrustPolicyError> {
    match args.format {
        PolicyFormat::Json if args.name.is_some() => Err(TrustPolicyError::NameInJson),
        PolicyFormat::Json if args.compact => Ok(trust_policy::Format::CompactJson),
        PolicyFormat::Json => Ok(trust_policy::Format::Json),
        _ if args.compact => Err(TrustPolicyError::CompactWithoutJson),
        PolicyFormat::Terraform => Ok(trust_policy::Format::Terraform),
        PolicyFormat::CloudFormation => Ok(trust_policy::Format::CloudFormation),
    }
}

fn options(args: &RoleArgs) -> RoleOptions {
    RoleOptions {
        partition: args.partition,
        name: args.name.clone(),
        sid: args.sid.clone(),
        with_guardrail: args.with_guard,
    }
}

/// The first diagnostic of each code, and whether it is the only one.
fn first_of_each_code(found: &[Diagnostic]) -> Vec<(&Diagnostic, bool)> {
    let mut firsts: Vec<(&Diagnostic, bool)> = Vec::new();
    for found in found {
        match firsts
            .iter_mut()
            .find(|(first, _)| first.code == found.code)
        {
            Some((_, is_only)) => *is_only = false,
            None => firsts.push((found, true)),
        }
    }
    firsts
}

/// Prints a note to standard error, so that standard output contains only the policy.
fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "note: {text}")
}
