//! Conditions: operators, keys and values, as far as they could be parsed.
//!
//! A request without the key does not satisfy a test, unless the operator is negated, ends in `IfExists`, begins
//! with `ForAllValues`, or is `Null` with the value true. This is how IAM treats absent keys.

use super::report::Report;
use super::source::{Entry, Location, Node};
use crate::diagnostic::Code;
use crate::text::{nearest, quote};
use crate::value::has_placeholder;

const OPERATORS: [&str; 27] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "Null",
];

/// One test: a key under an operator, with its values.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    pub(super) operator: Operator,
    /// The key as it is written in the document.
    pub(super) name: &'a str,
    /// The key in lower case. IAM ignores the case of keys.
    pub(super) key: String,
    pub(super) location: Location<'a>,
    pub(super) values: Vec<Value<'a>>,
}

/// A value that a test compares with.
#[derive(Debug)]
pub(super) struct Value<'a> {
    /// The text as it is written in the document.
    pub(super) text: &'a str,
    /// The text with [`ANY`] for each part that matches anything, for any operator.
    pub(super) meaning: String,
    pub(super) node: Node<'a>,
}

/// Stands for a wildcard, or for a policy variable that AWS replaces by a value of the request. No policy can
/// contain this character.
pub(super) const ANY: char = '\u{ffff}';

/// The policy variables that AWS replaces by a value of the role, independent of the request.
const OWN: [&str; 2] = ["aws:ResourceAccount", "aws:ResourceOrgID"];

impl<'a> Value<'a> {
    fn new(text: &'a str, operator: Operator, node: Node<'a>) -> Self {
        let (mut meaning, mut rest) = (String::new(), text);
        while let Some((before, from)) = rest.split_once("${") {
            let (name, after) = from.split_once('}').unwrap_or((from, ""));
            meaning.push_str(before);
            if OWN.contains(&name) {
                meaning.push_str("own");
            } else {
                meaning.push(ANY);
            }
            rest = after;
        }
        meaning.push_str(rest);
        if operator.takes_wildcards() {
            meaning = meaning.replace(['*', '?'], &ANY.to_string());
        }
        Self {
            text,
            meaning,
            node,
        }
    }

    /// Whether more than one value can match.
    pub(super) fn is_pattern(&self) -> bool {
        self.meaning.contains(ANY)
    }

    /// The text with which every matching value begins.
    pub(super) fn beginning(&self) -> &str {
        self.meaning.split(ANY).next().unwrap_or_default()
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.text.eq_ignore_ascii_case(text)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Operator {
    /// The operator without prefix and suffix.
    pub(super) base: &'static str,
    if_exists: bool,
    for_all: bool,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        let (for_all, rest) = match text.split_once(':') {
            Some(("ForAllValues", rest)) => (true, rest),
            Some(("ForAnyValue", rest)) => (false, rest),
            Some(_) => return None,
            None => (false, text),
        };
        let (if_exists, name) = match rest.strip_suffix("IfExists") {
            Some(name) => (true, name),
            None => (false, rest),
        };
        let base = OPERATORS.into_iter().find(|operator| *operator == name)?;
        // Null tests whether the key exists; it accepts no prefix and no suffix.
        let plain = !if_exists && name.len() == text.len();
        (base != "Null" || plain).then_some(Self {
            base,
            if_exists,
            for_all,
        })
    }

    pub(super) fn is_negated(self) -> bool {
        self.base.contains("Not")
    }

    /// Whether `*` and `?` in a value are wildcards.
    pub(super) fn takes_wildcards(self) -> bool {
        self.base.ends_with("Like") || self.base.starts_with("Arn")
    }
}

/// Whether the text contains a character that is a wildcard for some operators.
pub(super) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

impl Condition<'_> {
    /// The result of the test for a request without the key.
    pub(super) fn when_absent(&self) -> bool {
        match self.operator.base {
            "Null" => self.values.iter().any(|value| value.is("true")),
            _ => self.operator.if_exists || self.operator.for_all || self.operator.is_negated(),
        }
    }

    /// Whether the test is on this key. A key that ends in a slash stands for all keys that begin with it.
    pub(super) fn is_on(&self, key: &str) -> bool {
        if key.ends_with('/') {
            self.key.starts_with(key)
        } else {
            self.key == key
        }
    }

