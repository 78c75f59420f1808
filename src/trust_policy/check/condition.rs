//! Conditions: operators, keys and values, as far as they could be read.
//!
//! Whether somebody without a key can pass is decided by how IAM treats an absent key: a test is
//! false, unless it is negated, ends in `IfExists`, begins with `ForAllValues`, or asks by `Null`.

use super::source::{Node, Place};
use super::{Code, Report, nearest, quote};
use crate::trust_policy::words::has_placeholder;

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

/// One key under one operator.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    pub(super) operator: Operator,
    /// The key as it is written.
    pub(super) name: &'a str,
    /// The key in small letters: IAM does not mind.
    pub(super) key: String,
    pub(super) place: Place<'a>,
    pub(super) values: Vec<Value<'a>>,
}

/// One value of a key.
#[derive(Debug)]
pub(super) struct Value<'a> {
    /// As it is written.
    pub(super) text: &'a str,
    /// With [`ANY`] for what can be anything, whatever the operator.
    pub(super) meaning: String,
    pub(super) node: Node<'a>,
}

/// In the meaning of a value: a wildcard, or a policy variable, which the request fills in. No policy
/// can have this character.
pub(super) const ANY: char = '\u{ffff}';

/// The variables that AWS fills in from the account of the role, whoever asks.
const OWN: [&str; 2] = ["aws:ResourceAccount", "aws:ResourceOrgID"];

impl<'a> Value<'a> {
    fn new(text: &'a str, operator: Operator, node: Node<'a>) -> Self {
        let (mut meaning, mut rest) = (String::new(), text);
        while let Some((before, from)) = rest.split_once("${") {
            let (name, after) = from.split_once('}').unwrap_or((from, ""));
            meaning.push_str(before);
            match OWN.contains(&name) {
                true => meaning.push_str("own"),
                false => meaning.push(ANY),
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

    /// Whether it stands for more than one.
    pub(super) fn is_pattern(&self) -> bool {
        self.meaning.contains(ANY)
    }

    /// What every request that it lets through begins with.
    pub(super) fn beginning(&self) -> &str {
        self.meaning.split(ANY).next().unwrap_or_default()
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.text.eq_ignore_ascii_case(text)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Operator {
    /// Without what stands before and behind it.
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
        // Null asks whether the key exists, so it takes no other question about that.
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

    /// Whether `*` and `?` in a value stand for other characters.
    pub(super) fn takes_wildcards(self) -> bool {
        self.base.ends_with("Like") || self.base.starts_with("Arn")
    }
}

/// Whether the text has a character that is a wildcard to operators that take some.
pub(super) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

impl Condition<'_> {
    /// What the test comes to for somebody whose request does not have the key.
    pub(super) fn when_absent(&self) -> bool {
        match self.operator.base {
            "Null" => self.values.iter().any(|value| value.is("true")),
            _ => self.operator.if_exists || self.operator.for_all || self.operator.is_negated(),
        }
    }

    /// Whether it tests this key. One that ends in a slash stands for all that begin so.
    pub(super) fn is_on(&self, key: &str) -> bool {
        match key.ends_with('/') {
            true => self.key.starts_with(key),
            false => self.key == key,
        }
    }

    /// Whether only requests pass that have the key, with a value that is named here.
    pub(super) fn demands(&self, key: &str) -> bool {
        self.is_on(key) && self.operator.base != "Null" && !self.when_absent()
    }
}

/// Reads the element `Condition`.
pub(super) fn read<'a>(node: &Node<'a>, report: &mut Report) -> Vec<Condition<'a>> {
    let Some(operators) = node.entries() else {
        report.bad_value(
            node,
            "Condition is an object, from operator to keys to values",
        );
        return Vec::new();
    };
    let mut conditions = Vec::new();
    for entry in operators {
        let operator = Operator::parse(entry.key);
        if operator.is_none() {
            let message = format!("{} is not a condition operator", quote(entry.key));
            let cure = match near_operator(entry.key) {
                Some(near) => format!("did you mean {near}?"),
                None => "operators are such as StringEquals, ArnLike or Bool, perhaps with IfExists behind them".to_owned(),
            };
            report.add(Code::UnknownOperator, &entry.place, message, cure);
        }
        let Some(keys) = entry.value.entries() else {
            report.bad_value(
                &entry.value,
                "an operator has an object, from condition keys to values",
            );
            continue;
        };
        if keys.is_empty() {
            report.add(
                Code::EmptyOperator,
                &entry.place,
                format!(
                    "there is no condition key under {}, so that it tests nothing",
                    quote(entry.key)
                ),
                "put a condition key and its values under the operator, or take it away",
            );
        }
        for key in keys {
            let nodes = key.value.one_or_many();
            if nodes.is_empty() {
                report.bad_value(&key.value, "put a value into it, or take the key away");
            }
            let mut texts = Vec::new();
            for node in nodes {
                match node.scalar() {
                    Some(text) => texts.push((text, node)),
                    None => report
                        .bad_value(&node, "a condition key has a string or an array of strings"),
                }
            }
            let Some(operator) = operator else {
                continue;
            };
            let values = texts.into_iter();
            let condition = Condition {
                operator,
                name: key.key,
                key: key.key.to_ascii_lowercase(),
                place: key.place,
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

/// Tells of values that nobody has filled in. Of external ids, the rule of their own does.
fn placeholders(condition: &Condition, report: &mut Report) {
    let left = |value: &&Value| has_placeholder(value.text) && condition.key != "sts:externalid";
    for value in condition.values.iter().filter(left) {
        report.add(
            Code::Placeholder,
            &value.node.place,
            format!(
                "{} has a placeholder that nobody has filled in",
                quote(value.text)
            ),
            "put your own value in the place of what stands between < and >",
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
    // However often, and however it is spelt.
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
