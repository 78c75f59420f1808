//! Policy -> the rules that enforce it.

use super::model::{ChainName, Hook, Rule, Verdict};
use super::tree::{OfUids, split};
use super::{Layer, Layers, Marker};
use crate::policy::{AccountName, Address, Family, Forwarded, Policy, Subjects, UidRange};
use crate::probe::Transport;

/// The maximum length in bytes of the names in a comment of an iptables rule, which may have 255
/// (`XT_MAX_COMMENT_LEN`).
const MAX_COMMENT: usize = 250;

/// The maximum length in bytes of the names in a comment of an nftables rule, which may have 128
/// (`NFTNL_UDATA_COMMENT_MAXLEN` of libnftnl).
const MAX_NFT_COMMENT: usize = 120;

/// The chains and rules that one address needs in one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedAddress {
    /// The address.
    pub address: Address,
    /// Each chain comes after those that it leads to.
    chains: Vec<(ChainName, Vec<Rule>)>,
}

impl LockedAddress {
    /// The chains at `hook` with their rules. Each comes after those that it leads to, so the chain
    /// that the hook jumps to is the last. If there is none, no chain may exist at this hook.
    #[must_use]
    pub fn at(&self, hook: Hook) -> impl DoubleEndedIterator<Item = (ChainName, &[Rule])> {
        self.chains
            .iter()
            .filter(move |(name, _)| name.hook == hook)
            .map(|(name, rules)| (*name, rules.as_slice()))
    }
}

/// Why layer `nftables` cannot express the policy; `None` if it can.
#[must_use]
pub fn nftables_obstacle(policy: &Policy) -> Option<&'static str> {
    let subjects = &policy.subjects;
    let mut names = subjects.named().values().flatten();
    if !subjects.groups().is_empty() {
        Some("nftables cannot match supplementary groups")
    } else if names.any(|name| name.in_comment().len() >= MAX_NFT_COMMENT) {
        Some("a user name is too long for an nftables comment")
    } else {
        None
    }
}

/// What `layer` must contain for the addresses of `family`, if `policy` is installed in `layers`.
#[must_use]
pub fn desired(
    policy: &Policy,
    layers: Layers,
    layer: Layer,
    family: Family,
) -> Vec<LockedAddress> {
    let marker = Marker::new(policy, layers);
    let refusal = |marker| match layer {
        Layer::Filter | Layer::Nftables => vec![
            Rule::RefuseTcp,
            Rule::Refuse {
                verdict: Verdict::Reject,
                marker,
            },
        ],
        Layer::Security => vec![Rule::Refuse {
            verdict: Verdict::Drop,
            marker,
        }],
    };
    // These rules count packets that are refused, so no rule that allows packets may follow them.
    let count_probes = Transport::ALL.map(Rule::CountProbes);
    let max_comment = match layer {
        Layer::Filter | Layer::Security => MAX_COMMENT,
        Layer::Nftables => MAX_NFT_COMMENT,
    };
    let users = users(&policy.subjects, max_comment);
    let groups = groups(&policy.subjects, max_comment);
    let ending = match layer {
        // A packet of an orphaned socket has no owner, so the rules before `AllowClosing` do not
        // match.
        Layer::Nftables => [
            &count_probes[..],
            &[Rule::RefuseOwnedTcp, Rule::RefuseOwned, Rule::AllowClosing],
        ]
        .concat(),
        Layer::Filter | Layer::Security => [&[Rule::AllowClosing], &count_probes[..]].concat(),
    };
    let ending = [ending, refusal(Some(marker))].concat();
    let ending_of_sub_chains = [&count_probes[..], &refusal(None)].concat();
    let lock = |address| {
        let (mut chains, mut rules) = split(address, users.clone(), &ending_of_sub_chains);
        // A packet that takes a goto does not return to the group rules, so these come first.
        let at = if chains.is_empty() { rules.len() } else { 0 };
        rules.splice(at..at, groups.iter().cloned());
        rules.extend(ending.iter().cloned());
        chains.push((ChainName::root(Hook::Output, address), rules));
        if policy.forwarded == Forwarded::Refuse {
            chains.push((ChainName::root(Hook::Forward, address), refusal(None)));
        }
        LockedAddress { address, chains }
    };
    policy
        .target
        .addresses()
        .iter()
        .filter(|address| address.family() == family)
        .map(|&address| lock(address))
        .collect()
}