    /// Whether only requests satisfy the test that have the key, with a value of the test.
    pub(super) fn requires(&self, key: &str) -> bool {
        self.is_on(key) && self.operator.base != "Null" && !self.when_absent()
    }
}

/// Parses the element `Condition`.
pub(super) fn parse<'a>(node: &Node<'a>, report: &mut Report) -> Vec<Condition<'a>> {
    let Some(operators) = node.entries() else {
        report.bad_value(
            node,
            "Condition must be an object: operators, each with keys and their values",
        );
        return Vec::new();
    };
    let mut conditions = Vec::new();
    for entry in operators {
        let operator = operator(&entry, report);
        for key in keys(&entry, report) {
            let values = values(&key.value, report);
            let Some(operator) = operator else {
                continue;
            };
            let values = values.into_iter();
            let condition = Condition {
                operator,
                name: key.key,
                key: key.key.to_ascii_lowercase(),
                location: key.location,
                values: values
                    .map(|(text, node)| Value::new(text, operator, node))
                    .collect(),
            };
            placeholders(&condition, report);
            conditions.push(condition);
        }
    }
    conditions
}

/// The operator; `None` if it is unknown, which is reported.
fn operator(entry: &Entry<'_>, report: &mut Report) -> Option<Operator> {
    let operator = Operator::parse(entry.key);
    if operator.is_none() {
        let message = format!("{} is not a condition operator", quote(entry.key));
        let help = match near_operator(entry.key) {
            Some(near) => format!("did you mean {near}?"),
            None => "use an operator such as StringEquals, ArnLike or Bool, each also with the suffix IfExists".to_owned(),
        };
        report.add(Code::UnknownOperator, &entry.location, message, help);
    }
    operator
}

/// The condition keys of the operator. Reports an operator without any.
fn keys<'a>(entry: &Entry<'a>, report: &mut Report) -> Vec<Entry<'a>> {
    let Some(keys) = entry.value.entries() else {
        report.bad_value(
            &entry.value,
            "the value of an operator must be an object: condition keys and their values",
        );
        return Vec::new();
    };
    if keys.is_empty() {
        report.add(
            Code::EmptyOperator,
            &entry.location,
            format!(
                "{} has no condition key, so it tests nothing",
                quote(entry.key)
            ),
            "add a condition key with its values, or remove the operator",
        );
    }
    keys
}

/// The values of a condition key. Reports those that are not text.
fn values<'a>(node: &Node<'a>, report: &mut Report) -> Vec<(&'a str, Node<'a>)> {
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        report.bad_value(node, "add a value, or remove the key");
    }
    let mut texts = Vec::new();
    for node in nodes {
        match node.scalar() {
            Some(text) => texts.push((text, node)),
            None => report.bad_value(
                &node,
                "a condition key must have a string or an array of strings",
            ),
        }
    }
    texts
}

/// Reports values that contain a placeholder. `keys` reports those of external IDs.
fn placeholders(condition: &Condition, report: &mut Report) {
    let left = |value: &&Value| has_placeholder(value.text) && condition.key != "sts:externalid";
    for value in condition.values.iter().filter(left) {
        report.add(
            Code::Placeholder,
            &value.node.location,
            format!("{} still contains a placeholder", quote(value.text)),
            "replace the part between < and > with your own value",
        );
    }
}

fn near_operator(text: &str) -> Option<String> {
    let (set, rest) = match text.split_once(':') {
        Some((set, rest)) => (
            nearest(set, ["ForAllValues", "ForAnyValue"].into_iter()),
            rest,
        ),
        None => (None, text),
    };
    let lower = rest.to_ascii_lowercase();
    // A misspelt or repeated suffix counts as IfExists.
    let (name, suffix) = match lower.split_once("ifex") {
        Some((name, _)) => (name, "IfExists"),
        None => (lower.as_str(), ""),
    };
    let base = nearest(name, OPERATORS.into_iter())?;
    Some(match (base, set) {
        ("Null", _) => "Null".to_owned(),
        (_, Some(set)) => format!("{set}:{base}{suffix}"),
        (_, None) => format!("{base}{suffix}"),
    })
}
