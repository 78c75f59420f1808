//! Could a rule of someone else rewrite the address before our rules see it?
//!
//! As in [`super::bypass`]: what is not understood may match, and only what certainly concerns
//! other packets is ruled out.

use serde_json::Value;

use super::bypass::{self, contains, is_http, is_imds};
use super::finding::{Check, Finding};
use crate::policy::{Address, Family, Forwarded};
use crate::ruleset::nftables::json;
use crate::ruleset::nftables::nat::{Listing, NatRule, NatTable};
use crate::ruleset::{Lockdown, Observation};

/// How deep chains may call each other; the kernel allows 16 (NFT_JUMP_STACK_SIZE).
const MAX_DEPTH: usize = 16;

/// Whether anything that could be read rewrites the address, or could not be read.
pub(super) fn nat(lockdown: &Lockdown, seen: &Observation, address: Address) -> Finding {
    let check = Check::NatUntouched;
    let forwarded_too = lockdown.policy.forwarded == Forwarded::Refuse;
    let finding = match by_iptables(seen, address, forwarded_too) {
        Some(rule) => Finding::fail(check, format!("nat {rule}"))
            .help("remove that rule, or guard the service that it leads to by itself"),
        None => match by_nftables(seen, address, forwarded_too) {
            Ok(None) => match not_read(seen, address.family()) {
                None => Finding::pass(check, "nat leaves it as it is"),
                Some(reason) => unknown(&reason),
            },
            Ok(Some(rule)) => Finding::fail(check, rule)
                .help("remove that rule, or guard the service that it leads to by itself"),
            Err(reason) => unknown(&reason),
        },
    };
    finding.about(address)
}

fn unknown(reason: &dyn ToString) -> Finding {
    Finding::unknown(Check::NatUntouched, reason.to_string())
        .degraded()
        .help("look whether they rewrite the address: `nft list ruleset`")
}

fn by_iptables(seen: &Observation, address: Address, forwarded_too: bool) -> Option<String> {
    let mut chains = vec!["OUTPUT"];
    chains.extend(forwarded_too.then_some("PREROUTING"));
    // Both variants have a nat of their own, and a packet meets both.
    seen.read()
        .chain(seen.read_of_other().map(|(_, ruleset)| ruleset))
        .filter(|ruleset| ruleset.family == address.family())
        .filter_map(|ruleset| ruleset.table("nat"))
        .find_map(|nat| {
            chains.iter().find_map(|chain| {
                let rule = bypass::rewrites(nat, chain, address)?;
                Some(format!("{chain} {MAY}: `{rule}`"))
            })
        })
}

const MAY: &str = "may send its packets elsewhere before our rules see them";

/// What iptables cannot read.
fn not_read(seen: &Observation, family: Family) -> Option<String> {
    let own = seen.families.iter().map(|(of, ruleset)| (*of, ruleset));
    let other = seen.other.iter().map(|(_, of, ruleset)| (*of, ruleset));
    own.chain(other)
        .filter(|(of, _)| *of == family)
        .find_map(|(_, ruleset)| match ruleset {
            Ok(ruleset) if ruleset.hidden.iter().any(|table| table == "nat") => {
                Some("iptables cannot show the table nat, since `nft` has put rules into it".into())
            }
            Ok(_) => None,
            Err(reason) => Some(reason.to_string()),
        })
}

fn by_nftables(
    seen: &Observation,
    address: Address,
    forwarded_too: bool,
) -> Result<Option<String>, String> {
    let native = seen
        .native
        .as_ref()
        .map_err(|reason| format!("cannot ask for the chains of nftables: {reason}"))?;
    let tables = native
        .nat
        .iter()
        .filter(|table| table.families.contains(&address.family()));
    let mut unclear = None;
    for table in tables {
        for chain in table
            .chains
            .iter()
            .filter(|chain| chain.local || forwarded_too)
        {
            let name = format!("{} {}", table.name, chain.name);
            match of_chain(table, &chain.name, address) {
                Ok(None) => {}
                Ok(Some(rule)) => return Ok(Some(format!("{name} of nftables {MAY}: `{rule}`"))),
                Err(reason) => {
                    unclear = Some(format!(
                        "whether the chain {name} of nftables rewrites it is not known: {reason}"
                    ));
                }
            }
        }
    }
    unclear.map_or(Ok(None), Err)
}

fn of_chain(table: &NatTable, chain: &str, address: Address) -> Result<Option<String>, String> {
    let listing = table.listing.as_ref().map_err(Clone::clone)?;
    rewrites(listing, chain, address, 0)
}

