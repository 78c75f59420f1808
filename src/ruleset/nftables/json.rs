//! The JSON of `nft -j` (`libnftables-json(5)`), as far as both our own table and the chains of
//! others are read: objects, statements and matches.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

/// Kinds of objects in a listing.
const OBJECTS: &[&str] = &[
    "metainfo",
    "table",
    "chain",
    "rule",
    "set",
    "map",
    "element",
    "flowtable",
    "counter",
    "quota",
    "limit",
    "ct helper",
    "ct timeout",
    "ct expectation",
    "secmark",
    "synproxy",
    "tunnel",
];

/// Statements; what each means for a packet is the caller's business.
const STATEMENTS: &[&str] = &[
    "accept",
    "continue",
    "counter",
    "ct count",
    "ct expectation",
    "ct helper",
    "ct timeout",
    "dnat",
    "drop",
    "dup",
    "flow",
    "fwd",
    "goto",
    "jump",
    "last",
    "limit",
    "log",
    "mangle",
    "map",
    "masquerade",
    "match",
    "meter",
    "notrack",
    "queue",
    "quota",
    "redirect",
    "reject",
    "reset",
    "return",
    "secmark",
    "set",
    "snat",
    "synproxy",
    "tproxy",
    "tunnel",
    "vmap",
    "xt",
];

/// What nft printed has a shape that is not known: another version's, or no listing at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem}: {excerpt}")]
pub struct Unclear {
    /// What is not understood.
    pub problem: &'static str,
    /// The beginning of it.
    pub excerpt: String,
}

impl Unclear {
    pub(super) fn new(problem: &'static str, value: &Value) -> Self {
        Self::text(problem, &value.to_string())
    }

    pub(super) fn text(problem: &'static str, text: &str) -> Self {
        let start: String = text.chars().take(120).collect();
        Self {
            problem,
            excerpt: start.escape_debug().to_string(),
        }
    }
}

/// An object of a listing: its kind, and what it says.
pub(super) type Object = (&'static str, Map<String, Value>);

/// The objects of a listing, in the order printed; each is read when it is asked for.
pub(super) fn objects(
    output: &str,
) -> Result<impl Iterator<Item = Result<Object, Unclear>>, Unclear> {
    #[derive(Deserialize)]
    struct Listing<'a> {
        #[serde(borrow)]
        nftables: Vec<&'a RawValue>,
    }
    let listing: Listing = serde_json::from_str(output)
        .map_err(|_| Unclear::text("what nft printed is not a listing in JSON", output))?;
    let version = match listing.nftables.first().map(|first| object(first)) {
        Some(Ok(("metainfo", info))) => info.get("json_schema_version").and_then(Value::as_u64),
        _ => None,
    };
    match version {
        Some(1) => Ok(listing.nftables.into_iter().map(object)),
        _ => Err(Unclear::text(
            "nft prints another version of its JSON",
            output,
        )),
    }
}

fn object(text: &RawValue) -> Result<Object, Unclear> {
    let read = || {
        let object: Map<String, Value> = serde_json::from_str(text.get()).ok()?;
        let mut members = object.into_iter();
        let (Some((key, Value::Object(object))), None) = (members.next(), members.next()) else {
            return None;
        };
        let kind = OBJECTS.iter().find(|&&kind| kind == key)?;
        Some((*kind, object))
    };
    read().ok_or_else(|| Unclear::text("nft prints an object that is not known", text.get()))
}

/// The statements of a rule, in their order: the name of each, and what it says.
pub(super) fn statements(
    rule: &Map<String, Value>,
) -> Result<Vec<(&'static str, &Value)>, Unclear> {
    let whole = || {
        Unclear::new(
            "nft prints a rule that is not understood",
            &rule.clone().into(),
        )
    };
    let expressions = rule
        .get("expr")
        .and_then(Value::as_array)
        .ok_or_else(whole)?;
    expressions
        .iter()
        .map(|expression| {
            only_key(expression)
                .and_then(|key| {
                    let name = STATEMENTS.iter().find(|&&name| name == key)?;
                    Some((*name, expression.get(name)?))
                })
                .ok_or_else(|| Unclear::new("nft prints a statement that is not known", expression))
        })
        .collect()
}

/// The two sides of a `match`.
pub(super) struct Match<'a> {
    /// `==`, `!=`, `<`, `in` and the like.
    pub(super) op: &'a str,
    /// What of the packet is compared.
    pub(super) left: &'a Value,
    /// With what.
    pub(super) right: &'a Value,
}

/// Reads a `match` statement.
pub(super) fn comparison(value: &Value) -> Result<Match<'_>, Unclear> {
    let read = || {
        Some(Match {
            op: value.get("op")?.as_str()?,
            left: value.get("left")?,
            right: value.get("right")?,
        })
    };
    read().ok_or_else(|| Unclear::new("nft prints a match that is not understood", value))
}

/// The meta key that is compared, such as `skuid`.
pub(crate) fn meta(left: &Value) -> Option<&str> {
    left.get("meta")?.get("key")?.as_str()
}

/// The header field that is compared, such as `ip`, `daddr`; none of a header inside a tunnel.
pub(crate) fn payload(left: &Value) -> Option<(&str, &str)> {
    let payload = left.get("payload")?.as_object()?;
    (payload.len() == 2).then_some(())?;
    Some((
        payload.get("protocol")?.as_str()?,
        payload.get("field")?.as_str()?,
    ))
}

/// The text of a member.
pub(super) fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

fn only_key(value: &Value) -> Option<&str> {
    match value.as_object() {
        Some(object) if object.len() == 1 => object.keys().next().map(String::as_str),
        _ => None,
    }
}
