//! `trust-policy`: the companion. No privileges, no firewall.

use std::io::{self, Write};
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;
use tracing::warn;

use super::CommandError;
use super::arguments::Settings;
use crate::cli::{
    BuildArgs, CheckArgs, GuardArgs, GuardName, PartitionChoice, PolicyFormat, PresetName,
    TrustPolicy,
};
use crate::exit_code::ExitCode;
use crate::output::{Format, json, print};
use crate::sys::input::{self, InputError};
use crate::trust_policy::words::{Partition, ServiceName, WordError};
use crate::trust_policy::{
    self, BuildError, CheckOptions, Code, Finding, Guard, MACHINE_USER, MAX_BYTES, Oidc, Preset,
    Role, RoleOptions, Severity,
};

/// Why there is no policy, or no finding.
#[derive(Debug, Error)]
pub(super) enum TrustPolicyError {
    #[error(transparent)]
    Word(#[from] WordError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{MACHINE_USER}")]
    MachineUser,
    #[error("{option} does not go with {with}; see trust-policy build --help")]
    NotWith { option: &'static str, with: String },
    #[error("{with} needs {option}")]
    Needs {
        with: &'static str,
        option: &'static str,
    },
    #[error("{0:?} is not a provider: give github, circleci, or the ARN of an OIDC provider")]
    Provider(String),
}

pub(super) fn run(what: &TrustPolicy, settings: &Settings) -> Result<ExitCode, CommandError> {
    match what {
        TrustPolicy::Build(args) => build(args),
        TrustPolicy::Guard(args) => guard(args),
        TrustPolicy::Check(args) => check(args, settings),
    }
}

fn build(args: &BuildArgs) -> Result<ExitCode, CommandError> {
    let preset = preset(args)?;
    let format = format(args)?;
    let options = options(args)?;
    let (role, warnings) = preset.build(&options).map_err(TrustPolicyError::from)?;
    for (finding, is_only) in first_of_each(&warnings) {
        let Finding {
            code,
            message,
            cure,
            ..
        } = finding;
        let more = if is_only { "" } else { " (and more of these)" };
        warn!("{code}: {message}{more}; {cure}");
    }
    if options.with_guard && !preset.trusts_ec2() {
        warn!(
            "the guard imdsv2 concerns credentials of EC2 instances only; it does nothing to this role"
        );
    }
    print(role.render(format).as_bytes())?;
    if args.format == PolicyFormat::Json {
        further_documents(&role)?;
    }
    Ok(ExitCode::Success)
}

/// The first finding of each code, and whether it is the only one.
fn first_of_each(findings: &[Finding]) -> Vec<(&Finding, bool)> {
    let mut firsts: Vec<(&Finding, bool)> = Vec::new();
    for finding in findings {
        match firsts
            .iter_mut()
            .find(|(first, _)| first.code == finding.code)
        {
            Some((_, is_only)) => *is_only = false,
            None => firsts.push((finding, true)),
        }
    }
    firsts
}

/// Says on standard error what the documents behind the trust policy are for.
fn further_documents(role: &Role) -> io::Result<()> {
    if role.permissions.is_some() {
        note("after the trust policy: what the role has to be allowed; attach it to the role")?;
    }
    if role.guard.is_some() {
        note(&format!("last: the guard imdsv2; {}", Guard::Imdsv2.note()))?;
    }
    Ok(())
}

fn guard(args: &GuardArgs) -> Result<ExitCode, CommandError> {
    let guard = match args.guard {
        GuardName::Imdsv2 => Guard::Imdsv2,
        GuardName::SameVpc => Guard::SameVpc,
        GuardName::SameInstance => Guard::SameInstance,
        GuardName::Launch => Guard::Launch,
    };
    let tree = guard.document(partition(args.partition)).tree();
    let text = match args.compact {
        true => trust_policy::compact(&tree),
        false => trust_policy::json(&tree),
    };
    print(text.as_bytes())?;
    note(guard.note())?;
    Ok(ExitCode::Success)
}

/// A word beside the result, which stays clean for other programs.
fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "note: {text}")
}

