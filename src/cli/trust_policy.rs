//! The command line of `trust-policy`.

use std::ffi::{OsStr, OsString};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use trust_policy::Guardrail;
use trust_policy::value::{
    AccountId, Audience, Branch, CircleCiId, ExternalId, Partition, ProviderArn, Repository,
    RoleArn, RoleName, ServiceName, Sid, Subject,
};

/// `trust-policy`.
#[derive(Debug, Clone, Args)]
pub struct TrustPolicyArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub what: TrustPolicy,
}

/// The subcommands of `trust-policy`.
#[derive(Debug, Clone, Subcommand)]
pub enum TrustPolicy {
    /// Print the trust policy of a role; without a preset, of a role for EC2 instances
    Build(Box<BuildArgs>),
    /// Print a policy (guardrail) that complements the lockdown, and where to attach it
    Guard(GuardArgs),
    /// Check a trust policy: print each problem and how to fix it
    Check(CheckArgs),
}

/// `trust-policy build`.
#[derive(Debug, Clone, Args)]
#[command(
    subcommand_value_name = "PRESET",
    subcommand_help_heading = "Presets",
    disable_help_subcommand = true
)]
pub struct BuildArgs {
    /// The preset.
    #[command(subcommand)]
    pub preset: Option<PresetArgs>,

    /// The option of the preset `service`, which is the default.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// The options of every preset.
    #[command(flatten)]
    pub role: RoleArgs,
}

/// The options of every preset.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every preset")]
pub struct RoleArgs {
    /// Output format: policy documents, or resources that are ready to deploy
    #[arg(
        long,
        global = true,
        display_order = 101,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub format: PolicyFormat,

    /// Print JSON without white space
    #[arg(long, global = true, display_order = 102)]
    pub compact: bool,

    /// Partition of the role and of the accounts that it trusts
    #[arg(
        long,
        global = true,
        display_order = 103,
        value_parser = partition(),
        default_value_t,
        value_name = "PARTITION"
    )]
    pub partition: Partition,

    /// Name of the role, for terraform and cloudformation; AWS generates one if none is given
    #[arg(long, global = true, display_order = 104, value_name = "ROLE")]
    pub name: Option<RoleName>,

    /// Sid of the trust policy's statement
    #[arg(long, global = true, display_order = 105, value_name = "SID")]
    pub sid: Option<Sid>,

    /// Add the policy (guardrail) imdsv2
    #[arg(long, global = true, display_order = 106)]
    pub with_guard: bool,
}

/// A preset, with its own options.
#[derive(Debug, Clone, Subcommand)]
pub enum PresetArgs {
    /// Trust AWS services, by default EC2 for the role of an instance
    Service(ServiceArgs),
    /// Trust the EC2 instances of a Consul cluster
    ConsulCluster(PermissionsArgs),
    /// Trust roles or accounts that deploy here, such as a Jenkins server's role
    AutoDeploy(AutoDeployArgs),
    /// Trust accounts whose instances look up IAM groups and public SSH keys
    SshGrunt(SshGruntArgs),
    /// Trust a third party's account, which must send an external ID
    ThirdParty(ThirdPartyArgs),
    /// Trust web identities of an OIDC provider, such as GitHub Actions or CircleCI
    #[command(
        subcommand,
        subcommand_value_name = "PROVIDER",
        subcommand_help_heading = "Providers",
        disable_help_subcommand = true
    )]
    Oidc(OidcArgs),
    /// Not supported; prints the reason and what to use instead
    MachineUser {
        /// Ignored.
        #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
        ignored: Vec<OsString>,
    },
}

/// The preset `service`.
#[derive(Debug, Clone, Args)]
pub struct ServiceArgs {
    /// AWS service, such as `lambda` or `lambda.amazonaws.com`; may be repeated; `ec2` if none is given
    #[arg(long = "service", value_name = "NAME")]
    pub services: Vec<ServiceName>,
}

