//! What a principal may be: the one reading of it, for building and for checking.

use thiserror::Error;

use super::services::{self, Name};

/// What may stand under `"AWS"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AwsPrincipal<'a> {
    /// Everybody, in a statement that may say so.
    Everybody,
    /// A whole account: its id, or the ARN of its root.
    Account(&'a str),
    /// A role.
    Role {
        partition: &'a str,
        account: &'a str,
    },
    /// A user.
    User { account: &'a str },
    /// A session.
    Session { account: &'a str },
}

impl<'a> AwsPrincipal<'a> {
    pub(super) fn account(self) -> Option<&'a str> {
        match self {
            Self::Everybody => None,
            Self::Account(account)
            | Self::Role { account, .. }
            | Self::User { account }
            | Self::Session { account } => Some(account),
        }
    }
}

/// What may stand under `"Federated"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Federated<'a> {
    /// An OIDC provider by its issuer; without a partition for those that AWS has built in.
    Oidc {
        issuer: &'a str,
        partition: Option<&'a str>,
    },
    /// A SAML provider.
    Saml,
}

/// A name under `"Service"` that is of the right form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// Whether it is one that we know.
    pub(super) known: bool,
    /// If not: the one that was perhaps meant.
    pub(super) near: Option<String>,
    /// Whether it has the suffix `.amazonaws.com.cn`.
    pub(super) china: bool,
}

/// Why a principal cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PrincipalFault {
    /// `*`.
    #[error("`*` trusts every AWS account in the world")]
    Everybody,
    /// A wildcard in a longer text.
    #[error("{0:?} has a wildcard: a principal is named whole, or not at all")]
    Wildcard(String),
    /// A wildcard where a service is expected.
    #[error("{0:?} has a wildcard: a service is named whole, or not at all")]
    ServiceWildcard(String),
    /// A wildcard where a provider is expected.
    #[error("{0:?} has a wildcard: a provider is named whole, or not at all")]
    ProviderWildcard(String),
    /// An ARN where a service is expected.
    #[error("{0:?} is an ARN, and stands under Service")]
    ArnAsService(String),
    /// A service where an ARN is expected.
    #[error("{0:?} is an AWS service, and stands under AWS")]
    ServiceAsAws(String),
    /// A service name of a wrong form, or of no service.
    #[error("{text:?} is not the name of a service")]
    ServiceName {
        /// The name.
        text: String,
        /// What was probably meant.
        near: Option<String>,
    },
    /// Not 12 digits.
    #[error("{0:?} names no AWS account")]
    Account(String),
    /// A partition that does not exist.
    #[error("{text:?} is of the partition {partition:?}, which does not exist")]
    Partition {
        /// The ARN.
        text: String,
        /// Its partition.
        partition: String,
    },
    /// Not an ARN that can be trusted.
    #[error("{0:?} is not an ARN that a role can trust")]
    Arn(String),
    /// The id that AWS shows in the place of a deleted principal.
    #[error("{0:?} is what AWS shows for a user or role that was deleted")]
    Deleted(String),
    /// A group.
    #[error("{0:?} is a group, and a group cannot be trusted")]
    Group(String),
    /// A provider where another ARN is expected.
    #[error("{0:?} is an identity provider, and stands under AWS")]
    ProviderAsAws(String),
    /// Another ARN where a provider is expected.
    #[error("{0:?} is no identity provider, and stands under Federated")]
    AwsAsProvider(String),
    /// Not a provider.
    #[error("{0:?} is not an identity provider")]
    Provider(String),
}

