//! The layer `nftables` in the kernel, and other tools' tables that rewrite addresses.

use std::io;

use super::error::FirewallError;
use super::netlink::{self, Refusal, State};
use crate::policy::Address;
use crate::ruleset::nftables::nat::{self, NatTable};
use crate::ruleset::nftables::object::NativeChain;
use crate::ruleset::nftables::{Operation, OwnTable, decode, encode, render};

/// How often a table is read again while others change what is in nf_tables.
const TRIES: usize = 10;

/// Our table, if there is one.
///
/// # Errors
/// The kernel could not be asked, or its answer is not understood.
pub(super) fn own_table(state: &State) -> io::Result<Option<OwnTable>> {
    let mut newer = None;
    for _ in 0..TRIES {
        let state = newer.as_ref().unwrap_or(state);
        let Some(table) = state.ours() else {
            return Ok(None);
        };
        if let Some(rules) = netlink::own_rules(state)? {
            let own = decode::own_table(table, &state.chains, rules);
            return own.map(Some).ok_or_else(netlink::unclear);
        }
        newer = Some(netlink::state()?.unwrap_or_default());
    }
    Err(netlink::always_changed())
}

/// The tables with chains that rewrite addresses, without those chains that are `shown` elsewhere,
/// and of them what packets to the addresses can reach. A table that vanishes meanwhile is not among
/// them.
///
/// # Errors
/// The kernel could not be asked, or others changed its rules all the time.
pub(super) fn nat_tables(
    state: &State,
    shown: impl Fn(&NativeChain) -> bool,
    addresses: &[Address],
) -> io::Result<Vec<NatTable>> {
    let mut newer = None;
    for _ in 0..TRIES {
        let state = newer.as_ref().unwrap_or(state);
        let tables = nat::tables(&state.chains, &shown);
        if let Some(read) = netlink::read_nat(state, tables, addresses)? {
            return Ok(read);
        }
        newer = Some(netlink::state()?.unwrap_or_default());
    }
    Err(netlink::always_changed())
}

/// Runs a transaction.
///
/// # Errors
/// The kernel refused it, or could not be asked; then nothing is changed. (Of an answer that is
/// lost or not understood, only the next look says what came of it.)
pub(super) fn run(operations: &[Operation]) -> Result<(), FirewallError> {
    let answer = netlink::transact(&encode::transaction(operations));
    let answer = answer.map_err(|source| FirewallError::Refused {
        what: "a transaction".to_owned(),
        source,
    })?;
    answer.map_err(|Refusal { message, errno }| {
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
