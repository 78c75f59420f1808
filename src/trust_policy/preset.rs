//! What can be built: one preset for each kind of role.

use thiserror::Error;

use super::check::{self, CheckOptions, Finding, Severity};
use super::document::{Document, Effect, Statement, Tree};
use super::guard::Guard;
use super::principal;
use super::render::json;
use super::words::{
    AccountId, Audience, Branch, CircleCiId, Claim, ExternalId, Partition, ProviderArn, Repository,
    RoleArn, RoleName, ServiceName, Sid,
};

/// Why there is no preset for machine users, and what to use instead.
pub const MACHINE_USER: &str = "machine-user: not built, for a user for a machine needs access keys, which do not \
    expire and work wherever they are copied to; build a role that the machine may assume instead: third-party, \
    for somebody with an AWS account, or oidc, for CI such as GitHub or CircleCI";

/// Who is to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preset {
    /// AWS services, such as EC2 for the role of an instance.
    Service(Vec<ServiceName>),
    /// The instances of a Consul cluster, which find each other by tags.
    ConsulCluster,
    /// Who deploys from other accounts: all of an account, or roles such as a Jenkins server's.
    AutoDeploy(Vec<AccountId>, Vec<RoleArn>),
    /// The accounts whose instances look up groups and public SSH keys.
    SshGrunt(Vec<AccountId>),
    /// A third party's accounts, which have to present the external id.
    ThirdParty(Vec<AccountId>, ExternalId),
    /// Web identities of an OIDC provider.
    Oidc(Oidc),
}

/// An OIDC provider, and whom of its identities to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oidc {
    /// GitHub Actions, of one branch of one repository.
    GitHub {
        /// The account that has the provider.
        account: AccountId,
        /// The repository.
        repository: Repository,
        /// The branch.
        branch: Branch,
    },
    /// CircleCI, of one project.
    CircleCi {
        /// The account that has the provider.
        account: AccountId,
        /// The organization.
        organization: CircleCiId,
        /// The project.
        project: CircleCiId,
    },
    /// Any other.
    Other {
        /// The provider.
        provider: ProviderArn,
        /// The audience that tokens are for.
        audience: Audience,
        /// Their subject; with `*` or `?`, a pattern.
        subject: Claim,
    },
}

/// What can be said about a role beside its preset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleOptions {
    /// Where its accounts are.
    pub partition: Partition,
    /// The name of the role; AWS makes one up where there is none.
    pub name: Option<RoleName>,
    /// The name of its one statement.
    pub sid: Option<Sid>,
    /// With the permissions that its kind of role needs.
    pub with_permissions: bool,
    /// With the guard that makes credentials of IMDSv1 useless.
    pub with_guard: bool,
}

/// A role, as its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name, if it was given one.
    pub name: Option<RoleName>,
    /// What it is for, in one or two words such as `consul-cluster`: for the names of resources.
    pub purpose: String,
    /// Who may assume it.
    pub trust: Document,
    /// What it may do.
    pub permissions: Option<Document>,
    /// The guard [`Guard::Imdsv2`].
    pub guard: Option<Document>,
    /// Whether EC2 is trusted, so that instances need a profile of it.
    pub instance_profile: bool,
}

/// Why no role was built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    /// Nobody was named.
    #[error("{preset} trusts nobody yet: give {wanted}")]
    Nobody {
        /// The preset.
        preset: &'static str,
        /// What to give.
        wanted: &'static str,
    },
    /// Permissions of a preset that has none.
    #[error(
        "{0} has no permissions of its own: they are for you to write; leave --with-permissions out \
         (consul-cluster and ssh-grunt have some)"
    )]
    NoPermissions(&'static str),
    /// An ARN of another partition.
    #[error(
        "{arn} is not of the partition {partition}, and trust does not cross partitions: say --partition {of}"
    )]
    Partition {
        /// The ARN.
        arn: String,
        /// The partition that was asked for.
        partition: Partition,
        /// The partition of the ARN.
        of: Partition,
    },
    /// The policy would not pass [`check()`](super::check()).
    #[error("{}; {}", .0.message, .0.cure)]
    Unsound(Box<Finding>),
}

