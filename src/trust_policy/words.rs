//! Accounts, ARNs, services and names: what may stand in a trust policy, parsed once.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::principal::{self, AwsPrincipal, Federated, PrincipalFault};
use super::services;

/// Why a word cannot go into a policy: what is wrong, and what to give instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WordError {
    /// No account.
    #[error("{0:?} is not an AWS account: an account has 12 digits, such as 123456789012")]
    Account(String),
    /// No principal, or not of the kind that is wanted.
    #[error("{fault}; {cure}", cure = .fault.cure())]
    Principal {
        /// What is wrong with it.
        fault: PrincipalFault,
    },
    /// An ARN of something else.
    #[error("{text:?} is not the ARN of {wanted}")]
    OtherArn {
        /// The ARN.
        text: String,
        /// What it should be of, with an example.
        wanted: &'static str,
    },
    /// No partition.
    #[error("{0:?} is not a partition: give aws, aws-cn or aws-us-gov")]
    Partition(String),
    /// No external id.
    #[error(
        "{0:?} is not an external id: it has 2 to 1224 characters, each a letter, a digit or one of \
         _+=,.@:/-"
    )]
    ExternalId(String),
    /// No Sid.
    #[error("{0:?} is not a Sid: it has letters and digits only, such as TrustEc2")]
    Sid(String),
    /// No role name.
    #[error(
        "{0:?} is not a role's name: it has 1 to 64 characters, each a letter, a digit or one of _+=,.@-"
    )]
    RoleName(String),
    /// No repository.
    #[error(
        "{0:?} is not a GitHub repository: give ORG/REPO, or ORG@ID/REPO@ID, without wildcards"
    )]
    Repository(String),
    /// No branch.
    #[error("{0:?} is not a branch: give one git branch, such as main, without wildcards")]
    Branch(String),
    /// No CircleCI id.
    #[error(
        "{0:?} is not a CircleCI id: give the UUID of the organization or project, as its settings show it"
    )]
    CircleCi(String),
    /// No claim.
    #[error(
        "{0:?} cannot be the value of a claim: give 1 to 255 printable ASCII characters, not only wildcards, \
         and no variable or placeholder"
    )]
    Claim(String),
    /// No audience.
    #[error(
        "{0:?} is not an audience: give 1 to 255 printable ASCII characters, and no wildcard, variable or \
         placeholder"
    )]
    Audience(String),
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $error:ident, $fits:expr) => {
        word!($(#[$doc])* $name, $error, $fits, str::to_owned);
    };
    // With what is made of a text that fits.
    ($(#[$doc:meta])* $name:ident, $error:ident, $fits:expr, $made:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The word itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The word, if the text is one.
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
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                let fits: fn(&str) -> bool = $fits;
                match fits(text) {
                    true => Ok(Self($made(text))),
                    false => Err(WordError::$error(principal::short(text))),
                }
            }
        }
    };
}

word!(
    /// An AWS account: 12 digits.
    AccountId, Account, principal::is_account
);
word!(
    /// What a third party has to present (`sts:ExternalId`).
    ExternalId, ExternalId, is_external_id
);
word!(
    /// The name of a statement.
    Sid, Sid, is_sid
);
word!(
    /// The name of a role.
    RoleName, RoleName, |text| {
        (1..=64).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
    }
);
word!(
    /// A GitHub repository: `ORG/REPO`, or `ORG@ID/REPO@ID` where subjects have the ids of both.
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
word!(
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
word!(
    /// The UUID of a CircleCI organization or project, in small letters as in its tokens.
    CircleCiId, CircleCi, |text| {
        let lengths = text.split('-').map(str::len);
        lengths.eq([8, 4, 4, 4, 12]) && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
    },
    str::to_ascii_lowercase
);
word!(
    /// The value of a claim of a web identity token; with `*` or `?`, a pattern.
    Claim, Claim, |text| is_claim(text) && text.contains(|c| !"*? ".contains(c))
);
word!(
    /// Whom a web identity token is for.
    Audience, Audience, |text| is_claim(text) && !text.trim().is_empty() && !text.contains(['*', '?'])
);

fn is_claim(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        && is_filled_in(text)
}

/// Whether nothing in it is left for somebody else to fill in.
fn is_filled_in(text: &str) -> bool {
    !text.contains("${") && !has_placeholder(text)
}

/// Whether it has a placeholder, such as `<ORG>` or `<your-org>`.
pub(super) fn has_placeholder(text: &str) -> bool {
    text.split('<').skip(1).any(|rest| {
        rest.split_once('>').is_some_and(|(name, _)| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_- ".contains(c))
        })
    })
}

/// Whether it can be an external id. AWS's API takes `_` beside what its guide lists.
pub(super) fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len()) && has_external_id_characters(text)
}

/// Whether it can be a part of an external id.
pub(super) fn has_external_id_characters(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c))
}

/// Whether it can be a Sid.
pub(super) fn is_sid(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// A part of AWS with accounts and ARNs of its own.
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

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
        })
    }
}

impl FromStr for Partition {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        [Self::Aws, Self::AwsCn, Self::AwsUsGov]
            .into_iter()
            .find(|partition| partition.to_string() == text)
            .ok_or_else(|| WordError::Partition(principal::short(text)))
    }
}

/// An AWS service that assumes roles, by its full name such as `ec2.amazonaws.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName(String);

impl ServiceName {
    /// EC2: the role of an instance.
    #[must_use]
    pub fn ec2() -> Self {
        Self("ec2.amazonaws.com".to_owned())
    }

    /// Whether it is EC2, whose roles instances get through the metadata service.
    #[must_use]
    pub fn is_ec2(&self) -> bool {
        principal::is_ec2(&self.0)
    }

    /// The actions that it calls beside `sts:AssumeRole`, and has to be allowed.
    #[must_use]
    pub fn further_actions(&self) -> &'static [&'static str] {
        services::further_actions(&self.0)
    }

    /// What comes before the domain, such as `ec2`.
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
    type Err = WordError;

    /// `ec2` or `ec2.amazonaws.com`.
    fn from_str(text: &str) -> Result<Self, WordError> {
        let full = match text.contains(['.', ':', '*']) || text.is_empty() {
            true => text.to_owned(),
            false => format!("{text}.amazonaws.com"),
        };
        match principal::service(&full) {
            Ok(_) => Ok(Self(full)),
            Err(fault) => Err(WordError::Principal { fault }),
        }
    }
}

/// The ARN of a role, such as `arn:aws:iam::123456789012:role/jenkins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn {
    text: String,
    partition: Partition,
}

impl RoleArn {
    /// Its partition.
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
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        match principal::aws(text) {
            Ok(AwsPrincipal::Role { partition, .. }) => Ok(Self {
                text: text.to_owned(),
                partition: partition.parse()?,
            }),
            Ok(_) => Err(WordError::OtherArn {
                text: principal::short(text),
                wanted: "a role, such as arn:aws:iam::123456789012:role/jenkins",
            }),
            Err(fault) => Err(WordError::Principal { fault }),
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
    /// The issuer's URL without `https://`: what its condition keys begin with.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its partition.
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
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        match principal::federated(text) {
            Ok(Federated::Oidc {
                issuer,
                partition: Some(partition),
            }) => Ok(Self {
                text: text.to_owned(),
                issuer: issuer.to_owned(),
                partition: partition.parse()?,
            }),
            Ok(_) => Err(WordError::OtherArn {
                text: principal::short(text),
                wanted: "an OIDC provider, such as arn:aws:iam::123456789012:oidc-provider/gitlab.com",
            }),
            Err(fault) => Err(WordError::Principal { fault }),
        }
    }
}
