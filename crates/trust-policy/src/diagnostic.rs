//! Diagnostics: the results of a check.

use std::fmt;

use serde::{Serialize, Serializer};

/// The severity of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// AWS refuses the document, nobody can assume the role, or everybody can.
    Error,
    /// The policy works, but is weaker than it should be or may not do what was meant.
    Warning,
    /// A recommendation.
    Hint,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        })
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident $id:literal $severity:ident,)*) => {
        /// What was found. The kebab-case IDs are stable; docs/trust-policy.md explains each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The stable ID.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$code => $id,)*
                }
            }

            /// The severity of diagnostics with this code.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$code => Severity::$severity,)*
                }
            }
        }
    };
}

codes! {
    /// The text is not one JSON document.
    NotJson "not-json" Error,
    /// An object has the same key twice.
    DuplicateKey "duplicate-key" Error,
    /// A key that trust policies do not have.
    UnknownKey "unknown-key" Error,
    /// A required element is missing.
    MissingElement "missing-element" Error,
    /// A value still contains a placeholder.
    Placeholder "placeholder" Error,
    /// A value of the wrong type, or one that the element does not accept.
    BadValue "bad-value" Error,
    /// An element that only other policies have.
    NotInTrustPolicy "not-in-trust-policy" Error,
    /// The action does not assume a role, or contains a wildcard.
    BadAction "bad-action" Error,
    /// The principal cannot use the action.
    ActionPrincipalMismatch "action-principal-mismatch" Error,
    /// An ARN under `Service`.
    ArnAsService "arn-as-service" Error,
    /// A service under `AWS`.
    ServiceAsAws "service-as-aws" Error,
    /// Not the name of a service.
    BadServiceName "bad-service-name" Error,
    /// A wildcard in a principal.
    WildcardPrincipal "wildcard-principal" Error,
    /// Not an account ID.
    BadAccount "bad-account" Error,
    /// Not an ARN that a role can trust.
    BadArn "bad-arn" Error,
    /// An unknown partition, or two partitions in one policy.
    BadPartition "bad-partition" Error,
    /// A group, a canonical user or another principal that cannot assume roles.
    UnsupportedPrincipal "unsupported-principal" Error,
    /// Nobody, or none of the named principals, can assume the role.
    LetsNobodyIn "lets-nobody-in" Error,
    /// The policy requires MFA of a principal that cannot use it.
    MfaDemanded "mfa-demanded" Error,
    /// Not an external ID.
    BadExternalId "bad-external-id" Error,
    /// Everybody can get tokens from the provider, and no condition restricts the identity.
    OidcSubjectOpen "oidc-subject-open" Error,
    /// A wildcard that the operator compares literally.
    LiteralWildcard "literal-wildcard" Error,
    /// The policy is larger than AWS accepts.
    TooLarge "too-large" Error,
    /// A malformed or repeated Sid.
    BadSid "bad-sid" Error,
    /// Not a condition operator.
    UnknownOperator "unknown-operator" Error,
    /// A character that IAM does not accept.
    BadCharacter "bad-character" Error,
    /// The policy is larger than AWS accepts by default.
    OverDefaultQuota "over-default-quota" Warning,
    /// The version is not 2012-10-17.
    OldVersion "old-version" Warning,
    /// A condition operator without keys.
    EmptyOperator "empty-operator" Warning,
    /// A well-formed service name that the list does not contain.
    UnknownService "unknown-service" Warning,
    /// The service calls further actions that the policy does not allow.
    SessionActionMissing "session-action-missing" Warning,
    /// The policy trusts a whole account.
    WholeAccount "whole-account" Warning,
    /// The policy trusts everybody, and only a condition keeps strangers out.
    WildcardNarrowed "wildcard-narrowed" Warning,
    /// The policy trusts a third party without an external ID.
    NoExternalId "no-external-id" Warning,
    /// A condition on `aws:SourceAccount` or `aws:SourceArn`, which the service does not send.
    SourceKeyNotSent "source-key-not-sent" Warning,
    /// No condition on these keys, although the service sends them.
    SourceKeyMissing "source-key-missing" Warning,
    /// The policy requires MFA of roles, whose sessions never have it.
    MfaOfRole "mfa-of-role" Warning,
    /// A condition on MFA that requests without MFA satisfy.
    MfaTestsNothing "mfa-tests-nothing" Warning,
    /// The policy trusts every identity of the owner's provider.
    OidcSubjectMissing "oidc-subject-missing" Warning,
    /// A wildcard in the subject of a GitHub token.
    GitHubSubjectWildcard "github-subject-wildcard" Warning,
    /// The suffix `.amazonaws.com.cn`.
    ChinaSuffix "china-suffix" Warning,
    /// The policy trusts EC2: lock the metadata service as well.
    PairWithLockdown "pair-with-lockdown" Hint,
    /// Other policies follow the trust policy.
    FurtherPolicy "further-policy" Hint,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// One result of a check: an error, a warning or a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What was found.
    pub code: Code,
    /// The element in the document, as a JSONPath such as `$.Statement[0].Action`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The cause.
    pub message: String,
    /// How to fix it.
    pub help: String,
}

impl Diagnostic {
    /// The severity.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}