impl Preset {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Service(_) => "service",
            Self::ConsulCluster => "consul-cluster",
            Self::AutoDeploy(..) => "auto-deploy",
            Self::SshGrunt(_) => "ssh-grunt",
            Self::ThirdParty(..) => "third-party",
            Self::Oidc(_) => "oidc",
        }
    }

    /// Builds the role, and says what there is to warn of.
    ///
    /// # Errors
    /// Nobody is named, the options do not fit the preset, or the policy would not pass `check`
    /// (too many principals, a subject that lets everybody in).
    pub fn build(&self, options: &RoleOptions) -> Result<(Role, Vec<Finding>), BuildError> {
        let permissions = match (options.with_permissions, self.permissions()) {
            (false, _) => None,
            (true, Some(permissions)) => Some(permissions),
            (true, None) => return Err(BuildError::NoPermissions(self.name())),
        };
        let trust = self.trust(options)?;
        let mut findings = check::check(json(&trust.tree()).as_bytes(), CheckOptions::default());
        if let Some(error) = findings
            .iter()
            .position(|found| found.severity() == Severity::Error)
        {
            return Err(BuildError::Unsound(Box::new(findings.swap_remove(error))));
        }
        findings.retain(|found| found.severity() == Severity::Warning);
        let role = Role {
            name: options.name.clone(),
            purpose: match self {
                Self::Service(services) => services
                    .first()
                    .map_or("service", ServiceName::short)
                    .to_owned(),
                other => other.name().to_owned(),
            },
            trust,
            permissions,
            guard: options
                .with_guard
                .then(|| Guard::Imdsv2.document(options.partition)),
            instance_profile: self.trusts_ec2(),
        };
        Ok((role, findings))
    }

    /// Whether instances get the role.
    #[must_use]
    pub fn trusts_ec2(&self) -> bool {
        match self {
            Self::ConsulCluster => true,
            Self::Service(services) => services.iter().any(ServiceName::is_ec2),
            _ => false,
        }
    }

    fn trust(&self, options: &RoleOptions) -> Result<Document, BuildError> {
        let partition = options.partition;
        let root = |account: &AccountId| format!("arn:{partition}:iam::{account}:root");
        let (kind, principals) = match self {
            Self::Service(services) => (
                "Service",
                services.iter().map(ToString::to_string).collect(),
            ),
            Self::ConsulCluster => ("Service", vec![ServiceName::ec2().to_string()]),
            Self::AutoDeploy(accounts, roles) => {
                for role in roles {
                    of_partition(role, role.partition(), partition)?;
                }
                let roles = roles.iter().map(ToString::to_string);
                ("AWS", accounts.iter().map(root).chain(roles).collect())
            }
            Self::SshGrunt(accounts) | Self::ThirdParty(accounts, _) => {
                ("AWS", accounts.iter().map(root).collect())
            }
            Self::Oidc(oidc) => ("Federated", vec![oidc.provider(partition)?]),
        };
        let principals = without_repeats(principals);
        if principals.is_empty() {
            return Err(BuildError::Nobody {
                preset: self.name(),
                wanted: match self {
                    Self::AutoDeploy(..) => "--account or --role-arn",
                    Self::Service(_) => "--service",
                    _ => "--account",
                },
            });
        }
        let assume = || vec!["sts:AssumeRole".to_owned()];
        let (actions, condition) = match self {
            Self::Service(services) => {
                let further = services.iter().flat_map(ServiceName::further_actions);
                let actions = assume().into_iter().chain(further.map(ToString::to_string));
                (without_repeats(actions.collect()), None)
            }
            Self::ThirdParty(_, external_id) => {
                let id = Tree::text(external_id.as_str());
                let condition = Tree::map([("StringEquals", Tree::map([("sts:ExternalId", id)]))]);
                (assume(), Some(condition))
            }
            Self::Oidc(oidc) => (
                vec!["sts:AssumeRoleWithWebIdentity".to_owned()],
                Some(oidc.condition(partition)),
            ),
            _ => (assume(), None),
        };
        Ok(Document {
            statements: vec![Statement {
                sid: options.sid.clone(),
                effect: Effect::Allow,
                action: Tree::one_or_many(&actions),
                principal: Some(Tree::map([(kind, Tree::one_or_many(&principals))])),
                resource: None,
                condition,
            }],
        })
    }

    fn permissions(&self) -> Option<Document> {
        let actions: &[&str] = match self {
            Self::ConsulCluster => &[
                "ec2:DescribeInstances",
                "ec2:DescribeTags",
                "autoscaling:DescribeAutoScalingGroups",
            ],
            Self::SshGrunt(_) => &[
                "iam:GetGroup",
                "iam:ListSSHPublicKeys",
                "iam:GetSSHPublicKey",
            ],
            _ => return None,
        };
        Some(Document {
            statements: vec![Statement {
                sid: None,
                effect: Effect::Allow,
                action: Tree::one_or_many(actions),
                principal: None,
                resource: Some(Tree::text("*")),
                condition: None,
            }],
        })
    }
}

