//! Long lists of uids, split into sub-chains, so that a packet passes few rules.
//!
//! ```text
//! IPL-<address>            IPL2b-<address>            IPL00-<address>
//! uids     0-40000 goto -> uids     0-1000 goto ---> uid 0 return
//! uids 50000-90000 goto    uids  1010-2000 goto      uid 7 return
//! ...                      ...                       ...
//! refuse                   refuse                    refuse
//! ```
//! A goto does not return: after a RETURN in a sub-chain, the kernel continues outside of all our
//! chains. Each sub-chain ends with a refusal. Only a packet with an owner takes a goto. Packets of
//! orphaned sockets stay in the first chain, and so do packets whose uid is in no sub-chain's
//! range.

use super::model::{ChainName, Part, Rule};
use crate::policy::{Address, UidRange};

/// How many rules a sub-chain has before its refusal. Each rule that does not match delays a packet
/// by nearly 0.1 us: a smaller width would shorten the delay, but need more chains, each with its
/// own refusal. The 16,384 subjects of the longest policy (`MAX_SUBJECTS`) need four levels, in which
/// a packet passes at most 56 rules (4 + 16 + 16 + 16 + 4).
const WIDTH: usize = 16;

/// The longest list of uids that is not split: as many rules as a packet passes in two levels.
const MAX_IN_ONE: usize = 2 * WIDTH;

/// How many sub-chains may list users. Together with those above them they are 1,092, and each
/// needs a number ([`Part`]). Longer lists get wider sub-chains: the longest has 32,767 rules (a
/// range and 16,383 names from inside it), and its sub-chains are twice as wide.
const MAX_LEAVES: usize = 1024;

/// A rule and the uids that it matches.
pub(super) type OfUids = (UidRange, Rule);

/// The sub-chains for `list`, each after those that it leads to, and the rules that replace the
/// list in the first chain of the address. A short list is returned unchanged, without sub-chains.
///
/// The list must be sorted by uid.
pub(super) fn split(
    address: Address,
    list: Vec<OfUids>,
    refusal: &[Rule],
) -> (Vec<(ChainName, Vec<Rule>)>, Vec<Rule>) {
    let mut chains = Vec::new();
    let mut parts = Part::all();
    let mut width = WIDTH.max(list.len().div_ceil(MAX_LEAVES));
    let mut most = MAX_IN_ONE;
    let mut level = list;
    while level.len() > most {
        let mut above = Vec::new();
        for (rules, part) in level.chunks(width).zip(parts.by_ref()) {
            let chain = ChainName::sub(address, part);
            above.extend(span(rules).map(|uids| (uids, Rule::Goto { uids, chain })));
            let rules = rules.iter().map(|(_, rule)| rule);
            chains.push((chain, rules.chain(refusal).cloned().collect()));
        }
        level = above;
        (width, most) = (WIDTH, WIDTH);
    }
    (chains, level.into_iter().map(|(_, rule)| rule).collect())
}

/// The range from the lowest uid of the first rule to the highest uid of the last rule.
fn span(rules: &[OfUids]) -> Option<UidRange> {
    let ((first, _), (last, _)) = (rules.first()?, rules.last()?);
    UidRange::new(first.first(), last.last())
}