/// The presets that have a permissions policy.
#[derive(Debug, Clone, Copy, Args)]
pub struct PermissionsArgs {
    /// Add the permissions that the role needs
    #[arg(long)]
    pub with_permissions: bool,
}

/// The preset `auto-deploy`.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct AutoDeployArgs {
    /// Account to trust as a whole; may be repeated
    #[arg(long = "account", value_name = "ID")]
    pub accounts: Vec<AccountId>,

    /// Role to trust; may be repeated
    #[arg(long = "role-arn", value_name = "ARN")]
    pub roles: Vec<RoleArn>,
}

/// The preset `ssh-grunt`.
#[derive(Debug, Clone, Args)]
pub struct SshGruntArgs {
    /// Account of the instances; may be repeated
    #[arg(long = "account", value_name = "ID", required = true)]
    pub accounts: Vec<AccountId>,

    /// The permissions policy.
    #[command(flatten)]
    pub permissions: PermissionsArgs,
}

/// The preset `third-party`.
#[derive(Debug, Clone, Args)]
pub struct ThirdPartyArgs {
    /// Account of the third party; may be repeated
    #[arg(long = "account", value_name = "ID", required = true)]
    pub accounts: Vec<AccountId>,

    /// External ID that the third party gave you and must send
    #[arg(long, value_name = "ID")]
    pub external_id: ExternalId,
}

/// The preset `oidc`: a provider, with its own options.
#[derive(Debug, Clone, Subcommand)]
pub enum OidcArgs {
    /// Trust one branch of one GitHub repository (GitHub Actions)
    #[command(name = "github")]
    GitHub(GitHubArgs),
    /// Trust one CircleCI project
    #[command(name = "circleci")]
    CircleCi(CircleCiArgs),
    /// Trust a subject of any other provider
    Other(OtherArgs),
}

/// The account of a provider.
#[derive(Debug, Clone, Args)]
pub struct ProviderAccountArgs {
    /// Account in which the provider is set up
    #[arg(long, value_name = "ID")]
    pub account: AccountId,
}

/// `oidc github`.
#[derive(Debug, Clone, Args)]
pub struct GitHubArgs {
    /// Repository. Use ORG@ID/REPO@ID if the subject of its tokens contains both IDs: the repository was created,
    /// renamed or transferred after July 15, 2026, or has opted in to immutable subjects
    #[arg(long, value_name = "ORG/REPO")]
    pub repo: Repository,

    /// Branch
    #[arg(long, value_name = "BRANCH")]
    pub branch: Branch,

    /// The account of the provider.
    #[command(flatten)]
    pub provider: ProviderAccountArgs,
}

/// `oidc circleci`.
#[derive(Debug, Clone, Args)]
pub struct CircleCiArgs {
    /// UUID of the organization
    #[arg(long, value_name = "UUID")]
    pub org: CircleCiId,

    /// UUID of the project
    #[arg(long, value_name = "UUID")]
    pub project: CircleCiId,

    /// The account of the provider.
    #[command(flatten)]
    pub provider: ProviderAccountArgs,
}

/// `oidc other`.
#[derive(Debug, Clone, Args)]
pub struct OtherArgs {
    /// ARN of the provider
    #[arg(long, value_name = "ARN")]
    pub provider: ProviderArn,

    /// Audience of the tokens
    #[arg(long = "aud", value_name = "AUDIENCE")]
    pub audience: Audience,

    /// Subject of the tokens; `*` and `?` make it a pattern
    #[arg(long = "sub", value_name = "SUBJECT")]
    pub subject: Subject,
}

/// `trust-policy guard`.
#[derive(Debug, Clone, Args)]
pub struct GuardArgs {
    /// Policy (guardrail) to print
    #[arg(value_name = "GUARD", value_parser = guardrail())]
    pub guardrail: Guardrail,

    /// Print JSON without white space
    #[arg(long)]
    pub compact: bool,

    /// Partition of the ARNs
    #[arg(long, value_parser = partition(), default_value_t, value_name = "PARTITION")]
    pub partition: Partition,
}

