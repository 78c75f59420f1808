//! Could a rule of someone else rewrite the address before our rules see it?
//!
//! As in [`super::bypass`]: what is not understood may match, and only what certainly concerns
//! other packets is ruled out.

use super::bypass;
use super::finding::{Check, Finding};
use super::{Lock, Observation};
use crate::policy::{Address, Family, Forwarded};
use crate::ruleset::nftables::nat::{Answer, judge};

/// Whether anything that could be read rewrites the address, or could not be read.
pub(super) fn nat(lock: &Lock, seen: &Observation, address: Address) -> Finding {
    let check = Check::NatUntouched;
    let forwarded_too = lock.policy.forwarded == Forwarded::Refuse;
    let finding = match by_iptables(seen, address, forwarded_too) {
        Some(rule) => Finding::fail(check, format!("nat {rule}"))
            .cure("remove that rule, or guard the service that it leads to by itself"),
        None => match by_nftables(seen, address, forwarded_too) {
            Ok(None) => match not_read(seen, address.family()) {
                None => Finding::pass(check, "nat leaves it as it is"),
                Some(reason) => unknown(reason),
            },
            Ok(Some(rule)) => Finding::fail(check, rule)
                .cure("remove that rule, or guard the service that it leads to by itself"),
            Err(reason) => unknown(reason),
        },
    };
    finding.about(address)
}

fn unknown(reason: String) -> Finding {
    Finding::unknown(Check::NatUntouched, reason)
        .degraded()
        .cure("check whether these rules rewrite the address: `nft list ruleset`")
}

fn by_iptables(seen: &Observation, address: Address, forwarded_too: bool) -> Option<String> {
    let mut chains = vec!["OUTPUT"];
    chains.extend(forwarded_too.then_some("PREROUTING"));
    // Both variants have a nat of their own, and a packet meets both.
    seen.read()
        .chain(seen.read_of_other().map(|(_, ruleset)| ruleset))
        .filter(|ruleset| ruleset.family == address.family())
        .filter_map(|ruleset| ruleset.table("nat"))
        .find_map(|nat| {
            chains.iter().find_map(|chain| {
                let rule = bypass::rewrites(nat, chain, address)?;
                Some(format!("{chain} {MAY}: `{rule}`"))
            })
        })
}

const MAY: &str = "may send its packets elsewhere before our rules see them";

/// What iptables cannot read.
fn not_read(seen: &Observation, family: Family) -> Option<String> {
    let own = seen.families.iter().map(|(of, ruleset)| (*of, ruleset));
    let other = seen.other.iter().map(|(_, of, ruleset)| (*of, ruleset));
    own.chain(other)
        .filter(|(of, _)| *of == family)
        .find_map(|(_, ruleset)| match ruleset {
            Ok(ruleset) if ruleset.hidden.iter().any(|table| table == "nat") => {
                Some("iptables cannot show the table nat, since `nft` has put rules into it".into())
            }
            Ok(_) => None,
            Err(reason) => Some(reason.clone()),
        })
}

fn by_nftables(
    seen: &Observation,
    address: Address,
    forwarded_too: bool,
) -> Result<Option<String>, String> {
    let native = seen
        .native
        .as_ref()
        .map_err(|reason| format!("cannot ask for the chains of nftables: {reason}"))?;
    let tables = native
        .nat
        .iter()
        .filter(|table| table.families.contains(&address.family()));
    let mut unclear = None;
    for table in tables {
        for chain in table
            .chains
            .iter()
            .filter(|chain| chain.local || forwarded_too)
        {
            let name = format!("{} {}", table.name, chain.name);
            let answer = match &table.contents {
                Ok(contents) => judge(contents, &chain.name, address),
                Err(reason) => Answer::Unknown(reason.clone()),
            };
            match answer {
                Answer::Untouched => {}
                Answer::Rewritten(rule) => {
                    return Ok(Some(format!("{name} of nftables {MAY}: `{rule}`")));
                }
                Answer::Unknown(reason) => {
                    unclear = Some(format!(
                        "whether the chain {name} of nftables rewrites it is not known: {reason}"
                    ));
                }
            }
        }
    }
    unclear.map_or(Ok(None), Err)
}
