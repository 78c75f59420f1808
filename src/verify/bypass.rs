//! Whether a foreign rule could accept packets to an address, or rewrite the address.
//!
//! Conservative: an unknown match may match, and an unknown iptables target may accept. Only a
//! rule that certainly concerns other packets is ruled out.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::policy::Address;
use crate::ruleset::iptables::tokens::tokens;
use crate::ruleset::model::{ObservedRule, Rule, Spec, Table};
use crate::ruleset::targets::{GOES_ON, REWRITES};

/// How deep nested chains are followed. A rule that leads deeper is assumed to accept or rewrite
/// the packet. The kernel limits the depth too.
const MAX_DEPTH: usize = 32;

/// The first of the rules `above` our jump in a built-in chain that may accept a packet to
/// `address`.
#[must_use]
pub(super) fn accepts(
    table: &Table,
    above: &[ObservedRule],
    address: Address,
    policy: Option<&str>,
) -> Option<String> {
    let mut closed = Closed::default();
    above
        .iter()
        .find(|rule| may_accept(table, rule, address, policy, 0, &mut closed))
        .map(text)
}

/// The chains that were followed to their ends, and neither accept a packet to the address nor
/// rewrite it. Without this list, a chain is followed once for each way that leads to it: a table of
/// 32 chains can have billions of ways.
type Closed<'a> = HashSet<&'a str>;

fn may_accept<'a>(
    table: &'a Table,
    rule: &ObservedRule,
    address: Address,
    policy: Option<&str>,
    depth: usize,
    closed: &mut Closed<'a>,
) -> bool {
    let Spec::Foreign(spec) = &rule.spec else {
        // No packet to this address takes our jump for another address.
        return matches!(rule.own(), Some(Rule::Jump(chain)) if chain.address == address);
    };
    let tokens = tokens(spec);
    if !may_match(&tokens, address) {
        return false;
    }
    targets(&tokens).any(|(goto, name)| match (table.chain(name), name) {
        // A chain may have the name of a target that iptables would never give it.
        (Some(_), _) if goto => true,
        (Some(chain), _) if closed.contains(&*chain.name) => false,
        (Some(_), _) if depth >= MAX_DEPTH => true,
        (Some(chain), _) => {
            let mut rules = chain.rules.iter();
            let accepts =
                rules.any(|rule| may_accept(table, rule, address, policy, depth + 1, closed));
            if !accepts {
                closed.insert(&chain.name);
            }
            accepts
        }
        (None, "DROP" | "REJECT") => false,
        // In the built-in chain, RETURN applies the policy. In other chains, the kernel continues
        // in the calling chain.
        (None, "RETURN") => depth == 0 && policy != Some("DROP"),
        (None, name) => !GOES_ON.contains(&name),
    })
}

/// The first rule reachable from `chain` of the table `nat` that may rewrite the address.
#[must_use]
pub(super) fn rewrites(nat: &Table, chain: &str, address: Address) -> Option<String> {
    rewrites_below(nat, chain, address, 0, &mut Closed::default())
}

fn rewrites_below<'a>(
    nat: &'a Table,
    chain: &str,
    address: Address,
    depth: usize,
    closed: &mut Closed<'a>,
) -> Option<String> {
    let chain = nat.chain(chain)?;
    if closed.contains(&*chain.name) {
        return None;
    }
    let found = chain.rules.iter().find_map(|rule| {
        let Spec::Foreign(spec) = &rule.spec else {
            return None;
        };
        let tokens = tokens(spec);
        if !may_match(&tokens, address) || !may_match_service(&tokens, address) {
            return None;
        }
        targets(&tokens).find_map(|(_, name)| match name {
            name if REWRITES.contains(&name) => Some(text(rule)),
            name if depth < MAX_DEPTH => rewrites_below(nat, name, address, depth + 1, closed),
            name => nat.chain(name).map(|_| text(rule)),
        })
    });
    if found.is_none() {
        closed.insert(&chain.name);
    }
    found
}

/// The first foreign rule.
#[must_use]
pub(super) fn first_foreign(above: &[ObservedRule]) -> Option<String> {
    above.iter().find(|rule| rule.own().is_none()).map(text)
}

