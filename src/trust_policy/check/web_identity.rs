//! Web identities: of a provider that everybody can get tokens from, some claim has to tell whose it is.

use super::condition::{Condition, Value, has_wildcard};
use super::source::Node;
use super::statement::{Assume, Statement};
use super::{Code, Report, quote, reach};
use crate::trust_policy::principal::{self, Federated, short};

/// Providers that everybody can get tokens from, and the claims of which one has to tell whose they
/// are; a whole key has a colon. IAM asks for most of these when a role is made or changed.
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

/// The claims of GitHub that a subject can be made of, and whose value is, or begins with, an owner.
const GITHUB_OWNERS: [&str; 6] = [
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
        // Of Microsoft's, a version stands behind it.
        let issuer = issuer.trim_end_matches('/');
        let shared = SHARED_PROVIDERS
            .iter()
            .find(|(shared, _)| shared.eq_ignore_ascii_case(issuer.trim_end_matches("/v2.0")));
        match shared {
            Some((_, claims)) => subject(
                &issuer.to_ascii_lowercase(),
                claims,
                node,
                statement,
                report,
            ),
            None => own(issuer, node, statement, report),
        }
    }
}

/// Whether of a provider of one's own, or of one's own part of it, the subject is tested.
fn own(issuer: &str, node: &Node, statement: &Statement, report: &mut Report) {
    // Some issuers end in a slash.
    let keys = [":sub", "/:sub"].map(|claim| issuer.to_ascii_lowercase() + claim);
    let mut assumes = statement.assumes.iter();
    let is_let_in = assumes.any(|(assume, _)| *assume == Assume::WebIdentity);
    // What this provider never sends is told elsewhere.
    let shut = statement.foreign_claim(issuer).is_some();
    let mut tests = statement.conditions.iter();
    let is_tested = tests.any(|test| keys.iter().any(|key| reach::tells(test, key)));
    if !is_let_in || shut || is_tested {
        return;
    }
    let (who, cure) = match ["oidc.eks.", "oidc-eks."]
        .iter()
        .any(|eks| issuer.starts_with(eks))
    {
        true => (
            "every pod of the cluster",
            "demand it by StringEquals: system:serviceaccount:NAMESPACE:NAME",
        ),
        false => (
            "every identity of the provider",
            "demand the subject of yours by StringEquals",
        ),
    };
    report.add(
        Code::OidcSubjectMissing,
        &node.place,
        format!(
            "{}:sub is not tested, so that {who} can assume the role",
            short(issuer)
        ),
        cure,
    );
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
            let open = |value: &&Value| !names_somebody(provider, claim, value);
            test.values.iter().find(open).map(|value| (claim, value))
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
            format!("{} is not tested", key(provider, claims[0])),
        ),
        Some((claim, value)) => {
            let key = key(provider, claim);
            (
                &value.node.place,
                match value.is_pattern() {
                    true if has_wildcard(value.text) => {
                        format!(
                            "{key} lets strangers in by a wildcard: no owner stands whole before it"
                        )
                    }
                    true => format!("{key} is compared with what the request itself says"),
                    false if provider == GITHUB => {
                        format!(
                            "{} does not begin with the owner of a repository",
                            quote(value.text)
                        )
                    }
                    false => format!("{key} is tested for nothing"),
                },
            )
        }
    };
    report.add(
        Code::OidcSubjectOpen,
        place,
        format!("everybody can get tokens of {provider}, and {what}"),
        match provider {
            GITHUB => format!(
                "demand it by StringEquals, such as \"{GITHUB}:sub\": \"repo:ORG/REPO:ref:refs/heads/BRANCH\""
            ),
            _ => format!("demand your own {} by StringEquals", key(provider, claims[0])),
        },
    );
}

/// The condition key of a claim.
fn key(provider: &str, claim: &str) -> String {
    match claim.contains(':') {
        true => claim.to_owned(),
        false => format!("{provider}:{claim}"),
    }
}

/// The tests that only a token with this claim passes. Some providers are written with a slash at their end.
fn demanded<'s, 'a>(
    statement: &'s Statement<'a>,
    provider: &str,
    claim: &str,
) -> impl Iterator<Item = &'s Condition<'a>> {
    let keys =
        [provider, &format!("{provider}/")].map(|issuer| key(issuer, claim).to_ascii_lowercase());
    let tests = statement.conditions.iter();
    tests.filter(move |test| keys.iter().any(|key| test.demands(key)))
}

/// Whether the value leaves out strangers: what stands before its first wildcard names an owner whole.
fn names_somebody(provider: &str, claim: &str, value: &Value) -> bool {
    if has_wildcard(&value.meaning) {
        // Taken literally, it leaves out everybody.
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
        // Such as `organization:ORG:` or `project_path:GROUP/`. All other claims are one id.
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

/// Whether a claim of GitHub begins with an owner, whole. In a subject, a colon ends each claim; in
/// the longer names that begin with an owner, a slash, or the `@` before its id.
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

/// Wildcards in a subject of GitHub, where no other test makes it exact: one of the subject, or, behind
/// a whole repository, one of the branch or environment.
fn wildcards(statement: &Statement, report: &mut Report) {
    let is_exact = |claim: &str| {
        demanded(statement, GITHUB, claim).any(|test| !test.values.iter().any(Value::is_pattern))
    };
    if is_exact("sub") {
        return;
    }
    let is_one_branch = is_exact("ref") || is_exact("environment");
    for test in demanded(statement, GITHUB, "sub") {
        for value in test.values.iter().filter(|value| value.is_pattern()) {
            let behind_repository = value
                .beginning()
                .strip_prefix("repo:")
                .and_then(|rest| rest.split_once(':'));
            let (what, cure) = match behind_repository {
                Some(_) if is_one_branch => continue,
                Some((_, rest)) if rest.starts_with("ref:refs/tags/") => (
                    "more than one tag: whoever may push such a tag",
                    "name the tag, or have a ruleset of the repository protect these tags",
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
                &value.node.place,
                format!("{} lets in {what}", quote(value.text)),
                cure,
            );
        }
    }
}

const NAME_ONE: &str = "name the branch or environment: repo:ORG/REPO:ref:refs/heads/BRANCH";
