//! What follows `-A CHAIN` -> one of our rules.

use crate::policy::{AccountName, Address, Family, Gid, Uid, UidRange};
use crate::probe::{SOURCE_PORT, Transport};
use crate::ruleset::iptables::tokens::tokens;
use crate::ruleset::model::{ChainName, Rule, Verdict};

/// The matches and the target that our forms are made of; each at most once.
#[derive(Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of iptables, there or not"
)]
struct Parts {
    destination: Option<Address>,
    protocol: Option<Transport>,
    source_port: Option<u16>,
    not_opening: bool,
    uids: Option<UidRange>,
    gid: Option<Gid>,
    supplementary: bool,
    no_socket: bool,
    comment: Option<String>,
    target: Option<String>,
    goto: bool,
    reject_with: Option<String>,
}

/// The rule, when it is exactly one of our forms in whatever order its parts were printed.
pub(super) fn own_rule(spec: &str) -> Option<Rule> {
    let words = tokens(spec);
    let parts = parts(&words)?;
    if parts.source_port.is_some() {
        return count_probes(&parts);
    }
    let has_owner = parts.uids.is_some() || parts.gid.is_some() || parts.no_socket;
    match parts {
        Parts {
            destination: None,
            protocol: None,
            source_port: None,
            not_opening: false,
            uids: Some(uids),
            gid: None,
            supplementary: false,
            no_socket: false,
            comment: None,
            target: Some(target),
            goto: true,
            reject_with: None,
        } => {
            let chain: ChainName = target.parse().ok()?;
            (!chain.is_root()).then_some(Rule::Goto { uids, chain })
        }
        Parts { goto: true, .. } => None,
        Parts {
            destination: Some(address),
            protocol: None,
            source_port: None,
            not_opening: false,
            comment: None,
            target: Some(target),
            reject_with: None,
            ..
        } if !has_owner => {
            let chain: ChainName = target.parse().ok()?;
            (chain.is_root() && chain.address == address).then_some(Rule::Jump(chain))
        }
        Parts {
            destination: None,
            protocol: None,
            source_port: None,
            not_opening: false,
            uids: Some(uids),
            gid: None,
            supplementary: false,
            no_socket: false,
            comment,
            target: Some(target),
            goto: false,
            reject_with: None,
        } if target == "RETURN" => {
            let names = names(comment)?;
            let one_each = names.len() as u64 == uids.count();
            (names.is_empty() || uids.count() == 1 || one_each)
                .then_some(Rule::PassUids { uids, names })
        }
        Parts {
            destination: None,
            protocol: None,
            source_port: None,
            not_opening: false,
            uids: None,
            gid: Some(gid),
            supplementary: true,
            no_socket: false,
            comment,
            target: Some(target),
            goto: false,
            reject_with: None,
        } if target == "RETURN" => Some(Rule::PassGroup {
            gid,
            names: names(comment)?,
        }),
        Parts {
            destination: None,
            protocol: Some(Transport::Tcp),
            source_port: None,
            not_opening: true,
            uids: None,
            gid: None,
            supplementary: false,
            no_socket: true,
            comment: None,
            target: Some(target),
            goto: false,
            reject_with: None,
        } if target == "RETURN" => Some(Rule::PassClosing),
        Parts {
            destination: None,
            not_opening: false,
            protocol,
            comment,
            target: Some(target),
            reject_with,
            ..
        } if !has_owner => refusal(protocol, comment, &target, reject_with.as_deref()),
        _ => None,
    }
}

fn count_probes(parts: &Parts) -> Option<Rule> {
    let transport = parts.protocol?;
    let form = Parts {
        protocol: Some(transport),
        source_port: Some(SOURCE_PORT),
        ..Parts::default()
    };
    (*parts == form).then_some(Rule::CountProbes(transport))
}

fn refusal(
    protocol: Option<Transport>,
    comment: Option<String>,
    target: &str,
    reject_with: Option<&str>,
) -> Option<Rule> {
    let verdict = match (protocol, target, reject_with) {
        (Some(Transport::Tcp), "REJECT", Some("tcp-reset")) => {
            return comment.is_none().then_some(Rule::RefuseTcp);
        }
        (None, "REJECT", Some("icmp-port-unreachable" | "icmp6-port-unreachable")) => {
            Verdict::Reject
        }
        (None, "DROP", None) => Verdict::Drop,
        _ => return None,
    };
    let marker = match comment {
        None => None,
        Some(comment) => Some(comment.parse().ok()?),
    };
    Some(Rule::Refuse { verdict, marker })
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
            "-m" => matches!(words.next()?, "owner" | "tcp" | "udp" | "comment").then_some(())?,
            "-d" => once(&mut parts.destination, whole_address(words.next()?)?)?,
            "-p" => once(&mut parts.protocol, transport(words.next()?)?)?,
            "--sport" => once(&mut parts.source_port, words.next()?.parse().ok()?)?,
            "--uid-owner" => once(&mut parts.uids, uid_range(words.next()?)?)?,
            "--gid-owner" => once(&mut parts.gid, Gid::new(words.next()?.parse().ok()?)?)?,
            "--suppl-groups" => flag(&mut parts.supplementary)?,
            "--comment" => once(&mut parts.comment, words.next()?.to_owned())?,
            "-j" => once(&mut parts.target, words.next()?.to_owned())?,
            "-g" => {
                once(&mut parts.target, words.next()?.to_owned())?;
                flag(&mut parts.goto)?;
            }
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

fn transport(text: &str) -> Option<Transport> {
    match text {
        "tcp" | "6" => Some(Transport::Tcp),
        "udp" | "17" => Some(Transport::Udp),
        _ => None,
    }
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