impl Oidc {
    /// The ARN of the provider.
    fn provider(&self, partition: Partition) -> Result<String, BuildError> {
        match self {
            Self::GitHub { account, .. } | Self::CircleCi { account, .. } => Ok(format!(
                "arn:{partition}:iam::{account}:oidc-provider/{}",
                self.issuer()
            )),
            Self::Other { provider, .. } => {
                of_partition(provider, provider.partition(), partition)?;
                Ok(provider.to_string())
            }
        }
    }

    fn issuer(&self) -> String {
        match self {
            Self::GitHub { .. } => "token.actions.githubusercontent.com".to_owned(),
            Self::CircleCi { organization, .. } => format!("oidc.circleci.com/org/{organization}"),
            Self::Other { provider, .. } => provider.issuer().to_owned(),
        }
    }

    fn condition(&self, partition: Partition) -> Tree {
        let (audience, subject) = match self {
            Self::GitHub {
                repository, branch, ..
            } => (
                // STS of China takes no other; a workflow has to ask for it there.
                match partition {
                    Partition::AwsCn => "sts.amazonaws.com.cn".to_owned(),
                    Partition::Aws | Partition::AwsUsGov => "sts.amazonaws.com".to_owned(),
                },
                format!("repo:{repository}:ref:refs/heads/{branch}"),
            ),
            Self::CircleCi {
                organization,
                project,
                ..
            } => (
                organization.to_string(),
                format!("org/{organization}/project/{project}/user/*"),
            ),
            Self::Other {
                audience, subject, ..
            } => (audience.to_string(), subject.to_string()),
        };
        let issuer = self.issuer();
        let is_pattern = subject.contains(['*', '?']);
        let audience = (format!("{issuer}:aud"), Tree::text(audience));
        let subject = (format!("{issuer}:sub"), Tree::text(subject));
        match is_pattern {
            true => Tree::map([
                ("StringEquals", Tree::Map(vec![audience])),
                ("StringLike", Tree::Map(vec![subject])),
            ]),
            false => Tree::map([("StringEquals", Tree::Map(vec![audience, subject]))]),
        }
    }
}

fn of_partition(
    arn: &impl ToString,
    of: Partition,
    partition: Partition,
) -> Result<(), BuildError> {
    match of == partition {
        true => Ok(()),
        false => Err(BuildError::Partition {
            arn: principal::short(&arn.to_string()),
            partition,
            of,
        }),
    }
}

fn without_repeats(mut words: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    words.retain(|word| seen.insert(word.clone()));
    words
}
