//! Rules on web identities: a claim must restrict which identities of a provider can assume the role.

use super::condition::{Condition, Value, has_wildcard};
use super::reach;
use super::report::Report;
use super::source::Node;
use super::statement::{Assume, ParsedStatement};
use crate::diagnostic::Code;
use crate::principal::{self, Federated};
use crate::text::{quote, short};

/// Providers from which everybody can get tokens, each with the claims of which one must identify the owner. A
/// name with a colon is a whole condition key. IAM itself requires most of these when a role is created or changed.
const SHARED_PROVIDERS: [(&str, &[&str]); 27] = [
    ("accounts.google.com", &["aud", "sub"]),
    ("agent.buildkite.com", &["sub"]),
    ("api.pulumi.com/oidc", &["aud"]),
    ("app.terraform.io", &["sub"]),
    ("appleid.apple.com", &["aud", "sub"]),
    ("cognito-identity-us-gov.amazonaws.com", &["aud"]),
    ("cognito-identity.amazonaws.com", &["aud"]),
    ("cognito-identity.cn-north-1.amazonaws.com.cn", &["aud"]),
    ("cognito-identity.us-gov-east-1.amazonaws.com", &["aud"]),
    ("gitlab.com", &["sub"]),
    ("graph.facebook.com", &["app_id", "id"]),
    ("login.microsoftonline.com/common", &["aud", "sub"]),
    ("login.microsoftonline.com/consumers", &["aud", "sub"]),
    ("login.microsoftonline.com/organizations", &["aud", "sub"]),
    (
        "oidc-configuration.audit-log.githubusercontent.com",
        &["sub"],
    ),
    ("oidc.codefresh.io", &["sub"]),
    (
        "oidc.op1.openshiftapps.com/2f785sojlpb85i7402pk3qogugim5nfb",
        &["sub"],
    ),
    ("oidc.vercel.com", &["aud"]),
    ("proidc.upbound.io", &["sub"]),
    ("sandboxes.cloud", &["aud"]),
    ("scalr.io", &["sub"]),
    (
        "sts.windows.net/33e01921-4d64-4f8c-a055-5bdaffd5e33d",
        &["sts:RoleSessionName"],
    ),
    ("studio.datachain.ai/api", &["sub"]),
    (GITHUB, &["sub", "job_workflow_ref"]),
    ("tokens.cloud.shisho.dev", &["sub"]),
    ("vstoken.actions.githubusercontent.com", &["sub"]),
    ("www.amazon.com", &["app_id", "user_id"]),
];

const GITHUB: &str = "token.actions.githubusercontent.com";

/// The claims in a GitHub subject whose value is, or begins with, an owner.
const GITHUB_OWNERS: [&str; 6] = [
    "repo",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "job_workflow_ref",
];

/// Checks the web identities that a statement allows.
pub(super) fn check(statement: &ParsedStatement, report: &mut Report) {
    if !statement.allow {
        return;
    }
    for (text, node) in &statement.federated {
        let Ok(Federated::Oidc { issuer, .. }) = principal::federated(text) else {
            continue;
        };
        // Issuers of Microsoft can end in a version.
        let issuer = issuer.trim_end_matches('/');
        let shared = SHARED_PROVIDERS
            .iter()
            .find(|(shared, _)| shared.eq_ignore_ascii_case(issuer.trim_end_matches("/v2.0")));
        match shared {
            Some((_, claims)) => check_shared(
                &issuer.to_ascii_lowercase(),
                claims,
                node,
                statement,
                report,
            ),
            None => check_own(issuer, node, statement, report),
        }
    }
}

/// Reports an owner's own provider, or own part of a provider, if no test requires the subject.
fn check_own(issuer: &str, node: &Node, statement: &ParsedStatement, report: &mut Report) {
    // Some issuers end in a slash.
    let keys = [":sub", "/:sub"].map(|claim| issuer.to_ascii_lowercase() + claim);
    let mut assumes = statement.assumes.iter();
    let is_let_in = assumes.any(|(assume, _)| *assume == Assume::WebIdentity);
    // The module `nobody` reports claims that this provider never sends.
    let shut = statement.foreign_claim(issuer).is_some();
    let mut tests = statement.conditions.iter();
    let is_tested = tests.any(|test| keys.iter().any(|key| reach::requires_known(test, key)));
    if !is_let_in || shut || is_tested {
        return;
    }
    let is_eks = ["oidc.eks.", "oidc-eks."]
        .iter()
        .any(|eks| issuer.starts_with(eks));
    let (who, help) = if is_eks {
        (
            "every pod of the cluster",
            "require the subject by StringEquals: system:serviceaccount:NAMESPACE:NAME",
        )
    } else {
        (
            "every identity of the provider",
            "require the subject of your identity by StringEquals",
        )
    };
    report.add(
        Code::OidcSubjectMissing,
        &node.location,
        format!(
            "no condition requires {}:sub, so {who} can assume the role",
            short(issuer)
        ),
        help,
    );
}

