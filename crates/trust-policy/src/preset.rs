//! Presets: one for each kind of role that can be built.

use thiserror::Error;

use crate::check::{self, CheckOptions};
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{Document, Effect, Statement};
use crate::guardrail::Guardrail;
use crate::json::Tree;
use crate::role::Role;
use crate::text::short;
use crate::value::{
    AccountId, Audience, Branch, CircleCiId, ExternalId, Partition, ProviderArn, Repository,
    RoleArn, RoleName, ServiceName, Sid, Subject,
};

/// Why there is no preset for machine users, and what to use instead.
pub const MACHINE_USER: &str = "machine-user is not supported: IAM users need long-lived access keys, which work \
    anywhere once copied; use third-party (for an AWS account) or oidc (for CI such as GitHub or CircleCI)";

/// The kind of a role, and the principals that it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preset {
    /// A role for AWS services, such as EC2 for the role of an instance.
    Service(Vec<ServiceName>),
    /// A role for the EC2 instances of a Consul cluster.
    ConsulCluster {
        /// Whether to add the permissions policy: instances find each other by tags.
        with_permissions: bool,
    },
    /// A role for deployments from other accounts, such as those of a Jenkins server.
    AutoDeploy {
        /// The accounts that are trusted as a whole.
        accounts: Vec<AccountId>,
        /// The roles that are trusted.
        roles: Vec<RoleArn>,
    },
    /// A role for instances of other accounts that look up IAM groups and public SSH keys.
    SshGrunt {
        /// The accounts of the instances.
        accounts: Vec<AccountId>,
        /// Whether to add the permissions policy: read groups and public SSH keys.
        with_permissions: bool,
    },
    /// A role for a third party, which must send an external ID.
    ThirdParty {
        /// The third party's accounts.
        accounts: Vec<AccountId>,
        /// The external ID.
        external_id: ExternalId,
    },
    /// A role for web identities of an OIDC provider.
    Oidc(Oidc),
}

/// An OIDC provider, and the identities that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oidc {
    /// GitHub Actions: one branch of one repository.
    GitHub {
        /// The account in which the provider is set up.
        account: AccountId,
        /// The repository.
        repository: Repository,
        /// The branch.
        branch: Branch,
    },
    /// CircleCI: one project.
    CircleCi {
        /// The account in which the provider is set up.
        account: AccountId,
        /// The organization.
        organization: CircleCiId,
        /// The project.
        project: CircleCiId,
    },
    /// Any other provider.
    Other {
        /// The provider.
        provider: ProviderArn,
        /// The audience of the tokens.
        audience: Audience,
        /// The subject of the tokens; with `*` or `?`, a pattern.
        subject: Subject,
    },
}

/// Options that every preset takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleOptions {
    /// The partition of the role and of the accounts that it trusts.
    pub partition: Partition,
    /// The role's name. AWS generates a name where there is none.
    pub name: Option<RoleName>,
    /// The Sid of the trust policy's statement.
    pub sid: Option<Sid>,
    /// Whether to add the policy (guardrail) [`Guardrail::Imdsv2`].
    pub with_guardrail: bool,
}

/// Why a role was not built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    /// The preset names no principal.
    #[error("{0} trusts nobody; name at least one principal")]
    Nobody(&'static str),
    /// An ARN of another partition.
    #[error(
        "{arn} belongs to the partition {of}, but the role to {partition}, and a role can trust only \
         principals of its own partition; choose the partition {of}"
    )]
    Partition {
        /// The ARN.
        arn: String,
        /// The role's partition.
        partition: Partition,
        /// The ARN's partition.
        of: Partition,
    },
    /// The policy does not pass [`check()`](crate::check()).
    #[error("{}; {}", .0.message, .0.help)]
    Unsound(Box<Diagnostic>),
}

