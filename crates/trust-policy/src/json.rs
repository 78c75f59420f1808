//! JSON objects that keep the order of their keys, and their text.

use serde_json::Value;

/// A JSON value whose objects keep the order of their keys. Every output format is written from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Tree>),
    /// An object.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// Makes a string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Makes an object.
    #[must_use]
    pub fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
    }

    /// Makes a string of one value, an array of several.
    pub fn one_or_many<T: ToString>(values: &[T]) -> Self {
        match values {
            [one] => Self::text(one.to_string()),
            many => Self::List(
                many.iter()
                    .map(|value| Self::text(value.to_string()))
                    .collect(),
            ),
        }
    }

    /// The JSON text, indented by two spaces, ending in a line break.
    #[must_use]
    pub fn pretty(&self) -> String {
        let mut text = String::new();
        write(self, Some(0), &mut text);
        text.push('\n');
        text
    }

    /// The JSON text without white space, ending in a line break.
    #[must_use]
    pub fn compact(&self) -> String {
        let mut text = String::new();
        write(self, None, &mut text);
        text.push('\n');
        text
    }
}

/// Quotes a string as JSON does.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes a value at this depth of indentation; without white space where there is no depth.
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
