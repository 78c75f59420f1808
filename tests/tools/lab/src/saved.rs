//! Listings of `iptables-save -c`, to be compared.

use crate::{Family, Lab};

/// The rules of both families of the lab's variant and of our table of nftables, without counters and comment
/// lines: the state.
#[track_caller]
pub fn state(lab: &Lab) -> String {
    of_iptables(lab) + &own_table(lab)
}

/// The part of it that iptables knows.
#[track_caller]
pub fn of_iptables(lab: &Lab) -> String {
    Family::ALL.map(|family| rules(&lab.save(family))).concat()
}

/// The listing without counters and comment lines.
pub fn rules(save: &str) -> String {
    lines(save).map(|(rule, _)| rule + "\n").collect()
}

/// Each line of the listing with its packet counter, `None` where it has none.
pub fn lines(save: &str) -> impl Iterator<Item = (String, Option<u64>)> {
    save.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (counters, rule) = match line.strip_prefix('[').and_then(|at| at.split_once("] ")) {
                // `[packets:bytes] -A ...`
                Some((counters, rule)) => (counters, rule),
                // `:CHAIN POLICY [packets:bytes]`
                None => match line.strip_suffix(']').and_then(|at| at.rsplit_once(" [")) {
                    Some((chain, counters)) if line.starts_with(':') => (counters, chain),
                    _ => return (line.to_owned(), None),
                },
            };
            let packets = counters.split(':').next().map(|packets| {
                packets
                    .parse()
                    .unwrap_or_else(|error| panic!("{line}: {error}"))
            });
            (rule.to_owned(), packets)
        })
}

/// Our table of nftables, without counters; nothing if there is none.
#[track_caller]
pub fn own_table(lab: &Lab) -> String {
    let list = "nft -s list table inet ip_lockdown 2>/dev/null || true";
    let listing = lab.sh(list).expect_code(0).stdout;
    // nft lists sets and chains in the order in which they were made.
    let inner = listing.trim_start_matches("table inet ip_lockdown {\n");
    let inner = inner.strip_suffix("}\n").unwrap_or(inner);
    let mut blocks: Vec<&str> = inner.split("\n\n").map(str::trim_end).collect();
    blocks.sort_unstable();
    blocks.join("\n\n")
}
