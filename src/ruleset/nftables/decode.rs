//! Netlink dumps of our table -> values.
//!
//! A rule is ours only if its expressions are exactly those that [`super::encode`] sends.

use std::collections::HashMap;

use super::encode::{expressions, number_of};
use super::expression::{Answer, Comparison, Expression, Meta};
use super::object::{Base, Comment, NativeChain, NativeRule, NativeTable};
use super::{OwnTable, PRIORITY, TABLE, read_name};
use crate::policy::{Family, Uid, UidRange};
use crate::probe::Transport;
use crate::ruleset::model::{
    Chain, ChainName, Counters, Hook, ObservedRule, Rule, Spec, Table, Verdict, names_of,
};

/// Whether these are the families and the name of our table.
#[must_use]
pub fn is_ours(families: &[Family], table: &str) -> bool {
    table == TABLE && families == Family::ALL
}

/// Our table with its chains and rules, in the kernel's order. Chains of other tables are ignored.
/// `None` if the chain of a rule is not among the chains.
#[must_use]
pub fn own_table<'a>(
    table: &NativeTable,
    chains: impl IntoIterator<Item = &'a NativeChain>,
    rules: impl IntoIterator<Item = (String, ObservedRule)>,
) -> Option<OwnTable> {
    let mut read: Vec<Chain> = Vec::new();
    // The index of each chain in that list, by name.
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut foreign = false;
    for chain in chains {
        if !is_ours(chain.families, &chain.table) {
            continue;
        }
        let own = read_name(&chain.name);
        let hook = Hook::ALL
            .into_iter()
            .find(|hook| hook.chain() == chain.name);
        foreign |= own.is_none() && hook.is_none();
        let is_our_base = hook.is_some_and(|hook| chain.base == Some(base(hook)));
        let hooked = own.is_some() && chain.base.is_some();
        places.insert(&chain.name, read.len());
        read.push(Chain {
            name: model_name(own, &chain.name),
            policy: (is_our_base || hooked).then(|| "ACCEPT".to_owned()),
            counters: Counters::default(),
            rules: Vec::new(),
        });
    }
    foreign |= usize::try_from(table.objects) != Ok(read.len());
    for (chain, rule) in rules {
        read.get_mut(*places.get(&*chain)?)?.rules.push(rule);
    }
    Some(OwnTable {
        table: Table {
            name: TABLE.to_owned(),
            chains: read,
        },
        foreign,
        dormant: table.dormant,
        owned: table.owned,
    })
}

/// The name of a chain in the model. A foreign chain whose name would be one of ours there gets a
/// leading blank.
fn model_name(own: Option<ChainName>, name: &str) -> String {
    match own {
        Some(own) => own.to_string(),
        None if name.parse::<ChainName>().is_ok() => format!(" {name}"),
        None => name.to_owned(),
    }
}

/// The attachment of our base chain to the hook.
fn base(hook: Hook) -> Base {
    Base {
        kind: "filter".to_owned(),
        hook: number_of(hook),
        priority: PRIORITY,
        accepts: true,
    }
}

/// A rule of our table. Our jump is ours in any chain, the other forms only in our own chains.
#[must_use]
pub fn rule(rule: NativeRule) -> ObservedRule {
    let NativeRule {
        chain,
        mut expressions,
        comment,
        ..
    } = rule;
    let mut counters = None;
    for expression in &mut expressions {
        if let Expression::Counter(found) = expression {
            counters = Some(std::mem::take(found));
        }
    }
    let own = form(&expressions, &comment);
    let own = own.filter(|rule| matches!(rule, Rule::Jump(_)) || read_name(&chain).is_some());
    ObservedRule {
        counters,
        spec: own.map_or_else(|| Spec::Foreign(foreign_text(&expressions)), Spec::Own),
    }
}

/// Our rule with these expressions and this comment, if there is one.
fn form(seen: &[Expression], comment: &Comment) -> Option<Rule> {
    let rule = candidate(seen, comment)?;
    (expressions(&rule) == seen).then_some(rule)
}

