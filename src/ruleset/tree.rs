//! Long lists, split over sub-chains: a packet meets few of their rules.
//!
//! ```text
//! IPL-<address>            IPL2b-<address>            IPL00-<address>
//! uids     0-40000 goto -> uids     0-1000 goto ---> uid 0 return
//! uids 50000-90000 goto    uids  1010-2000 goto      uid 7 return
//! ...                      ...                       ...
//! refuse                   refuse                    refuse
//! ```
//! A goto leaves nothing behind to come back to: a RETURN in a sub-chain leads out of all of them,
//! and at the end of each stands a refusal. Only a packet with an owner takes a goto, so closing
//! packets stay in the first chain, and so does everyone whose uid is in no sub-chain's range.

use super::model::{ChainName, Part, Rule};
use crate::policy::{Address, UidRange};

/// How many rules a sub-chain has before its refusal. A rule that does not match costs a packet
/// nearly 0.1 us: fewer would cost a packet less, but make more chains, each with rules of its own.
/// The 16,384 subjects of a policy (`MAX_SUBJECTS`) make four levels, where a packet meets 56 rules at
/// most (4 + 16 + 16 + 16 + 4).
const WIDTH: usize = 16;

/// The longest list of uids that is not split: as many rules as a packet meets in two levels.
const MAX_IN_ONE: usize = 2 * WIDTH;

/// How many sub-chains list users. These and those above them, 1,092 in all, have to have numbers
/// ([`Part`]). For a list that needs more they get wider; the longest has 32,767 rules, for a range
/// and 16,383 names out of its middle, and theirs are twice as wide.
const MAX_LEAVES: usize = 1024;

/// A rule for these uids.
pub(super) type OfUids = (UidRange, Rule);

/// The sub-chains for `list`, each behind those that it leads to, and what the first chain of the
/// address has instead of the list. A list that is not long stays as it is.
///
/// The list is in the order of its uids.
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

/// From the first rule's lowest uid to the last one's highest.
fn span(rules: &[OfUids]) -> Option<UidRange> {
    let ((first, _), (last, _)) = (rules.first()?, rules.last()?);
    UidRange::new(first.first(), last.last())
}
