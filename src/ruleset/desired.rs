//! Policy -> the rules that put it in force.

use super::model::{ChainName, Hook, Rule, Verdict};
use super::{Layer, Layers, Stamp};
use crate::policy::{AccountName, Address, Family, Forwarded, Policy, Subjects, UidRange};

/// Room for names in a rule's comment, in bytes (255 in all, `XT_MAX_COMMENT_LEN`).
const MAX_COMMENT: usize = 250;

/// The same in nftables (128 bytes in all, `NFTNL_UDATA_COMMENT_MAXLEN` of its userspace).
const MAX_NFT_COMMENT: usize = 120;

/// The rules of one address in one layer: one chain a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedAddress {
    /// The address.
    pub address: Address,
    /// The rules of its chain below OUTPUT.
    pub output: Vec<Rule>,
    /// The rules of its chain below FORWARD; `None` where forwarded packets are left alone.
    pub forward: Option<Vec<Rule>>,
}

impl LockedAddress {
    /// The chain's name and rules at `hook`; no rules means that the chain must not be there.
    #[must_use]
    pub fn at(&self, hook: Hook) -> (ChainName, Option<&[Rule]>) {
        let name = ChainName {
            hook,
            address: self.address,
        };
        let rules = match hook {
            Hook::Output => Some(self.output.as_slice()),
            Hook::Forward => self.forward.as_deref(),
        };
        (name, rules)
    }
}

/// Why the policy cannot be laid down in the layer `nftables`, if it cannot.
#[must_use]
pub fn not_for_nftables(policy: &Policy) -> Option<&'static str> {
    let subjects = &policy.subjects;
    let mut names = subjects.named().values().flatten();
    if !subjects.groups().is_empty() {
        Some("nftables cannot match a process by its supplementary groups")
    } else if names.any(|name| name.as_str().len() >= MAX_NFT_COMMENT) {
        Some("the name of a user is too long for a comment of nftables")
    } else {
        None
    }
}

/// What `policy`, laid down in `layers`, wants in `layer` for the addresses of `family`.
#[must_use]
pub fn desired(
    policy: &Policy,
    layers: Layers,
    layer: Layer,
    family: Family,
) -> Vec<LockedAddress> {
    let stamp = Stamp::new(policy, layers);
    let refusal = |stamp| match layer {
        Layer::Filter | Layer::Nftables => vec![
            Rule::RefuseTcp,
            Rule::Refuse {
                verdict: Verdict::Reject,
                stamp,
            },
        ],
        Layer::Security => vec![Rule::Refuse {
            verdict: Verdict::Drop,
            stamp,
        }],
    };
    let max_comment = match layer {
        Layer::Filter | Layer::Security => MAX_COMMENT,
        Layer::Nftables => MAX_NFT_COMMENT,
    };
    let mut output = pass(&policy.subjects, max_comment);
    if layer == Layer::Nftables {
        output.extend([Rule::RefuseOwnedTcp, Rule::RefuseOwned]);
    }
    output.push(Rule::PassClosing);
    output.extend(refusal(Some(stamp)));
    let forward = (policy.forwarded == Forwarded::Refuse).then(|| refusal(None));
    policy
        .target
        .addresses()
        .iter()
        .filter(|address| address.family() == family)
        .map(|&address| LockedAddress {
            address,
            output: output.clone(),
            forward: forward.clone(),
        })
        .collect()
}

/// One rule a subject, adjacent uids together as far as their names fit in one comment.
fn pass(subjects: &Subjects, max_comment: usize) -> Vec<Rule> {
    let mut rules: Vec<(UidRange, Vec<AccountName>)> = Vec::new();
    let mut room = 0;
    for (&uid, names) in subjects.named() {
        let names: Vec<AccountName> = names.iter().cloned().collect();
        let width: usize = names.iter().map(|name| name.as_str().len() + 1).sum();
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
    let users = rules
        .into_iter()
        .map(|(uids, names)| Rule::PassUids { uids, names });
    let groups = subjects.groups().iter().flat_map(|(&gid, names)| {
        let sets: Vec<_> = match names.len() {
            0 => vec![Vec::new()],
            _ => names_that_fit(names.iter().cloned().collect(), max_comment).collect(),
        };
        sets.into_iter()
            .map(move |names| Rule::PassGroup { gid, names })
    });
    users.chain(groups).collect()
}

/// The names of one id, cut so that each part fits in a comment.
fn names_that_fit(
    names: Vec<AccountName>,
    max_comment: usize,
) -> impl Iterator<Item = Vec<AccountName>> {
    let mut sets: Vec<Vec<AccountName>> = Vec::new();
    let mut room = 0;
    for name in names {
        let width = name.as_str().len() + 1;
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

/// The subjects that the rules of an output chain let pass; the inverse of what [`desired`] does.
#[must_use]
pub fn subjects_of<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Subjects {
    let (mut named, mut unnamed, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for rule in rules {
        match rule {
            Rule::PassUids { uids, names } if names.is_empty() => unnamed.push(*uids),
            Rule::PassUids { uids, names } if uids.count() == 1 => {
                named.extend(names.iter().map(|name| (uids.first(), name.clone())));
            }
            Rule::PassUids { uids, names } => named.extend(
                (uids.first().get()..=uids.last().get())
                    .filter_map(crate::policy::Uid::new)
                    .zip(names.iter().cloned()),
            ),
            Rule::PassGroup { gid, names } if names.is_empty() => groups.push((*gid, None)),
            Rule::PassGroup { gid, names } => {
                groups.extend(names.iter().map(|name| (*gid, Some(name.clone()))));
            }
            _ => {}
        }
    }
    Subjects::new(named, unnamed, groups)
}
