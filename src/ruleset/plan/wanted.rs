//! Policies -> what should be installed.

use super::{CannotLock, cut_off_halves, lockdown_for};
use crate::policy::{Policy, Target};
use crate::ruleset::{LayerChoice, Lockdown, Observation};

/// What should be installed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The requested lockdowns.
    pub lockdowns: Vec<Lockdown>,
    /// The other halves of IMDS pairs of which a requested lockdown has `--only`.
    pub halves: Vec<Lockdown>,
}

/// What the host does not permit, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// The lockdown of this target.
    Lockdown(Target, CannotLock),
    /// The halves.
    Halves(CannotLock),
}

impl Rejected {
    /// Why the host does not permit it.
    #[must_use]
    pub fn reason(self) -> CannotLock {
        match self {
            Self::Lockdown(_, reason) | Self::Halves(reason) => reason,
        }
    }
}

impl Wanted {
    /// The lockdowns of the policies that the host permits, with their halves, and what it rejects.
    #[must_use]
    pub fn new(
        policies: &[Policy],
        choice: LayerChoice,
        seen: &Observation,
    ) -> (Self, Vec<Rejected>) {
        let mut wanted = Self::default();
        let mut rejected = Vec::new();
        for policy in policies {
            match lockdown_for(policy, choice, seen) {
                Ok(lockdown) => wanted.lockdowns.push(lockdown),
                Err(reason) => rejected.push(Rejected::Lockdown(policy.target.clone(), reason)),
            }
        }
        let lockdowns = wanted.lockdowns.iter();
        let targets: Vec<_> = lockdowns.map(|lockdown| &lockdown.policy.target).collect();
        match cut_off_halves(&targets, choice, seen) {
            Ok(halves) => wanted.halves = halves,
            Err(reason) => rejected.push(Rejected::Halves(reason)),
        }
        (wanted, rejected)
    }

    /// Whether a lockdown of the policy is requested.
    #[must_use]
    pub fn covers(&self, policy: &Policy) -> bool {
        let mut lockdowns = self.lockdowns.iter();
        lockdowns.any(|lockdown| lockdown.policy == *policy)
    }

    /// The halves that remain when the target is removed.
    ///
    /// # Errors
    /// The host does not permit the layers for a half that has to move.
    pub fn halves_without(
        target: &Target,
        choice: LayerChoice,
        seen: &Observation,
    ) -> Result<Self, CannotLock> {
        Ok(Self {
            lockdowns: cut_off_halves(&[target], choice, seen)?,
            halves: Vec::new(),
        })
    }

    /// The requested lockdowns and the halves.
    #[must_use]
    pub fn all(&self) -> Vec<Lockdown> {
        [self.lockdowns.as_slice(), &self.halves].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Family;
    use crate::policy::floor::metadata_for_root;
    use crate::ruleset::Native;

    #[test]
    fn a_policy_that_the_host_rejects_does_not_hinder_the_others() {
        // A kernel without IPv6 and without iptables.
        let seen = Observation {
            variant: None,
            families: vec![(
                Family::V4,
                Ok(crate::ruleset::model::Ruleset::empty(Family::V4)),
            )],
            unusable: Vec::new(),
            other: Vec::new(),
            nf_tables: Ok(true),
            nftables: Ok(None),
            native: Ok(Native::default()),
        };
        let v6 = Policy {
            target: Target::new("2001:db8::1".parse().unwrap(), false),
            ..metadata_for_root()
        };
        let policies = [v6.clone(), metadata_for_root()];
        let (wanted, rejected) = Wanted::new(&policies, LayerChoice::Auto, &seen);
        assert_eq!(wanted.lockdowns.len(), 1);
        let why = CannotLock::NoFamily(Family::V6, v6.target.clone());
        assert_eq!(rejected, [Rejected::Lockdown(v6.target, why)]);
    }
}
