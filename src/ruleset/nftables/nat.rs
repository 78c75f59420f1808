//! Tables of others in nftables that translate addresses, as `nft -j list table` shows them.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::Value;

use super::json::{self, Unclear};
use crate::policy::Family;

/// A table of nftables that translates addresses and that iptables does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatTable {
    /// The IP families whose packets it meets.
    pub families: &'static [Family],
    /// Its name.
    pub name: String,
    /// Its chains that packets meet before `filter`.
    pub chains: Vec<NatChain>,
    /// Its rules, or why they could not be read.
    pub listing: Result<Listing, String>,
}

/// A chain at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatChain {
    /// Its name.
    pub name: String,
    /// Whether it meets packets made on this host (else those from elsewhere).
    pub local: bool,
}

/// The rules of a table, by chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The rules of each chain, in order.
    pub chains: BTreeMap<String, Vec<NatRule>>,
    /// The elements of each set and map that stays as it is.
    pub sets: BTreeMap<String, Vec<Value>>,
}

/// A rule of someone else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatRule {
    /// Its statements, by name, in order.
    pub statements: Vec<(&'static str, Value)>,
}

/// Reads the listing of a table of someone else.
///
/// # Errors
/// It has a shape that is not known.
pub fn listing(printed: impl Read) -> Result<Listing, Unclear> {
    let mut listing = Listing::default();
    json::objects(printed, |kind, object| {
        let name = |key| json::named(&object, key);
        match kind {
            "chain" => {
                listing.chains.entry(name("name")?).or_default();
            }
            "set" | "map" => {
                let elements = match object.get("elem") {
                    None => Vec::new(),
                    Some(Value::Array(elements)) => elements.clone(),
                    Some(odd) => {
                        let problem = "nft prints elements that are not understood";
                        return Err(Unclear::new(problem, odd));
                    }
                };
                // Elements that packets add, or that time takes away, are not those of later.
                let changes = object.get("flags").is_some_and(|flags| {
                    let flags = flags.to_string();
                    flags.contains("dynamic") || flags.contains("timeout")
                });
                if !changes {
                    listing.sets.insert(name("name")?, elements);
                }
            }
            "rule" => {
                let statements = json::statements(&object)?
                    .into_iter()
                    .map(|(name, value)| (name, value.clone()))
                    .collect();
                let rule = NatRule { statements };
                let chain = listing.chains.entry(name("chain")?);
                chain.or_default().push(rule);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(listing)
}
