//! Whether a foreign rule could accept packets to an address, or rewrite the address.
//!
//! Rules are followed in order, as the kernel evaluates them. Conservative: a match that is not
//! understood may match, and an unknown iptables target may accept. A rule is ruled out only if it
//! certainly concerns other packets, or if an earlier rule certainly takes all packets to the address.

use std::collections::HashMap;

use crate::policy::Address;
use crate::ruleset::iptables::fit::{Fit, Packets, Reading};
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
    let packets = Packets::all(address);
    let mut walk = Walk::new(table, packets, Search::Accept);
    // In the built-in chain, RETURN applies the policy.
    let returned = if policy == Some("DROP") {
        Effect::Ends
    } else {
        Effect::Found
    };
    let way = walk.rules(above, returned, 0);
    Some(text(above.get(way.found?.place)?))
}

/// The first rule reachable from `chain` of the table that may rewrite the packets' address.
#[must_use]
pub(super) fn rewrites(table: &Table, chain: &str, packets: Packets) -> Option<String> {
    let mut walk = Walk::new(table, packets, Search::Rewrite);
    let rules = &table.chain(chain)?.rules;
    Some(walk.rules(rules, Effect::Ends, 0).found?.rule)
}

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    Accept,
    Rewrite,
}

/// What a target does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// What is searched for.
    Found,
    /// The packet leaves the table in another way.
    Ends,
    /// The packet returns to the calling chain.
    Returns,
    /// The packet continues with the next rule.
    GoesOn,
}

/// What was found: the rule, and the place of the rule that leads to it in the chain that was
/// searched.
struct Found {
    rule: String,
    place: usize,
}

/// The way of the packets through rules.
struct Way {
    found: Option<Found>,
    /// Whether packets may reach the end of the rules, or return.
    passes: bool,
}

struct Walk<'a> {
    table: &'a Table,
    packets: Packets,
    search: Search,
    /// The chains that were searched without a result, and whether packets may pass them. Without
    /// this list, a chain is followed once for each way that leads to it: a table of 32 chains can
    /// have billions of ways.
    closed: HashMap<&'a str, bool>,
}

impl<'a> Walk<'a> {
    fn new(table: &'a Table, packets: Packets, search: Search) -> Self {
        Self {
            table,
            packets,
            search,
            closed: HashMap::new(),
        }
    }

    /// Follows the packets through the rules of a chain. `returned` is the effect of RETURN there.
    fn rules(&mut self, rules: &'a [ObservedRule], returned: Effect, depth: usize) -> Way {
        let mut returns = false;
        for (place, rule) in rules.iter().enumerate() {
            let found = |rule: String| Way {
                found: Some(Found { rule, place }),
                passes: true,
            };
            let Spec::Foreign(spec) = &rule.spec else {
                // No packet to this address takes our jump for another address.
                let to_ours = matches!(rule.own(), Some(Rule::Jump(chain))
                    if chain.address == self.packets.address);
                if to_ours && self.search == Search::Accept {
                    return found(text(rule));
                }
                continue;
            };
            let reading = Reading::of(spec, self.packets);
            if reading.fit == Fit::None {
                continue;
            }
            let certain = reading.is_certain();
            for (goto, name) in &reading.targets {
                let effect = match self.chain(name, depth) {
                    Some(Ok(true)) if *goto => returned,
                    Some(Ok(true)) => Effect::GoesOn,
                    Some(Ok(false)) => Effect::Ends,
                    Some(Err(inner)) => return found(inner.unwrap_or_else(|| text(rule))),
                    None => match self.effect(name) {
                        Effect::Returns => returned,
                        effect => effect,
                    },
                };
                match effect {
                    Effect::Found => return found(text(rule)),
                    Effect::Returns => returns = true,
                    Effect::Ends | Effect::GoesOn => {}
                }
                if certain && effect != Effect::GoesOn {
                    return Way {
                        found: None,
                        passes: returns,
                    };
                }
            }
        }
        Way {
            found: None,
            passes: true,
        }
    }

