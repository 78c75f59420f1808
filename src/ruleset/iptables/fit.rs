//! Whether a foreign rule matches packets to an address, and where it sends them.
//!
//! `iptables-save` prints the matches of the IP header first and in a fixed order, then one block for
//! each `-m`, then the target. Only this form is read. Values without quotes can contain anything
//! (`-m recent --name '-d 10.0.0.1'`), so reading stops at the first token that is not known: what
//! follows may match, and every later `-j` may be the target.

use std::net::IpAddr;

use super::tokens::tokens;
use crate::policy::Address;

/// The packets that rules are judged for.
#[derive(Debug, Clone, Copy)]
pub struct Packets {
    /// Their destination.
    pub address: Address,
    /// Whether only TCP packets to port 80 count, and no others: those to the metadata service.
    pub service: bool,
    /// The bits of the packet mark that may be set.
    pub marks: u32,
}

impl Packets {
    /// All packets to the address.
    #[must_use]
    pub fn all(address: Address) -> Self {
        Self {
            address,
            service: false,
            marks: u32::MAX,
        }
    }

    /// TCP packets to port 80 of the metadata service; all packets to another address.
    #[must_use]
    pub fn of_service(address: Address) -> Self {
        Self {
            service: address.is_imds(),
            ..Self::all(address)
        }
    }
}

/// Whether a rule matches the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It matches none of them.
    None,
    /// It may match some of them.
    Some,
    /// It matches all of them.
    All,
}

impl Fit {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, Self::All) => Self::All,
            _ => Self::Some,
        }
    }

    /// All packets fit, or none.
    fn of(matches: bool) -> Self {
        if matches { Self::All } else { Self::None }
    }

    fn negated_if(self, negated: bool) -> Self {
        match (self, negated) {
            (Self::None, true) => Self::All,
            (Self::All, true) => Self::None,
            (fit, _) => fit,
        }
    }
}

/// A foreign rule, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Whether it matches.
    pub fit: Fit,
    /// Its possible targets, each with whether it is a goto; one if the rule was read to its end.
    pub targets: Vec<(bool, String)>,
}

impl Reading {
    /// Reads a rule as iptables prints it, without its chain.
    #[must_use]
    pub fn of(spec: &str, packets: Packets) -> Self {
        let tokens = tokens(spec);
        let mut reader = Reader {
            rest: &tokens,
            packets,
        };
        let mut fit = reader.header();
        while let [option, name, ..] = reader.rest
            && option == "-m"
        {
            reader.rest = reader.rest.get(2..).unwrap_or_default();
            let (block, whole) = reader.block(name);
            fit = fit.and(block);
            if !whole {
                fit = fit.and(Fit::Some);
                break;
            }
        }
        let target = |pair: &[String]| {
            let goto = match pair.first()?.as_str() {
                "-j" => false,
                "-g" => true,
                _ => return None,
            };
            Some((goto, pair.get(1)?.clone()))
        };
        let targets = if reader.rest.is_empty() {
            Vec::new()
        } else if let Some(target) = target(reader.rest) {
            vec![target]
        } else {
            fit = fit.and(Fit::Some);
            reader.rest.windows(2).filter_map(target).collect()
        };
        Self { fit, targets }
    }

    /// The only target of a rule that matches all packets.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.fit == Fit::All && self.targets.len() == 1
    }
}

struct Reader<'a> {
    rest: &'a [String],
    packets: Packets,
}

