//! The text as strict JSON; every value has its location.
//!
//! serde_json decides whether the text is JSON, with a limit on depth. jsonc-parser, set to accept nothing but
//! JSON, keeps the locations and the repeated keys.

use std::rc::Rc;

use jsonc_parser::ast::{ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::IgnoredAny;

use crate::text::short;

/// A location in the document. The path is formatted only for a diagnostic.
#[derive(Debug, Clone)]
pub(super) struct Location<'a> {
    path: Option<Rc<Step<'a>>>,
    /// The first byte.
    pub(super) offset: usize,
}

/// The last step of a path, and the path before it.
#[derive(Debug)]
enum Step<'a> {
    Key(&'a str, Option<Rc<Step<'a>>>),
    Index(usize, Option<Rc<Step<'a>>>),
}

impl<'a> Location<'a> {
    /// The whole document, from this byte.
    pub(super) fn root(offset: usize) -> Self {
        Self { path: None, offset }
    }

    fn key(&self, key: &'a str, offset: usize) -> Self {
        let path = Some(Rc::new(Step::Key(key, self.path.clone())));
        Self { path, offset }
    }

    fn index(&self, nth: usize, offset: usize) -> Self {
        let path = Some(Rc::new(Step::Index(nth, self.path.clone())));
        Self { path, offset }
    }

    /// The JSONPath, such as `$.Statement[0].Action`.
    pub(super) fn path(&self) -> String {
        let mut steps = Vec::new();
        let mut path = &self.path;
        while let Some(step) = path {
            let (text, before) = match &**step {
                Step::Index(nth, before) => (format!("[{nth}]"), before),
                Step::Key(key, before) if is_plain(key) => (format!(".{key}"), before),
                Step::Key(key, before) => (format!("['{}']", short(key).escape_debug()), before),
            };
            steps.push(text);
            path = before;
        }
        steps.push("$".to_owned());
        steps.reverse();
        steps.concat()
    }
}

fn is_plain(key: &str) -> bool {
    (1..=100).contains(&key.len()) && key.chars().all(|c| c.is_ascii_alphanumeric())
}

/// A value and its location.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value<'a>,
    pub(super) location: Location<'a>,
}

/// A key of an object, its location, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) location: Location<'a>,
    pub(super) value: Node<'a>,
}

/// Why the text is not JSON, and the byte where the error is.
#[derive(Debug)]
pub(super) struct NotJson {
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Parses the text.
pub(super) fn parse(text: &str) -> Result<Value<'_>, NotJson> {
    const HELP: &str = "fix the JSON at this line; a trust policy is one JSON object";
    let not_json = |offset, message: String, help| {
        Err(NotJson {
            offset,
            message,
            help,
        })
    };
    if text.starts_with('\u{feff}') {
        let message = "the text begins with a byte order mark".to_owned();
        return not_json(0, message, "save it as UTF-8 without a byte order mark");
    }
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let help = match message {
            "trailing characters" => "check one trust policy at a time",
            _ => HELP,
        };
        let offset = if error.is_eof() {
            text.len()
        } else {
            offset_of(text, error.line(), error.column())
        };
        return not_json(offset, format!("not JSON: {message}"), help);
    }
    match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
        Ok(parsed) => match parsed.value {
            Some(value) => Ok(value),
            None => not_json(0, "not JSON: the text is empty".to_owned(), HELP),
        },
        Err(error) => {
            let (message, help) = match error.kind() {
                ParseErrorKind::NestingDepthExceeded => {
                    let message = "the text is nested deeper than 512 levels".to_owned();
                    (message, "check a trust policy; no policy is nested so deep")
                }
                other => (format!("not JSON: {other}"), HELP),
            };
            not_json(error.range().start, message, help)
        }
    }
}

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Splits off the first document, if all further documents are policies without principals, as `build` prints
/// them. Returns the first document, and the byte where the second begins.
pub(super) fn before_further_policies(text: &str) -> Option<(&str, usize)> {
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    documents.next()?.ok()?;
    let first = text.get(..documents.byte_offset())?;
    let mut count = 0;
    for document in documents {
        let statements = document.ok()?.get("Statement")?.as_array()?.clone();
        let has_resources = statements.iter().all(|statement| {
            statement.get("Resource").is_some() && statement.get("Principal").is_none()
        });
        if statements.is_empty() || !has_resources {
            return None;
        }
        count += 1;
    }
    let rest = &text[first.len()..];
    let second = text.len() - rest.trim_start().len();
    (count > 0).then_some((first, second))
}

/// Line and column of a byte, from 1; columns count characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The byte at a line and column of serde_json, which count from 1; columns count bytes.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    line_start + column.saturating_sub(1)
}

/// The size as AWS counts it: characters without the white space between tokens.
pub(super) fn size(text: &str) -> usize {
    let (mut in_string, mut escaped) = (false, false);
    text.chars()
        .filter(|&c| {
            let counts = in_string || !matches!(c, ' ' | '\t' | '\n' | '\r');
            match c {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
            counts
        })
        .count()
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value<'a>) -> Self {
        Self {
            value,
            location: Location::root(value.start()),
        }
    }

    /// The entries of an object in their order, or `None` for any other value.
    pub(super) fn entries(&self) -> Option<Vec<Entry<'a>>> {
        let Value::Object(object) = self.value else {
            return None;
        };
        Some(
            object
                .properties
                .iter()
                .map(|property| self.entry(property))
                .collect(),
        )
    }

    fn entry(&self, property: &'a ObjectProp<'a>) -> Entry<'a> {
        let key = property.name.as_str();
        Entry {
            key,
            location: self.location.key(key, property.name.start()),
            value: Self {
                value: &property.value,
                location: self.location.key(key, property.value.start()),
            },
        }
    }

    /// The elements of an array; any other value by itself.
    pub(super) fn one_or_many(&self) -> Vec<Node<'a>> {
        match self.value {
            Value::Array(array) => array
                .elements
                .iter()
                .enumerate()
                .map(|(nth, value)| Node {
                    value,
                    location: self.location.index(nth, value.start()),
                })
                .collect(),
            _ => vec![self.clone()],
        }
    }

    pub(super) fn string(&self) -> Option<&'a str> {
        match self.value {
            Value::StringLit(text) => Some(&text.value),
            _ => None,
        }
    }

    /// A string, or a number or boolean, which IAM accepts as a string.
    pub(super) fn scalar(&self) -> Option<&'a str> {
        match self.value {
            Value::StringLit(text) => Some(&text.value),
            Value::NumberLit(number) => Some(number.value),
            Value::BooleanLit(literal) if literal.value => Some("true"),
            Value::BooleanLit(_) => Some("false"),
            _ => None,
        }
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.value, Value::Array(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_is_not_counted() {
        assert_eq!(
            size("{ \"a b\\\" c\" :\t1 ,\n\"\" : [ ] }"),
            "{\"a b\\\" c\":1,\"\":[]}".len()
        );
        assert_eq!(size("\"\u{e9}\""), 3);
    }

    #[test]
    fn columns_are_characters() {
        let text = "{\n \"\u{e9}\u{e9}\": x";
        assert_eq!(line_and_column(text, text.find('x').unwrap()), (2, 8));
        assert_eq!(line_and_column(text, 10_000), (2, 9));
        assert_eq!(line_and_column("", 0), (1, 1));
        let error = parse(text).unwrap_err();
        assert_eq!(line_and_column(text, error.offset), (2, 8), "{error:?}");
    }
}
