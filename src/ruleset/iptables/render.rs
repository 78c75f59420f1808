//! Values -> iptables syntax. No other module writes it.
//!
//! Rules are written as `iptables-save` prints them (iptables 1.8), so that the text that is sent
//! equals the text that is read back, with one exception: a transaction contains ids as ranges
//! `FIRST:LAST`, see `sent_ids`.

use std::fmt::Write as _;

use super::tokens;
use super::{Edit, TableEdits};
use crate::policy::{AccountName, Family, UidRange};
use crate::probe::SOURCE_PORT;
use crate::ruleset::model::{Chain, ChainName, Rule, Ruleset, Spec, Table, Verdict, comment_of};

/// The input of one `iptables-restore --noflush`: one transaction for each table, in the given
/// order.
#[must_use]
pub fn transaction(family: Family, tables: &[TableEdits]) -> String {
    let mut text = String::new();
    for TableEdits { table, edits } in tables {
        line(&mut text, format_args!("*{table}"));
        // Declaring a user-defined chain creates or empties it.
        for edit in edits {
            if let Edit::Rebuild { chain, .. } = edit {
                line(&mut text, format_args!(":{chain} - [0:0]"));
            }
        }
        // Deletions come first: the kernel refuses an owner match in a chain that INPUT leads to,
        // and a deletion may remove that jump.
        for edit in edits {
            if let Edit::Delete { chain, spec: old } = edit {
                let chain = restorable(chain);
                let spec = match old {
                    Spec::Own(own) => sent(own, family),
                    Spec::Foreign(text) => restorable_rule(text),
                };
                line(&mut text, format_args!("-D {chain} {spec}"));
            }
        }
        for edit in edits {
            match edit {
                Edit::Delete { .. } | Edit::Remove { .. } => {}
                Edit::Rebuild { chain, rules } => {
                    let chain = chain.to_string();
                    for one in rules {
                        line(&mut text, format_args!("-A {chain} {}", sent(one, family)));
                    }
                }
                Edit::InsertFirst { chain, rule: new } => {
                    line(
                        &mut text,
                        format_args!("-I {chain} 1 {}", sent(new, family)),
                    );
                }
            }
        }
        // Flush all chains before deleting the first: they may lead to each other.
        for option in ["-F", "-X"] {
            for edit in edits {
                if let Edit::Remove { chain } = edit {
                    line(&mut text, format_args!("{option} {chain}"));
                }
            }
        }
        line(&mut text, format_args!("COMMIT"));
    }
    text
}

/// A whole ruleset as `iptables-save -c` prints it, without its comment lines.
#[must_use]
pub fn ruleset(ruleset: &Ruleset) -> String {
    let mut text = String::new();
    for Table { name, chains } in &ruleset.tables {
        line(&mut text, format_args!("*{name}"));
        for Chain {
            name,
            policy,
            counters,
            ..
        } in chains
        {
            let policy = policy.as_deref().unwrap_or("-");
            line(
                &mut text,
                format_args!(":{name} {policy} [{}:{}]", counters.packets, counters.bytes),
            );
        }
        for chain in chains {
            for one in &chain.rules {
                if let Some(counters) = one.counters {
                    let _ = write!(text, "[{}:{}] ", counters.packets, counters.bytes);
                }
                let spec = spec(&one.spec, ruleset.family);
                let gap = if spec.is_empty() { "" } else { " " };
                line(&mut text, format_args!("-A {}{gap}{spec}", chain.name));
            }
        }
        line(&mut text, format_args!("COMMIT"));
    }
    text
}

/// A rule as `iptables-save` printed it, quoted as `iptables-restore` reads it. `iptables-save`
/// does not quote names of chains and interfaces, but `iptables-restore` always interprets quotes.
fn restorable_rule(printed: &str) -> String {
    let mut is_id = false;
    let tokens: Vec<String> = tokens::tokens(printed)
        .iter()
        .map(|token| {
            let (first, last) = token.split_once('-').unwrap_or((token, token));
            let are_ids = is_id && [first, last].iter().all(|id| id.parse::<u32>().is_ok());
            is_id = matches!(token.as_str(), "--uid-owner" | "--gid-owner");
            if are_ids {
                sent_ids(first, last)
            } else {
                restorable(token)
            }
        })
        .collect();
    tokens.join(" ")
}

