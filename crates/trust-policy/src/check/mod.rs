//! Checks a trust policy.
//!
//! ```text
//! text -> source: strict JSON with locations -> condition, statement: the elements of each statement
//!      -> principals, nobody, web_identity, keys, mfa (all by way of reach): what the statements mean
//! ```
//! Every rule checks the whole document, so that one run reports every problem; only a text that is not
//! JSON ends the check. The check is bounded for any input: it reads at most [`MAX_BYTES`] and 512 levels.
//!
//! Each module imports only modules to the left of it: source, report, condition, statement, reach, the rules.

mod condition;
mod keys;
mod mfa;
mod nobody;
mod principals;
mod reach;
mod report;
mod source;
mod statement;
mod web_identity;

use crate::diagnostic::{Code, Diagnostic};
use crate::principal;
pub use report::CheckOptions;
use report::Report;
use source::{Location, Node};
use statement::ParsedStatement;

/// The largest text that is checked, in bytes. AWS accepts at most 4096 characters, not counting white space.
pub const MAX_BYTES: usize = 64 * 1024;

/// The characters that AWS accepts by default, not counting white space.
const DEFAULT_QUOTA: usize = 2048;
/// The characters that AWS accepts once the quota is raised.
const LARGEST_QUOTA: usize = 4096;

/// Checks a trust policy. The diagnostics have the order of the text.
///
/// ```
/// use trust_policy::{CheckOptions, Code, check};
/// let found = check(br#"{"Version": "2012-10-17"}"#, CheckOptions::default());
/// assert_eq!(found[0].code, Code::MissingElement);
/// ```
#[must_use]
pub fn check(text: &[u8], options: CheckOptions) -> Vec<Diagnostic> {
    if text.len() > MAX_BYTES {
        let message = format!("the text is larger than {MAX_BYTES} bytes and was not checked");
        let help =
            format!("AWS accepts at most {LARGEST_QUOTA} characters, not counting white space");
        return Report::new("", options).end_with(Code::TooLarge, 0, message, help);
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            // The bytes before the error are UTF-8.
            let before = text.get(..error.valid_up_to()).unwrap_or_default();
            let before = String::from_utf8_lossy(before);
            return Report::new(&before, options).end_with(
                Code::NotJson,
                before.len(),
                "not JSON: the text is not UTF-8",
                "save it as UTF-8",
            );
        }
    };
    let mut report = Report::new(text, options);
    let mut text = text;
    if let Some((first, second)) = source::before_further_policies(text) {
        text = first;
        report.add(
            Code::FurtherPolicy,
            &Location::root(second),
            "other policies follow the trust policy and were not checked",
            "no action needed if `build` printed them; AWS accepts one document at a time",
        );
    }
    let value = match source::parse(text) {
        Ok(value) => value,
        Err(error) => {
            return report.end_with(Code::NotJson, error.offset, error.message, error.help);
        }
    };
    let root = Node::root(&value);
    if let Some(location) = trust_policy_of_role(&root) {
        report.add(
            Code::UnknownKey,
            &location,
            "this is the description of a role, which contains the trust policy",
            "check only the value of AssumeRolePolicyDocument: \
             aws iam get-role --role-name ROLE --query Role.AssumeRolePolicyDocument",
        );
        return report.diagnostics();
    }
    document(&root, &mut report);
    size_and_characters(text, &mut report);
    report.diagnostics()
}

/// Locates the trust policy in the description of a role, as `aws iam get-role` prints it.
fn trust_policy_of_role<'a>(root: &Node<'a>) -> Option<Location<'a>> {
    let find = |node: &Node<'a>, key| node.entries()?.into_iter().find(|entry| entry.key == key);
    let role = find(root, "Role").map(|entry| entry.value);
    let policy = find(role.as_ref().unwrap_or(root), "AssumeRolePolicyDocument");
    policy.map(|entry| entry.location)
}

