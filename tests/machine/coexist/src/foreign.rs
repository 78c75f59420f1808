//! The rules of all other tools: everything in the firewall except ours. Pure, except [`Ruleset::read`].
//!
//! Left out as ours: chains `IPL-*` and `IPF-*`, rules that jump there, the table `inet ip_lockdown`. Also left
//! out: counters, and a table with nothing but empty built-in chains that accept. iptables-nft creates such a table when
//! it first lists it.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use crate::shell::sh;

/// The firewall as the kernel tells it, in the words of each tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign(Vec<String>);

/// All of it, ours included.
pub(crate) struct Ruleset {
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
    nft: String,
}

impl Ruleset {
    /// Reads the firewall of this machine.
    pub(crate) fn read() -> Self {
        Self {
            ipv4: sh("iptables-save"),
            ipv6: sh("ip6tables-save"),
            nft: sh("nft --stateless list ruleset"),
        }
    }

    /// The same, when it has stopped changing: a tool may be at work for a while after its command has ended.
    ///
    /// # Panics
    /// When it has not after ten seconds.
    pub(crate) fn settled() -> Self {
        let mut before = Self::read();
        for _ in 0..50 {
            sleep(Duration::from_millis(200));
            let now = Self::read();
            if now.foreign() == before.foreign() {
                return now;
            }
            before = now;
        }
        panic!("the firewall does not come to rest");
    }

    /// Whether the kernel holds this layer of ours: its jumps in both families, or its table.
    pub(crate) fn has(&self, layer: &str) -> bool {
        let jumps = |save: &str| {
            let header = format!("*{layer}");
            save.lines()
                .skip_while(|line| *line != header)
                .take_while(|line| *line != "COMMIT")
                .any(|line| line.starts_with("-A OUTPUT ") && line.contains("-j IPL-"))
        };
        match layer {
            "nftables" => self
                .nft
                .lines()
                .any(|line| line == "table inet ip_lockdown {"),
            _ => jumps(&self.ipv4) && jumps(&self.ipv6),
        }
    }

    /// What is not ours.
    pub(crate) fn foreign(&self) -> Foreign {
        Foreign(
            [
                ("iptables-save", saved(&self.ipv4)),
                ("ip6tables-save", saved(&self.ipv6)),
                ("nft list ruleset", listed(&self.nft)),
            ]
            .into_iter()
            .flat_map(|(from, lines)| lines.into_iter().map(move |line| format!("{from}: {line}")))
            .collect(),
        )
    }
}

impl Foreign {
    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Lines of one that the other has not; empty when they are the same, letter by letter and in order.
    pub(crate) fn difference(&self, after: &Self) -> Vec<String> {
        if self == after {
            return Vec::new();
        }
        let lines = |foreign: &Self| foreign.0.iter().cloned().collect::<BTreeSet<_>>();
        let (before, after) = (lines(self), lines(after));
        let mut difference: Vec<_> = before
            .difference(&after)
            .map(|line| format!("- {line}"))
            .chain(after.difference(&before).map(|line| format!("+ {line}")))
            .collect();
        if difference.is_empty() {
            difference.push("the same lines in another order".to_owned());
        }
        difference
    }
}

fn is_ours(line: &str) -> bool {
    line.contains("IPL-") || line.contains("IPF-")
}

/// The lines of iptables-save without ours.
fn saved(save: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let mut table: Vec<String> = Vec::new();
    for line in save
        .lines()
        .filter(|line| !line.starts_with('#') && !is_ours(line))
    {
        let line = match line
            .strip_suffix(']')
            .and_then(|line| line.rsplit_once(" ["))
        {
            Some((chain, _)) if line.starts_with(':') => chain,
            _ => line,
        };
        table.push(line.to_owned());
        if line == "COMMIT" {
            let nothing = |line: &String| {
                line.starts_with('*') || line == "COMMIT" || line.ends_with(" ACCEPT")
            };
            if !table.iter().all(nothing) {
                kept.append(&mut table);
            }
            table.clear();
        }
    }
    kept
}

