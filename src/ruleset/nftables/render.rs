//! Values -> nft syntax, for people to read. No other module writes it.
//!
//! nft shows this text for the messages that [`super::encode`] sends, and `nft -f` would send the
//! same messages for this text. nft 0.9 to 1.1 all support the syntax.

use std::fmt::Write as _;

use super::Operation;
use super::{PRIORITY, TABLE, written};
use crate::policy::Family;
use crate::probe::SOURCE_PORT;
use crate::ruleset::model::{ChainName, Hook, Rule, Verdict, comment_of};

/// A transaction as the input of `nft -f -`: one line for each message of
/// [`super::encode::transaction`]. Without operations, the empty string.
#[must_use]
pub fn transaction(operations: &[Operation]) -> String {
    let mut text = String::new();
    for operation in operations {
        self::operation(&mut text, operation);
    }
    text
}

fn operation(text: &mut String, operation: &Operation) {
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = text.write_fmt(line);
        text.push('\n');
    };
    match operation {
        Operation::AddTable => line(format_args!("add table inet {TABLE}")),
        Operation::DeleteTable => line(format_args!("delete table inet {TABLE}")),
        Operation::AddBase(hook) => {
            let (name, at) = (hook.chain(), hook_of(*hook));
            line(format_args!(
                "add chain inet {TABLE} {name} \
                 {{ type filter hook {at} priority {PRIORITY}; policy accept; }}"
            ));
        }
        Operation::FlushBase(hook) => {
            line(format_args!("flush chain inet {TABLE} {}", hook.chain()));
        }
        Operation::DeleteBase(hook) => {
            line(format_args!("delete chain inet {TABLE} {}", hook.chain()));
        }
        Operation::Jump(chain) => line(format_args!(
            "add rule inet {TABLE} {} {}",
            chain.hook.chain(),
            rule(&Rule::Jump(*chain))
        )),
        Operation::Flush(chain) => {
            line(format_args!("flush chain inet {TABLE} {}", written(*chain)));
        }
        Operation::Delete(chain) => {
            line(format_args!(
                "delete chain inet {TABLE} {}",
                written(*chain)
            ));
        }
        Operation::Fill(chain, rules) => {
            let name = written(*chain);
            line(format_args!("add chain inet {TABLE} {name}"));
            for one in rules {
                line(format_args!("add rule inet {TABLE} {name} {}", rule(one)));
            }
        }
    }
}

fn hook_of(hook: Hook) -> &'static str {
    match hook {
        Hook::Output => "output",
        Hook::Forward => "forward",
    }
}

/// The removal of chains, and of all rules that lead to them, from a table of iptables-nft. nft has
/// no syntax that deletes a rule by its target.
#[must_use]
pub fn removal(family: Family, table: &str, chains: &[ChainName]) -> String {
    let ip = match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    for chain in chains {
        let _ = writeln!(
            text,
            "# delete every rule of {ip} {table} that leads to {chain}"
        );
    }
    for chain in chains {
        let _ = writeln!(text, "flush chain {ip} {table} {chain}");
    }
    for chain in chains {
        let _ = writeln!(text, "delete chain {ip} {table} {chain}");
    }
    text
}

/// A rule as nft writes it, without the values of counters.
#[must_use]
pub fn rule(rule: &Rule) -> String {
    // The packets of orphaned sockets have no uid, so this does not match them.
    const OWNED: &str = "meta skuid 0-4294967295";
    const TCP_RESET: &str = "meta l4proto tcp counter reject with tcp reset";
    let mut text = match rule {
        Rule::Jump(target) => {
            let family = match target.address.family() {
                Family::V4 => "ip",
                Family::V6 => "ip6",
            };
            format!(
                "{family} daddr {} jump {}",
                target.address,
                written(*target)
            )
        }
        Rule::AllowUids { uids, .. } => format!("meta skuid {uids} counter return"),
        Rule::Goto { uids, chain } => format!("meta skuid {uids} goto {}", written(*chain)),
        // nftables cannot match supplementary groups, so no policy with a group gets this layer.
        // The primary group alone would allow fewer processes.
        Rule::AllowGroup { gid, .. } => format!("meta skgid {gid} counter return"),
        Rule::CountProbes(transport) => {
            format!("{} sport {SOURCE_PORT} {OWNED} counter", transport.name())
        }
        Rule::RefuseOwnedTcp => format!("{OWNED} {TCP_RESET}"),
        Rule::RefuseOwned => format!("{OWNED} {}", refuse(Verdict::Reject)),
        Rule::AllowClosing => "tcp flags & (fin|syn|rst|ack) != syn counter return".to_owned(),
        Rule::RefuseTcp => TCP_RESET.to_owned(),
        Rule::Refuse { verdict, .. } => refuse(*verdict).to_owned(),
    };
    if let Some(comment) = comment(rule) {
        // Writing to a String cannot fail.
        let _ = write!(text, " comment \"{comment}\"");
    }
    text
}

fn refuse(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reject => "counter reject with icmpx type port-unreachable",
        Verdict::Drop => "counter drop",
    }
}

/// The comment of the rule: the names by which the policy lists the uids or the gid, or the marker.
pub(super) fn comment(rule: &Rule) -> Option<String> {
    match rule {
        Rule::AllowUids { names, .. } | Rule::AllowGroup { names, .. } if !names.is_empty() => {
            Some(comment_of(names))
        }
        Rule::Refuse { marker, .. } => marker.map(|marker| marker.to_string()),
        _ => None,
    }
}
