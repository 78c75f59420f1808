//! Collects the diagnostics of one text.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{self, Entry, Location, Node};
use crate::diagnostic::{Code, Diagnostic};
use crate::text::{nearest, quote, short};

/// How many diagnostics with the same code are kept. The rest are only counted.
const SHOWN: usize = 50;

/// What is known about the role beside its trust policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// Whether only programs assume the role. Programs have no MFA device.
    pub automated: bool,
}

/// The diagnostics found so far.
pub(super) struct Report<'t> {
    text: &'t str,
    pub(super) options: CheckOptions,
    diagnostics: Vec<(usize, Diagnostic)>,
    counts: BTreeMap<Code, usize>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, options: CheckOptions) -> Self {
        Self {
            text,
            options,
            diagnostics: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        code: Code,
        location: &Location,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let count = self.counts.entry(code).or_insert(0);
        *count += 1;
        if *count > SHOWN {
            return;
        }
        let (line, column) = source::line_and_column(self.text, location.offset);
        let diagnostic = Diagnostic {
            code,
            path: location.path(),
            line,
            column,
            message: message.into(),
            help: help.into(),
        };
        self.diagnostics.push((location.offset, diagnostic));
    }

    /// Adds a last diagnostic and ends the report.
    pub(super) fn end_with(
        mut self,
        code: Code,
        offset: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Vec<Diagnostic> {
        self.add(code, &Location::root(offset), message, help);
        self.diagnostics()
    }

    /// Ends the report. The diagnostics have the order of the text.
    pub(super) fn diagnostics(mut self) -> Vec<Diagnostic> {
        for (&code, count) in self.counts.iter().filter(|(_, count)| **count > SHOWN) {
            let last = self
                .diagnostics
                .iter_mut()
                .rfind(|(_, diagnostic)| diagnostic.code == code);
            if let Some((_, diagnostic)) = last {
                let more = count - SHOWN;
                diagnostic.message = format!("{} (and {more} more of these)", diagnostic.message);
            }
        }
        self.diagnostics
            .sort_by_key(|(offset, diagnostic)| (*offset, diagnostic.severity(), diagnostic.code));
        self.diagnostics
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect()
    }

    /// Reports keys that an object has twice, at any depth.
    pub(super) fn duplicate_keys(&mut self, node: &Node) {
        if let Some(entries) = node.entries() {
            let mut seen = BTreeSet::new();
            for entry in entries {
                if !seen.insert(entry.key) {
                    let message = format!("the object already has a key {}", quote(entry.key));
                    let help = "keep one of them; for several values, use an array";
                    self.add(Code::DuplicateKey, &entry.location, message, help);
                }
                self.duplicate_keys(&entry.value);
            }
        } else if node.is_array() {
            for element in node.one_or_many() {
                self.duplicate_keys(&element);
            }
        }
    }

    /// The entries of an object. Reports keys other than these, and values that are no object.
    pub(super) fn entries_of<'a>(
        &mut self,
        node: &Node<'a>,
        what: &str,
        keys: &[&str],
    ) -> Option<Vec<Entry<'a>>> {
        let Some(entries) = node.entries() else {
            self.bad_value(node, &format!("{what} must be an object"));
            return None;
        };
        for entry in &entries {
            if !keys.contains(&entry.key) {
                let message = format!("{what} cannot have the key {}", quote(entry.key));
                let help = match nearest(entry.key, keys.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("the allowed keys are {}", keys.join(", ")),
                };
                self.add(Code::UnknownKey, &entry.location, message, help);
            }
        }
        Some(entries)
    }

    /// Reports a value that its element does not accept.
    pub(super) fn bad_value(&mut self, node: &Node, help: &str) {
        let kind = match (node.scalar(), node.string(), node.is_array()) {
            (_, Some(text), _) => format!("the string {}", quote(text)),
            (Some(scalar), ..) => short(scalar),
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
            &node.location,
            format!("unexpected value: {kind}"),
            help,
        );
    }

    /// Reports a required element that is missing.
    pub(super) fn missing(&mut self, location: &Location, element: &str, help: &str) {
        let message = format!("the element {element} is missing");
        self.add(Code::MissingElement, location, message, help);
    }
}