impl<'a> Reader<'a> {
    /// The next option, whether it is negated, and its values, if it is one of these; each of them
    /// with the number of its values.
    fn option(&mut self, known: &[(&'a str, usize)]) -> Option<(bool, &'a str, &'a [String])> {
        let negated = self.rest.first()? == "!";
        let rest = self.rest.get(usize::from(negated)..)?;
        let (option, rest) = rest.split_first()?;
        let (name, count) = known.iter().find(|(name, _)| option == name)?;
        let (values, rest) = rest.split_at_checked(*count)?;
        self.rest = rest;
        Some((negated, name, values))
    }

    /// The matches of the IP header.
    fn header(&mut self) -> Fit {
        const ORDER: [(&str, usize); 6] = [
            ("-s", 1),
            ("-d", 1),
            ("-i", 1),
            ("-o", 1),
            ("-p", 1),
            ("-f", 0),
        ];
        let mut fit = Fit::All;
        for known in ORDER {
            let Some((negated, option, values)) = self.option(&[known]) else {
                continue;
            };
            let value = values.first().map_or("", String::as_str);
            let one = match option {
                "-d" => contains(value, self.packets.address.ip()).map_or(Fit::Some, Fit::of),
                // Packets of this host have no input interface, and forwarded ones come from outside.
                "-i" if value == "lo" => Fit::None,
                // The metadata service is never behind the loopback interface.
                "-o" if value == "lo" && self.packets.address.is_imds() => Fit::None,
                "-p" => self.protocol(value),
                _ => Fit::Some,
            };
            fit = fit.and(one.negated_if(negated));
        }
        fit
    }

    fn protocol(&self, value: &str) -> Fit {
        match value {
            _ if !self.packets.service => Fit::Some,
            "tcp" | "6" => Fit::All,
            "udp" | "17" | "icmp" | "ipv6-icmp" | "sctp" | "udplite" | "dccp" | "esp" | "ah" => {
                Fit::None
            }
            _ => Fit::Some,
        }
    }

    /// The options of one match, and whether all of them are known.
    fn block(&mut self, module: &str) -> (Fit, bool) {
        let known: &[(&str, usize)] = match module {
            "comment" => &[("--comment", 1)],
            "tcp" => &[
                ("--dport", 1),
                ("--sport", 1),
                ("--tcp-flags", 2),
                ("--syn", 0),
                ("--tcp-option", 1),
            ],
            "udp" => &[("--dport", 1), ("--sport", 1)],
            "multiport" => &[("--dports", 1), ("--sports", 1), ("--ports", 1)],
            "addrtype" => &[
                ("--src-type", 1),
                ("--dst-type", 1),
                ("--limit-iface-in", 0),
                ("--limit-iface-out", 0),
            ],
            "iprange" => &[("--src-range", 1), ("--dst-range", 1)],
            "owner" => &[
                ("--uid-owner", 1),
                ("--gid-owner", 1),
                ("--socket-exists", 0),
                ("--suppl-groups", 0),
            ],
            "mark" | "connmark" => &[("--mark", 1)],
            "state" => &[("--state", 1)],
            "conntrack" => &[
                ("--ctstate", 1),
                ("--ctstatus", 1),
                ("--ctproto", 1),
                ("--ctdir", 1),
                ("--ctorigsrc", 1),
                ("--ctorigdst", 1),
                ("--ctorigdstport", 1),
            ],
            "limit" => &[("--limit", 1), ("--limit-burst", 1)],
            "set" => &[("--match-set", 2), ("--return-nomatch", 0)],
            "physdev" => &[
                ("--physdev-in", 1),
                ("--physdev-out", 1),
                ("--physdev-is-in", 0),
                ("--physdev-is-out", 0),
                ("--physdev-is-bridged", 0),
            ],
            "recent" => &[
                ("--set", 0),
                ("--rcheck", 0),
                ("--update", 0),
                ("--remove", 0),
                ("--seconds", 1),
                ("--reap", 0),
                ("--hitcount", 1),
                ("--rttl", 0),
                ("--name", 1),
                ("--mask", 1),
                ("--rsource", 0),
                ("--rdest", 0),
            ],
            _ => return (Fit::Some, false),
        };
        let mut fit = Fit::All;
        while let Some((negated, option, values)) = self.option(known) {
            let value = values.first().map_or("", String::as_str);
            let one = self.matched(module, option, value);
            fit = fit.and(one.negated_if(negated));
        }
        let ended = match self.rest {
            [] => true,
            [next, ..] => matches!(next.as_str(), "-m" | "-j" | "-g"),
        };
        (fit, ended)
    }

    fn matched(&self, module: &str, option: &str, value: &str) -> Fit {
        let imds = self.packets.address.is_imds();
        match (module, option) {
            ("comment", _) => Fit::All,
            ("tcp" | "multiport", "--dport" | "--dports") if self.packets.service => {
                Fit::of(value.split(',').any(is_http))
            }
            ("multiport", "--ports") if value.split(',').any(is_http) && self.packets.service => {
                Fit::All
            }
            ("addrtype", "--dst-type") => {
                // The metadata service is never a local address; another target may be.
                let other = |kind| match kind {
                    "LOCAL" | "BROADCAST" => imds,
                    "MULTICAST" => !self.packets.address.ip().is_multicast(),
                    _ => false,
                };
                if value.split(',').all(other) {
                    Fit::None
                } else {
                    Fit::Some
                }
            }
            ("iprange", "--dst-range") => match value.split_once('-') {
                Some((first, last)) => {
                    in_range(first, last, self.packets.address.ip()).map_or(Fit::Some, Fit::of)
                }
                None => Fit::Some,
            },
            ("mark", "--mark") => match mark(value) {
                Some(needed) if needed & !self.packets.marks != 0 => Fit::None,
                _ => Fit::Some,
            },
            _ => Fit::Some,
        }
    }
}

/// The bits that a mark such as `0x1/0xff` needs.
fn mark(value: &str) -> Option<u32> {
    let needed = value.split_once('/').map_or(value, |(needed, _)| needed);
    u32::from_str_radix(needed.strip_prefix("0x")?, 16).ok()
}

/// The bits that a MARK target may set; all bits if they are not known.
#[must_use]
pub fn marks_set(spec: &str) -> u32 {
    let tokens = tokens(spec);
    let mut marks = 0;
    for pair in tokens.windows(2) {
        marks |= match (pair[0].as_str(), pair[1].as_str()) {
            ("-j", "CONNMARK") | ("--or-mark" | "--and-mark" | "--xor-mark", _) => u32::MAX,
            // TPROXY marks the packets that it takes.
            ("--set-xmark" | "--set-mark" | "--tproxy-mark", value) => {
                mark(value).unwrap_or(u32::MAX)
            }
            _ => 0,
        };
    }
    marks
}

/// Whether `PORT` or `PORT:PORT` includes port 80.
fn is_http(ports: &str) -> bool {
    let (first, last) = ports.split_once(':').unwrap_or((ports, ports));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).contains(&80),
        // A service name or an unknown syntax may include port 80.
        _ => true,
    }
}

