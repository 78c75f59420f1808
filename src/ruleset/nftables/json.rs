//! The JSON of `nft -j` (`libnftables-json(5)`), as far as the chains of others are read: objects,
//! statements and matches.

use std::fmt;
use std::io::{self, BufReader, Read};

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Value};
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

/// How much of what is not understood is told, in characters.
const EXCERPT: usize = 120;

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
        let start: String = text.chars().take(EXCERPT).collect();
        Self {
            problem,
            excerpt: start.escape_debug().to_string(),
        }
    }
}

/// Hands over the objects of a listing in the order printed, each as soon as it is read: its kind,
/// and what it says.
pub(super) fn objects(
    printed: impl Read,
    mut each: impl FnMut(&'static str, Map<String, Value>) -> Result<(), Unclear>,
) -> Result<(), Unclear> {
    let mut noted = Noted {
        printed,
        beginning: Vec::new(),
    };
    let mut objects = Objects {
        each: &mut each,
        unclear: None,
    };
    let mut json = Deserializer::from_reader(BufReader::with_capacity(1 << 16, &mut noted));
    let read = Listing(&mut objects).deserialize(&mut json);
    let read = read.and_then(|()| json.end());
    match (objects.unclear, read) {
        (Some(unclear), _) => Err(unclear),
        (None, Ok(())) => Ok(()),
        (None, Err(_)) => Err(Unclear::text(
            "what nft printed is not a listing in JSON",
            &String::from_utf8_lossy(&noted.beginning),
        )),
    }
}

/// What is read, and how it begins.
struct Noted<R> {
    printed: R,
    beginning: Vec<u8>,
}

impl<R: Read> Read for Noted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.printed.read(buffer)?;
        let room = (4 * EXCERPT).saturating_sub(self.beginning.len());
        self.beginning.extend(buffer.iter().take(count.min(room)));
        Ok(count)
    }
}

/// Who gets the objects, and what could not be understood.
struct Objects<'a> {
    each: &'a mut dyn FnMut(&'static str, Map<String, Value>) -> Result<(), Unclear>,
    unclear: Option<Unclear>,
}

impl Objects<'_> {
    /// Takes the next element of the list, of which the first says what the others are.
    fn take(&mut self, mut element: Value, is_first: bool) -> Result<(), Unclear> {
        let kind = only_key(&element)
            .and_then(|key| OBJECTS.iter().copied().find(|&kind| kind == key))
            .filter(|&kind| element.get(kind).is_some_and(Value::is_object));
        let version = |element: &Value| {
            let info = element.get("metainfo")?;
            info.get("json_schema_version")?.as_u64()
        };
        if is_first && version(&element) != Some(1) {
            return Err(Unclear::new(
                "nft prints another version of its JSON",
                &element,
            ));
        }
        match kind.map(|kind| (kind, element.get_mut(kind).map(Value::take))) {
            Some((kind, Some(Value::Object(object)))) => (self.each)(kind, object),
            _ => Err(Unclear::new(
                "nft prints an object that is not known",
                &element,
            )),
        }
    }
}

/// `{"nftables": [...]}`
struct Listing<'a, 'b>(&'a mut Objects<'b>);

/// The list in it.
struct Elements<'a, 'b>(&'a mut Objects<'b>);

impl<'de> DeserializeSeed<'de> for Listing<'_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Listing<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\"nftables\": [...]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let unexpected = || de::Error::custom("another key than nftables");
        match map.next_key::<String>()? {
            Some(key) if key == "nftables" => map.next_value_seed(Elements(self.0))?,
            _ => return Err(unexpected()),
        }
        match map.next_key::<String>()? {
            None => Ok(()),
            Some(_) => Err(unexpected()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut is_first = true;
        while let Some(element) = list.next_element()? {
            if let Err(unclear) = self.0.take(element, is_first) {
                self.0.unclear = Some(unclear);
                return Err(de::Error::custom("not understood"));
            }
            is_first = false;
        }
        match is_first {
            true => Err(de::Error::custom("an empty list")),
            false => Ok(()),
        }
    }
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

/// The name in a member, without which an object is not understood.
pub(super) fn named(object: &Map<String, Value>, key: &str) -> Result<String, Unclear> {
    let problem = "nft prints an object without a name";
    let name = text(object, key).map(str::to_owned);
    name.ok_or_else(|| Unclear::new(problem, &object.clone().into()))
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