/// `trust-policy check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// File with the trust policy, or `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: OsString,

    /// Only programs assume the role: report each condition that requires MFA as an error
    #[arg(long)]
    pub automated: bool,
}

/// The output format of `trust-policy build`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PolicyFormat {
    /// Policy documents
    #[default]
    Json,
    /// Terraform resources
    Terraform,
    /// CloudFormation template, in YAML
    #[value(name = "cloudformation")]
    CloudFormation,
}

fn partition() -> impl TypedValueParser<Value = Partition> {
    one_of(&Partition::ALL, Partition::name, Partition::summary)
}

fn guardrail() -> impl TypedValueParser<Value = Guardrail> {
    one_of(&Guardrail::ALL, Guardrail::name, Guardrail::summary)
}

/// Parses the name of one of these values. The help lists every name with its summary.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    summary: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let listed = all
        .iter()
        .map(|value| PossibleValue::new(name(*value)).help(summary(*value)));
    PossibleValuesParser::new(listed).try_map(move |text| {
        let mut all = all.iter().copied();
        all.find(|value| name(*value) == text).ok_or("unknown name")
    })
}

/// Replaces the earlier spelling `oidc --provider PROVIDER` by `oidc github`, `oidc circleci` or
/// `oidc other --provider ARN`.
pub(super) fn name_oidc_provider(arguments: &mut Vec<OsString>) {
    let Some(oidc) = position_of_oidc(arguments) else {
        return;
    };
    let rest = &arguments[oidc + 1..];
    if rest
        .first()
        .is_some_and(|next| is_provider(next) || next == "other")
    {
        return;
    }
    // The option, and how many arguments it fills.
    let option = rest.iter().enumerate().find_map(|(at, argument)| {
        let (value, filled) = match argument.to_str()?.strip_prefix("--provider")? {
            "" => (rest.get(at + 1)?.clone(), 2),
            value => (value.strip_prefix('=')?.into(), 1),
        };
        Some((oidc + 1 + at, filled, value))
    });
    match option {
        Some((at, filled, provider)) if is_provider(&provider) => {
            arguments.drain(at..at + filled);
            arguments.insert(oidc + 1, provider);
        }
        Some(_) => arguments.insert(oidc + 1, "other".into()),
        None => {}
    }
}

fn is_provider(name: &OsStr) -> bool {
    name == "github" || name == "circleci"
}

/// Locates the preset in `trust-policy build ... oidc`.
fn position_of_oidc(arguments: &[OsString]) -> Option<usize> {
    let mut at = 0;
    for word in ["trust-policy", "build", "oidc"] {
        at += 1 + arguments
            .get(at + 1..)?
            .iter()
            .position(|argument| argument == word)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(arguments: &str) -> String {
        let mut arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
        name_oidc_provider(&mut arguments);
        let named: Vec<String> = arguments
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect();
        named.join(" ")
    }

    #[test]
    fn the_earlier_spelling_of_oidc_names_its_provider() {
        const BUILD: &str = "ip-lockdown -v trust-policy build";
        for (earlier, now) in [
            (
                "oidc --provider github --repo o/r",
                "oidc github --repo o/r",
            ),
            (
                "oidc --account 1 --provider=circleci --org x",
                "oidc circleci --account 1 --org x",
            ),
            (
                "--compact oidc --provider arn:x --aud a",
                "--compact oidc other --provider arn:x --aud a",
            ),
            ("oidc --provider gitea", "oidc other --provider gitea"),
            (
                "oidc github --repo --provider",
                "oidc github --repo --provider",
            ),
            ("oidc other --provider arn:x", "oidc other --provider arn:x"),
            ("oidc --provider", "oidc --provider"),
            ("oidc --help", "oidc --help"),
            ("service --provider github", "service --provider github"),
        ] {
            assert_eq!(
                named(&format!("{BUILD} {earlier}")),
                format!("{BUILD} {now}")
            );
        }
        for other in [
            "ip-lockdown 169.254.169.254 oidc --provider github",
            "trust-policy",
        ] {
            assert_eq!(named(other), other);
        }
    }
}
