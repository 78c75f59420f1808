//! The elements of a statement.

use std::collections::BTreeSet;

use super::condition::{self, Condition};
use super::source::{Node, Place};
use super::{Code, Report, nearest, quote};
use crate::trust_policy::words::is_sid;

/// The actions that a trust policy can allow.
const ACTIONS: [&str; 6] = [
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:SetContext",
    "sts:SetSourceIdentity",
    "sts:TagSession",
];

/// Those that bring somebody into the role; the others go with one of these.
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

/// A statement, as far as it could be read.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    sid: Option<(&'a str, Place<'a>)>,
    /// Whether it lets in; what is neither is taken for this.
    pub(super) allow: bool,
    pub(super) assumes: Vec<(Assume, Place<'a>)>,
    /// All the actions, as AWS writes them.
    pub(super) actions: BTreeSet<&'static str>,
    /// Whether there is an action that could not be read, or none at all.
    pub(super) unread: bool,
    pub(super) services: Vec<(&'a str, Node<'a>)>,
    pub(super) aws: Vec<(&'a str, Node<'a>)>,
    pub(super) federated: Vec<(&'a str, Node<'a>)>,
    pub(super) conditions: Vec<Condition<'a>>,
    /// How many tests it has, with those that could not be read.
    pub(super) tests: usize,
}

impl<'a> Statement<'a> {
    /// Reads a statement; `None` if it is none at all.
    pub(super) fn read(node: &Node<'a>, report: &mut Report) -> Option<Self> {
        const KEYS: [&str; 5] = ["Sid", "Effect", "Action", "Principal", "Condition"];
        const OTHERS: [&str; 4] = ["Resource", "NotResource", "NotPrincipal", "NotAction"];
        let all: Vec<&str> = KEYS.into_iter().chain(OTHERS).collect();
        let entries = report.entries_of(node, "a statement", &all)?;
        for entry in &entries {
            let cure = match entry.key {
                "Resource" | "NotResource" => "take it away: the resource is the role itself",
                "NotPrincipal" => "take it away, and name under Principal who may assume the role",
                "NotAction" => "take it away, and give Action, such as sts:AssumeRole",
                _ => continue,
            };
            let message = format!("a trust policy has no {}", entry.key);
            report.add(Code::NotInTrustPolicy, &entry.place, message, cure);
        }
        let find = |key| {
            entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value)
        };
        for (element, instead, cure) in [
            ("Effect", "", "add \"Effect\": \"Allow\""),
            (
                "Action",
                "NotAction",
                "add \"Action\": \"sts:AssumeRole\", or another that fits the principal",
            ),
            (
                "Principal",
                "NotPrincipal",
                "add who may assume the role, such as {\"Service\": \"ec2.amazonaws.com\"}",
            ),
        ] {
            if find(element).is_none() && find(instead).is_none() {
                report.missing(&node.place, element, cure);
            }
        }
        let mut statement = Self {
            sid: find("Sid").and_then(|node| sid(node, report)),
            allow: find("Effect").is_none_or(|node| effect(node, report)),
            assumes: Vec::new(),
            actions: BTreeSet::new(),
            unread: true,
            services: Vec::new(),
            aws: Vec::new(),
            federated: Vec::new(),
            conditions: find("Condition")
                .map_or_else(Vec::new, |node| condition::read(node, report)),
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
        let texts = strings(node, "Action is an action or an array of actions", report);
        self.unread = nodes.is_empty() || texts.len() < nodes.len();
        for (text, node) in texts {
            let known = ACTIONS
                .into_iter()
                .find(|action| action.eq_ignore_ascii_case(text));
            let Some(action) = known else {
                self.unread = true;
                bad_action(text, &node, report);
                continue;
            };
            self.actions.insert(action);
            let assume = Assume::ALL
                .into_iter()
                .find(|assume| assume.action() == action);
            self.assumes
                .extend(assume.map(|assume| (assume, node.place)));
        }
    }

    /// Whether it is about whoever is let in anywhere.
    pub(super) fn is_to_everybody(&self) -> bool {
        self.aws.iter().any(|(text, _)| *text == "*")
    }

    /// The test, if there is one, that no token of this OIDC provider passes: it demands a claim of
    /// another one. Of what stands before the last colon, only a provider's name has a dot and no colon.
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
                &node.place,
                "IAM refuses the principal `*`",
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
                "name who may assume the role, such as {\"Service\": \"ec2.amazonaws.com\"}",
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
                        &entry.place,
                        "a canonical user is for S3, and cannot assume a role",
                        "name the account or role by its ARN under AWS",
                    );
                    continue;
                }
                _ => continue,
            };
            let wanted = format!("{} is a string or an array of strings", entry.key);
            list.extend(strings(&entry.value, &wanted, report));
        }
    }
}

/// Names that two statements have.
pub(super) fn unique_sids(statements: &[Statement], report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (sid, place) in statements
        .iter()
        .filter_map(|statement| statement.sid.as_ref())
    {
        if !seen.insert(*sid) {
            let message = format!("two statements have the Sid {}", quote(sid));
            report.add(
                Code::BadSid,
                place,
                message,
                "give each statement a Sid of its own, or none",
            );
        }
    }
}

/// A string, or an array of at least one.
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
    let (message, cure) = if text.contains(['*', '?']) {
        let message = format!("the action {} has a wildcard", quote(text));
        (
            message,
            "name the action, such as sts:AssumeRole".to_owned(),
        )
    } else {
        let message = format!("{} is not an action that assumes a role", quote(text));
        let near = nearest(text, ACTIONS.into_iter())
            .or_else(|| nearest(&format!("sts:{text}"), ACTIONS.into_iter()));
        let cure = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "a trust policy only says who may assume the role; what the role may do is said in its own \
                     policies"
                .to_owned(),
        };
        (message, cure)
    };
    report.add(Code::BadAction, &node.place, message, cure);
}

fn effect(node: &Node, report: &mut Report) -> bool {
    match node.string() {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => {
            report.bad_value(node, "Effect is \"Allow\" or \"Deny\", spelt so");
            true
        }
    }
}

/// The Sid. AWS's console writes empty ones, which name nothing.
fn sid<'a>(node: &Node<'a>, report: &mut Report) -> Option<(&'a str, Place<'a>)> {
    let Some(text) = node.string() else {
        report.bad_value(node, "Sid is a string");
        return None;
    };
    if !text.is_empty() && !is_sid(text) {
        let message = format!(
            "the Sid {} has other characters than letters and digits",
            quote(text)
        );
        report.add(
            Code::BadSid,
            &node.place,
            message,
            "give it letters and digits only, such as TrustEc2",
        );
    }
    (!text.is_empty()).then(|| (text, node.place.clone()))
}
