//! The words of `trust-policy`.

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};

/// `trust-policy`.
#[derive(Debug, Clone, Args)]
pub struct TrustPolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: TrustPolicy,
}

/// What can be done about trust policies.
#[derive(Debug, Clone, Subcommand)]
pub enum TrustPolicy {
    /// Print the trust policy of a role; that of an EC2 instance's role if nothing else is said
    Build(Box<BuildArgs>),
    /// Print a policy that pairs with the lockdown, and where to attach it
    Guard(GuardArgs),
    /// Look what is wrong with a trust policy
    Check(CheckArgs),
}

/// `trust-policy build`.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// Who is to assume the role
    #[arg(value_enum, default_value_t, value_name = "PRESET")]
    pub preset: PresetName,

    /// service: an AWS service, such as `lambda` or `lambda.amazonaws.com`; `ec2` if none is given.
    /// May be repeated
    #[arg(long = "service", value_name = "NAME")]
    pub services: Vec<String>,

    /// auto-deploy, ssh-grunt, third-party: an account that is trusted; may be repeated. oidc: the
    /// account that has the provider `github` or `circleci`
    #[arg(long = "account", value_name = "ID")]
    pub accounts: Vec<String>,

    /// auto-deploy: a role that is trusted; may be repeated
    #[arg(long = "role-arn", value_name = "ARN")]
    pub role_arns: Vec<String>,

    /// third-party: what the third party has to present
    #[arg(long, value_name = "ID")]
    pub external_id: Option<String>,

    /// oidc: `github` (with --repo, --branch, --account), `circleci` (with --org, --project,
    /// --account), or the ARN of a provider (with --aud, --sub)
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,

    /// oidc, github: the repository; as ORG@ID/REPO@ID if its tokens have the ids of both: if it was
    /// created, renamed or transferred after July 15, 2026, or has opted in to immutable subjects
    #[arg(long, value_name = "ORG/REPO")]
    pub repo: Option<String>,

    /// oidc, github: the branch
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,

    /// oidc, circleci: the UUID of the organization
    #[arg(long, value_name = "UUID")]
    pub org: Option<String>,

    /// oidc, circleci: the UUID of the project
    #[arg(long, value_name = "UUID")]
    pub project: Option<String>,

    /// oidc, any other provider: the audience of its tokens
    #[arg(long, value_name = "AUDIENCE")]
    pub aud: Option<String>,

    /// oidc, any other provider: the subject of its tokens; a pattern, if it has `*` or `?`
    #[arg(long, value_name = "SUBJECT")]
    pub sub: Option<String>,

    /// JSON documents, or everything that is to be deployed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: PolicyFormat,

    /// JSON without white space
    #[arg(long)]
    pub compact: bool,

    /// The partition of the accounts and ARNs
    #[arg(long, value_enum, default_value_t, value_name = "PARTITION")]
    pub partition: PartitionChoice,

    /// terraform, cloudformation: the name of the role; AWS makes one up if none is given
    #[arg(long, value_name = "ROLE")]
    pub name: Option<String>,

    /// The Sid of the statement
    #[arg(long, value_name = "SID")]
    pub sid: Option<String>,

    /// consul-cluster, ssh-grunt: with what the role has to be allowed
    #[arg(long)]
    pub with_permissions: bool,

    /// With the guard imdsv2
    #[arg(long)]
    pub with_guard: bool,
}

/// `trust-policy guard`.
#[derive(Debug, Clone, Args)]
pub struct GuardArgs {
    /// Which guard
    #[arg(value_enum, value_name = "GUARD")]
    pub guard: GuardName,

    /// JSON without white space
    #[arg(long)]
    pub compact: bool,

    /// The partition of the ARNs
    #[arg(long, value_enum, default_value_t, value_name = "PARTITION")]
    pub partition: PartitionChoice,
}

/// `trust-policy check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The file with the policy, or `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: OsString,

    /// Only programs assume the role: to demand MFA of any principal is an error
    #[arg(long)]
    pub automated: bool,
}

/// Who is to assume the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PresetName {
    /// AWS services, such as EC2 for the role of an instance
    #[default]
    Service,
    /// The instances of a Consul cluster
    ConsulCluster,
    /// Accounts or roles that deploy here, such as a Jenkins server's role
    AutoDeploy,
    /// Accounts whose instances look up IAM groups and public SSH keys
    SshGrunt,
    /// A third party's account, with an external id
    ThirdParty,
    /// CI, by an OIDC provider
    Oidc,
    /// Refused: says why, and what to use instead
    MachineUser,
}

/// How to print what is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PolicyFormat {
    /// The policy documents
    #[default]
    Json,
    /// Resources of Terraform
    Terraform,
    /// A template of CloudFormation, in YAML
    #[value(name = "cloudformation")]
    CloudFormation,
}

/// Where the accounts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PartitionChoice {
    /// The commercial regions
    #[default]
    Aws,
    /// China
    AwsCn,
    /// AWS GovCloud (US)
    AwsUsGov,
}

/// Which guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GuardName {
    /// Credentials that were fetched by IMDSv1 are useless
    Imdsv2,
    /// Credentials are useless outside the instance's VPC
    SameVpc,
    /// Credentials are useless outside the instance
    SameInstance,
    /// Instances start with IMDSv2 and a hop limit of 1, or not at all
    Launch,
}
