//! Roles, written down: the one place that knows the formats.

mod cloudformation;
mod terraform;

use serde_json::Value;

use super::document::Tree;
use super::preset::Role;

/// How a role is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON: the trust policy, then each further policy as a document of its own.
    #[default]
    Json,
    /// The same, a document a line.
    CompactJson,
    /// Terraform: the role and what belongs to it, laid out as `terraform fmt` does.
    Terraform,
    /// CloudFormation: a whole template, in YAML.
    CloudFormation,
}

impl Role {
    /// The role in that format, ending in a line break.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Json => self.documents(json),
            Format::CompactJson => self.documents(compact),
            Format::Terraform => terraform::role(self),
            Format::CloudFormation => cloudformation::role(self),
        }
    }

    fn documents(&self, write: fn(&Tree) -> String) -> String {
        [
            Some(&self.trust),
            self.permissions.as_ref(),
            self.guard.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(|document| write(&document.tree()))
        .collect()
    }

    /// The names by which the further policies go, and the policies.
    fn policies(&self) -> Vec<(&'static str, Tree)> {
        let permissions = self
            .permissions
            .as_ref()
            .map(|document| ("permissions", document));
        let guard = self
            .guard
            .as_ref()
            .map(|document| ("imdsv2-guard", document));
        [permissions, guard]
            .into_iter()
            .flatten()
            .map(|(name, document)| (name, document.tree()))
            .collect()
    }
}

/// JSON, indented by two blanks, ending in a line break.
#[must_use]
pub fn json(tree: &Tree) -> String {
    let mut text = String::new();
    write(tree, Some(0), &mut text);
    text.push('\n');
    text
}

/// JSON without white space, ending in a line break.
#[must_use]
pub fn compact(tree: &Tree) -> String {
    let mut text = String::new();
    write(tree, None, &mut text);
    text.push('\n');
    text
}

/// A string of JSON, quoted.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes at this depth of indentation, or without any white space.
fn write(tree: &Tree, depth: Option<usize>, out: &mut String) {
    let inner = depth.map(|depth| depth + 1);
    let line = |depth: Option<usize>, out: &mut String| {
        if let Some(depth) = depth {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
    };
    match tree {
        Tree::Text(text) => out.push_str(&quoted(text)),
        Tree::List(items) => {
            out.push('[');
            for (nth, item) in items.iter().enumerate() {
                if nth > 0 {
                    out.push(',');
                }
                line(inner, out);
                write(item, inner, out);
            }
            line(depth, out);
            out.push(']');
        }
        Tree::Map(entries) => {
            out.push('{');
            for (nth, (key, value)) in entries.iter().enumerate() {
                if nth > 0 {
                    out.push(',');
                }
                line(inner, out);
                out.push_str(&quoted(key));
                out.push_str(if depth.is_some() { ": " } else { ":" });
                write(value, inner, out);
            }
            line(depth, out);
            out.push('}');
        }
    }
}