impl Preset {
    /// The name, such as `consul-cluster`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Service(_) => "service",
            Self::ConsulCluster { .. } => "consul-cluster",
            Self::AutoDeploy { .. } => "auto-deploy",
            Self::SshGrunt { .. } => "ssh-grunt",
            Self::ThirdParty { .. } => "third-party",
            Self::Oidc(_) => "oidc",
        }
    }

    /// Builds the role. Returns the role, and the warnings that `check` gives on its trust policy.
    ///
    /// # Errors
    /// The preset names no principal or one of another partition, or the policy does not pass `check`
    /// (too many principals, a subject that everybody has).
    pub fn build(&self, options: &RoleOptions) -> Result<(Role, Vec<Diagnostic>), BuildError> {
        let trust = self.trust(options)?;
        let text = trust.tree().pretty();
        let mut found = check::check(text.as_bytes(), CheckOptions::default());
        let is_error = |found: &Diagnostic| found.severity() == Severity::Error;
        if let Some(error) = found.iter().position(is_error) {
            return Err(BuildError::Unsound(Box::new(found.swap_remove(error))));
        }
        found.retain(|found| found.severity() == Severity::Warning);
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
            permissions: self.permissions(),
            guardrail: options
                .with_guardrail
                .then(|| Guardrail::Imdsv2.document(options.partition)),
            instance_profile: self.trusts_ec2(),
        };
        Ok((role, found))
    }

    /// Whether the role trusts EC2, so that instances can have it.
    #[must_use]
    pub fn trusts_ec2(&self) -> bool {
        match self {
            Self::ConsulCluster { .. } => true,
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
            Self::ConsulCluster { .. } => ("Service", vec![ServiceName::ec2().to_string()]),
            Self::AutoDeploy { accounts, roles } => {
                for role in roles {
                    require_partition(role, role.partition(), partition)?;
                }
                let roles = roles.iter().map(ToString::to_string);
                ("AWS", accounts.iter().map(root).chain(roles).collect())
            }
            Self::SshGrunt { accounts, .. } | Self::ThirdParty { accounts, .. } => {
                ("AWS", accounts.iter().map(root).collect())
            }
            Self::Oidc(oidc) => ("Federated", vec![oidc.provider(partition)?]),
        };
        let principals = without_repeats(principals);
        if principals.is_empty() {
            return Err(BuildError::Nobody(self.name()));
        }
        let assume = || vec!["sts:AssumeRole".to_owned()];
        let (actions, condition) = match self {
            Self::Service(services) => {
                let further = services.iter().flat_map(ServiceName::further_actions);
                let actions = assume().into_iter().chain(further.map(ToString::to_string));
                (without_repeats(actions.collect()), None)
            }
            Self::ThirdParty { external_id, .. } => {
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
        let actions = match self {
            Self::ConsulCluster {
                with_permissions: true,
            } => [
                "ec2:DescribeInstances",
                "ec2:DescribeTags",
                "autoscaling:DescribeAutoScalingGroups",
            ],
            Self::SshGrunt {
                with_permissions: true,
                ..
            } => [
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
                action: Tree::one_or_many(&actions),
                principal: None,
                resource: Some(Tree::text("*")),
                condition: None,
            }],
        })
    }
}

impl Oidc {
    /// The provider's ARN.
    fn provider(&self, partition: Partition) -> Result<String, BuildError> {
        match self {
            Self::GitHub { account, .. } | Self::CircleCi { account, .. } => Ok(format!(
                "arn:{partition}:iam::{account}:oidc-provider/{}",
                self.issuer()
            )),
            Self::Other { provider, .. } => {
                require_partition(provider, provider.partition(), partition)?;
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
                // STS in China accepts no other audience; the workflow must request it.
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
        if is_pattern {
            Tree::map([
                ("StringEquals", Tree::Map(vec![audience])),
                ("StringLike", Tree::Map(vec![subject])),
            ])
        } else {
            Tree::map([("StringEquals", Tree::Map(vec![audience, subject]))])
        }
    }
}

/// Refuses an ARN of another partition than the role's.
fn require_partition(
    arn: &impl ToString,
    of: Partition,
    partition: Partition,
) -> Result<(), BuildError> {
    if of == partition {
        return Ok(());
    }
    Err(BuildError::Partition {
        arn: short(&arn.to_string()),
        partition,
        of,
    })
}

fn without_repeats(mut texts: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    texts
}
