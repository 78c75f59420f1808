//! `iptables-save` output -> values; the only place that reads iptables syntax.
//!
//! A rule that is not exactly one of our forms is foreign: kept as printed, never dropped, never
//! guessed at. Output of any other shape than a table dump is an error, so that a program that
//! prints nonsense is never taken for an empty firewall.

use std::collections::HashMap;

use thiserror::Error;

use super::Layer;
use super::model::{Chain, ChainName, Counters, ObservedRule, Rule, Ruleset, Spec, Table, Verdict};
use super::words::{Words, words};
use crate::policy::{AccountName, Address, Family, Gid, Uid, UidRange};

/// The text is not what `iptables-save` prints.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} {problem}: \"{text}\"")]
pub struct ParseError {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
    /// The beginning of the line, escaped.
    pub text: String,
}

/// Reads the output of `iptables-save`, with or without `-c`, of one family.
///
/// # Errors
/// The first line that does not belong into such output; a table without its COMMIT (cut off); a
/// table of ours that iptables says it cannot show.
pub fn ruleset(family: Family, output: &str) -> Result<Ruleset, ParseError> {
    let mut tables: Vec<Table> = Vec::new();
    let mut open: Option<OpenTable> = None;
    let mut hidden = Vec::new();
    let mut last = (0, String::new());
    for (number, text) in logical_lines(output) {
        let text = text.trim_end_matches([' ', '\r']);
        let wrong = |problem| error(number, text, problem);
        last = (number, text.to_owned());
        if let Some(comment) = text.strip_prefix('#') {
            if let Some(table) = incompatible(comment) {
                if Layer::OF_IPTABLES.iter().any(|layer| layer.name() == table) {
                    return Err(wrong(
                        "says that iptables cannot show this table, since `nft` has put rules of \
                         its own into it",
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
                // Rules of the second one would not be seen.
                if tables.iter().any(|table| table.name == name) {
                    return Err(wrong("opens a table that was there before"));
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
        Some(_) => Err(error(last.0, &last.1, "ends the output before COMMIT")),
    }
}

/// The lines, from 1. A quoted word may hold line breaks: such a rule is one line.
fn logical_lines(output: &str) -> impl Iterator<Item = (usize, String)> {
    let mut lines = output.split('\n').enumerate();
    std::iter::from_fn(move || {
        let (at, first) = lines.next()?;
        let mut line = first.to_owned();
        if first.starts_with(['-', '[']) {
            let mut words = Words::default();
            words.read(first);
            // Quotes that never close: the line as far as it goes, for the caller to complain of.
            while words.quoted
                && let Some((_, next)) = lines.next()
            {
                line.push('\n');
                line.push_str(next);
                words.read("\n");
                words.read(next);
            }
        }
        Some((at + 1, line))
    })
}

/// The table that iptables-nft says it cannot show, on a comment line of its standard output.
fn incompatible(comment: &str) -> Option<&str> {
    // "contains incompatible base-chains" is another: all other chains are shown then.
    let (table, _) = comment
        .strip_prefix(" Table `")?
        .split_once("' is incompatible")?;
    Some(table)
}

/// A table whose COMMIT has not come yet.
struct OpenTable {
    table: Table,
    places: HashMap<String, usize>,
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

    /// `NAME POLICY [PACKETS:BYTES]`; old versions allow blanks in names.
    fn declare(&mut self, declaration: &str) -> Option<()> {
        let mut words = declaration.rsplitn(3, ' ');
        let (counts, policy, name) = (words.next()?, words.next()?, words.next()?);
        (!name.is_empty() && is_word(policy)).then_some(())?;
        let place = self.table.chains.len();
        (self.places.insert(name.to_owned(), place).is_none()).then_some(())?;
        self.table.chains.push(Chain {
            name: name.to_owned(),
            policy: (policy != "-").then(|| policy.to_owned()),
            counters: counters(counts)?,
            rules: Vec::new(),
        });
        Some(())
    }

    /// `[[PACKETS:BYTES] ]-A CHAIN SPEC`
    fn add(&mut self, text: &str) -> Option<()> {
        let (counters, rest) = match text.split_once(' ') {
            Some((counts, rest)) if counts.starts_with('[') => (Some(counters(counts)?), rest),
            _ => (None, text),
        };
        let rest = rest.strip_prefix("-A ")?;
        let (place, spec) = self.chain_and_spec(rest)?;
        let chain = self.table.chains.get_mut(place)?;
        let own = own_rule(spec).filter(|rule| {
            // Only a jump of ours is ours wherever it stands; the other forms are so common that
            // they count in our own chains alone.
            matches!(rule, Rule::Jump(_)) || chain.name.parse::<ChainName>().is_ok()
        });
        chain.rules.push(ObservedRule {
            counters,
            spec: own.map_or_else(|| Spec::Foreign(spec.to_owned()), Spec::Own),
        });
        Some(())
    }

    fn chain_and_spec<'a>(&self, rest: &'a str) -> Option<(usize, &'a str)> {
        let (name, spec) = rest.split_once(' ').unwrap_or((rest, ""));
        if let Some(&place) = self.places.get(name) {
            return Some((place, spec));
        }
        // A name with blanks: the longest declared one that fits.
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

/// `[PACKETS:BYTES]`
fn counters(text: &str) -> Option<Counters> {
    let (packets, bytes) = text.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
    Some(Counters {
        packets: packets.parse().ok()?,
        bytes: bytes.parse().ok()?,
    })
}

/// The matches and the target that our forms are made of; each at most once.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of iptables, there or not"
)]
struct Parts {
    destination: Option<Address>,
    tcp: bool,
    not_opening: bool,
    uids: Option<UidRange>,
    gid: Option<Gid>,
    supplementary: bool,
    no_socket: bool,
    comment: Option<String>,
    target: Option<String>,
    reject_with: Option<String>,
}

/// The rule, when it is exactly one of our forms in whatever order its parts were printed.
fn own_rule(spec: &str) -> Option<Rule> {
    let words = words(spec);
    let parts = parts(&words)?;
    let has_owner = parts.uids.is_some() || parts.gid.is_some() || parts.no_socket;
    match parts {
        Parts {
            destination: Some(address),
            tcp: false,
            not_opening: false,
            comment: None,
            target: Some(target),
            reject_with: None,
            ..
        } if !has_owner => {
            let chain: ChainName = target.parse().ok()?;
            (chain.address == address).then_some(Rule::Jump(chain))
        }
        Parts {
            destination: None,
            tcp: false,
            not_opening: false,
            uids: Some(uids),
            gid: None,
            supplementary: false,
            no_socket: false,
            comment,
            target: Some(target),
            reject_with: None,
        } if target == "RETURN" => {
            let names = names(comment)?;
            let one_each = names.len() as u64 == uids.count();
            (names.is_empty() || uids.count() == 1 || one_each)
                .then_some(Rule::PassUids { uids, names })
        }
        Parts {
            destination: None,
            tcp: false,
            not_opening: false,
            uids: None,
            gid: Some(gid),
            supplementary: true,
            no_socket: false,
            comment,
            target: Some(target),
            reject_with: None,
        } if target == "RETURN" => Some(Rule::PassGroup {
            gid,
            names: names(comment)?,
        }),
        Parts {
            destination: None,
            tcp: true,
            not_opening: true,
            uids: None,
            gid: None,
            supplementary: false,
            no_socket: true,
            comment: None,
            target: Some(target),
            reject_with: None,
        } if target == "RETURN" => Some(Rule::PassClosing),
        Parts {
            destination: None,
            not_opening: false,
            tcp,
            comment,
            target: Some(target),
            reject_with,
            ..
        } if !has_owner => refusal(tcp, comment, &target, reject_with.as_deref()),
        _ => None,
    }
}

fn refusal(
    tcp: bool,
    comment: Option<String>,
    target: &str,
    reject_with: Option<&str>,
) -> Option<Rule> {
    let verdict = match (tcp, target, reject_with) {
        (true, "REJECT", Some("tcp-reset")) => {
            return comment.is_none().then_some(Rule::RefuseTcp);
        }
        (false, "REJECT", Some("icmp-port-unreachable" | "icmp6-port-unreachable")) => {
            Verdict::Reject
        }
        (false, "DROP", None) => Verdict::Drop,
        _ => return None,
    };
    let stamp = match comment {
        None => None,
        Some(comment) => Some(comment.parse().ok()?),
    };
    Some(Rule::Refuse { verdict, stamp })
}

fn names(comment: Option<String>) -> Option<Vec<AccountName>> {
    match comment {
        None => Some(Vec::new()),
        Some(comment) => comment.split(',').map(|name| name.parse().ok()).collect(),
    }
}

fn parts(words: &[String]) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-m" => matches!(words.next()?, "owner" | "tcp" | "comment").then_some(())?,
            "-d" => once(&mut parts.destination, whole_address(words.next()?)?)?,
            "-p" => {
                matches!(words.next()?, "tcp" | "6").then_some(())?;
                flag(&mut parts.tcp)?;
            }
            "--uid-owner" => once(&mut parts.uids, uid_range(words.next()?)?)?,
            "--gid-owner" => once(&mut parts.gid, Gid::new(words.next()?.parse().ok()?)?)?,
            "--suppl-groups" => flag(&mut parts.supplementary)?,
            "--comment" => once(&mut parts.comment, words.next()?.to_owned())?,
            "-j" => once(&mut parts.target, words.next()?.to_owned())?,
            "--reject-with" => once(&mut parts.reject_with, words.next()?.to_owned())?,
            "!" => match words.next()? {
                "--socket-exists" => flag(&mut parts.no_socket)?,
                "--syn" => flag(&mut parts.not_opening)?,
                "--tcp-flags" => {
                    let mut mask: Vec<&str> = words.next()?.split(',').collect();
                    mask.sort_unstable();
                    let syn_alone = mask == ["ACK", "FIN", "RST", "SYN"] && words.next()? == "SYN";
                    syn_alone.then(|| flag(&mut parts.not_opening))??;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(parts)
}

fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn flag(place: &mut bool) -> Option<()> {
    (!std::mem::replace(place, true)).then_some(())
}

/// An address with a full prefix, or none.
fn whole_address(text: &str) -> Option<Address> {
    let (address, full) = match text.split_once('/') {
        None => (text.parse::<Address>().ok()?, true),
        Some((address, bits)) => {
            let address: Address = address.parse().ok()?;
            let whole = match address.family() {
                Family::V4 => "32",
                Family::V6 => "128",
            };
            (address, bits == whole)
        }
    };
    full.then_some(address)
}

fn uid_range(text: &str) -> Option<UidRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    UidRange::new(
        Uid::new(first.parse().ok()?)?,
        Uid::new(last.parse().ok()?)?,
    )
}
