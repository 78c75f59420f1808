//! Values that a policy can contain (accounts, ARNs, service names, ...), parsed once at the edge.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use crate::principal::PrincipalFault;
use crate::principal::{self, AwsPrincipal, Federated};
use crate::services;

/// Why a text is not a value of the wanted kind. The caller knows the text: the message does not repeat it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValueError {
    /// Not an account ID.
    #[error("an AWS account ID has 12 digits, such as 123456789012")]
    Account,
    /// Not a principal, or not one of the wanted kind.
    #[error("{0}; {help}", help = .0.help())]
    Principal(PrincipalFault),
    /// The ARN of something else.
    #[error("not the ARN of {0}")]
    OtherArn(&'static str),
    /// Not a partition.
    #[error("the partition must be aws, aws-cn or aws-us-gov")]
    Partition,
    /// Not an external ID.
    #[error("an external ID has 2 to 1224 characters: letters, digits and _+=,.@:/-")]
    ExternalId,
    /// Not a Sid.
    #[error("a Sid has letters and digits only, such as TrustEc2")]
    Sid,
    /// Not a role name.
    #[error("a role name has 1 to 64 characters: letters, digits and _+=,.@-")]
    RoleName,
    /// Not a GitHub repository.
    #[error("a GitHub repository is ORG/REPO or ORG@ID/REPO@ID, without wildcards")]
    Repository,
    /// Not a git branch.
    #[error("a branch is the name of one git branch, such as main, without wildcards")]
    Branch,
    /// Not a CircleCI UUID.
    #[error("a CircleCI ID is a UUID; the settings of the organization and of the project show it")]
    CircleCi,
    /// Not a subject.
    #[error(
        "a subject has 1 to 255 printable ASCII characters: not only wildcards, no policy variable \
         and no placeholder"
    )]
    Subject,
    /// Not an audience.
    #[error(
        "an audience has 1 to 255 printable ASCII characters: no wildcard, no policy variable and no \
         placeholder"
    )]
    Audience,
}

macro_rules! value {
    ($(#[$doc:meta])* $name:ident, $error:ident, $fits:expr) => {
        value!($(#[$doc])* $name, $error, $fits, str::to_owned);
    };
    // With the conversion of a text that fits.
    ($(#[$doc:meta])* $name:ident, $error:ident, $fits:expr, $made:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Makes the value, if the text fits.
            #[must_use]
            pub fn new(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                let fits: fn(&str) -> bool = $fits;
                if fits(text) {
                    Ok(Self($made(text)))
                } else {
                    Err(ValueError::$error)
                }
            }
        }
    };
}

value!(
    /// The ID of an AWS account: 12 digits.
    AccountId, Account, principal::is_account
);
value!(
    /// The external ID that a third party must send (`sts:ExternalId`).
    ExternalId, ExternalId, is_external_id
);
value!(
    /// The name of a statement.
    Sid, Sid, is_sid
);
value!(
    /// The name of a role.
    RoleName, RoleName, |text| {
        (1..=64).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
    }
);
value!(
    /// A GitHub repository: `ORG/REPO`, or `ORG@ID/REPO@ID` where the subject of its tokens contains both IDs.
    Repository, Repository, |text| {
        let is_name = |name: &str| {
            (1..=100).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        };
        let is_id = |id: &str| {
            (1..=20).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
        };
        text.split_once('/').is_some_and(|(org, repo)| {
            match (org.split_once('@'), repo.split_once('@')) {
                (None, None) => is_name(org) && is_name(repo),
                (Some(org), Some(repo)) => {
                    [org, repo].iter().all(|(name, id)| is_name(name) && is_id(id))
                }
                _ => false,
            }
        })
    }
);
value!(
    /// A git branch.
    Branch, Branch, |text| {
        (1..=200).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_graphic() && !"*?[\\^~:\"".contains(c))
            && !text.starts_with(['/', '-'])
            && !text.starts_with("refs/")
            && !text.ends_with(['/', '.'])
            && !text.contains("..")
            && !text.contains("//")
            && is_filled_in(text)
    }
);
value!(
    /// The UUID of a CircleCI organization or project, in lower case as in the tokens.
    CircleCiId, CircleCi, |text| {
        let lengths = text.split('-').map(str::len);
        lengths.eq([8, 4, 4, 4, 12]) && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
    },
    str::to_ascii_lowercase
);
value!(
    /// The subject of a web identity token; with `*` or `?`, a pattern.
    Subject, Subject, |text| is_claim(text) && text.contains(|c| !"*? ".contains(c))
);
value!(
    /// The audience of a web identity token.
    Audience, Audience, |text| is_claim(text) && !text.trim().is_empty() && !text.contains(['*', '?'])
);

fn is_claim(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        && is_filled_in(text)
}

/// Whether the text has neither a policy variable nor a placeholder.
fn is_filled_in(text: &str) -> bool {
    !text.contains("${") && !has_placeholder(text)
}

/// Whether the text has a placeholder, such as `<ORG>` or `<your-org>`.
pub(crate) fn has_placeholder(text: &str) -> bool {
    text.split('<').skip(1).any(|rest| {
        rest.split_once('>').is_some_and(|(name, _)| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_- ".contains(c))
        })
    })
}

/// Whether the text can be an external ID. AWS's API also accepts `_`, which its guide does not list.
pub(crate) fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len()) && has_external_id_characters(text)
}