/// Reports a shared provider if no claim identifies the owner of the token.
fn check_shared(
    provider: &str,
    claims: &[&str],
    node: &Node,
    statement: &ParsedStatement,
    report: &mut Report,
) {
    // The value of each test that strangers can have. All tests apply, so one test without such a value is enough.
    let openings: Option<Vec<_>> = claims
        .iter()
        .flat_map(|claim| requiring(statement, provider, claim).map(move |test| (*claim, test)))
        .map(|(claim, test)| {
            let open = |value: &&Value| !names_somebody(provider, claim, value);
            test.values.iter().find(open).map(|value| (claim, value))
        })
        .collect();
    let Some(openings) = openings else {
        if provider == GITHUB {
            check_wildcards(statement, report);
        }
        return;
    };
    let (location, what) = match openings.first() {
        None => (
            &node.location,
            format!("no condition requires {}", key(provider, claims[0])),
        ),
        Some((claim, value)) => {
            let key = key(provider, claim);
            (
                &value.node.location,
                if value.is_pattern() && has_wildcard(value.text) {
                    format!("{key} matches strangers: no complete owner precedes its wildcard")
                } else if value.is_pattern() {
                    format!("{key} is compared with a value of the request itself")
                } else if provider == GITHUB {
                    format!(
                        "{} does not begin with the owner of a repository",
                        quote(value.text)
                    )
                } else {
                    format!("{key} is compared with an empty value")
                },
            )
        }
    };
    report.add(
        Code::OidcSubjectOpen,
        location,
        format!("everybody can get tokens from {provider}, and {what}"),
        match provider {
            GITHUB => format!(
                "require the owner by StringEquals, such as \"{GITHUB}:sub\": \"repo:ORG/REPO:ref:refs/heads/BRANCH\""
            ),
            _ => format!("require your own {} by StringEquals", key(provider, claims[0])),
        },
    );
}

/// The condition key of a claim.
fn key(provider: &str, claim: &str) -> String {
    if claim.contains(':') {
        claim.to_owned()
    } else {
        format!("{provider}:{claim}")
    }
}

/// The tests that only tokens with this claim satisfy. The name of a provider can end in a slash.
fn requiring<'s, 'a>(
    statement: &'s ParsedStatement<'a>,
    provider: &str,
    claim: &str,
) -> impl Iterator<Item = &'s Condition<'a>> {
    let keys =
        [provider, &format!("{provider}/")].map(|issuer| key(issuer, claim).to_ascii_lowercase());
    let tests = statement.conditions.iter();
    tests.filter(move |test| keys.iter().any(|key| test.requires(key)))
}

/// Whether strangers cannot have the value: the part before its first wildcard contains a complete owner.
fn names_somebody(provider: &str, claim: &str, value: &Value) -> bool {
    if has_wildcard(&value.meaning) {
        // The operator compares the wildcard literally, so nobody has the value.
        return true;
    }
    let beginning = value.beginning();
    match (provider, value.is_pattern()) {
        (GITHUB, true) => names_owner(claim, beginning, true),
        (GITHUB, false) if claim == "sub" => {
            let parts: Vec<&str> = beginning.split(':').collect();
            parts
                .chunks(2)
                .any(|pair| names_owner(claim, &pair.join(":"), false))
        }
        (GITHUB, false) => names_owner(claim, beginning, false),
        // Subjects such as `organization:ORG:` and `project_path:GROUP/`. Every other claim is one ID.
        (_, true) => {
            let owner = match beginning.strip_prefix("system:serviceaccount:") {
                None => beginning.split_once(':').map(|(_, owner)| owner),
                namespace => namespace,
            };
            claim == "sub" && owner.and_then(|owner| owner.find([':', '/'])) > Some(0)
        }
        (_, false) => !beginning.trim().is_empty(),
    }
}

/// Whether a claim of GitHub begins with a complete owner. In a subject, a colon ends each claim. In a claim that
/// begins with an owner, a slash or the `@` before the ID ends the owner.
fn names_owner(claim: &str, literal: &str, is_cut: bool) -> bool {
    let (claim, rest) = match (claim, literal.split_once(':')) {
        ("sub", Some((claim, rest))) if GITHUB_OWNERS.contains(&claim) => (claim, rest),
        ("sub", _) => return false,
        (claim, _) => (claim, literal),
    };
    let end = match claim {
        "repo" | "repository" | "job_workflow_ref" => rest.find(['/', '@']),
        _ => rest.find(':').or((!is_cut).then_some(rest.len())),
    };
    end.is_some_and(|end| !rest[..end].trim().is_empty())
}

/// Reports wildcards in a GitHub subject, unless another test is exact: one on the subject or, for a complete
/// repository, one on the branch or environment.
fn check_wildcards(statement: &ParsedStatement, report: &mut Report) {
    let is_exact = |claim: &str| {
        requiring(statement, GITHUB, claim).any(|test| !test.values.iter().any(Value::is_pattern))
    };
    if is_exact("sub") {
        return;
    }
    let is_one_branch = is_exact("ref") || is_exact("environment");
    for test in requiring(statement, GITHUB, "sub") {
        for value in test.values.iter().filter(|value| value.is_pattern()) {
            let behind_repository = value
                .beginning()
                .strip_prefix("repo:")
                .and_then(|rest| rest.split_once(':'));
            let (what, help) = match behind_repository {
                Some(_) if is_one_branch => continue,
                Some((_, rest)) if rest.starts_with("ref:refs/tags/") => (
                    "more than one tag, and everybody who can push such a tag",
                    "name the tag, or protect these tags by a ruleset of the repository",
                ),
                Some((_, rest)) if rest.starts_with("ref:refs/heads/") => {
                    ("more than one branch", NAME_ONE)
                }
                Some((_, rest)) if rest.starts_with("environment:") => {
                    ("more than one environment", NAME_ONE)
                }
                Some(_) => ("more than one branch, and perhaps pull requests", NAME_ONE),
                None => ("more than one repository", NAME_ONE),
            };
            report.add(
                Code::GitHubSubjectWildcard,
                &value.node.location,
                format!("{} matches {what}", quote(value.text)),
                help,
            );
        }
    }
}

const NAME_ONE: &str = "name the branch or environment: repo:ORG/REPO:ref:refs/heads/BRANCH";
