//! The output of `iptables-save`.

use ip_lockdown::policy::Family;
use ip_lockdown::ruleset::iptables::{parse, render};
use ip_lockdown::ruleset::model::{Ruleset, Variant};
use ip_lockdown::ruleset::{Native, Observation};

use crate::{assert_printable, judged, text};

/// Reads the text as the output of `iptables-save`. What is read is written and read again
/// unchanged, and judged as the rules of both families.
pub fn iptables_save(bytes: &[u8]) {
    let text = text(bytes);
    let read = match parse::ruleset(Family::V4, &text) {
        Ok(read) => read,
        Err(error) => {
            assert_printable(&error.to_string());
            return;
        }
    };
    let written = render::ruleset(&read);
    let again = parse::ruleset(Family::V4, &written);
    let tables = again.as_ref().map(|again| &again.tables);
    assert_eq!(tables, Ok(&read.tables), "{written:?}");
    let families = Family::ALL.map(|family| {
        let read = read.clone();
        (family, Ok(Ruleset { family, ..read }))
    });
    judged::observation(&Observation {
        variant: Some(Variant::Nft),
        families: families.into(),
        unusable: Vec::new(),
        other: Vec::new(),
        nf_tables: Ok(true),
        nftables: Ok(None),
        native: Ok(Native::default()),
    });
}
