//! `iptables-save` output -> values; the only place that reads iptables syntax.
//!
//! A rule that is not exactly one of our forms is foreign. It is kept as printed, never dropped and
//! never interpreted here. Output that is not a table dump is an error, so that a program that
//! prints something else is never mistaken for an empty firewall.

mod rule;

use std::borrow::Cow;
use std::collections::HashMap;

use thiserror::Error;

use self::rule::own_rule;
use super::tokens::Tokens;
use crate::policy::Family;
use crate::ruleset::Layer;
use crate::ruleset::model::{Chain, ChainName, Counters, ObservedRule, Rule, Ruleset, Spec, Table};

/// The text is not a valid output of `iptables-save`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} {problem}: \"{text}\"")]
pub struct ParseError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with the line.
    pub problem: &'static str,
    /// The beginning of the line, escaped.
    pub text: String,
}

/// Reads the output of `iptables-save`, with or without `-c`, of one family.
///
/// # Errors
/// A line that `iptables-save` would not print; a table without COMMIT, because the output was cut
/// off; a table of one of our layers that iptables reports it cannot show.
pub fn ruleset(family: Family, output: &str) -> Result<Ruleset, ParseError> {
    let mut tables: Vec<Table> = Vec::new();
    let mut open: Option<OpenTable> = None;
    let mut hidden = Vec::new();
    let mut last = (0, Cow::Borrowed(""));
    for (number, line) in logical_lines(output) {
        last = (number, line.clone());
        let text = trimmed(&line);
        let wrong = |problem| error(number, text, problem);
        if let Some(comment) = text.strip_prefix('#') {
            if let Some(table) = incompatible(comment) {
                if Layer::OF_IPTABLES.iter().any(|layer| layer.name() == table) {
                    return Err(wrong(
                        "reports that iptables cannot show this table, because `nft` added rules \
                         to it",
                    ));
                }
                hidden.push(table.to_owned());
            }
            continue;
        }
        if text.is_empty() {
            continue;
        }
        match &mut open {
            None => {
                let name = text
                    .strip_prefix('*')
                    .filter(|name| is_word(name))
                    .ok_or_else(|| wrong("is outside of any table"))?;
                // Lookups by name would ignore the rules of the second table.
                if tables.iter().any(|table| table.name == name) {
                    return Err(wrong("opens a table for the second time"));
                }
                open = Some(OpenTable::new(name));
            }
            Some(_) if text == "COMMIT" => tables.extend(open.take().map(|open| open.table)),
            Some(open) => match text.strip_prefix(':') {
                Some(declaration) => open
                    .declare(declaration)
                    .ok_or_else(|| wrong("does not declare a new chain"))?,
                None => open
                    .add(text)
                    .ok_or_else(|| wrong("is not a rule of a declared chain"))?,
            },
        }
    }
    match open {
        None => Ok(Ruleset {
            family,
            tables,
            hidden,
        }),
        Some(_) => Err(error(
            last.0,
            trimmed(&last.1),
            "ends the output before COMMIT",
        )),
    }
}

/// Reads the output of `iptables -S`, without counters, of one table.
///
/// # Errors
/// A line that `iptables -S` would not print.
pub fn listing(family: Family, table: &str, output: &str) -> Result<Table, ParseError> {
    let (mut chains, mut rules) = (String::new(), String::new());
    for (number, line) in logical_lines(output) {
        let text = trimmed(&line);
        let declared = match text.split_once(' ') {
            Some(("-P", policy)) => Some(format!(":{policy} [0:0]\n")),
            Some(("-N", name)) => Some(format!(":{name} - [0:0]\n")),
            Some(("-A", _)) => None,
            _ if text.is_empty() => continue,
            _ => return Err(error(number, text, "is not a rule or chain")),
        };
        if let Some(chain) = declared {
            chains.push_str(&chain);
        } else {
            rules.push_str(text);
            rules.push('\n');
        }
    }
    let saved = ruleset(family, &format!("*{table}\n{chains}{rules}COMMIT\n"))?;
    let mut tables = saved.tables.into_iter();
    tables
        .next()
        .ok_or_else(|| error(1, table, "is not a table"))
}

fn trimmed(line: &str) -> &str {
    line.trim_end_matches([' ', '\r'])
}

