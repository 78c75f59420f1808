//! Statements and their elements, as far as they could be parsed.

use std::collections::BTreeSet;

use super::condition::{self, Condition};
use super::report::Report;
use super::source::{Entry, Location, Node};
use crate::diagnostic::Code;
use crate::text::{nearest, quote};
use crate::value::is_sid;

/// The actions that a trust policy can allow.
const ACTIONS: [&str; 6] = [
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:SetContext",
    "sts:SetSourceIdentity",
    "sts:TagSession",
];

/// The actions that assume a role. The other actions only accompany one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Assume {
    Role,
    Saml,
    WebIdentity,
}

impl Assume {
    pub(super) const ALL: [Self; 3] = [Self::Role, Self::Saml, Self::WebIdentity];

    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Role => "sts:AssumeRole",
            Self::Saml => "sts:AssumeRoleWithSAML",
            Self::WebIdentity => "sts:AssumeRoleWithWebIdentity",
        }
    }
}

/// A statement, as far as it could be parsed.
#[derive(Debug)]
pub(super) struct ParsedStatement<'a> {
    sid: Option<(&'a str, Location<'a>)>,
    /// Whether the effect is Allow. An invalid effect counts as Allow.
    pub(super) allow: bool,
    pub(super) assumes: Vec<(Assume, Location<'a>)>,
    /// Every valid action, spelt as in the documentation of AWS.
    pub(super) actions: BTreeSet<&'static str>,
    /// Whether an action could not be parsed, or there is none.
    pub(super) has_unknown_action: bool,
    pub(super) services: Vec<(&'a str, Node<'a>)>,
    pub(super) aws: Vec<(&'a str, Node<'a>)>,
    pub(super) federated: Vec<(&'a str, Node<'a>)>,
    pub(super) conditions: Vec<Condition<'a>>,
    /// The number of tests, including those that could not be parsed.
    pub(super) tests: usize,
}

impl<'a> ParsedStatement<'a> {
    /// Parses a statement. Returns `None` if the value is not an object.
    pub(super) fn parse(node: &Node<'a>, report: &mut Report) -> Option<Self> {
        const KEYS: [&str; 5] = ["Sid", "Effect", "Action", "Principal", "Condition"];
        const OTHERS: [&str; 4] = ["Resource", "NotResource", "NotPrincipal", "NotAction"];
        let all: Vec<&str> = KEYS.into_iter().chain(OTHERS).collect();
        let entries = report.entries_of(node, "a statement", &all)?;
        elements_of_other_policies(&entries, report);
        let find = |key| {
            entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value)
        };
        for (element, instead, help) in [
            ("Effect", "", "add \"Effect\": \"Allow\""),
            (
                "Action",
                "NotAction",
                "add \"Action\": \"sts:AssumeRole\", or another action that the principal can use",
            ),
            (
                "Principal",
                "NotPrincipal",
                "add the principals that may assume the role, such as {\"Service\": \"ec2.amazonaws.com\"}",
            ),
        ] {
            if find(element).is_none() && find(instead).is_none() {
                report.missing(&node.location, element, help);
            }
        }
        let mut statement = Self {
            sid: find("Sid").and_then(|node| sid(node, report)),
            allow: find("Effect").is_none_or(|node| effect(node, report)),
            assumes: Vec::new(),
            actions: BTreeSet::new(),
            has_unknown_action: true,
            services: Vec::new(),
            aws: Vec::new(),
            federated: Vec::new(),
            conditions: find("Condition")
                .map_or_else(Vec::new, |node| condition::parse(node, report)),
            tests: find("Condition").map_or(0, |node| {
                let tests = |of: &Node| of.entries().map_or(1, |entries| entries.len());
                let operators = node.entries();
                operators.map_or(1, |entries| {
                    entries.iter().map(|entry| tests(&entry.value)).sum()
                })
            }),
        };
        if let Some(action) = find("Action") {
            statement.actions(action, report);
        }
        if let Some(principal) = find("Principal") {
            statement.principals(principal, report);
        }
        Some(statement)
    }

    fn actions(&mut self, node: &Node<'a>, report: &mut Report) {
        let nodes = node.one_or_many();
        let texts = strings(
            node,
            "Action must be an action or an array of actions",
            report,
        );
        self.has_unknown_action = nodes.is_empty() || texts.len() < nodes.len();
        for (text, node) in texts {
            let known = ACTIONS
                .into_iter()
                .find(|action| action.eq_ignore_ascii_case(text));
            let Some(action) = known else {
                self.has_unknown_action = true;
                bad_action(text, &node, report);
                continue;
            };
            self.actions.insert(action);
            let assume = Assume::ALL
                .into_iter()
                .find(|assume| assume.action() == action);
            self.assumes
                .extend(assume.map(|assume| (assume, node.location)));
        }
    }

    /// Whether the principal is everybody.
    pub(super) fn is_to_everybody(&self) -> bool {
        self.aws.iter().any(|(text, _)| *text == "*")
    }

    /// Finds a test that no token of this OIDC provider satisfies, because it requires a claim of another
    /// provider. Keys with a dot and no colon before the last colon are claims.
    pub(super) fn foreign_claim(&self, issuer: &str) -> Option<&Condition<'a>> {
        let is_foreign = |test: &&Condition| {
            let provider = test.key.rsplit_once(':').map(|(provider, _)| provider);
            provider.is_some_and(|provider| {
                let provider = provider.trim_end_matches('/');
                provider.contains('.')
                    && !provider.contains(':')
                    && !provider.eq_ignore_ascii_case(issuer)
            })
        };
        let mut tests = self.conditions.iter();
        tests.find(|test| !test.when_absent() && is_foreign(test))
    }

    fn principals(&mut self, node: &Node<'a>, report: &mut Report) {
        if node.string() == Some("*") {
            report.add(
                Code::WildcardPrincipal,
                &node.location,
                "IAM does not accept the principal `*`",
                "name the accounts, roles or services that may assume the role",
            );
            return;
        }
        let kinds = ["Service", "AWS", "Federated", "CanonicalUser"];
        let Some(entries) = report.entries_of(node, "Principal", &kinds) else {
            return;
        };
        if entries.is_empty() {
            report.bad_value(
                node,
                "name the principals that may assume the role, such as {\"Service\": \"ec2.amazonaws.com\"}",
            );
        }
        for entry in entries {
            let list = match entry.key {
                "Service" => &mut self.services,
                "AWS" => &mut self.aws,
                "Federated" => &mut self.federated,
                "CanonicalUser" => {
                    report.add(
                        Code::UnsupportedPrincipal,
                        &entry.location,
                        "a canonical user exists only in S3 and cannot assume a role",
                        "name the account or role under AWS, by its ARN",
                    );
                    continue;
                }
                _ => continue,
            };
            let wanted = format!("{} must be a string or an array of strings", entry.key);
            list.extend(strings(&entry.value, &wanted, report));
        }
    }
}