/// The rule as `iptables -S` shows it, without its chain.
fn text(rule: &ObservedRule) -> String {
    match &rule.spec {
        Spec::Foreign(spec) => spec.clone(),
        Spec::Own(rule) => format!("{rule:?}"),
    }
}

/// Every possible target, and whether it is a goto. A comment can contain `-j`, so there may be
/// several.
fn targets(tokens: &[String]) -> impl Iterator<Item = (bool, &str)> {
    tokens.windows(2).filter_map(|pair| match pair[0].as_str() {
        "-j" => Some((false, pair[1].as_str())),
        "-g" => Some((true, pair[1].as_str())),
        _ => None,
    })
}

/// False only if the rule's destination certainly excludes the address.
fn may_match(tokens: &[String], address: Address) -> bool {
    tokens.iter().enumerate().all(|(at, option)| {
        let negated = at > 0 && tokens[at - 1] == "!";
        let value = tokens.get(at + 1).map(String::as_str);
        match (option.as_str(), value) {
            ("-d" | "--destination", Some(network)) => {
                contains(network, address.ip()).is_none_or(|inside| inside != negated)
            }
            // The metadata service is never a local address; another target may be.
            ("--dst-type", Some("LOCAL")) => !address.is_imds() || negated,
            ("--dst-type", Some("MULTICAST")) => address.ip().is_multicast() || negated,
            // Other matches are not interpreted. `-i` never matches packets of this host, but it
            // does match forwarded ones.
            _ => true,
        }
    })
}

