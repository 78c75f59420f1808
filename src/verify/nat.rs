//! Whether another tool's NAT rule could rewrite the address before packets reach our rules.
//!
//! Conservative, as [`super::bypass`]: a match that is not understood may match. Only a rule that
//! certainly concerns other packets is ruled out.

use super::bypass;
use super::finding::{Check, Finding};
use crate::policy::{Address, Family, Forwarded};
use crate::ruleset::nftables::nat::{Answer, judge};
use crate::ruleset::{Lockdown, Observation};

const MAY: &str = "may rewrite the address before packets reach our rules";
const HELP: &str = "remove that rule, or protect the service that it leads to";

/// The finding on the NAT rules of both iptables variants and of nftables.
pub(super) fn nat(lockdown: &Lockdown, seen: &Observation, address: Address) -> Finding {
    let check = Check::NatUntouched;
    let forwarded_too = lockdown.policy.forwarded == Forwarded::Refuse;
    let finding = match by_iptables(seen, address, forwarded_too) {
        Some(rule) => Finding::fail(check, format!("nat {rule}")).help(HELP),
        None => match by_nftables(seen, address, forwarded_too) {
            Ok(None) => match not_read(seen, address.family()) {
                None => Finding::pass(check, "no NAT rule rewrites the address"),
                Some(reason) => unknown(reason),
            },
            Ok(Some(rule)) => Finding::fail(check, rule).help(HELP),
            Err(reason) => unknown(reason),
        },
    };
    finding.about(address)
}

fn unknown(reason: String) -> Finding {
    Finding::unknown(Check::NatUntouched, reason)
        .degraded()
        .help("check whether a NAT rule rewrites the address: `nft list ruleset`")
}

fn by_iptables(seen: &Observation, address: Address, forwarded_too: bool) -> Option<String> {
    let mut chains = vec!["OUTPUT"];
    chains.extend(forwarded_too.then_some("PREROUTING"));
    // Each variant has a table nat of its own, and a packet passes both.
    seen.rulesets()
        .filter(|(_, ruleset)| ruleset.family == address.family())
        .filter_map(|(_, ruleset)| ruleset.table("nat"))
        .find_map(|nat| {
            chains.iter().find_map(|chain| {
                let rule = bypass::rewrites(nat, chain, address)?;
                Some(format!("{chain} {MAY}: `{rule}`"))
            })
        })
}

/// Why a table `nat` of iptables was not read.
fn not_read(seen: &Observation, family: Family) -> Option<String> {
    let own = seen.families.iter().map(|(of, ruleset)| (*of, ruleset));
    let other = seen.other.iter().map(|(_, of, ruleset)| (*of, ruleset));
    own.chain(other)
        .filter(|(of, _)| *of == family)
        .find_map(|(_, ruleset)| match ruleset {
            Ok(ruleset) if ruleset.hidden.iter().any(|table| table == "nat") => {
                Some("iptables cannot show the table nat, which `nft` has changed".to_owned())
            }
            Ok(_) => None,
            Err(reason) => Some(reason.to_string()),
        })
}

fn by_nftables(
    seen: &Observation,
    address: Address,
    forwarded_too: bool,
) -> Result<Option<String>, String> {
    let native = seen.native.as_ref().map_err(ToString::to_string)?;
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
            let name = format!("nftables chain {} {}", table.name, chain.name);
            let answer = match &table.contents {
                Ok(contents) => judge(contents, &chain.name, address),
                Err(reason) => Answer::Unknown(reason.to_string()),
            };
            match answer {
                Answer::Untouched => {}
                Answer::Rewritten(rule) => return Ok(Some(format!("{name} {MAY}: `{rule}`"))),
                Answer::Unknown(reason) => {
                    unclear = Some(format!(
                        "it is not known whether {name} rewrites the address: {reason}"
                    ));
                }
            }
        }
    }
    unclear.map_or(Ok(None), Err)
}
