//! `nft -j list table inet ip_lockdown` -> values.
//!
//! A rule that is not exactly one of our forms is foreign. A shape of JSON that is not known, as
//! another version of nft may print it, is an error: such a table is not understood, and neither
//! "as it was written" nor "changed by someone" may be said of it.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::json::{self, Match, Unclear};
use super::{OwnTable, PRIORITY, TABLE, read_name};
use crate::policy::{AccountName, Address, Family, Uid, UidRange};
use crate::ruleset::model::{
    Chain, ChainName, Counters, Hook, ObservedRule, Rule, Spec, Table, Verdict,
};

/// Reads the listing of our table.
///
/// # Errors
/// It has a shape that is not known.
pub fn table(printed: impl Read) -> Result<OwnTable, Unclear> {
    let mut chains: Vec<Chain> = Vec::new();
    // By name: where in that list.
    let mut places: HashMap<String, usize> = HashMap::new();
    // By name: whether it is one of ours.
    let mut ours: HashMap<String, bool> = HashMap::new();
    // Each with the name of its chain, which may be printed later.
    let mut rules: Vec<(String, ObservedRule)> = Vec::new();
    let mut foreign = false;
    json::objects(printed, |kind, object| {
        match kind {
            "chain" => {
                let name = json::named(&object, "name")?;
                let own = read_name(&name);
                let base = Hook::ALL.into_iter().find(|hook| hook.chain() == name);
                foreign |= own.is_none() && base.is_none();
                let as_ours = base.is_some_and(|hook| is_base(&object, hook));
                let hooked = own.is_some() && object.contains_key("hook");
                places.insert(name.clone(), chains.len());
                chains.push(Chain {
                    name: shown(own, &name),
                    policy: (as_ours || hooked).then(|| "ACCEPT".to_owned()),
                    counters: Counters::default(),
                    rules: Vec::new(),
                });
            }
            "rule" => {
                let chain = json::named(&object, "chain")?;
                let ours = match ours.get(&chain) {
                    Some(&ours) => ours,
                    None => *ours
                        .entry(chain.clone())
                        .or_insert(read_name(&chain).is_some()),
                };
                rules.push((chain, observed(&object, ours)?));
            }
            "table" | "metainfo" => {}
            _ => foreign = true,
        }
        Ok(())
    })?;
    for (name, rule) in rules {
        let chain = places.get(&name).and_then(|&place| chains.get_mut(place));
        chain
            .ok_or_else(|| Unclear::text("nft prints a rule of no chain", &name))?
            .rules
            .push(rule);
    }
    Ok(OwnTable {
        table: Table {
            name: TABLE.to_owned(),
            chains,
        },
        foreign,
        dormant: false,
    })
}

/// The name that the model has for a chain. One that only looks like ours there gets a blank.
fn shown(own: Option<ChainName>, name: &str) -> String {
    match own {
        Some(own) => own.to_string(),
        None if name.parse::<ChainName>().is_ok() => format!(" {name}"),
        None => name.to_owned(),
    }
}

/// Whether the chain stands at the hook as ours do.
fn is_base(chain: &Map<String, Value>, hook: Hook) -> bool {
    let at = match hook {
        Hook::Output => "output",
        Hook::Forward => "forward",
    };
    json::text(chain, "type") == Some("filter")
        && json::text(chain, "hook") == Some(at)
        && json::text(chain, "policy") == Some("accept")
        && chain.get("prio").and_then(Value::as_i64) == Some(PRIORITY)
}

fn names(comment: &str) -> Option<Vec<AccountName>> {
    comment.split(',').map(|name| name.parse().ok()).collect()
}

fn uids(value: &Value) -> Option<UidRange> {
    let uid = |value: &Value| Uid::new(u32::try_from(value.as_u64()?).ok()?);
    match value
        .get("range")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([first, last]) => UidRange::new(uid(first)?, uid(last)?),
        Some(_) => None,
        None => uid(value).map(UidRange::from),
    }
}

/// The parts that our forms are made of; each at most once.
#[derive(Default)]
struct Parts<'a> {
    destination: Option<Address>,
    owner: Option<Owner>,
    tcp: bool,
    not_opening: bool,
    counters: Option<Counters>,
    end: Option<End<'a>>,
}