fn preset(args: &BuildArgs) -> Result<Preset, TrustPolicyError> {
    only_its_options(args)?;
    Ok(match args.preset {
        PresetName::Service if args.services.is_empty() => {
            Preset::Service(vec![ServiceName::ec2()])
        }
        PresetName::Service => Preset::Service(all(&args.services)?),
        PresetName::ConsulCluster => Preset::ConsulCluster,
        PresetName::AutoDeploy => Preset::AutoDeploy(all(&args.accounts)?, all(&args.role_arns)?),
        PresetName::SshGrunt => Preset::SshGrunt(all(&args.accounts)?),
        PresetName::ThirdParty => {
            let id = needed(
                args.external_id.as_ref(),
                "third-party",
                "--external-id: the third party gives you one",
            )?;
            Preset::ThirdParty(all(&args.accounts)?, id.parse()?)
        }
        PresetName::Oidc => Preset::Oidc(oidc(args)?),
        PresetName::MachineUser => return Err(TrustPolicyError::MachineUser),
    })
}

fn all<T: FromStr<Err = WordError>>(words: &[String]) -> Result<Vec<T>, WordError> {
    words.iter().map(|word| word.parse()).collect()
}

/// No option is silently without effect.
fn only_its_options(args: &BuildArgs) -> Result<(), TrustPolicyError> {
    use PresetName::{AutoDeploy, Oidc, Service, SshGrunt, ThirdParty};
    let options: [(&str, bool, &[PresetName]); 11] = [
        ("--service", !args.services.is_empty(), &[Service]),
        (
            "--account",
            !args.accounts.is_empty(),
            &[AutoDeploy, SshGrunt, ThirdParty, Oidc],
        ),
        ("--role-arn", !args.role_arns.is_empty(), &[AutoDeploy]),
        ("--external-id", args.external_id.is_some(), &[ThirdParty]),
        ("--provider", args.provider.is_some(), &[Oidc]),
        ("--repo", args.repo.is_some(), &[Oidc]),
        ("--branch", args.branch.is_some(), &[Oidc]),
        ("--org", args.org.is_some(), &[Oidc]),
        ("--project", args.project.is_some(), &[Oidc]),
        ("--aud", args.aud.is_some(), &[Oidc]),
        ("--sub", args.sub.is_some(), &[Oidc]),
    ];
    let stray = options
        .iter()
        .find(|(_, given, presets)| *given && !presets.contains(&args.preset));
    match stray {
        // Whatever is said with it: the answer is no.
        _ if args.preset == PresetName::MachineUser => Err(TrustPolicyError::MachineUser),
        None => Ok(()),
        Some((option, ..)) => {
            let preset = clap::ValueEnum::to_possible_value(&args.preset);
            let preset = preset.as_ref().map_or("it", |value| value.get_name());
            not_with(option, &format!("the preset {preset}"))
        }
    }
}

fn oidc(args: &BuildArgs) -> Result<Oidc, TrustPolicyError> {
    let provider = needed(
        args.provider.as_ref(),
        "oidc",
        "--provider: github, circleci, or the ARN of a provider",
    )?;
    let repo = ("--repo", args.repo.as_ref());
    let branch = ("--branch", args.branch.as_ref());
    let org = ("--org", args.org.as_ref());
    let project = ("--project", args.project.as_ref());
    let aud = ("--aud", args.aud.as_ref());
    let sub = ("--sub", args.sub.as_ref());
    let none_of = |options: &[(&'static str, Option<&String>)]| {
        let stray = options.iter().find(|(_, given)| given.is_some());
        stray.map_or(Ok(()), |(option, _)| {
            not_with(option, &format!("--provider {provider:?}"))
        })
    };
    let account = |with| match &args.accounts[..] {
        [] => Err(TrustPolicyError::Needs {
            with,
            option: "--account: the account that has the provider",
        }),
        [account] => Ok(account),
        _ => Err(TrustPolicyError::Needs {
            with,
            option: "--account once: a provider is in one account",
        }),
    };
    match provider.as_str() {
        "github" => {
            none_of(&[org, project, aud, sub])?;
            Ok(Oidc::GitHub {
                repository: needed(repo.1, "--provider github", "--repo ORG/REPO")?.parse()?,
                branch: needed(branch.1, "--provider github", "--branch BRANCH")?.parse()?,
                account: account("--provider github")?.parse()?,
            })
        }
        "circleci" => {
            none_of(&[repo, branch, aud, sub])?;
            Ok(Oidc::CircleCi {
                organization: needed(org.1, "--provider circleci", "--org UUID")?.parse()?,
                project: needed(project.1, "--provider circleci", "--project UUID")?.parse()?,
                account: account("--provider circleci")?.parse()?,
            })
        }
        arn if arn.starts_with("arn:") => {
            none_of(&[
                ("--account", args.accounts.first()),
                repo,
                branch,
                org,
                project,
            ])?;
            Ok(Oidc::Other {
                provider: arn.parse()?,
                audience: needed(aud.1, "a provider's ARN", "--aud AUDIENCE")?.parse()?,
                subject: needed(sub.1, "a provider's ARN", "--sub SUBJECT")?.parse()?,
            })
        }
        other => Err(TrustPolicyError::Provider(other.to_owned())),
    }
}

fn needed<'a>(
    given: Option<&'a String>,
    with: &'static str,
    option: &'static str,
) -> Result<&'a String, TrustPolicyError> {
    given.ok_or(TrustPolicyError::Needs { with, option })
}