fn rewrites(
    listing: &Listing,
    chain: &str,
    address: Address,
    depth: usize,
) -> Result<Option<String>, String> {
    if depth > MAX_DEPTH {
        return Err("its chains call each other too deeply".into());
    }
    let rules = listing
        .chains
        .get(chain)
        .ok_or_else(|| format!("there is no chain {chain} to read"))?;
    for rule in rules {
        if let Some(rule) = rule_rewrites(listing, rule, address, depth)? {
            return Ok(Some(rule));
        }
    }
    Ok(None)
}

fn rule_rewrites(
    listing: &Listing,
    rule: &NatRule,
    address: Address,
    depth: usize,
) -> Result<Option<String>, String> {
    for (name, value) in &rule.statements {
        match *name {
            "match" if excludes(listing, value, address) => return Ok(None),
            "dnat" if never_looked_up(listing, value, address) => {}
            "dnat" | "redirect" | "tproxy" => return Ok(Some(text(rule))),
            "mangle" if is_destination(value.get("key")) => return Ok(Some(text(rule))),
            "xt" => return Err(format!("`{}` is a rule of iptables", text(rule))),
            "jump" | "goto" | "vmap" | "map" => {
                for target in targets(listing, name, value, address)? {
                    if let Some(rule) = rewrites(listing, &target, address, depth + 1)? {
                        return Ok(Some(rule));
                    }
                }
            }
            "accept" | "drop" | "return" | "reject" => return Ok(None),
            _ => {}
        }
    }
    Ok(None)
}

fn is_destination(key: Option<&Value>) -> bool {
    matches!(
        key.and_then(field),
        Some(Field::Destination(_) | Field::Port)
    )
}

/// The chains that a statement may lead to.
fn targets(
    listing: &Listing,
    name: &str,
    value: &Value,
    address: Address,
) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    match name {
        "vmap" | "map" => {
            let elements = looked_up(listing, value, address)
                .ok_or_else(|| format!("a map changes, or was not printed: {value}"))?;
            for one in elements {
                collect_targets(one, &mut found);
            }
        }
        _ => collect_targets(value, &mut found),
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The parts of a concatenation; of any other value, itself.
fn parts(value: &Value) -> Vec<&Value> {
    match value.get("concat").and_then(Value::as_array) {
        Some(parts) => parts.iter().collect(),
        None => vec![value],
    }
}

/// Whether a `dnat` takes its target from a map in which packets to the address find none.
fn never_looked_up(listing: &Listing, dnat: &Value, address: Address) -> bool {
    let map = dnat.get("addr").and_then(|addr| addr.get("map"));
    map.and_then(|map| looked_up(listing, map, address))
        .is_some_and(|elements| elements.is_empty())
}

/// What packets to the address may find in a map: its elements, without those of which the key
/// certainly is another. `None` where they are not known.
fn looked_up<'a>(listing: &'a Listing, map: &'a Value, address: Address) -> Option<Vec<&'a Value>> {
    let elements = match map.get("data")? {
        Value::String(name) => listing.sets.get(name.strip_prefix('@')?)?,
        data => data.get("set")?.as_array()?,
    };
    let fields: Vec<Option<Field>> = parts(map.get("key")?).into_iter().map(field).collect();
    let may_be = |element: &&Value| {
        let key = element
            .get(0)
            .map(|key| key.pointer("/elem/val").unwrap_or(key));
        let Some(key) = key else { return true };
        fields.iter().zip(parts(key)).all(|(field, part)| {
            let takes_in = field
                .as_ref()
                .and_then(|field| takes_in(field, part, address));
            takes_in != Some(false)
        })
    };
    Some(elements.iter().filter(may_be).collect())
}

fn collect_targets(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| collect_targets(one, found)),
        Value::Object(members) => members.iter().for_each(|(key, value)| match value {
            Value::String(target) if key == "target" => found.push(target.clone()),
            value => collect_targets(value, found),
        }),
        _ => {}
    }
}

fn text(rule: &NatRule) -> String {
    let statements: Vec<String> = rule
        .statements
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    statements.join(" ")
}