/// What an owner match compares with.
enum Owner {
    Any,
    Uids(UidRange),
}

enum End<'a> {
    Jump(&'a str),
    Goto(&'a str),
    Return,
    Reset,
    Reject,
}

/// One rule; only a jump of ours is ours in whatever chain.
fn observed(rule: &Map<String, Value>, in_own_chain: bool) -> Result<ObservedRule, Unclear> {
    let mut parts = Parts::default();
    let statements = json::statements(rule)?;
    let mut ours = is_counted_as_ours(&statements);
    for (name, value) in statements {
        ours &= part(&mut parts, name, value)?.is_some();
    }
    let counters = parts.counters;
    let form = match ours {
        true => form(parts, json::text(rule, "comment")),
        false => None,
    };
    let form = form.filter(|rule| in_own_chain || matches!(rule, Rule::Jump(_)));
    let text = || rule.get("expr").map(Value::to_string).unwrap_or_default();
    Ok(ObservedRule {
        counters,
        spec: form.map_or_else(|| Spec::Foreign(text()), Spec::Own),
    })
}

/// Our rules count right before their end, and only there; those that lead on do not. nft (1.0.2 and newer)
/// leaves a match of the family out that stands between a counter and a reject.
fn is_counted_as_ours(statements: &[(&str, &Value)]) -> bool {
    let counters = statements.iter().filter(|(name, _)| *name == "counter");
    matches!(
        (counters.count(), statements),
        (0, [.., ("jump" | "goto", _)]) | (1, [.., ("counter", _), ("return" | "reject", _)])
    )
}

/// Takes one statement; `None` if no form of ours has it.
fn part<'a>(parts: &mut Parts<'a>, name: &str, value: &'a Value) -> Result<Option<()>, Unclear> {
    let odd = || Unclear::new("nft prints a statement that is not understood", value);
    // Nothing comes after the end.
    if parts.end.is_some() {
        return Ok(None);
    }
    Ok(match name {
        "match" => matching(parts, &json::comparison(value)?)?,
        "counter" => match value {
            // A counter that has a name of its own is another object.
            Value::String(_) => None,
            value => {
                let number = |key| value.get(key).and_then(Value::as_u64).ok_or_else(odd);
                let counters = Counters {
                    packets: number("packets")?,
                    bytes: number("bytes")?,
                };
                once(&mut parts.counters, counters)
            }
        },
        "jump" | "goto" => {
            let target = value.get("target").and_then(Value::as_str);
            let target = target.ok_or_else(odd)?;
            let end = match name {
                "jump" => End::Jump(target),
                _ => End::Goto(target),
            };
            once(&mut parts.end, end)
        }
        "return" => once(&mut parts.end, End::Return),
        "reject" => {
            let text = |key| value.get(key).and_then(Value::as_str);
            match (value, text("type"), text("expr")) {
                // In a table of both families, that is what no word means.
                (Value::Null, ..) | (_, Some("icmpx"), Some("port-unreachable")) => {
                    once(&mut parts.end, End::Reject)
                }
                (_, Some("tcp reset"), _) => once(&mut parts.end, End::Reset),
                (_, Some("icmp" | "icmpv6" | "icmpx"), Some(_)) => None,
                _ => return Err(odd()),
            }
        }
        _ => None,
    })
}

