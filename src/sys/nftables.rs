//! Reads and changes our nftables table, and reads other tools' tables that rewrite addresses.

use std::io;

use super::error::FirewallError;
use super::netlink::{self, Refusal, State};
use crate::policy::{Address, Family};
use crate::ruleset::model::ChainName;
use crate::ruleset::nftables::nat::{self, NatTable};
use crate::ruleset::nftables::object::NativeChain;
use crate::ruleset::nftables::{Operation, OwnTable, decode, encode, render};

/// How often tables are read again if other tools change nf_tables meanwhile.
const TRIES: usize = 10;

/// Our table; `None` if it does not exist.
///
/// # Errors
/// The kernel could not be read, returned something unknown, or other tools kept changing nf_tables.
pub(super) fn own_table(state: &State) -> io::Result<Option<OwnTable>> {
    let mut newer = None;
    for _ in 0..TRIES {
        let state = newer.as_ref().unwrap_or(state);
        let Some(table) = state.ours() else {
            return Ok(None);
        };
        if let Some(rules) = netlink::own_rules(state)? {
            let own = decode::own_table(table, &state.chains, rules);
            return own.map(Some).ok_or_else(netlink::unknown_message);
        }
        newer = Some(netlink::state()?.unwrap_or_default());
    }
    Err(netlink::always_changed())
}

/// The tables with chains that rewrite addresses, except the chains for which `skip` returns true. They
/// contain what packets to the addresses can reach. A table that is removed meanwhile is left out.
///
/// # Errors
/// The kernel could not be read, returned something unknown, or other tools kept changing nf_tables.
pub(super) fn nat_tables(
    state: &State,
    skip: impl Fn(&NativeChain) -> bool,
    addresses: &[Address],
) -> io::Result<Vec<NatTable>> {
    let mut newer = None;
    for _ in 0..TRIES {
        let state = newer.as_ref().unwrap_or(state);
        let tables = nat::tables(&state.chains, &skip);
        if let Some(read) = netlink::read_nat(state, tables, addresses)? {
            return Ok(read);
        }
        newer = Some(netlink::state()?.unwrap_or_default());
    }
    Err(netlink::always_changed())
}

/// Removes chains by name from a table of iptables-nft, with every rule that leads to them.
///
/// # Errors
/// The table could not be read, or the kernel refused the transaction, and nothing is changed; or its
/// reply is lost or unknown.
pub(super) fn remove_named(
    family: Family,
    table: &str,
    chains: &[ChainName],
) -> Result<(), FirewallError> {
    let names: Vec<String> = chains.iter().map(ToString::to_string).collect();
    let leads = netlink::leads(family, table).map_err(FirewallError::Unanswered)?;
    let leads: Vec<(String, u64)> = leads
        .into_iter()
        .filter(|rule| !names.contains(&rule.chain) && rule.to.iter().any(|to| names.contains(to)))
        .map(|rule| (rule.chain, rule.handle))
        .collect();
    let reply = netlink::transact(&encode::removal(family, table, &leads, chains));
    let reply = reply.map_err(FirewallError::Unanswered)?;
    reply.map_err(|Refusal { errno, .. }| FirewallError::Refused {
        what: format!("the removal of {} from table {table}", names.join(" and ")),
        source: errno.into(),
    })
}

/// Runs a transaction.
///
/// # Errors
/// The kernel refused the transaction, and nothing is changed; or its reply is lost or unknown, and only
/// reading the rules again shows whether the transaction was made.
pub(super) fn run(operations: &[Operation]) -> Result<(), FirewallError> {
    let reply = netlink::transact(&encode::transaction(operations));
    let reply = reply.map_err(FirewallError::Unanswered)?;
    reply.map_err(|Refusal { message, errno }| {
        let text = render::transaction(operations);
        let line = usize::try_from(message)
            .ok()
            .and_then(|message| message.checked_sub(1));
        let line = line.and_then(|line| text.lines().nth(line));
        FirewallError::Refused {
            what: line.map_or_else(|| "a transaction".to_owned(), |line| format!("`{line}`")),
            source: errno.into(),
        }
    })
}