fn not_with(option: &'static str, with: &str) -> Result<(), TrustPolicyError> {
    let with = with.to_owned();
    Err(TrustPolicyError::NotWith { option, with })
}

fn format(args: &BuildArgs) -> Result<trust_policy::Format, TrustPolicyError> {
    let json = args.format == PolicyFormat::Json;
    if args.compact && !json {
        not_with("--compact", "a format other than json")?;
    }
    if args.name.is_some() && json {
        not_with(
            "--name",
            "--format json: a policy document does not name its role",
        )?;
    }
    Ok(match args.format {
        PolicyFormat::Json if args.compact => trust_policy::Format::CompactJson,
        PolicyFormat::Json => trust_policy::Format::Json,
        PolicyFormat::Terraform => trust_policy::Format::Terraform,
        PolicyFormat::CloudFormation => trust_policy::Format::CloudFormation,
    })
}

fn options(args: &BuildArgs) -> Result<RoleOptions, TrustPolicyError> {
    Ok(RoleOptions {
        partition: partition(args.partition),
        name: args.name.as_ref().map(|name| name.parse()).transpose()?,
        sid: args.sid.as_ref().map(|sid| sid.parse()).transpose()?,
        with_permissions: args.with_permissions,
        with_guard: args.with_guard,
    })
}

fn partition(choice: PartitionChoice) -> Partition {
    match choice {
        PartitionChoice::Aws => Partition::Aws,
        PartitionChoice::AwsCn => Partition::AwsCn,
        PartitionChoice::AwsUsGov => Partition::AwsUsGov,
    }
}

fn check(args: &CheckArgs, settings: &Settings) -> Result<ExitCode, CommandError> {
    // One byte more tells what is too large.
    let text = input::read(&args.file, MAX_BYTES as u64 + 1).map_err(TrustPolicyError::from)?;
    let options = CheckOptions {
        automated: args.automated,
    };
    let findings = trust_policy::check(&text, options);
    let code = match findings
        .iter()
        .any(|found| found.severity() == Severity::Error)
    {
        true => ExitCode::CheckFailed,
        false => ExitCode::Success,
    };
    let file = input::name(&args.file);
    match settings.output.format {
        Format::Text => print(in_words(&input::in_words(&file), &findings).as_bytes())?,
        Format::Json => {
            let findings = findings.iter().map(FindingView::from).collect();
            json::print("trust-policy", code, CheckView { file, findings })?;
        }
    }
    Ok(code)
}

/// The findings, and how many there are.
fn in_words(file: &str, findings: &[Finding]) -> String {
    let mut text = String::new();
    for found in findings {
        text.extend([
            format!("{file}:{}:{}: ", found.line, found.column),
            format!("{} {} {}\n", found.severity(), found.code, found.path),
            format!("    {}\n    cure: {}\n", found.message, found.cure),
        ]);
    }
    let count = |severity, name: &str| {
        let count = findings
            .iter()
            .filter(|found| found.severity() == severity)
            .count();
        match count {
            0 => format!("no {name}s"),
            1 => format!("1 {name}"),
            _ => format!("{count} {name}s"),
        }
    };
    let (errors, warnings) = (
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning"),
    );
    text + &format!("{file}: {errors}, {warnings}\n")
}

/// What was found, in JSON.
#[derive(Serialize)]
struct CheckView<'a> {
    file: String,
    findings: Vec<FindingView<'a>>,
}

#[derive(Serialize)]
struct FindingView<'a> {
    code: Code,
    severity: Severity,
    path: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
    cure: &'a str,
}

impl<'a> From<&'a Finding> for FindingView<'a> {
    fn from(found: &'a Finding) -> Self {
        Self {
            code: found.code,
            severity: found.severity(),
            path: &found.path,
            line: found.line,
            column: found.column,
            message: &found.message,
            cure: &found.cure,
        }
    }
}