/// False only if the rule's protocol or port certainly excludes the metadata service, TCP 80.
fn may_match_service(tokens: &[String], address: Address) -> bool {
    !address.is_imds()
        || tokens.iter().enumerate().all(|(at, option)| {
            let negated = at > 0 && tokens[at - 1] == "!";
            let value = tokens.get(at + 1).map(String::as_str);
            match (option.as_str(), value) {
                ("-p" | "--protocol", Some("tcp" | "6")) => !negated,
                ("-p" | "--protocol", Some("udp" | "17" | "icmp" | "ipv6-icmp")) => negated,
                ("--dport" | "--dports", Some(ports)) => ports.split(',').any(is_http) != negated,
                _ => true,
            }
        })
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
    use crate::policy::{Family, IMDS_V4, IMDS_V6};
    use crate::ruleset::iptables::parse;

    fn table(text: &str, family: Family) -> Table {
        parse::ruleset(family, text).unwrap().tables.remove(0)
    }

    /// Whether a rule of OUTPUT in `filter` may let the metadata address through.
    fn opens(rule: &str, rest: &str) -> bool {
        let text = format!(
            "*filter\n:OUTPUT ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n-A OUTPUT {rule}\n{rest}COMMIT\n"
        );
        let table = table(&text, Family::V4);
        let output = table.chain("OUTPUT").unwrap();
        accepts(&table, &output.rules, IMDS_V4, Some("ACCEPT")).is_some()
    }

    #[test]
    fn rules_that_may_accept_the_address_are_found() {
        for rule in [
            "-j ACCEPT",
            "-d 169.254.0.0/16 -j ACCEPT",
            "! -d 10.0.0.0/8 -j ACCEPT",
            "-d 169.0.0.254/255.0.0.255 -j ACCEPT",
            "-p tcp -m tcp --dport 80 -j ACCEPT",
            "-m comment --comment \"-d 10.0.0.1\" -j ACCEPT",
            "-j RETURN",
            "-j NFQUEUE --queue-num 0",
            "-j SOMETHING-NEW",
            "-g A",
            "-m comment --comment -j -j ACCEPT",
            "-m comment --comment -j -g A",
        ] {
            assert!(opens(rule, ""), "{rule}");
        }
        assert!(opens("-j A", "-A A -j B\n-A B -o eth0 -j ACCEPT\n"));
        assert!(opens("-j A", "-A A -j A\n"), "endless: assume the worst");
        // Only `nft` can make a chain of that name.
        let named = "*filter\n:OUTPUT ACCEPT [0:0]\n:REJECT - [0:0]\n-A OUTPUT -j REJECT\n-A REJECT -j ACCEPT\nCOMMIT\n";
        let table = table(named, Family::V4);
        let output = &table.chain("OUTPUT").unwrap().rules;
        assert!(accepts(&table, output, IMDS_V4, Some("ACCEPT")).is_some());
    }

    #[test]
    fn rules_that_cannot_accept_the_address_are_no_bypass() {
        for rule in [
            "-d 10.0.0.0/8 -j ACCEPT",
            "-d 127.0.0.1 -j ACCEPT",
            "! -d 169.254.169.254/32 -j ACCEPT",
            "-m addrtype --dst-type LOCAL -j ACCEPT",
            "-j LOG --log-prefix \"-j ACCEPT\"",
            "-j DROP",
            "-j REJECT --reject-with icmp-port-unreachable",
            "-m mark --mark 0x1",
            "-j A",
        ] {
            assert!(!opens(rule, ""), "{rule}");
        }
        assert!(!opens(
            "-j A",
            "-A A -d 10.0.0.1 -j ACCEPT\n-A A -j RETURN\n"
        ));
    }

    #[test]
    fn nat_rules_that_rewrite_the_address_are_found() {
        let nat = |rule: &str| {
            let text = format!(
                "*nat\n:OUTPUT ACCEPT [0:0]\n:D - [0:0]\n-A OUTPUT {rule}\n-A D -j DNAT --to-destination 10.0.0.1\nCOMMIT\n"
            );
            rewrites(&table(&text, Family::V4), "OUTPUT", IMDS_V4).is_some()
        };
        assert!(nat(
            "-d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8181"
        ));
        assert!(nat("-p tcp -m multiport --dports 22,80:90 -j D"));
        assert!(nat("-m comment --comment -j -j D"));
        assert!(!nat(
            "-d 169.254.170.2/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 51679"
        ));
        assert!(!nat("! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j D"));
        assert!(!nat("-p udp -m udp --dport 53 -j D"));
        assert!(!nat("-p tcp -m tcp --dport 443 -j D"));
        assert!(!nat("-o eth0 -j MASQUERADE"));
    }

    #[test]
    fn nat_chains_too_deep_to_follow_count_as_rewriting() {
        // Legacy tables may be as deep as one likes.
        let depth = MAX_DEPTH + 2;
        let chains: Vec<String> = (0..depth).map(|nth| format!(":C{nth} - [0:0]\n")).collect();
        let jumps: Vec<String> = (1..depth)
            .map(|nth| format!("-A C{} -j C{nth}\n", nth - 1))
            .collect();
        let (chains, jumps) = (chains.concat(), jumps.concat());
        for end in ["DNAT --to-destination 10.0.0.1", "ACCEPT"] {
            let text = format!(
                "*nat\n:OUTPUT ACCEPT [0:0]\n{chains}-A OUTPUT -j C0\n{jumps}-A C{} -j {end}\nCOMMIT\n",
                depth - 1
            );
            let found = rewrites(&table(&text, Family::V4), "OUTPUT", IMDS_V4);
            assert!(found.is_some(), "{end}");
        }
    }

    /// Each chain calls the next one twice: there are 2^30 ways to the last chain.
    #[test]
    fn a_chain_is_followed_once_however_many_ways_lead_to_it() {
        let chains: Vec<String> = (0..=30).map(|nth| format!(":C{nth} - [0:0]\n")).collect();
        let jumps: Vec<String> = (0..30)
            .map(|nth| format!("-A C{nth} -j C{0}\n-A C{nth} -j C{0}\n", nth + 1))
            .collect();
        let (chains, jumps) = (chains.concat(), jumps.concat());
        for name in ["filter", "nat"] {
            let text = format!(
                "*{name}\n:OUTPUT ACCEPT [0:0]\n{chains}-A OUTPUT -j C0\n{jumps}-A C30 -j RETURN\nCOMMIT\n"
            );
            let table = table(&text, Family::V4);
            let output = &table.chain("OUTPUT").unwrap().rules;
            assert_eq!(accepts(&table, output, IMDS_V4, Some("ACCEPT")), None);
            assert_eq!(rewrites(&table, "OUTPUT", IMDS_V4), None);
        }
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
