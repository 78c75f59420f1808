//! Whether another tool's rule could rewrite the address before packets reach our rules, or lead them
//! to a local socket (TPROXY).
//!
//! Conservative, as [`super::bypass`]: a match that is not understood may match. Only a rule that
//! certainly concerns other packets is ruled out.

use super::bypass;
use super::finding::{Check, Finding};
use crate::host::Host;
use crate::policy::{Address, Family, Forwarded};
use crate::ruleset::iptables::fit::{Packets, marks_set};
use crate::ruleset::model::{Ruleset, Spec, Variant};
use crate::ruleset::nftables::nat::{Answer, judge};
use crate::ruleset::nftables::object::Stage;
use crate::ruleset::{Lockdown, Observation};

const MAY: &str = "may rewrite the address before packets reach our rules";
const HELP: &str = "remove that rule, or protect the service that it leads to";

/// The finding on the rules of both iptables variants and of nftables.
pub(super) fn nat(
    lockdown: &Lockdown,
    seen: &Observation,
    host: &Host,
    address: Address,
) -> Finding {
    let check = Check::NatUntouched;
    let refuses_forwarded = lockdown.policy.forwarded == Forwarded::Refuse;
    let passed = Passed {
        received: refuses_forwarded,
        // Without forwarding, a received packet to the address is dropped, with or without our rules.
        translated: refuses_forwarded
            && (host.network.as_ref()).map_or(true, |network| network.forwards(address.family())),
    };
    let finding = match by_iptables(seen, address, passed) {
        Some(rule) => Finding::fail(check, rule).help(HELP),
        None => match by_nftables(seen, address, passed) {
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

/// Which received packets count, besides those that this host sends.
#[derive(Debug, Clone, Copy)]
struct Passed {
    /// Those that pass chains of other types than `nat`.
    received: bool,
    /// Those that pass chains of type `nat`.
    translated: bool,
}

fn unknown(reason: String) -> Finding {
    Finding::unknown(Check::NatUntouched, reason)
        .degraded()
        .help("check whether a NAT rule rewrites the address: `nft list ruleset`")
}

fn by_iptables(seen: &Observation, address: Address, passed: Passed) -> Option<String> {
    // Each variant has tables of its own, and a packet passes both.
    let mut rulesets = seen
        .rulesets()
        .map(|(_, ruleset)| ruleset)
        .filter(|ruleset| ruleset.family == address.family());
    rulesets.find_map(|ruleset| {
        let places = [
            ("nat", "OUTPUT", true),
            ("nat", "PREROUTING", passed.translated),
            ("mangle", "PREROUTING", passed.received),
        ];
        places.iter().find_map(|&(table, chain, counts)| {
            let mut packets = Packets::of_service(address);
            if table == "mangle" {
                packets.marks = marks_before_routing(seen, ruleset);
            }
            let table = ruleset.table(table).filter(|_| counts)?;
            let rule = bypass::rewrites(table, chain, packets)?;
            Some(format!("{} {chain} {MAY}: `{rule}`", table.name))
        })
    })
}

/// The bits of the packet mark that rules before routing may set. A packet that is received has no
/// mark. (Programs of tc and XDP may set one; they are not read.)
fn marks_before_routing(seen: &Observation, ruleset: &Ruleset) -> u32 {
    let native = match &seen.native {
        Ok(native) => native.nat.iter().any(|table| {
            let mut chains = table.chains.iter();
            chains.any(|chain| !chain.stage.local && !chain.stage.translates)
        }),
        Err(_) => true,
    };
    // Rules of the other variant may set marks too.
    if native || !seen.other.is_empty() {
        return u32::MAX;
    }
    let tables = ["raw", "mangle"].into_iter();
    let chains = tables
        .filter_map(|name| ruleset.table(name))
        .flat_map(|table| &table.chains);
    let marks = chains
        .flat_map(|chain| &chain.rules)
        .map(|rule| match &rule.spec {
            Spec::Foreign(spec) => marks_set(spec),
            Spec::Own(_) => 0,
        });
    marks.fold(0, |all, marks| all | marks)
}

/// Why tables of iptables were not read. Those of iptables-nft are then read from the kernel.
fn not_read(seen: &Observation, family: Family) -> Option<String> {
    let variant = seen.variant.unwrap_or(Variant::Nft);
    let own = seen.families.iter();
    let own = own.map(|(of, ruleset)| (variant, *of, ruleset));
    let other = seen.other.iter();
    let other = other.map(|(variant, of, ruleset)| (*variant, *of, ruleset));
    own.chain(other)
        .filter(|(variant, of, _)| *variant == Variant::Legacy && *of == family)
        .find_map(|(variant, family, ruleset)| match ruleset {
            Ok(ruleset) if ruleset.hidden.is_empty() => None,
            Ok(ruleset) => Some(format!(
                "iptables-{variant} cannot show the tables {} ({family})",
                ruleset.hidden.join(", ")
            )),
            Err(error) => Some(error.to_string()),
        })
}

fn by_nftables(
    seen: &Observation,
    address: Address,
    passed: Passed,
) -> Result<Option<String>, String> {
    let native = seen.native.as_ref().map_err(ToString::to_string)?;
    let tables = native
        .nat
        .iter()
        .filter(|table| table.families.contains(&address.family()));
    let mut unclear = None;
    for table in tables {
        let counts = |stage: Stage| match stage {
            Stage { local: true, .. } => true,
            Stage {
                translates: true, ..
            } => passed.translated,
            Stage { .. } => passed.received,
        };
        for chain in table.chains.iter().filter(|chain| counts(chain.stage)) {
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