/// One rule for each uid. Adjacent uids share a rule as long as their names fit in one comment.
fn users(subjects: &Subjects, max_comment: usize) -> Vec<OfUids> {
    let mut rules: Vec<(UidRange, Vec<AccountName>)> = Vec::new();
    let mut room = 0;
    for (&uid, names) in subjects.named() {
        let names: Vec<AccountName> = names.iter().cloned().collect();
        let width: usize = names.iter().map(|name| name.in_comment().len() + 1).sum();
        // In a range each uid has one name, so that the n-th name belongs to the n-th uid.
        let single = names.len() == 1;
        match rules.last_mut() {
            Some((uids, known))
                if single
                    && room >= width
                    && uids.last().get() + 1 == uid.get()
                    && known.len() as u64 == uids.count() =>
            {
                room -= width;
                known.extend(names);
                *uids = UidRange::new(uids.first(), uid).unwrap_or(*uids);
            }
            _ => {
                room = max_comment.saturating_sub(width);
                rules.extend(names_that_fit(names, max_comment).map(|names| (uid.into(), names)));
            }
        }
    }
    rules.extend(subjects.unnamed().iter().map(|&uids| (uids, Vec::new())));
    rules.sort_by_key(|(uids, _)| *uids);
    rules
        .into_iter()
        .map(|(uids, names)| (uids, Rule::AllowUids { uids, names }))
        .collect()
}

/// One rule for each group, and further ones for names that do not fit in its comment.
fn groups(subjects: &Subjects, max_comment: usize) -> Vec<Rule> {
    let groups = subjects.groups().iter().flat_map(|(&gid, names)| {
        let sets: Vec<_> = match names.len() {
            0 => vec![Vec::new()],
            _ => names_that_fit(names.iter().cloned().collect(), max_comment).collect(),
        };
        sets.into_iter()
            .map(move |names| Rule::AllowGroup { gid, names })
    });
    groups.collect()
}

/// The names of one id, in sets that fit in a comment each.
fn names_that_fit(
    names: Vec<AccountName>,
    max_comment: usize,
) -> impl Iterator<Item = Vec<AccountName>> {
    let mut sets: Vec<Vec<AccountName>> = Vec::new();
    let mut room = 0;
    for name in names {
        let width = name.in_comment().len() + 1;
        match sets.last_mut() {
            Some(set) if room >= width => {
                room -= width;
                set.push(name);
            }
            _ => {
                room = max_comment.saturating_sub(width);
                sets.push(vec![name]);
            }
        }
    }
    sets.into_iter()
}

/// The subjects that the rules of the output chains allow: the inverse of [`desired`].
#[must_use]
pub fn subjects_of<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Subjects {
    let (mut named, mut unnamed, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for rule in rules {
        match rule {
            Rule::AllowUids { uids, names } if names.is_empty() => unnamed.push(*uids),
            Rule::AllowUids { uids, names } if uids.count() == 1 => {
                named.extend(names.iter().map(|name| (uids.first(), name.clone())));
            }
            Rule::AllowUids { uids, names } => named.extend(
                (uids.first().get()..=uids.last().get())
                    .filter_map(crate::policy::Uid::new)
                    .zip(names.iter().cloned()),
            ),
            Rule::AllowGroup { gid, names } if names.is_empty() => groups.push((*gid, None)),
            Rule::AllowGroup { gid, names } => {
                groups.extend(names.iter().map(|name| (*gid, Some(name.clone()))));
            }
            _ => {}
        }
    }
    Subjects::new(named, unnamed, groups)
}
