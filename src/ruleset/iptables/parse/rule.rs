//! The text after `-A CHAIN` -> one of our rules.

use crate::policy::{AccountName, Address, Family, Gid, Uid, UidRange};
use crate::probe::{SOURCE_PORT, Transport};
use crate::ruleset::iptables::tokens::tokens;
use crate::ruleset::model::{ChainName, Rule, Verdict, names_of};

/// The matches and the target of a rule; each occurs at most once.
#[derive(Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an iptables option without a value"
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

/// The rule, if it is exactly one of our forms. The order of its parts does not matter.
///
/// Each form takes its parts; what is left over makes the rule a foreign one.
pub(super) fn own_rule(spec: &str) -> Option<Rule> {
    let mut parts = parts(&tokens(spec))?;
    let Some(target) = parts.target.take() else {
        let rule = parts.count_probes()?;
        return parts.are_taken().then_some(rule);
    };
    let rule = if std::mem::take(&mut parts.goto) {
        parts.goto(&target)?
    } else if parts.destination.is_some() {
        parts.jump(&target)?
    } else if target == "RETURN" {
        parts.allow()?
    } else {
        parts.refuse(&target)?
    };
    parts.are_taken().then_some(rule)
}

impl Parts {
    fn count_probes(&mut self) -> Option<Rule> {
        let (transport, port) = (self.protocol.take()?, self.source_port.take()?);
        (port == SOURCE_PORT).then_some(Rule::CountProbes(transport))
    }

    fn goto(&mut self, target: &str) -> Option<Rule> {
        let uids = self.uids.take()?;
        let chain: ChainName = target.parse().ok()?;
        (!chain.is_root()).then_some(Rule::Goto { uids, chain })
    }

    fn jump(&mut self, target: &str) -> Option<Rule> {
        let address = self.destination.take()?;
        let chain: ChainName = target.parse().ok()?;
        (chain.is_root() && chain.address == address).then_some(Rule::Jump(chain))
    }

    fn allow(&mut self) -> Option<Rule> {
        if let Some(uids) = self.uids.take() {
            let names = names(self.comment.take())?;
            let one_each = names.len() as u64 == uids.count();
            return (names.is_empty() || uids.count() == 1 || one_each)
                .then_some(Rule::AllowUids { uids, names });
        }
        if let Some(gid) = self.gid.take() {
            let names = names(self.comment.take())?;
            return std::mem::take(&mut self.supplementary)
                .then_some(Rule::AllowGroup { gid, names });
        }
        let tcp = self.protocol.take() == Some(Transport::Tcp);
        let closing = [&mut self.not_opening, &mut self.no_socket].map(std::mem::take) == [true; 2];
        (tcp && closing).then_some(Rule::AllowClosing)
    }

    fn refuse(&mut self, target: &str) -> Option<Rule> {
        let reject_with = self.reject_with.take();
        let verdict = match (self.protocol.take(), target, reject_with.as_deref()) {
            (Some(Transport::Tcp), "REJECT", Some("tcp-reset")) => return Some(Rule::RefuseTcp),
            (None, "REJECT", Some("icmp-port-unreachable" | "icmp6-port-unreachable")) => {
                Verdict::Reject
            }
            (None, "DROP", None) => Verdict::Drop,
            _ => return None,
        };
        let marker = match self.comment.take() {
            None => None,
            Some(comment) => Some(comment.parse().ok()?),
        };
        Some(Rule::Refuse { verdict, marker })
    }

    /// Whether no part is left.
    fn are_taken(&self) -> bool {
        *self == Self::default()
    }
}

fn names(comment: Option<String>) -> Option<Vec<AccountName>> {
    match comment {
        None => Some(Vec::new()),
        Some(comment) => names_of(&comment),
    }
}

fn parts(tokens: &[String]) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut tokens = tokens.iter().map(String::as_str);
    while let Some(option) = tokens.next() {
        match option {
            "-m" => one_of(tokens.next()?, &["owner", "tcp", "udp", "comment"])?,
            "-d" => once(&mut parts.destination, whole_address(tokens.next()?)?)?,
            "-p" => once(&mut parts.protocol, transport(tokens.next()?)?)?,
            "--sport" => once(&mut parts.source_port, tokens.next()?.parse().ok()?)?,
            "--uid-owner" => once(&mut parts.uids, uid_range(tokens.next()?)?)?,
            "--gid-owner" => once(&mut parts.gid, Gid::new(tokens.next()?.parse().ok()?)?)?,
            "--suppl-groups" => flag(&mut parts.supplementary)?,
            "--comment" => once(&mut parts.comment, tokens.next()?.to_owned())?,
            "-j" => once(&mut parts.target, tokens.next()?.to_owned())?,
            "-g" => {
                once(&mut parts.target, tokens.next()?.to_owned())?;
                flag(&mut parts.goto)?;
            }
            "--reject-with" => once(&mut parts.reject_with, tokens.next()?.to_owned())?,
            "!" => match tokens.next()? {
                "--socket-exists" => flag(&mut parts.no_socket)?,
                "--syn" => flag(&mut parts.not_opening)?,
                "--tcp-flags" => {
                    let mut mask: Vec<&str> = tokens.next()?.split(',').collect();
                    mask.sort_unstable();
                    if mask != ["ACK", "FIN", "RST", "SYN"] || tokens.next()? != "SYN" {
                        return None;
                    }
                    flag(&mut parts.not_opening)?;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(parts)
}

/// `None` if the value is not one of these.
fn one_of(value: &str, known: &[&str]) -> Option<()> {
    known.contains(&value).then_some(())
}

/// Stores the value; `None` if there was one before.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// Sets the flag; `None` if it was set before.
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

/// The address of a text with a full prefix, or without one; `None` for a network.
fn whole_address(text: &str) -> Option<Address> {
    let Some((address, bits)) = text.split_once('/') else {
        return text.parse().ok();
    };
    let address: Address = address.parse().ok()?;
    let whole = match address.family() {
        Family::V4 => "32",
        Family::V6 => "128",
    };
    (bits == whole).then_some(address)
}

fn uid_range(text: &str) -> Option<UidRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    UidRange::new(
        Uid::new(first.parse().ok()?)?,
        Uid::new(last.parse().ok()?)?,
    )
}
