//! The grammar of principals, shared by building and checking.

use thiserror::Error;

use crate::services::{self, Name};
use crate::text::short;

/// A principal under `"AWS"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AwsPrincipal<'a> {
    /// `*`: everybody.
    Everybody,
    /// A whole account: its ID, or the ARN of its root.
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

/// A principal under `"Federated"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Federated<'a> {
    /// An OIDC provider by its issuer. Providers that are built into AWS have no partition.
    Oidc {
        issuer: &'a str,
        partition: Option<&'a str>,
    },
    /// A SAML provider.
    Saml,
}

/// A well-formed service name under `"Service"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// Whether the list of services contains the name.
    pub(super) known: bool,
    /// The service that was perhaps meant, if the name is unknown.
    pub(super) near: Option<String>,
    /// Whether the name ends in `.amazonaws.com.cn`.
    pub(super) china: bool,
}

/// Why a text cannot be a principal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PrincipalFault {
    /// The principal is `*`.
    #[error("`*` trusts every AWS account in the world")]
    Everybody,
    /// A wildcard in a longer text under `AWS`.
    #[error("{0:?} contains a wildcard: a principal must be named in full")]
    Wildcard(String),
    /// A wildcard under `Service`.
    #[error("{0:?} contains a wildcard: a service must be named in full")]
    ServiceWildcard(String),
    /// A wildcard under `Federated`.
    #[error("{0:?} contains a wildcard: a provider must be named in full")]
    ProviderWildcard(String),
    /// An ARN under `Service`.
    #[error("{0:?} is an ARN, but is listed under Service")]
    ArnAsService(String),
    /// A service under `AWS`.
    #[error("{0:?} is an AWS service, but is listed under AWS")]
    ServiceAsAws(String),
    /// A malformed or misspelt service name.
    #[error("{text:?} is not the name of an AWS service")]
    ServiceName {
        /// The name.
        text: String,
        /// The service that was probably meant.
        near: Option<String>,
    },
    /// An account ID that does not have 12 digits.
    #[error("{0:?} contains no valid AWS account ID")]
    Account(String),
    /// An unknown partition.
    #[error("{text:?} has the partition {partition:?}, which does not exist")]
    Partition {
        /// The ARN.
        text: String,
        /// The ARN's partition.
        partition: String,
    },
    /// Not an ARN that a role can trust.
    #[error("{0:?} is not an ARN that a role can trust")]
    Arn(String),
    /// The ID that AWS shows in place of a deleted principal.
    #[error("{0:?} is the ID that AWS shows for a deleted user or role")]
    Deleted(String),
    /// A group.
    #[error("{0:?} is a group, which a role cannot trust")]
    Group(String),
    /// An identity provider under `AWS`.
    #[error("{0:?} is an identity provider, but is listed under AWS")]
    ProviderAsAws(String),
    /// The ARN of a role, user, session or account under `Federated`.
    #[error("{0:?} is not an identity provider, but is listed under Federated")]
    AwsAsProvider(String),
    /// Not an identity provider.
    #[error("{0:?} is not an identity provider")]
    Provider(String),
}

impl PrincipalFault {
    /// What to do about the fault.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Everybody => "name the accounts, roles or services that may assume the role",
            Self::Wildcard(_) => {
                "name each principal; to match several roles of an account, trust the account and test \
                 aws:PrincipalArn in Condition, which accepts wildcards"
            }
            Self::ServiceWildcard(_) => {
                "name each AWS service that may assume the role, such as ec2.amazonaws.com"
            }
            Self::ProviderWildcard(_) => "name each identity provider by its ARN",
            Self::ArnAsService(_) => {
                "list it under AWS; under Service, use a name such as ec2.amazonaws.com"
            }
            Self::ServiceAsAws(_) => "list it under Service",
            Self::ServiceName {
                near: Some(near), ..
            } => return format!("did you mean {near:?}?"),
            Self::ServiceName { near: None, .. } => {
                "use the service's name in lower case with its domain, such as ec2.amazonaws.com"
            }
            Self::Account(_) => "use the account's 12 digits as a string, with leading zeros",
            Self::Partition { .. } => "use aws, aws-cn or aws-us-gov",
            Self::Arn(_) => {
                "use the ARN of a role, user, session or account root, such as \
                 arn:aws:iam::123456789012:role/jenkins"
            }
            Self::Deleted(_) => "remove it, or replace it with the ARN of a user or role that exists",
            Self::Group(_) => {
                "trust the account, and allow sts:AssumeRole in the group's own policy"
            }
            Self::ProviderAsAws(_) => "list it under Federated",
            Self::AwsAsProvider(_) => "list it under AWS, with the action sts:AssumeRole",
            Self::Provider(_) => {
                "use the provider's ARN, such as \
                 arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
            }
        }
        .to_owned()
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

/// The web identity providers that are built into AWS and named by their domain. Cognito has further domains in
/// GovCloud and China.
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

/// The partition of an ARN, if that partition exists.
pub(super) fn partition(text: &str) -> Option<&str> {
    let partition = text.strip_prefix("arn:")?.split(':').next()?;
    PARTITIONS.contains(&partition).then_some(partition)
}

/// Parses a principal under `"AWS"`.
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

/// Whether the resource of an ARN is an identity provider, even one with a malformed name.
fn is_provider(resource: &str) -> bool {
    ["oidc-provider/", "saml-provider/"]
        .iter()
        .any(|prefix| resource.starts_with(prefix))
}

/// Parses a principal under `"Federated"`.
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

/// Parses a service name under `"Service"`.
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

/// Whether the service is EC2, with either suffix.
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

/// Whether the text can be a name or a part of a path in IAM, or the name of a session.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

/// Whether the text is a URL without its scheme.
fn is_issuer(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or_default();
    host.contains('.')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-/:~%".contains(c))
}

/// Whether the text is the unique ID of a user (AIDA...), a role (AROA...) or a group (AGPA...).
fn is_unique_id(text: &str) -> bool {
    (16..=128).contains(&text.len())
        && ["AIDA", "AROA", "AGPA"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}