impl PrincipalFault {
    /// What to do about it.
    #[must_use]
    pub fn cure(&self) -> String {
        match self {
            Self::Everybody => "name the accounts, roles or services that may assume the role".into(),
            Self::Wildcard(_) => {
                "name each principal; of an account, aws:PrincipalArn in Condition takes wildcards".into()
            }
            Self::ServiceWildcard(_) => {
                "name each AWS service that may assume the role, such as ec2.amazonaws.com".into()
            }
            Self::ProviderWildcard(_) => "name each identity provider by its ARN".into(),
            Self::ArnAsService(_) => {
                "put it under AWS; an AWS service is named as in ec2.amazonaws.com, never by an ARN".into()
            }
            Self::ServiceAsAws(_) => "put it under Service".into(),
            Self::ServiceName { near: Some(near), .. } => format!("did you mean {near:?}?"),
            Self::ServiceName { near: None, .. } => {
                "give the service's name in small letters with its domain, such as ec2.amazonaws.com".into()
            }
            Self::Account(_) => {
                "give the 12 digits of the account, with leading zeros, as a string".into()
            }
            Self::Partition { .. } => "the partition is aws, aws-cn or aws-us-gov".into(),
            Self::Arn(_) => {
                "give an ARN such as arn:aws:iam::123456789012:role/jenkins, of a role, a user, a session or an account's root".into()
            }
            Self::Deleted(_) => "take it away, or name the user or role that exists now by its ARN".into(),
            Self::Group(_) => "trust the account, and let the group's own policy allow sts:AssumeRole".into(),
            Self::ProviderAsAws(_) => "put it under Federated".into(),
            Self::AwsAsProvider(_) => "put it under AWS, with the action sts:AssumeRole".into(),
            Self::Provider(_) => {
                "give the ARN of the provider, such as \
                 arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com".into()
            }
        }
    }
}

/// The partitions that have accounts.
const PARTITIONS: [&str; 8] = [
    "aws",
    "aws-cn",
    "aws-us-gov",
    "aws-iso",
    "aws-iso-b",
    "aws-iso-e",
    "aws-iso-f",
    "aws-eusc",
];

/// The web identity providers that are trusted by their domain. Cognito has others in GovCloud and China.
const BUILT_IN: [&str; 7] = [
    "accounts.google.com",
    "cognito-identity-us-gov.amazonaws.com",
    "cognito-identity.amazonaws.com",
    "cognito-identity.cn-north-1.amazonaws.com.cn",
    "cognito-identity.us-gov-east-1.amazonaws.com",
    "graph.facebook.com",
    "www.amazon.com",
];

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The partition of an ARN, if it is one that exists.
pub(super) fn partition(text: &str) -> Option<&str> {
    let partition = text.strip_prefix("arn:")?.split(':').next()?;
    PARTITIONS.contains(&partition).then_some(partition)
}

/// A text for a message: not longer than a line.
pub(super) fn short(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reads what stands under `"AWS"`.
pub(super) fn aws(text: &str) -> Result<AwsPrincipal<'_>, PrincipalFault> {
    if text == "*" {
        return Ok(AwsPrincipal::Everybody);
    }
    if is_account(text) {
        return Ok(AwsPrincipal::Account(text));
    }
    if !text.starts_with("arn:") {
        return Err(match text {
            _ if text.contains(['*', '?']) => PrincipalFault::Wildcard(short(text)),
            _ if text.contains("amazonaws.com") || services::is_known(text) => {
                PrincipalFault::ServiceAsAws(short(text))
            }
            _ if is_unique_id(text) => PrincipalFault::Deleted(short(text)),
            _ if text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-') =>
            {
                PrincipalFault::Account(short(text))
            }
            _ => PrincipalFault::Arn(short(text)),
        });
    }
    let (service, partition, account, resource) = arn(text)?;
    let name = |prefix| {
        resource
            .strip_prefix(prefix)
            .filter(|name: &&str| name.split('/').all(is_name))
    };
    match service {
        "iam" if resource == "root" => Ok(AwsPrincipal::Account(account)),
        "iam" if name("role/").is_some() => Ok(AwsPrincipal::Role { partition, account }),
        "iam" if name("user/").is_some() => Ok(AwsPrincipal::User { account }),
        "iam" if is_provider(resource) => Err(PrincipalFault::ProviderAsAws(short(text))),
        "iam" if resource.starts_with("group/") => Err(PrincipalFault::Group(short(text))),
        "sts"
            if name("assumed-role/").is_some_and(|name| name.contains('/'))
                || name("federated-user/").is_some() =>
        {
            Ok(AwsPrincipal::Session { account })
        }
        _ => Err(PrincipalFault::Arn(short(text))),
    }
}