/// The lines of `nft list ruleset` without ours.
fn listed(ruleset: &str) -> Vec<String> {
    let mut kept = Vec::new();
    for table in blocks(ruleset.lines(), "") {
        if table[0] == "table inet ip_lockdown {" {
            continue;
        }
        let inside = &table[1..table.len() - 1];
        let mut lines = Vec::new();
        for block in blocks(inside.iter().copied(), "\t") {
            let ours = is_ours(block[0]);
            let block: Vec<_> = block.into_iter().filter(|line| !is_ours(line)).collect();
            let is_empty = block.len() == 3
                && block[1].trim_start().starts_with("type ")
                && block[1].ends_with("policy accept;");
            if !ours && !is_empty {
                lines.extend(block);
            }
        }
        if !lines.is_empty() {
            kept.push(table[0].to_owned());
            kept.extend(lines.into_iter().map(str::to_owned));
            kept.push("}".to_owned());
        }
    }
    kept
}

/// Cuts lines into blocks that begin at this indentation and end with its closing brace.
fn blocks<'a>(lines: impl Iterator<Item = &'a str>, indent: &str) -> Vec<Vec<&'a str>> {
    let end = format!("{indent}}}");
    let mut all = Vec::new();
    let mut block = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        block.push(line);
        if line == end || (block.len() == 1 && !line.ends_with('{')) {
            all.push(std::mem::take(&mut block));
        }
    }
    assert!(block.is_empty(), "a block of nft without an end: {block:?}");
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVE: &str = "\
# Generated by iptables-save
*security
:INPUT ACCEPT [1:2]
:OUTPUT ACCEPT [3:4]
:IPL-169.254.169.254 - [0:0]
-A OUTPUT -d 169.254.169.254/32 -j IPL-169.254.169.254
-A IPL-169.254.169.254 -j DROP
COMMIT
*filter
:FORWARD DROP [5:6]
:DOCKER-USER - [0:0]
:IPF-169.254.169.254 - [0:0]
-A FORWARD -d 169.254.169.254/32 -j IPF-169.254.169.254
-A FORWARD -j DOCKER-USER
COMMIT
";

    const LIST: &str = "\
table ip filter {
\tchain IPL-169.254.169.254 {
\t\tcounter drop
\t}

\tchain FORWARD {
\t\ttype filter hook forward priority filter; policy accept;
\t\tip daddr 169.254.169.254 counter jump IPF-169.254.169.254
\t}
}
table inet firewalld {
\tset names {
\t\ttype inet_service
\t}
\tchain raw_PREROUTING {
\t\ttype filter hook prerouting priority raw + 10; policy accept;
\t\tjump raw_PREROUTING_ZONES
\t}
}
table inet ip_lockdown {
\tchain output {
\t\ttype filter hook output priority filter + 10; policy accept;
\t}
}
";

    fn ruleset(save: &str, list: &str) -> Ruleset {
        Ruleset {
            ipv4: save.to_owned(),
            ipv6: save.to_owned(),
            nft: list.to_owned(),
        }
    }

    #[test]
    fn what_is_ours_and_what_is_nobodys_is_left_out() {
        assert_eq!(
            saved(SAVE),
            [
                "*filter",
                ":FORWARD DROP",
                ":DOCKER-USER -",
                "-A FORWARD -j DOCKER-USER",
                "COMMIT"
            ]
        );
        let kept = listed(LIST);
        assert_eq!(kept[0], "table inet firewalld {");
        assert_eq!(kept.len(), 9, "{kept:?}");
    }

    #[test]
    fn a_change_of_a_foreign_rule_is_told_and_one_of_ours_is_not() {
        let before = ruleset(SAVE, LIST).foreign();
        let ours = SAVE.replace(
            "-A OUTPUT -d 169.254.169.254/32 -j IPL-169.254.169.254\n",
            "",
        );
        assert_eq!(
            before.difference(&ruleset(&ours, LIST).foreign()),
            Vec::<String>::new()
        );
        let theirs = SAVE.replace("FORWARD DROP", "FORWARD ACCEPT");
        assert_eq!(
            before.difference(&ruleset(&theirs, LIST).foreign()).len(),
            4
        );
        let theirs = LIST.replace("\t\tjump raw_PREROUTING_ZONES\n", "");
        assert!(
            !before
                .difference(&ruleset(SAVE, &theirs).foreign())
                .is_empty()
        );
    }

    #[test]
    fn a_layer_is_there_with_its_jumps_or_its_table() {
        let all = ruleset(SAVE, LIST);
        assert!(all.has("security") && all.has("nftables"));
        assert!(!all.has("filter"), "no jump of ours in OUTPUT there");
        assert!(!ruleset("", "").has("nftables"));
    }
}
