//! One thing that is wrong, or worth knowing.

use std::fmt;

use serde::{Serialize, Serializer};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// AWS refuses the document, nobody can assume the role, or everybody can.
    Error,
    /// It works, and is less than it should be.
    Warning,
    /// What goes well with it.
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
        /// What was found. The kebab-case ids are stable; docs/trust-policy.md lists cause and cure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The stable id.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$code => $id,)*
                }
            }

            /// How bad it is.
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
    /// It is not one JSON document.
    NotJson "not-json" Error,
    /// A key stands twice in one object.
    DuplicateKey "duplicate-key" Error,
    /// A key that trust policies do not have.
    UnknownKey "unknown-key" Error,
    /// An element that has to be there is not.
    MissingElement "missing-element" Error,
    /// What somebody was to fill in, and has not.
    Placeholder "placeholder" Error,
    /// A value of the wrong kind, or one that the element does not take.
    BadValue "bad-value" Error,
    /// An element of other policies.
    NotInTrustPolicy "not-in-trust-policy" Error,
    /// Not an action that assumes a role, or a wildcard.
    BadAction "bad-action" Error,
    /// The action and the principal do not go together.
    ActionPrincipalMismatch "action-principal-mismatch" Error,
    /// An ARN under `Service`.
    ArnAsService "arn-as-service" Error,
    /// A service under `AWS`.
    ServiceAsAws "service-as-aws" Error,
    /// Not the name of a service.
    BadServiceName "bad-service-name" Error,
    /// A wildcard among the principals.
    WildcardPrincipal "wildcard-principal" Error,
    /// Not an account.
    BadAccount "bad-account" Error,
    /// Not an ARN that can be trusted.
    BadArn "bad-arn" Error,
    /// Not a partition.
    BadPartition "bad-partition" Error,
    /// A group, a canonical user, or another kind that cannot assume roles.
    UnsupportedPrincipal "unsupported-principal" Error,
    /// No statement lets anybody in.
    LetsNobodyIn "lets-nobody-in" Error,
    /// MFA is demanded of somebody who has none.
    MfaDemanded "mfa-demanded" Error,
    /// Not an external id.
    BadExternalId "bad-external-id" Error,
    /// A provider that everybody can use, without a test of who it is.
    OidcSubjectOpen "oidc-subject-open" Error,
    /// A wildcard that is taken literally.
    LiteralWildcard "literal-wildcard" Error,
    /// Larger than AWS takes.
    TooLarge "too-large" Error,
    /// A Sid that is malformed or stands twice.
    BadSid "bad-sid" Error,
    /// Not a condition operator.
    UnknownOperator "unknown-operator" Error,
    /// A character that IAM does not take.
    BadCharacter "bad-character" Error,
    /// Larger than AWS takes unless the quota was raised.
    OverDefaultQuota "over-default-quota" Warning,
    /// Not version 2012-10-17.
    OldVersion "old-version" Warning,
    /// A condition operator without keys.
    EmptyOperator "empty-operator" Warning,
    /// A well-formed name of no service that we know.
    UnknownService "unknown-service" Warning,
    /// A service calls further actions, and is not allowed them.
    SessionActionMissing "session-action-missing" Warning,
    /// A whole account is trusted.
    WholeAccount "whole-account" Warning,
    /// Everybody is trusted whom a condition does not keep out.
    WildcardNarrowed "wildcard-narrowed" Warning,
    /// A third party need not present an external id.
    NoExternalId "no-external-id" Warning,
    /// `aws:SourceAccount` or `aws:SourceArn` where the service does not send them.
    SourceKeyNotSent "source-key-not-sent" Warning,
    /// Neither of them where the service sends them.
    SourceKeyMissing "source-key-missing" Warning,
    /// MFA is demanded of roles, whose sessions do not carry it.
    MfaOfRole "mfa-of-role" Warning,
    /// A test of MFA that is true without MFA.
    MfaTestsNothing "mfa-tests-nothing" Warning,
    /// A provider of one's own, and nothing tells which of its identities may come.
    OidcSubjectMissing "oidc-subject-missing" Warning,
    /// A wildcard in a GitHub subject.
    GitHubSubjectWildcard "github-subject-wildcard" Warning,
    /// The suffix `.amazonaws.com.cn`.
    ChinaSuffix "china-suffix" Warning,
    /// EC2 is trusted: what goes with it.
    PairWithLockdown "pair-with-lockdown" Hint,
    /// Behind the trust policy stand other policies.
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

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// Where in the document, as a JSONPath such as `$.Statement[0].Action`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// What is wrong: the cause.
    pub message: String,
    /// What to do about it.
    pub cure: String,
}

impl Finding {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}