/// `iptables-restore` ends a line at each line break, also within quotes. With a blank in its place,
/// no rule is found to delete, and the transaction fails as a whole; the rest of the token never
/// becomes a command.
fn restorable(token: &str) -> String {
    if !token.is_empty() && !token.contains(['"', ' ', '\t', '\n']) {
        return token.to_owned();
    }
    let escaped = token.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('\n', " "))
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(line);
    text.push('\n');
}

/// The text of an observed rule after `-A CHAIN`.
#[must_use]
pub fn spec(spec: &Spec, family: Family) -> String {
    match spec {
        Spec::Own(own) => rule(own, family),
        Spec::Foreign(text) => text.clone(),
    }
}

/// The text of one of our rules after `-A CHAIN`, as `iptables-save` prints it.
#[must_use]
pub fn rule(rule: &Rule, family: Family) -> String {
    written(rule, family, |first, last| {
        if first == last {
            first.to_owned()
        } else {
            format!("{first}-{last}")
        }
    })
}

/// The text of one of our rules after `-A CHAIN`, for `iptables-restore`.
fn sent(rule: &Rule, family: Family) -> String {
    written(rule, family, sent_ids)
}

/// The value of `--uid-owner` and `--gid-owner` for `iptables-restore`, which looks it up as a name
/// first and reads it as a number only if no account has this name. Names can consist of digits and
/// `-`, but contain no colon (passwd(5)), and xt_owner has always accepted a colon in ranges.
fn sent_ids(first: &str, last: &str) -> String {
    format!("{first}:{last}")
}

fn written(rule: &Rule, family: Family, ids: fn(&str, &str) -> String) -> String {
    let uids = |range: &UidRange| ids(&range.first().to_string(), &range.last().to_string());
    match rule {
        Rule::Jump(chain) => jump(*chain),
        Rule::AllowUids { uids: range, names } => {
            format!(
                "-m owner --uid-owner {}{} -j RETURN",
                uids(range),
                names_comment(names)
            )
        }
        Rule::Goto { uids: range, chain } => {
            format!("-m owner --uid-owner {} -g {chain}", uids(range))
        }
        Rule::AllowGroup { gid, names } => format!(
            "-m owner --gid-owner {} --suppl-groups{} -j RETURN",
            ids(&gid.to_string(), &gid.to_string()),
            names_comment(names)
        ),
        Rule::CountProbes(transport) => {
            let name = transport.name();
            format!("-p {name} -m {name} --sport {SOURCE_PORT}")
        }
        // Only layer nftables uses these two. iptables can match "no socket" directly.
        Rule::RefuseOwnedTcp => {
            "-p tcp -m owner --socket-exists -j REJECT --reject-with tcp-reset".to_owned()
        }
        Rule::RefuseOwned => "-m owner --socket-exists -j REJECT".to_owned(),
        Rule::AllowClosing => "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN \
                              -m owner ! --socket-exists -j RETURN"
            .to_owned(),
        Rule::RefuseTcp => "-p tcp -j REJECT --reject-with tcp-reset".to_owned(),
        Rule::Refuse { verdict, marker } => {
            let comment = marker.map_or_else(String::new, |marker| {
                format!("-m comment --comment \"{marker}\" ")
            });
            let target = match (verdict, family) {
                (Verdict::Drop, _) => "DROP",
                (Verdict::Reject, Family::V4) => "REJECT --reject-with icmp-port-unreachable",
                (Verdict::Reject, Family::V6) => "REJECT --reject-with icmp6-port-unreachable",
            };
            format!("{comment}-j {target}")
        }
    }
}

fn jump(chain: ChainName) -> String {
    let bits = match chain.address.family() {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    format!("-d {}/{bits} -j {chain}", chain.address)
}

fn names_comment(names: &[AccountName]) -> String {
    match names {
        [] => String::new(),
        names => format!(" -m comment --comment \"{}\"", comment_of(names)),
    }
}