/// Reports the elements that a trust policy cannot contain.
fn elements_of_other_policies(entries: &[Entry<'_>], report: &mut Report) {
    for entry in entries {
        let help = match entry.key {
            "Resource" | "NotResource" => {
                "remove it; the resource of a trust policy is the role itself"
            }
            "NotPrincipal" => "remove it, and name under Principal who may assume the role",
            "NotAction" => "replace it with Action, such as sts:AssumeRole",
            _ => continue,
        };
        let message = format!("a trust policy cannot contain {}", entry.key);
        report.add(Code::NotInTrustPolicy, &entry.location, message, help);
    }
}

/// Reports Sids that two statements have.
pub(super) fn check_sids(statements: &[ParsedStatement], report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (sid, location) in statements
        .iter()
        .filter_map(|statement| statement.sid.as_ref())
    {
        if !seen.insert(*sid) {
            let message = format!("two statements have the Sid {}", quote(sid));
            report.add(
                Code::BadSid,
                location,
                message,
                "make each Sid unique, or remove it",
            );
        }
    }
}

/// The strings of a value that must be a string or an array of at least one string.
pub(super) fn strings<'a>(
    node: &Node<'a>,
    wanted: &str,
    report: &mut Report,
) -> Vec<(&'a str, Node<'a>)> {
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        report.bad_value(node, &format!("{wanted}, and not empty"));
    }
    let mut strings = Vec::new();
    for node in nodes {
        match node.string() {
            Some(text) => strings.push((text, node)),
            None => report.bad_value(&node, wanted),
        }
    }
    strings
}

fn bad_action(text: &str, node: &Node, report: &mut Report) {
    let (message, help) = if text.contains(['*', '?']) {
        let message = format!("the action {} contains a wildcard", quote(text));
        (
            message,
            "name the action in full, such as sts:AssumeRole".to_owned(),
        )
    } else {
        let message = format!("{} is not an action that assumes a role", quote(text));
        let near = nearest(text, ACTIONS.into_iter())
            .or_else(|| nearest(&format!("sts:{text}"), ACTIONS.into_iter()));
        let help = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "move it to a policy that is attached to the role; a trust policy only controls who may \
                     assume the role"
                .to_owned(),
        };
        (message, help)
    };
    report.add(Code::BadAction, &node.location, message, help);
}

fn effect(node: &Node, report: &mut Report) -> bool {
    match node.string() {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => {
            report.bad_value(node, "Effect must be \"Allow\" or \"Deny\", in this case");
            true
        }
    }
}

/// The Sid. An empty Sid, as AWS's console writes it, counts as none.
fn sid<'a>(node: &Node<'a>, report: &mut Report) -> Option<(&'a str, Location<'a>)> {
    let Some(text) = node.string() else {
        report.bad_value(node, "Sid must be a string");
        return None;
    };
    if !text.is_empty() && !is_sid(text) {
        let message = format!(
            "the Sid {} contains characters other than letters and digits",
            quote(text)
        );
        report.add(
            Code::BadSid,
            &node.location,
            message,
            "use only letters and digits, such as TrustEc2",
        );
    }
    (!text.is_empty()).then(|| (text, node.location.clone()))
}
