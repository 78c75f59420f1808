//! Web identities: of a provider that everybody can get tokens from, some claim has to tell whose it is.

use super::condition::{Condition, has_wildcard};
use super::source::Node;
use super::statement::Statement;
use super::{Code, Report, quote};
use crate::trust_policy::principal::{self, Federated};

/// Providers that everybody can get tokens from, and the claims of which one has to tell whose they
/// are. IAM asks for it when a role is made or changed.
const SHARED_PROVIDERS: [(&str, &[&str]); 16] = [
    ("accounts.google.com", &["aud", "sub"]),
    ("agent.buildkite.com", &["sub"]),
    ("api.pulumi.com/oidc", &["aud"]),
    ("app.terraform.io", &["sub"]),
    ("cognito-identity.amazonaws.com", &["aud"]),
    ("gitlab.com", &["sub"]),
    ("graph.facebook.com", &["app_id", "id"]),
    (
        "oidc-configuration.audit-log.githubusercontent.com",
        &["sub"],
    ),
    ("oidc.codefresh.io", &["sub"]),
    ("oidc.vercel.com", &["aud"]),
    ("proidc.upbound.io", &["sub"]),
    ("scalr.io", &["sub"]),
    ("studio.datachain.ai/api", &["sub"]),
    (
        GITHUB,
        &[
            "sub",
            "repository",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "job_workflow_ref",
        ],
    ),
    ("tokens.cloud.shisho.dev", &["sub"]),
    ("www.amazon.com", &["app_id", "user_id"]),
];

const GITHUB: &str = "token.actions.githubusercontent.com";

/// How a subject of GitHub can begin: with a claim whose value is, or begins with, an owner.
const GITHUB_SUBJECTS: [&str; 6] = [
    "repo",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "job_workflow_ref",
];

/// Looks at the web identities that a statement lets in.
pub(super) fn look(statement: &Statement, report: &mut Report) {
    if !statement.allow {
        return;
    }
    for (text, node) in &statement.federated {
        let Ok(Federated::Oidc { issuer, .. }) = principal::federated(text) else {
            continue;
        };
        let shared = SHARED_PROVIDERS
            .iter()
            .find(|(provider, _)| provider.eq_ignore_ascii_case(issuer));
        if let Some((provider, claims)) = shared {
            subject(provider, claims, node, statement, report);
        }
    }
}

/// Whether one of the claims tells whose token it is.
fn subject(
    provider: &str,
    claims: &[&str],
    node: &Node,
    statement: &Statement,
    report: &mut Report,
) {
    // Of each test the value that lets strangers in. All tests have to hold: one without is enough.
    let openings: Option<Vec<_>> = claims
        .iter()
        .flat_map(|claim| demanded(statement, provider, claim).map(move |test| (*claim, test)))
        .map(|(claim, test)| {
            let open = |(value, _): &&(&str, _)| !names_somebody(provider, claim, test, value);
            test.values
                .iter()
                .find(open)
                .map(|(value, node)| (claim, *value, node))
        })
        .collect();
    let Some(openings) = openings else {
        if provider == GITHUB {
            wildcards(statement, report);
        }
        return;
    };
    let (place, what) = match openings.first() {
        None => (
            &node.place,
            format!("{provider}:{} is not tested", claims[0]),
        ),
        Some((claim, value, node)) if has_wildcard(value) => (
            &node.place,
            format!("{provider}:{claim} lets everybody in by a wildcard"),
        ),
        Some((.., value, node)) if provider == GITHUB => (
            &node.place,
            format!(
                "{} does not begin with the owner of a repository",
                quote(value)
            ),
        ),
        Some((claim, _, node)) => (
            &node.place,
            format!("{provider}:{claim} is tested for nothing"),
        ),
    };
    report.add(
        Code::OidcSubjectOpen,
        place,
        format!("everybody can get tokens of {provider}, and {what}"),
        match provider {
            GITHUB => format!(
                "demand it by StringEquals, such as \"{GITHUB}:sub\": \"repo:ORG/REPO:ref:refs/heads/BRANCH\""
            ),
            _ => format!("demand your own {provider}:{} by StringEquals", claims[0]),
        },
    );
}

/// The tests that only a token with this claim passes.
fn demanded<'s, 'a>(
    statement: &'s Statement<'a>,
    provider: &str,
    claim: &str,
) -> impl Iterator<Item = &'s Condition<'a>> {
    let key = format!("{provider}:{claim}");
    statement
        .conditions
        .iter()
        .filter(move |test| test.demands(&key))
}

/// Whether the value leaves out strangers: what stands before its first wildcard names a customer.
fn names_somebody(provider: &str, claim: &str, test: &Condition, value: &str) -> bool {
    let is_pattern = test.is_pattern(value);
    if has_wildcard(value) && !is_pattern {
        // Taken literally, it leaves out everybody.
        return true;
    }
    let literal = match is_pattern {
        true => value.split(['*', '?']).next().unwrap_or_default(),
        false => value,
    };
    match literal.split_once(':') {
        _ if provider == GITHUB => names_owner(claim, literal, is_pattern),
        Some((_, rest)) if is_pattern => !rest.is_empty(),
        None if is_pattern => !literal.is_empty() && !value.contains(':'),
        _ => !literal.trim().is_empty(),
    }
}

/// Whether a claim of GitHub begins with an owner, whole. In a subject, a colon ends each claim; in
/// the longer names that begin with an owner, a slash, or the `@` before its id.
fn names_owner(claim: &str, literal: &str, is_cut: bool) -> bool {
    let (claim, rest) = match (claim, literal.split_once(':')) {
        ("sub", Some((claim, rest))) if GITHUB_SUBJECTS.contains(&claim) => (claim, rest),
        ("sub", _) => return false,
        (claim, _) => (claim, literal),
    };
    let end = match claim {
        "repo" | "repository" | "job_workflow_ref" => rest.find(['/', '@']),
        _ => rest.find(':').or((!is_cut).then_some(rest.len())),
    };
    end.is_some_and(|end| !rest[..end].trim().is_empty())
}

/// Wildcards in a subject of GitHub, where no other test makes it exact: one of the subject, or, behind
/// a whole repository, one of the branch or environment.
fn wildcards(statement: &Statement, report: &mut Report) {
    let is_exact = |claim: &str| {
        demanded(statement, GITHUB, claim)
            .any(|test| !test.values.iter().any(|(value, _)| test.is_pattern(value)))
    };
    if is_exact("sub") {
        return;
    }
    let is_one_branch = is_exact("ref") || is_exact("environment");
    let names_repository = |value: &str| {
        let literal = value.split(['*', '?']).next();
        literal
            .and_then(|literal| literal.strip_prefix("repo:"))
            .is_some_and(|rest| rest.contains(':'))
    };
    for test in demanded(statement, GITHUB, "sub") {
        for (value, node) in &test.values {
            if !test.is_pattern(value) || (is_one_branch && names_repository(value)) {
                continue;
            }
            report.add(
                Code::GitHubSubjectWildcard,
                &node.place,
                format!(
                    "{} lets in more than one branch: perhaps pull requests, or every repository",
                    quote(value)
                ),
                "name the branch or environment: repo:ORG/REPO:ref:refs/heads/BRANCH",
            );
        }
    }
}