/// Whether the address is in the range, both ends included; `None` if that is not known.
fn in_range(first: &str, last: &str, address: IpAddr) -> Option<bool> {
    let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
    Some((first..=last).contains(&address))
}

/// Whether the network contains the address; `None` if that is not known.
fn contains(network: &str, address: IpAddr) -> Option<bool> {
    let (base, mask) = network.split_once('/').unwrap_or((network, ""));
    match (base.parse().ok()?, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let mask = match mask.parse::<std::net::Ipv4Addr>() {
                // A mask with holes, such as 255.0.0.255, is printed in full.
                Ok(mask) => mask.to_bits(),
                Err(_) => !u32::MAX.checked_shr(bits(mask, 32)?).unwrap_or(0),
            };
            Some(base.to_bits() & mask == address.to_bits() & mask)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let mask = match mask.parse::<std::net::Ipv6Addr>() {
                Ok(mask) => mask.to_bits(),
                Err(_) => !u128::MAX.checked_shr(bits(mask, 128)?).unwrap_or(0),
            };
            Some(base.to_bits() & mask == address.to_bits() & mask)
        }
        _ => Some(false),
    }
}

/// The prefix length; `all` bits without a mask. `None` if it is not valid.
fn bits(mask: &str, all: u32) -> Option<u32> {
    match mask {
        "" => Some(all),
        mask => mask.parse().ok().filter(|&bits| bits <= all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{IMDS_V4, IMDS_V6};

    fn fit(spec: &str) -> Fit {
        Reading::of(spec, Packets::of_service(IMDS_V4)).fit
    }

    #[test]
    fn rules_that_match_all_packets_to_the_metadata_service() {
        for rule in [
            "-j RETURN",
            "-d 169.254.0.0/16 -j RETURN",
            "! -d 10.0.0.0/8 -p tcp -m tcp --dport 80 -j RETURN",
            "-p tcp -m multiport --dports 22,80:90 -m comment --comment \"a b\" -j RETURN",
            "-m addrtype ! --dst-type LOCAL -j RETURN",
            "! -o lo -j RETURN",
            "-m iprange --dst-range 169.254.0.0-169.254.255.255 -g A",
        ] {
            assert_eq!(fit(rule), Fit::All, "{rule}");
        }
    }

    #[test]
    fn rules_that_may_match() {
        for rule in [
            "-d 169.254.169.254/32 -m owner --uid-owner 1337 -j RETURN",
            "-s 10.0.0.1/32 -j RETURN",
            "-d 169.254.169.254/32 -o eth0 -j RETURN",
            "-m recent --rcheck --name -d 10.0.0.1 --mask 255.255.255.255 --rsource -j RETURN",
            "-m recent --set --name -m udp --dport 1 --rsource -j RETURN",
            "-i a -d 10.0.0.1 -j RETURN",
            "-m new-match -m udp --dport 53 -j RETURN",
            "-p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -j RETURN",
            "-m mark --mark 0x1 -j RETURN",
            "-j",
        ] {
            assert_eq!(fit(rule), Fit::Some, "{rule}");
        }
    }

    #[test]
    fn rules_that_match_none() {
        for rule in [
            "-d 10.0.0.0/8 -m new-match -j RETURN",
            "-o lo -j RETURN",
            "-i lo -j RETURN",
            "-p udp -j RETURN",
            "-p tcp -m tcp --dport 443 -j RETURN",
            "-m iprange ! --dst-range 169.254.0.0-169.254.255.255 -j RETURN",
            "-m iprange --dst-range 10.0.0.0-10.0.0.255 -j RETURN",
            "-m addrtype --dst-type LOCAL,BROADCAST -j RETURN",
        ] {
            assert_eq!(fit(rule), Fit::None, "{rule}");
        }
    }

    #[test]
    fn every_possible_target_is_listed() {
        let targets = |spec: &str| {
            let targets = Reading::of(spec, Packets::all(IMDS_V4)).targets;
            targets
                .into_iter()
                .map(|(_, name)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(targets("-m comment --comment -j -j A"), ["A"]);
        assert_eq!(targets("-j LOG --log-prefix \"-j ACCEPT\""), ["LOG"]);
        assert_eq!(targets("-m recent --name -j DROP -j ACCEPT"), ["ACCEPT"]);
        assert!(targets("-m mark --mark 0x1").is_empty());
    }

    #[test]
    fn a_mark_that_nothing_sets_is_not_matched() {
        let packets = Packets {
            marks: marks_set("-m socket -j MARK --set-xmark 0x200/0xffffffff"),
            ..Packets::of_service(IMDS_V4)
        };
        let fit = |rule| Reading::of(rule, packets).fit;
        assert_eq!(fit("-p tcp -m mark --mark 0x3a7e0200 -j TPROXY"), Fit::None);
        assert_eq!(
            fit("-p tcp -m mark --mark 0x200/0xf00 -j TPROXY"),
            Fit::Some
        );
        assert_eq!(fit("-p tcp -m mark ! --mark 0x1 -j TPROXY"), Fit::All);
        assert_eq!(marks_set("-j CONNMARK --restore-mark"), u32::MAX);
    }

    #[test]
    fn networks_of_both_families() {
        let has = |network, address: Address| contains(network, address.ip());
        assert_eq!(has("fd00:ec2::/32", IMDS_V6), Some(true));
        assert_eq!(has("::/0", IMDS_V6), Some(true));
        assert_eq!(has("0.0.0.0/0", IMDS_V4), Some(true));
        assert_eq!(has("fd00:ec2::253/128", IMDS_V6), Some(false));
        assert_eq!(has("10.0.0.0/8", IMDS_V6), Some(false));
        assert_eq!(has("somewhere", IMDS_V4), None);
        assert_eq!(has("10.0.0.0/33", IMDS_V4), None);
    }
}