/// Whether the resource of an ARN is a provider, of whatever name.
fn is_provider(resource: &str) -> bool {
    ["oidc-provider/", "saml-provider/"]
        .iter()
        .any(|prefix| resource.starts_with(prefix))
}

/// Reads what stands under `"Federated"`.
pub(super) fn federated(text: &str) -> Result<Federated<'_>, PrincipalFault> {
    if text.contains(['*', '?']) {
        return Err(PrincipalFault::ProviderWildcard(short(text)));
    }
    if BUILT_IN.contains(&text) {
        return Ok(Federated::Oidc {
            issuer: text,
            partition: None,
        });
    }
    if !text.starts_with("arn:") {
        return Err(PrincipalFault::Provider(short(text)));
    }
    let (service, partition, _, resource) = arn(text)?;
    match (service, resource.split_once('/')) {
        ("iam", Some(("oidc-provider", issuer))) if is_issuer(issuer) => Ok(Federated::Oidc {
            issuer,
            partition: Some(partition),
        }),
        ("iam", Some(("saml-provider", name))) if is_name(name) => Ok(Federated::Saml),
        _ if !is_provider(resource) && aws(text).is_ok() => {
            Err(PrincipalFault::AwsAsProvider(short(text)))
        }
        _ => Err(PrincipalFault::Provider(short(text))),
    }
}

/// Reads what stands under `"Service"`.
pub(super) fn service(text: &str) -> Result<Service, PrincipalFault> {
    if text.contains(['*', '?']) {
        return Err(PrincipalFault::ServiceWildcard(short(text)));
    }
    if text.starts_with("arn:") {
        return Err(PrincipalFault::ArnAsService(short(text)));
    }
    let fault = |near| PrincipalFault::ServiceName {
        text: short(text),
        near,
    };
    let Some((name, china)) = services::split(text) else {
        return Err(fault(services::meant(text)));
    };
    let (known, near) = match services::look_up(name) {
        Name::Known => (true, None),
        Name::New(near) => (false, near.map(services::principal)),
        Name::Wrong(service) => return Err(fault(Some(services::principal(service)))),
    };
    Ok(Service { known, near, china })
}

/// Whether the service is EC2, in either suffix.
pub(super) fn is_ec2(text: &str) -> bool {
    services::split(text).is_some_and(|(name, _)| name == "ec2")
}

/// The service, partition, account and resource of an ARN of IAM or STS.
fn arn(text: &str) -> Result<(&str, &str, &str, &str), PrincipalFault> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, partition, service, region, account, resource] = parts[..] else {
        return Err(PrincipalFault::Arn(short(text)));
    };
    if text.contains(['*', '?']) {
        return Err(PrincipalFault::Wildcard(short(text)));
    }
    if !PARTITIONS.contains(&partition) {
        return Err(PrincipalFault::Partition {
            text: short(text),
            partition: short(partition),
        });
    }
    if !["iam", "sts"].contains(&service) || !region.is_empty() {
        return Err(PrincipalFault::Arn(short(text)));
    }
    if !is_account(account) {
        return Err(PrincipalFault::Account(short(text)));
    }
    Ok((service, partition, account, resource))
}

/// Names and path parts of IAM: printable ASCII without the slash; sessions take no more.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

/// A URL without its scheme.
fn is_issuer(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or_default();
    host.contains('.')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-/:~%".contains(c))
}

/// The stable id of a user (AIDA...), a role (AROA...) or a group (AGPA...).
fn is_unique_id(text: &str) -> bool {
    (16..=128).contains(&text.len())
        && ["AIDA", "AROA", "AGPA"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}