/// The lines with their numbers, from 1. A rule with line breaks in a quoted token is one line.
fn logical_lines(output: &str) -> impl Iterator<Item = (usize, Cow<'_, str>)> {
    let mut lines = output.split('\n').enumerate();
    std::iter::from_fn(move || {
        let (at, first) = lines.next()?;
        let mut line = Cow::Borrowed(first);
        if first.starts_with(['-', '[']) && first.contains('"') {
            let mut tokens = Tokens::default();
            tokens.read(first);
            // If the quote is never closed, the caller gets the rest of the output, and reports it.
            while tokens.quoted
                && let Some((_, next)) = lines.next()
            {
                let line = line.to_mut();
                line.push('\n');
                line.push_str(next);
                tokens.read("\n");
                tokens.read(next);
            }
        }
        Some((at + 1, line))
    })
}

/// The table that iptables-nft reports it cannot show, from a comment line of its standard output.
fn incompatible(comment: &str) -> Option<&str> {
    // The comment "contains incompatible base-chains" differs: all other chains are shown then.
    let (table, _) = comment
        .strip_prefix(" Table `")?
        .split_once("' is incompatible")?;
    Some(table)
}

/// A table whose COMMIT was not read yet.
struct OpenTable {
    table: Table,
    /// The chains by name: the index in the table, and whether the chain is ours.
    places: HashMap<String, (usize, bool)>,
}

impl OpenTable {
    fn new(name: &str) -> Self {
        Self {
            table: Table {
                name: name.to_owned(),
                chains: Vec::new(),
            },
            places: HashMap::new(),
        }
    }

    /// Reads `NAME POLICY [PACKETS:BYTES]`. Old versions allow blanks in names.
    fn declare(&mut self, declaration: &str) -> Option<()> {
        let mut parts = declaration.rsplitn(3, ' ');
        let (counts, policy, name) = (parts.next()?, parts.next()?, parts.next()?);
        if name.is_empty() || !is_word(policy) {
            return None;
        }
        let place = (self.table.chains.len(), name.parse::<ChainName>().is_ok());
        if self.places.insert(name.to_owned(), place).is_some() {
            return None;
        }
        self.table.chains.push(Chain {
            name: name.to_owned(),
            policy: (policy != "-").then(|| policy.to_owned()),
            counters: counters(counts)?,
            rules: Vec::new(),
        });
        Some(())
    }

    /// Reads `[[PACKETS:BYTES] ]-A CHAIN SPEC`.
    fn add(&mut self, text: &str) -> Option<()> {
        let (counters, rest) = match text.split_once(' ') {
            Some((counts, rest)) if counts.starts_with('[') => (Some(counters(counts)?), rest),
            _ => (None, text),
        };
        let rest = rest.strip_prefix("-A ")?;
        let ((place, ours), spec) = self.chain_and_spec(rest)?;
        let chain = self.table.chains.get_mut(place)?;
        // Our jump is ours in any chain. Foreign rules may have the other forms too, so these are
        // ours only in our own chains.
        let own = own_rule(spec).filter(|rule| ours || matches!(rule, Rule::Jump(_)));
        chain.rules.push(ObservedRule {
            counters,
            spec: own.map_or_else(|| Spec::Foreign(spec.to_owned()), Spec::Own),
        });
        Some(())
    }

    fn chain_and_spec<'a>(&self, rest: &'a str) -> Option<((usize, bool), &'a str)> {
        let (name, spec) = rest.split_once(' ').unwrap_or((rest, ""));
        if let Some(&place) = self.places.get(name) {
            return Some((place, spec));
        }
        // A name with blanks: take the longest declared name that matches.
        self.places
            .iter()
            .filter_map(|(name, &place)| {
                let spec = rest.strip_prefix(name.as_str())?;
                let fits = spec.is_empty() || spec.starts_with(' ');
                fits.then(|| (name.len(), place, spec.trim_start_matches(' ')))
            })
            .max_by_key(|(length, ..)| *length)
            .map(|(_, place, spec)| (place, spec))
    }
}

fn error(line: usize, text: &str, problem: &'static str) -> ParseError {
    let start: String = text.chars().take(80).collect();
    ParseError {
        line,
        problem,
        text: start.escape_debug().to_string(),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

/// Reads `[PACKETS:BYTES]`.
fn counters(text: &str) -> Option<Counters> {
    let (packets, bytes) = text.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
    Some(Counters {
        packets: packets.parse().ok()?,
        bytes: bytes.parse().ok()?,
    })
}