/// The only one of our rules that could have these expressions and this comment.
fn candidate(seen: &[Expression], comment: &Comment) -> Option<Rule> {
    let (end, before) = seen.split_last()?;
    let owned = before.first() == Some(&Expression::Meta(Meta::Uid));
    let verdict = Verdict::Reject;
    Some(match (end, owned, comment) {
        (Expression::Jump(target), false, Comment::None) => {
            let chain = read_name(target).filter(|chain| chain.is_root())?;
            Rule::Jump(chain)
        }
        (Expression::Goto(target), true, Comment::None) => {
            let chain = read_name(target).filter(|chain| !chain.is_root())?;
            let uids = uids(before)?;
            Rule::Goto { uids, chain }
        }
        (Expression::Return, true, comment) => {
            let uids = uids(before)?;
            let names = match comment {
                Comment::None => Vec::new(),
                Comment::Text(comment) => names_of(comment)?,
                Comment::Other => return None,
            };
            let one_each = names.len() as u64 == uids.count();
            if !names.is_empty() && uids.count() != 1 && !one_each {
                return None;
            }
            Rule::AllowUids { uids, names }
        }
        (Expression::Return, false, Comment::None) => Rule::AllowClosing,
        (Expression::Counter(_), false, Comment::None) => {
            let mut forms = Transport::ALL.into_iter().map(Rule::CountProbes);
            forms.find(|form| expressions(form) == seen)?
        }
        (Expression::Reject(Answer::Reset), true, Comment::None) => Rule::RefuseOwnedTcp,
        (Expression::Reject(Answer::Reset), false, Comment::None) => Rule::RefuseTcp,
        (Expression::Reject(Answer::PortUnreachable), true, Comment::None) => Rule::RefuseOwned,
        (Expression::Reject(Answer::PortUnreachable), false, Comment::None) => Rule::Refuse {
            verdict,
            marker: None,
        },
        (Expression::Reject(Answer::PortUnreachable), false, Comment::Text(marker)) => {
            let marker = Some(marker.parse().ok()?);
            Rule::Refuse { verdict, marker }
        }
        _ => return None,
    })
}

/// The uids that the rule matches.
fn uids(seen: &[Expression]) -> Option<UidRange> {
    let uid = |bytes: &[u8], number: fn([u8; 4]) -> u32| Uid::new(number(bytes.try_into().ok()?));
    match seen {
        [_, Expression::Compare(Comparison::Equal, one), ..] => {
            uid(one.get(), u32::from_ne_bytes).map(UidRange::from)
        }
        [
            _,
            Expression::ToNetworkOrder,
            Expression::Compare(_, first),
            Expression::Compare(_, last),
            ..,
        ] => UidRange::new(
            uid(first.get(), u32::from_be_bytes)?,
            uid(last.get(), u32::from_be_bytes)?,
        ),
        _ => None,
    }
}

/// The text of a foreign rule: its expressions by name, as far as they are known.
fn foreign_text(expressions: &[Expression]) -> String {
    let names = expressions.iter().map(|expression| match expression {
        Expression::Meta(_) => "meta".to_owned(),
        Expression::Payload(..) => "payload".to_owned(),
        Expression::ToNetworkOrder => "byteorder".to_owned(),
        Expression::Mask(_) => "bitwise".to_owned(),
        Expression::Compare(..) => "cmp".to_owned(),
        Expression::Counter(_) => "counter".to_owned(),
        Expression::Drop => "drop".to_owned(),
        Expression::Return => "return".to_owned(),
        Expression::Jump(chain) => format!("jump {chain}"),
        Expression::Goto(chain) => format!("goto {chain}"),
        Expression::Reject(_) => "reject".to_owned(),
        Expression::Other(name) => name.clone(),
    });
    names.collect::<Vec<_>>().join(", ")
}
