//! What is wrong with a trust policy.
//!
//! ```text
//! bytes -> source: strict JSON with places -> statement, condition: what each statement says
//!     -> principal, nobody, web_identity, keys, mfa, by way of reach: what it means
//! ```
//! Every rule looks at everything, so that one run shows all there is; only what is not JSON ends
//! it. Input of any size and depth comes to an end quickly: [`MAX_BYTES`] are read, and 512 levels.

mod condition;
mod finding;
mod keys;
mod mfa;
mod nobody;
mod principal;
mod reach;
mod source;
mod statement;
mod web_identity;

use std::collections::{BTreeMap, BTreeSet};

pub use finding::{Code, Finding, Severity};
use source::{Entry, Node, Place};
use statement::Statement;

/// The largest text that is looked at. A trust policy has 4096 characters at most, beside its white space.
pub const MAX_BYTES: usize = 64 * 1024;

/// Characters without white space, as AWS allows at once.
const DEFAULT_QUOTA: usize = 2048;
/// As AWS allows when asked.
const LARGEST_QUOTA: usize = 4096;

/// How many findings of one code are told; of the rest, only how many there are.
const SHOWN: usize = 50;

/// What is known about the role beside its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// Whether all that assume it are programs, which have no MFA device.
    pub automated: bool,
}

/// Looks at a trust policy; the findings in the order of the text.
///
/// ```
/// use ip_lockdown::trust_policy::{CheckOptions, Code, check};
/// let findings = check(br#"{"Version": "2012-10-17"}"#, CheckOptions::default());
/// assert_eq!(findings[0].code, Code::MissingElement);
/// ```
#[must_use]
pub fn check(text: &[u8], options: CheckOptions) -> Vec<Finding> {
    if text.len() > MAX_BYTES {
        let message = format!("the text is larger than {MAX_BYTES} bytes, so it was not looked at");
        let cure = format!(
            "a trust policy has {LARGEST_QUOTA} characters at most, beside its white space"
        );
        return Report::new("", options).only(Code::TooLarge, 0, message, cure);
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            // All before it is UTF-8.
            let before = text.get(..error.valid_up_to()).unwrap_or_default();
            let before = String::from_utf8_lossy(before);
            return Report::new(&before, options).only(
                Code::NotJson,
                before.len(),
                "not JSON: the text is not UTF-8 from here on",
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
            &Place::root(second),
            "from here on stand policies that are no trust policies; they were not looked at",
            "nothing, if build printed them; AWS takes each document by itself",
        );
    }
    match source::parse(text) {
        Err(error) => return report.only(Code::NotJson, error.offset, error.message, error.cure),
        Ok(value) => match within_role(&Node::root(&value)) {
            Some(place) => {
                report.add(
                    Code::UnknownKey,
                    &place,
                    "this describes a role, and the trust policy is a part of it",
                    "check the value of AssumeRolePolicyDocument alone, as in: \
                     aws iam get-role --query Role.AssumeRolePolicyDocument",
                );
                return report.findings();
            }
            None => document(&Node::root(&value), &mut report),
        },
    }
    size_and_characters(text, &mut report);
    report.findings()
}

/// Gathers findings.
struct Report<'t> {
    text: &'t str,
    options: CheckOptions,
    findings: Vec<(usize, Finding)>,
    counts: BTreeMap<Code, usize>,
}

