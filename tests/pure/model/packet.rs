//! A packet on its way through `filter` and `security`.

use std::net::IpAddr;

use ip_lockdown::policy::Subjects;
use ip_lockdown::ruleset::model::Hook;

use super::kernel::{Kernel, Rule, Table};

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// Both tables, in the order of a packet's way.
pub(crate) const BOTH: &[&str] = &["filter", "security"];

#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) hook: Hook,
    pub(crate) destination: IpAddr,
    pub(crate) owner: Owner,
    pub(crate) protocol: Protocol,
    /// Says nothing of ICMP.
    pub(crate) source_port: u16,
}

/// To whom a packet belongs, as `xt_owner` sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// No socket: a forwarded packet, time-wait, or the FIN of a socket that was closed.
    NoSocket,
    /// A socket without a file: made by the kernel itself.
    NoFile,
    /// The credentials with which the socket's file was opened.
    Process {
        uid: u32,
        gid: u32,
        groups: Vec<u32>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// With its flags.
    Tcp(u8),
    Udp,
    Icmp,
}

impl Packet {
    /// TCP that opens nothing: what the kernel may send for a socket after its process closed it.
    pub(crate) fn is_closing_tcp(&self) -> bool {
        match self.protocol {
            Protocol::Tcp(flags) => flags & (FIN | SYN | RST | ACK) != SYN,
            _ => false,
        }
    }

    /// Whether the owner is on the list.
    pub(crate) fn is_listed(&self, subjects: &Subjects) -> bool {
        let Owner::Process { uid, gid, groups } = &self.owner else {
            return false;
        };
        let by_name = subjects.named().keys().any(|listed| listed.get() == *uid);
        let by_number = subjects
            .unnamed()
            .iter()
            .any(|range| (range.first().get()..=range.last().get()).contains(uid));
        let by_group = subjects
            .groups()
            .keys()
            .any(|listed| listed.get() == *gid || groups.contains(&listed.get()));
        by_name || by_number || by_group
    }

    /// Whether it comes through these tables.
    pub(crate) fn passes(&self, kernel: &Kernel, tables: &[&str]) -> bool {
        tables
            .iter()
            .filter_map(|table| kernel.table(table))
            .all(|table| self.passes_table(table))
    }

    fn passes_table(&self, table: &Table) -> bool {
        let chain = table.chain(self.hook.chain()).unwrap();
        let verdict = self.walk(table, &chain.rules);
        verdict.unwrap_or(chain.policy.as_deref() == Some("ACCEPT"))
    }

    /// Accepted or refused; `None` at the end of the chain, or at a RETURN.
    fn walk(&self, table: &Table, rules: &[Rule]) -> Option<bool> {
        for rule in rules.iter().filter(|rule| self.matches(rule)) {
            match rule.target() {
                None | Some((_, "LOG" | "MARK")) => {}
                Some((_, "ACCEPT")) => return Some(true),
                Some((_, "DROP" | "REJECT")) => return Some(false),
                Some((_, "RETURN")) => return None,
                Some((goto, chain)) => {
                    let verdict = self.walk(table, &table.chain(chain).unwrap().rules);
                    if goto || verdict.is_some() {
                        return verdict;
                    }
                }
            }
        }
        None
    }

    fn matches(&self, rule: &Rule) -> bool {
        let mut owner = OwnerMatch::default();
        let mut negated = false;
        let mut words = rule.words.iter().map(String::as_str);
        let mut all = true;
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap();
            match word {
                "!" => {
                    negated = true;
                    continue;
                }
                "-d" => all &= in_network(self.destination, value()) != negated,
                "-p" => all &= (value() == self.protocol.name()) != negated,
                "--sport" => {
                    let ported = self.protocol != Protocol::Icmp;
                    let same = value() == self.source_port.to_string();
                    all &= (same && ported) != negated;
                }
                // No packet here comes in or goes out by the loopback interface.
                "-i" | "-o" => all &= (value() == "eth0") != negated,
                "--tcp-flags" => {
                    let (mask, set) = (flags(value()), flags(value()));
                    let Protocol::Tcp(flags) = self.protocol else {
                        return false;
                    };
                    all &= (flags & mask == set) != negated;
                }
                "--uid-owner" => owner.uids = Some((numbers(value()), negated)),
                "--gid-owner" => owner.gids = Some((numbers(value()), negated)),
                "--suppl-groups" => owner.supplementary = true,
                "--socket-exists" => owner.socket = Some(negated),
                "-m" | "--comment" | "-j" | "-g" | "--reject-with" | "--log-prefix"
                | "--set-xmark" => {
                    value();
                }
                _ => panic!("the model does not know {word}: {:?}", rule.words),
            }
            negated = false;
        }
        all && owner.matches(&self.owner)
    }
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

/// What a rule asks of the owner; each with its `!`.
#[derive(Default)]
struct OwnerMatch {
    uids: Option<((u32, u32), bool)>,
    gids: Option<((u32, u32), bool)>,
    supplementary: bool,
    socket: Option<bool>,
}

impl OwnerMatch {
    /// `owner_mt` of linux/net/netfilter/xt_owner.c, in its order and with its bits.
    fn matches(&self, owner: &Owner) -> bool {
        const UID: u8 = 1;
        const GID: u8 = 2;
        const SOCKET: u8 = 4;
        let parts = [
            (UID, self.uids.map(|(_, negated)| negated)),
            (GID, self.gids.map(|(_, negated)| negated)),
            (SOCKET, self.socket),
        ];
        let (mut asked, mut inverted) = (0, 0);
        for (bit, part) in parts {
            asked |= part.map_or(0, |_| bit);
            inverted |= part.map_or(0, |negated| if negated { bit } else { 0 });
        }
        let (uid, gid, groups) = match owner {
            Owner::NoSocket => return asked ^ inverted == 0,
            _ if asked & inverted & SOCKET != 0 => return false,
            Owner::NoFile => return (asked ^ inverted) & (UID | GID) == 0,
            Owner::Process { uid, gid, groups } => (uid, gid, groups),
        };
        let within = |id: u32, (first, last): (u32, u32)| first <= id && id <= last;
        if let Some((range, negated)) = self.uids
            && within(*uid, range) == negated
        {
            return false;
        }
        if let Some((range, negated)) = self.gids {
            let member = self.supplementary && groups.iter().any(|&group| within(group, range));
            if (within(*gid, range) || member) == negated {
                return false;
            }
        }
        true
    }
}

fn numbers(text: &str) -> (u32, u32) {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    (first.parse().unwrap(), last.parse().unwrap())
}

fn flags(text: &str) -> u8 {
    let bit = |name: &str| match name {
        "FIN" => FIN,
        "SYN" => SYN,
        "RST" => RST,
        "ACK" => ACK,
        _ => panic!("the model does not know the flag {name}"),
    };
    text.split(',').map(bit).fold(0, |all, bit| all | bit)
}

fn in_network(address: IpAddr, network: &str) -> bool {
    let (base, bits) = network.split_once('/').unwrap();
    let bits: u32 = bits.parse().unwrap();
    match (address, base.parse().unwrap()) {
        (IpAddr::V4(address), IpAddr::V4(base)) => {
            let differ = address.to_bits() ^ base.to_bits();
            differ.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(base)) => {
            let differ = address.to_bits() ^ base.to_bits();
            differ.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => panic!("two families in one table"),
    }
}
