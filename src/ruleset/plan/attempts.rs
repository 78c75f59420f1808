//! Whether a change is tried again after refusals, and what is tried last.

use std::collections::HashMap;

use super::{Place, Plan, holds_any, install_alone};
use crate::ruleset::{Layer, Lockdown, Observation};

/// The attempts to install lockdowns. If another tool changes the rules between the observation and the
/// change, the transaction fails as a whole, and the change is planned again.
#[derive(Debug, Clone)]
pub struct Attempts {
    held: bool,
    refused: bool,
    /// How many times in a row each place refused.
    times: HashMap<Place, usize>,
}

impl Attempts {
    /// How often a change is planned.
    pub const MAX: usize = 4;

    /// No attempt was made yet.
    #[must_use]
    pub fn new(lockdowns: &[Lockdown], seen: &Observation) -> Self {
        Self {
            held: holds_any(lockdowns, seen),
            refused: false,
            times: HashMap::new(),
        }
    }

    /// Records the places that failed in an attempt, each with whether it refused the transaction.
    /// Returns whether another attempt may succeed: only a refused transaction may, after a new
    /// observation.
    pub fn record(&mut self, failed: &[(Place, bool)]) -> bool {
        self.refused = failed.iter().any(|(_, refused)| *refused);
        if !failed.iter().all(|(_, refused)| *refused) {
            return false;
        }
        self.times
            .retain(|known, _| failed.iter().any(|(place, _)| place == known));
        for (place, _) in failed {
            *self.times.entry(*place).or_default() += 1;
        }
        true
    }

    /// How many times in a row the place refused.
    #[must_use]
    pub fn times(&self, place: Place) -> usize {
        self.times.get(&place).copied().unwrap_or_default()
    }

    /// What to install after the last attempt was refused; `None` if nothing was refused, or if the
    /// addresses were locked before. One layer is better than none. If a lockdown was installed before,
    /// its list stays unchanged: two different lists refuse everybody who is not on both.
    #[must_use]
    pub fn last_resort(&self, lockdowns: &[Lockdown], seen: &Observation) -> Option<Plan> {
        (self.refused && !self.held).then(|| install_alone(lockdowns, Layer::Filter, seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Family;
    use crate::ruleset::Native;
    use crate::ruleset::model::Variant;

    const V4: Place = Place::Iptables(Variant::Nft, Family::V4);

    fn attempts() -> (Attempts, Observation) {
        let seen = Observation {
            variant: None,
            families: Vec::new(),
            unusable: Vec::new(),
            other: Vec::new(),
            nf_tables: Ok(true),
            nftables: Ok(None),
            native: Ok(Native::default()),
        };
        (Attempts::new(&[], &seen), seen)
    }

    #[test]
    fn only_refusals_in_a_row_count() {
        let (mut attempts, _) = attempts();
        assert!(attempts.record(&[(V4, true), (Place::Nftables, true)]));
        assert!(attempts.record(&[(Place::Nftables, true)]));
        assert_eq!(attempts.times(V4), 0);
        assert_eq!(attempts.times(Place::Nftables), 2);
        assert!(attempts.record(&[(V4, true)]));
        assert_eq!(attempts.times(Place::Nftables), 0);
    }

    #[test]
    fn a_failure_that_is_no_refusal_ends_the_attempts() {
        let (mut attempts, _) = attempts();
        assert!(!attempts.record(&[(V4, false), (Place::Nftables, true)]));
    }

    #[test]
    fn one_layer_is_the_last_resort_only_after_a_refusal_and_where_nothing_was_locked() {
        let (mut attempts, seen) = attempts();
        assert_eq!(attempts.last_resort(&[], &seen), None);
        attempts.record(&[(V4, true)]);
        assert!(attempts.last_resort(&[], &seen).is_some());
        attempts.held = true;
        assert_eq!(attempts.last_resort(&[], &seen), None);
        attempts.held = false;
        attempts.record(&[]);
        assert_eq!(attempts.last_resort(&[], &seen), None);
    }
}