impl<'t> Report<'t> {
    fn new(text: &'t str, options: CheckOptions) -> Self {
        Self {
            text,
            options,
            findings: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    fn add(
        &mut self,
        code: Code,
        place: &Place,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) {
        let count = self.counts.entry(code).or_insert(0);
        *count += 1;
        if *count > SHOWN {
            return;
        }
        let (line, column) = source::line_and_column(self.text, place.offset);
        let finding = Finding {
            code,
            path: place.path(),
            line,
            column,
            message: message.into(),
            cure: cure.into(),
        };
        self.findings.push((place.offset, finding));
    }

    fn only(
        mut self,
        code: Code,
        offset: usize,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Vec<Finding> {
        self.add(code, &Place::root(offset), message, cure);
        self.findings()
    }

    fn findings(mut self) -> Vec<Finding> {
        for (&code, count) in self.counts.iter().filter(|(_, count)| **count > SHOWN) {
            let last = self
                .findings
                .iter_mut()
                .rfind(|(_, finding)| finding.code == code);
            if let Some((_, finding)) = last {
                let more = count - SHOWN;
                finding.message = format!("{} (and {more} more of these)", finding.message);
            }
        }
        self.findings
            .sort_by_key(|(offset, finding)| (*offset, finding.severity(), finding.code));
        self.findings
            .into_iter()
            .map(|(_, finding)| finding)
            .collect()
    }

    /// Keys that stand twice in one object, at any depth.
    fn duplicate_keys(&mut self, node: &Node) {
        if let Some(entries) = node.entries() {
            let mut seen = BTreeSet::new();
            for entry in entries {
                if !seen.insert(entry.key) {
                    let message = format!("the key {} stands twice", quote(entry.key));
                    let cure = "keep one of them; of values for one key, make an array";
                    self.add(Code::DuplicateKey, &entry.place, message, cure);
                }
                self.duplicate_keys(&entry.value);
            }
        } else if node.is_array() {
            for element in node.one_or_many() {
                self.duplicate_keys(&element);
            }
        }
    }

    /// The entries of an object that may have these keys; every other key is told.
    fn entries_of<'a>(
        &mut self,
        node: &Node<'a>,
        what: &str,
        keys: &[&str],
    ) -> Option<Vec<Entry<'a>>> {
        let Some(entries) = node.entries() else {
            self.bad_value(node, &format!("{what} is an object"));
            return None;
        };
        for entry in &entries {
            if !keys.contains(&entry.key) {
                let message = format!("{what} has no key {}", quote(entry.key));
                let cure = match nearest(entry.key, keys.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("it may have {}", keys.join(", ")),
                };
                self.add(Code::UnknownKey, &entry.place, message, cure);
            }
        }
        Some(entries)
    }

    fn bad_value(&mut self, node: &Node, wanted: &str) {
        let kind = match (node.scalar(), node.string(), node.is_array()) {
            (_, Some(text), _) => format!("the string {}", quote(text)),
            (Some(scalar), ..) => super::principal::short(scalar),
            (.., true) if node.one_or_many().is_empty() => "an empty array".to_owned(),
            (.., true) => "an array".to_owned(),
            _ => match node.entries().as_deref() {
                Some([]) => "an empty object".to_owned(),
                Some(_) => "an object".to_owned(),
                None => "null".to_owned(),
            },
        };
        self.add(
            Code::BadValue,
            &node.place,
            format!("here is {kind}"),
            wanted,
        );
    }

    fn missing(&mut self, place: &Place, element: &str, cure: &str) {
        let message = format!("the element {element} is missing");
        self.add(Code::MissingElement, place, message, cure);
    }
}

/// A text of the document for a message: never with control characters, never longer than a line.
fn quote(text: &str) -> String {
    format!("{:?}", super::principal::short(text))
}

/// The word that was probably meant.
fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > 100 {
        return None;
    }
    let text = text.to_ascii_lowercase();
    words
        .map(|word| {
            (
                strsim::osa_distance(&word.to_ascii_lowercase(), &text),
                word,
            )
        })
        .filter(|(distance, word)| *distance <= 1 + word.len() / 6)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Where the trust policy stands in what AWS says of a role.
fn within_role<'a>(root: &Node<'a>) -> Option<Place<'a>> {
    let find = |node: &Node<'a>, key| node.entries()?.into_iter().find(|entry| entry.key == key);
    let role = find(root, "Role").map(|entry| entry.value);
    let policy = find(role.as_ref().unwrap_or(root), "AssumeRolePolicyDocument");
    policy.map(|entry| entry.place)
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
    version(find("Version"), &root.place, report);
    if let Some(id) = find("Id")
        && id.string().is_none()
    {
        report.bad_value(id, "Id is a string");
    }
    let Some(statement) = find("Statement") else {
        report.missing(&root.place, "Statement", "add it: an array of statements");
        return;
    };
    let nodes = statement.one_or_many();
    if nodes.is_empty() {
        report.bad_value(statement, "put at least one statement into it");
    }
    let statements: Vec<Statement> = nodes
        .iter()
        .filter_map(|node| Statement::read(node, report))
        .collect();
    statement::unique_sids(&statements, report);
    if !nodes.is_empty() && statements.len() == nodes.len() {
        nobody::somebody_let_in(&statements, &statement.place, report);
    }
    principal::of_one_partition(&statements, report);
    principal::further_actions(&statements, report);
    for statement in &statements {
        principal::look(statement, report);
        nobody::look(statement, report);
        web_identity::look(statement, report);
        keys::look(statement, &statements, report);
        mfa::look(statement, &statements, report);
    }
    lockdown_hint(&statements, report);
}

fn version(version: Option<&Node>, place: &Place, report: &mut Report) {
    const CURE: &str = "say \"Version\": \"2012-10-17\"";
    match version.map(|node| (node, node.string())) {
        Some((_, Some("2012-10-17"))) => {}
        None => report.add(
            Code::OldVersion,
            place,
            "Version is missing, so that it is 2008-10-17, without policy variables",
            CURE,
        ),
        Some((node, Some("2008-10-17"))) => report.add(
            Code::OldVersion,
            &node.place,
            "version 2008-10-17 has no policy variables",
            CURE,
        ),
        Some((node, _)) => report.bad_value(node, CURE),
    }
}

fn size_and_characters(text: &str, report: &mut Report) {
    let size = source::size(text);
    let fewer = "trust fewer principals in one role, or make a second role";
    if size > LARGEST_QUOTA {
        let message =
            format!("{size} characters without white space, and AWS takes {LARGEST_QUOTA} at most");
        report.add(Code::TooLarge, &Place::root(0), message, fewer);
    } else if size > DEFAULT_QUOTA {
        let message = format!(
            "{size} characters without white space, and AWS takes {DEFAULT_QUOTA} by default"
        );
        let cure = format!(
            "have the quota \"Role trust policy length\" raised, up to {LARGEST_QUOTA}, or {fewer}"
        );
        report.add(Code::OverDefaultQuota, &Place::root(0), message, cure);
    }
    let taken = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}');
    let mut bad = text.char_indices().filter(|&(_, c)| !taken(c));
    if let Some((offset, c)) = bad.next() {
        let more = bad.count();
        let more = if more > 0 {
            format!(", and {more} more")
        } else {
            String::new()
        };
        report.add(
            Code::BadCharacter,
            &Place::root(offset),
            format!(
                "IAM does not take the character U+{:04X}{more}",
                u32::from(c)
            ),
            "IAM takes tabs, line breaks and the characters U+0020 to U+00FF",
        );
    }
}

fn lockdown_hint(statements: &[Statement], report: &mut Report) {
    let ec2 = statements
        .iter()
        .filter(|statement| statement.allow)
        .flat_map(|statement| &statement.services)
        .find(|(name, _)| super::principal::is_ec2(name));
    if let Some((_, node)) = ec2 {
        report.add(
            Code::PairWithLockdown,
            &node.place,
            "EC2 is trusted: every process of the instance can fetch the credentials of this role",
            "on the instance: ip-lockdown 169.254.169.254 root; on the role: ip-lockdown trust-policy guard imdsv2",
        );
    }
}