/// Whether the match certainly excludes packets to the address, or, for the metadata service, those
/// to TCP 80.
fn excludes(listing: &Listing, value: &Value, address: Address) -> bool {
    let [Some(op), Some(left), Some(right)] = ["op", "left", "right"].map(|key| value.get(key))
    else {
        return false;
    };
    let field = field(left);
    // A field of one family's header is in no packet of the other.
    match field {
        Some(Field::Destination(family)) if family != address.family() => return true,
        Some(Field::NotTcp) if is_imds(address) => return true,
        _ => {}
    }
    // Whether the right side takes the packet in: `None` when that cannot be told.
    let taken_in = field.and_then(|field| {
        let mut known = Some(false);
        for one in listed(listing, right)? {
            match takes_in(&field, &one, address) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => known = None,
            }
        }
        known
    });
    match (op.as_str(), taken_in) {
        (Some("==" | "in"), Some(inside)) => !inside,
        (Some("!="), Some(inside)) => inside,
        _ => false,
    }
}

/// What of a packet a match looks at, as far as it is understood.
enum Field {
    Destination(Family),
    Family,
    Local,
    Protocol,
    /// The header of another protocol than TCP, which a packet to the metadata service has not.
    NotTcp,
    Port,
}

fn field(left: &Value) -> Option<Field> {
    match json::payload(left) {
        Some(("ip", "daddr")) => return Some(Field::Destination(Family::V4)),
        Some(("ip6", "daddr")) => return Some(Field::Destination(Family::V6)),
        Some(("ip", "protocol") | ("ip6", "nexthdr")) => return Some(Field::Protocol),
        Some(("tcp" | "th", "dport")) => return Some(Field::Port),
        Some(("udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmpv6", _)) => {
            return Some(Field::NotTcp);
        }
        _ => {}
    }
    match json::meta(left) {
        Some("nfproto" | "protocol") => return Some(Field::Family),
        Some("l4proto") => return Some(Field::Protocol),
        _ => {}
    }
    let result = || left.get("fib")?.get("result")?.as_str();
    let flags = left.get("fib")?.get("flags")?;
    let of_destination = *flags == "daddr" || *flags == Value::from(["daddr"].as_slice());
    (result() == Some("type") && of_destination).then_some(Field::Local)
}

/// The values on the right: one, those of a set, or those of a set by name.
fn listed(listing: &Listing, right: &Value) -> Option<Vec<Value>> {
    let values = match right {
        Value::String(name) if name.starts_with('@') => {
            listing.sets.get(name.trim_start_matches('@'))?.clone()
        }
        right => match right.get("set") {
            Some(Value::Array(values)) => values.clone(),
            Some(one) => vec![one.clone()],
            None => vec![right.clone()],
        },
    };
    let bare = |value: Value| match value.get("elem").and_then(|elem| elem.get("val")) {
        Some(inner) => inner.clone(),
        None => value,
    };
    Some(values.into_iter().map(bare).collect())
}

fn takes_in(field: &Field, value: &Value, address: Address) -> Option<bool> {
    let word = value.as_str();
    match field {
        Field::Destination(family) if *family != address.family() => Some(false),
        Field::Destination(_) => destination(value, address),
        Field::Family => match (word?, address.family()) {
            ("ipv4" | "ip", family) => Some(family == Family::V4),
            ("ipv6" | "ip6", family) => Some(family == Family::V6),
            _ => None,
        },
        // The metadata service is never this host itself; another address may be.
        Field::Local => match word? {
            "local" if is_imds(address) => Some(false),
            _ => None,
        },
        Field::NotTcp => None,
        Field::Protocol | Field::Port if !is_imds(address) => None,
        Field::Protocol => match (word, value.as_u64()) {
            (Some("tcp"), _) | (_, Some(6)) => Some(true),
            (Some("udp" | "icmp" | "ipv6-icmp" | "sctp"), _) | (_, Some(_)) => Some(false),
            _ => None,
        },
        Field::Port => {
            let number = |value: &Value| value.as_u64().map(|port| port.to_string());
            let ports = match value.get("range").and_then(Value::as_array) {
                Some(range) => {
                    let ends: Vec<String> = range.iter().map(number).collect::<Option<_>>()?;
                    ends.join(":")
                }
                None => number(value)?,
            };
            Some(is_http(&ports))
        }
    }
}

fn destination(value: &Value, address: Address) -> Option<bool> {
    if let Some(prefix) = value.get("prefix") {
        let (base, length) = (prefix.get("addr")?.as_str()?, prefix.get("len")?.as_u64()?);
        return contains(&format!("{base}/{length}"), address.ip());
    }
    if let Some([first, last]) = value
        .get("range")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        let end = |value: &Value| value.as_str()?.parse::<std::net::IpAddr>().ok();
        return Some((end(first)?..=end(last)?).contains(&address.ip()));
    }
    contains(value.as_str()?, address.ip())
}