/// Whether the text can be a part of an external ID.
pub(crate) fn has_external_id_characters(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c))
}

/// Whether the text can be a Sid.
pub(crate) fn is_sid(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// An AWS partition. Accounts and ARNs belong to one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partition {
    /// The commercial regions.
    #[default]
    Aws,
    /// China.
    AwsCn,
    /// AWS GovCloud (US).
    AwsUsGov,
}

impl Partition {
    /// Every partition.
    pub const ALL: [Self; 3] = [Self::Aws, Self::AwsCn, Self::AwsUsGov];

    /// Where the partition is.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::Aws => "The commercial regions",
            Self::AwsCn => "China",
            Self::AwsUsGov => "AWS GovCloud (US)",
        }
    }

    /// The name, as in ARNs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Partition {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::ALL
            .into_iter()
            .find(|partition| partition.name() == text)
            .ok_or(ValueError::Partition)
    }
}

/// An AWS service that assumes roles, by its full name such as `ec2.amazonaws.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName(String);

impl ServiceName {
    /// EC2, for the role of an instance.
    #[must_use]
    pub fn ec2() -> Self {
        Self("ec2.amazonaws.com".to_owned())
    }

    /// Whether the service is EC2, which gives the credentials of its roles to instances.
    #[must_use]
    pub fn is_ec2(&self) -> bool {
        principal::is_ec2(&self.0)
    }

    /// The actions that the service calls in addition to `sts:AssumeRole`.
    #[must_use]
    pub fn further_actions(&self) -> &'static [&'static str] {
        services::further_actions(&self.0)
    }

    /// The name before the domain, such as `ec2`.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = ValueError;

    /// Parses `ec2` or `ec2.amazonaws.com`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let full = if text.contains(['.', ':', '*']) || text.is_empty() {
            text.to_owned()
        } else {
            format!("{text}.amazonaws.com")
        };
        principal::service(&full).map_err(ValueError::Principal)?;
        Ok(Self(full))
    }
}

/// The ARN of a role, such as `arn:aws:iam::123456789012:role/jenkins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn {
    text: String,
    partition: Partition,
}

impl RoleArn {
    /// The partition.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for RoleArn {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match principal::aws(text).map_err(ValueError::Principal)? {
            AwsPrincipal::Role { partition, .. } => Ok(Self {
                text: text.to_owned(),
                partition: partition.parse()?,
            }),
            _ => Err(ValueError::OtherArn(
                "a role, such as arn:aws:iam::123456789012:role/jenkins",
            )),
        }
    }
}

/// The ARN of an OIDC provider, such as `arn:aws:iam::123456789012:oidc-provider/gitlab.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderArn {
    text: String,
    issuer: String,
    partition: Partition,
}

impl ProviderArn {
    /// The issuer's URL without `https://`. The condition keys of the provider begin with it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }
}

impl fmt::Display for ProviderArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ProviderArn {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match principal::federated(text).map_err(ValueError::Principal)? {
            Federated::Oidc {
                issuer,
                partition: Some(partition),
            } => Ok(Self {
                text: text.to_owned(),
                issuer: issuer.to_owned(),
                partition: partition.parse()?,
            }),
            _ => Err(ValueError::OtherArn(
                "an OIDC provider, such as arn:aws:iam::123456789012:oidc-provider/gitlab.com",
            )),
        }
    }
}