fn document(root: &Node, report: &mut Report) {
    report.duplicate_keys(root);
    let Some(entries) = report.entries_of(root, "the document", &["Version", "Id", "Statement"])
    else {
        return;
    };
    let find = |key| {
        entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    };
    version(find("Version"), &root.location, report);
    if let Some(id) = find("Id")
        && id.string().is_none()
    {
        report.bad_value(id, "Id must be a string");
    }
    let Some(statement) = find("Statement") else {
        report.missing(
            &root.location,
            "Statement",
            "add it, with an array of statements",
        );
        return;
    };
    let nodes = statement.one_or_many();
    if nodes.is_empty() {
        report.bad_value(statement, "add at least one statement");
    }
    let statements: Vec<ParsedStatement> = nodes
        .iter()
        .filter_map(|node| ParsedStatement::parse(node, report))
        .collect();
    statement::check_sids(&statements, report);
    if !nodes.is_empty() && statements.len() == nodes.len() {
        nobody::check_document(&statements, &statement.location, report);
    }
    principals::check_partitions(&statements, report);
    principals::check_session_actions(&statements, report);
    for statement in &statements {
        principals::check(statement, report);
        nobody::check(statement, report);
        web_identity::check(statement, report);
        keys::check(statement, &statements, report);
        mfa::check(statement, &statements, report);
    }
    lockdown_hint(&statements, report);
}

fn version(version: Option<&Node>, location: &Location, report: &mut Report) {
    const HELP: &str = "use \"Version\": \"2012-10-17\"";
    match version.map(|node| (node, node.string())) {
        Some((_, Some("2012-10-17"))) => {}
        None => report.add(
            Code::OldVersion,
            location,
            "Version is missing; AWS then uses 2008-10-17, which has no policy variables",
            HELP,
        ),
        Some((node, Some("2008-10-17"))) => report.add(
            Code::OldVersion,
            &node.location,
            "version 2008-10-17 has no policy variables",
            HELP,
        ),
        Some((node, _)) => report.bad_value(node, HELP),
    }
}

fn size_and_characters(text: &str, report: &mut Report) {
    let size = source::size(text);
    let fewer = "trust fewer principals, or split them over two roles";
    if size > LARGEST_QUOTA {
        let message =
            format!("the policy has {size} characters; AWS accepts at most {LARGEST_QUOTA}");
        report.add(Code::TooLarge, &Location::root(0), message, fewer);
    } else if size > DEFAULT_QUOTA {
        let message =
            format!("the policy has {size} characters; AWS accepts {DEFAULT_QUOTA} by default");
        let help = format!(
            "have the quota \"Role trust policy length\" raised (up to {LARGEST_QUOTA}), or {fewer}"
        );
        report.add(Code::OverDefaultQuota, &Location::root(0), message, help);
    }
    let accepted = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}');
    let mut bad = text.char_indices().filter(|&(_, c)| !accepted(c));
    if let Some((offset, c)) = bad.next() {
        let more = bad.count();
        let more = if more > 0 {
            format!(" (and {more} more such characters)")
        } else {
            String::new()
        };
        report.add(
            Code::BadCharacter,
            &Location::root(offset),
            format!(
                "IAM does not accept the character U+{:04X}{more}",
                u32::from(c)
            ),
            "replace it; IAM accepts tabs, line breaks and the characters U+0020 to U+00FF",
        );
    }
}

fn lockdown_hint(statements: &[ParsedStatement], report: &mut Report) {
    let ec2 = statements
        .iter()
        .filter(|statement| statement.allow)
        .flat_map(|statement| &statement.services)
        .find(|(name, _)| principal::is_ec2(name));
    if let Some((_, node)) = ec2 {
        report.add(
            Code::PairWithLockdown,
            &node.location,
            "the policy trusts EC2: every process on the instance can fetch the credentials of this role",
            "on the instance: ip-lockdown 169.254.169.254 root; on the role: ip-lockdown trust-policy guard imdsv2",
        );
    }
}