fn matching(parts: &mut Parts<'_>, compared: &Match<'_>) -> Result<Option<()>, Unclear> {
    let Match { op, left, right } = *compared;
    let odd = || Unclear::new("nft prints a value that is not understood", right);
    if json::meta(left) == Some("skuid") {
        let owner = match right {
            // A set, or a list of values.
            Value::String(set) if set.starts_with('@') => return Ok(None),
            value if is_any(value) => Owner::Any,
            value => match uids(value) {
                Some(uids) => Owner::Uids(uids),
                None if value.get("set").is_some()
                    || value.get("range").is_some()
                    || value.is_u64() =>
                {
                    return Ok(None);
                }
                None => return Err(odd()),
            },
        };
        return Ok(equal(op).and_then(|()| once(&mut parts.owner, owner)));
    }
    if json::meta(left) == Some("l4proto") {
        let tcp = right == "tcp" || right.as_u64() == Some(6);
        return Ok((tcp && equal(op).is_some())
            .then(|| flag(&mut parts.tcp))
            .flatten());
    }
    if let Some((protocol @ ("ip" | "ip6"), "daddr")) = json::payload(left) {
        let text = match right {
            Value::String(text) if !text.starts_with('@') => text,
            _ => return Ok(None),
        };
        if text.parse::<IpAddr>().is_err() {
            return Err(odd());
        }
        // As we write it, in its own family: an IPv4 address in an IPv6 header is another.
        let written = |address: &Address| {
            let family = match address.family() {
                Family::V4 => "ip",
                Family::V6 => "ip6",
            };
            protocol == family && address.to_string() == *text
        };
        let address = text.parse().ok().filter(written);
        return Ok(address
            .filter(|_| equal(op).is_some())
            .and_then(|address| once(&mut parts.destination, address)));
    }
    if is_opening_flags(left) {
        let syn = right == "syn" && op == "!=";
        return Ok(syn.then(|| flag(&mut parts.not_opening)).flatten());
    }
    Ok(None)
}

/// Every uid that there can be.
fn is_any(value: &Value) -> bool {
    value
        .get("range")
        .and_then(Value::as_array)
        .is_some_and(|range| *range == [0, u64::from(u32::MAX)])
}

/// `tcp flags & (fin|syn|rst|ack)`; the flags as a list, or as one pair in the other.
fn is_opening_flags(left: &Value) -> bool {
    let Some([field, mask]) = left.get("&").and_then(Value::as_array).map(Vec::as_slice) else {
        return false;
    };
    let mut flags = BTreeSet::new();
    json::payload(field) == Some(("tcp", "flags"))
        && collect_flags(mask, &mut flags).is_some()
        && flags == BTreeSet::from(["fin", "syn", "rst", "ack"])
}

fn collect_flags<'a>(mask: &'a Value, flags: &mut BTreeSet<&'a str>) -> Option<()> {
    match mask {
        Value::String(flag) => {
            flags.insert(flag);
            Some(())
        }
        Value::Array(list) => list.iter().try_for_each(|one| collect_flags(one, flags)),
        other => collect_flags(other.get("|")?, flags),
    }
}

fn equal(op: &str) -> Option<()> {
    (op == "==").then_some(())
}

fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn flag(place: &mut bool) -> Option<()> {
    (!std::mem::replace(place, true)).then_some(())
}

/// The form of ours that the parts make up, if they do.
fn form(parts: Parts<'_>, comment: Option<&str>) -> Option<Rule> {
    let Parts {
        destination,
        owner,
        tcp,
        not_opening,
        counters: _,
        end,
    } = parts;
    let refuse = |stamp| Rule::Refuse {
        verdict: Verdict::Reject,
        stamp,
    };
    Some(
        match (destination, owner, tcp, not_opening, end?, comment) {
            (Some(address), None, false, false, End::Jump(target), None) => {
                let chain = read_name(target)?;
                (chain.is_root() && chain.address == address).then_some(Rule::Jump(chain))?
            }
            (None, Some(Owner::Uids(uids)), false, false, End::Goto(target), None) => {
                let chain = read_name(target)?;
                (!chain.is_root()).then_some(Rule::Goto { uids, chain })?
            }
            (None, Some(Owner::Uids(uids)), false, false, End::Return, comment) => {
                let names = comment.map_or(Some(Vec::new()), names)?;
                let one_each = names.len() as u64 == uids.count();
                (names.is_empty() || uids.count() == 1 || one_each).then_some(())?;
                Rule::PassUids { uids, names }
            }
            (None, Some(Owner::Any), true, false, End::Reset, None) => Rule::RefuseOwnedTcp,
            (None, Some(Owner::Any), false, false, End::Reject, None) => Rule::RefuseOwned,
            (None, None, false, true, End::Return, None) => Rule::PassClosing,
            (None, None, true, false, End::Reset, None) => Rule::RefuseTcp,
            (None, None, false, false, End::Reject, None) => refuse(None),
            (None, None, false, false, End::Reject, Some(stamp)) => {
                refuse(Some(stamp.parse().ok()?))
            }
            _ => return None,
        },
    )
}