    /// Whether packets may pass the chain; what was found in it, as an error, without a text if it
    /// is too deep to follow. `None` if there is no such chain. (A chain may have the name of a
    /// target that iptables would never give it.)
    fn chain(&mut self, name: &str, depth: usize) -> Option<Result<bool, Option<String>>> {
        let chain = self.table.chain(name)?;
        if let Some(passes) = self.closed.get(&*chain.name) {
            return Some(Ok(*passes));
        }
        if depth >= MAX_DEPTH {
            return Some(Err(None));
        }
        let way = self.rules(&chain.rules, Effect::Returns, depth + 1);
        if let Some(found) = way.found {
            return Some(Err(Some(found.rule)));
        }
        self.closed.insert(&chain.name, way.passes);
        Some(Ok(way.passes))
    }

    fn effect(&self, target: &str) -> Effect {
        match (self.search, target) {
            (_, "RETURN") => Effect::Returns,
            (_, "DROP" | "REJECT") | (Search::Rewrite, "ACCEPT") => Effect::Ends,
            (Search::Accept, name) if !GOES_ON.contains(&name) => Effect::Found,
            (Search::Rewrite, name) if REWRITES.contains(&name) => Effect::Found,
            _ => Effect::GoesOn,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Family, IMDS_V4};
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
        assert!(!opens("-j A", "-A A -j RETURN\n-A A -j ACCEPT\n"));
        assert!(!opens(
            "-j A",
            "-A A -g B\n-A A -j ACCEPT\n-A B -j RETURN\n"
        ));
        assert!(!opens("-j A", "-A A -j B\n-A A -j ACCEPT\n-A B -j DROP\n"));
        assert!(!opens("-j A", "-A A -j DROP\n-A OUTPUT -j ACCEPT\n"));
        assert!(!opens("-g A", "-A A -j DROP\n"));
        assert!(!opens("-o lo -j ACCEPT", ""));
    }

    #[test]
    fn an_earlier_rule_counts_only_if_it_takes_all_packets() {
        for rest in [
            "-A A -m owner --uid-owner 1 -j RETURN\n-A A -j ACCEPT\n",
            "-A A -p tcp -j DROP\n-A A -j ACCEPT\n",
            "-A A -j B\n-A A -j ACCEPT\n-A B -m mark --mark 0x1 -j RETURN\n-A B -j DROP\n",
            "-A A -m recent --name -j DROP -j LOG\n-A A -j ACCEPT\n",
            "-A A -m state --state NEW -g B\n-A A -j ACCEPT\n-A B -j DROP\n",
        ] {
            assert!(opens("-j A", rest), "{rest}");
        }
    }

    #[test]
    fn nat_rules_that_rewrite_the_address_are_found() {
        let nat = |rule: &str| {
            let text = format!(
                "*nat\n:OUTPUT ACCEPT [0:0]\n:D - [0:0]\n-A OUTPUT {rule}\n-A D -j DNAT --to-destination 10.0.0.1\nCOMMIT\n"
            );
            rewrites(
                &table(&text, Family::V4),
                "OUTPUT",
                Packets::of_service(IMDS_V4),
            )
            .is_some()
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
        assert!(!nat("-o lo -j D"));
        assert!(nat("-m recent --set --name -d 10.0.0.1 -j D"));
        for exempt in [
            "-d 169.254.0.0/16 -j ACCEPT",
            "-d 169.254.169.254/32 -p tcp -j RETURN",
        ] {
            assert!(
                !nat(&format!("{exempt}\n-A OUTPUT -p tcp -j D")),
                "{exempt}"
            );
        }
        assert!(nat(
            "-m owner --uid-owner 1337 -j RETURN\n-A OUTPUT -p tcp -j D"
        ));
        assert!(nat("-p tcp -j D\n-A OUTPUT -d 169.254.0.0/16 -j ACCEPT"));
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
            let found = rewrites(
                &table(&text, Family::V4),
                "OUTPUT",
                Packets::of_service(IMDS_V4),
            );
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
            assert_eq!(
                rewrites(&table, "OUTPUT", Packets::of_service(IMDS_V4)),
                None
            );
        }
    }
}
