//! Listings of `iptables-save -c`, to be compared.

use lab::{Family, Lab};

/// The rules of both families of the lab's variant, without counters and comment lines: the state.
#[track_caller]
pub(crate) fn state(lab: &Lab) -> String {
    Family::ALL.map(|family| rules(&lab.save(family))).concat()
}

/// The listing without counters and comment lines.
pub(crate) fn rules(save: &str) -> String {
    lines(save).map(|(rule, _)| rule + "\n").collect()
}

/// Each line of the listing with its packet counter, `None` where it has none.
pub(crate) fn lines(save: &str) -> impl Iterator<Item = (String, Option<u64>)> {
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
