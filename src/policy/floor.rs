//! What is locked when names or the configuration cannot be used.

use super::{Forwarded, IMDS_V4, Policy, Request, Target};

/// The metadata service for root only: the policy when there is no usable configuration.
#[must_use]
pub fn metadata_for_root() -> Policy {
    let request = Request {
        target: Target::new(IMDS_V4, false),
        // "root" is a valid name. If it were not, nobody would be allowed.
        users: "root".parse().into_iter().collect(),
        groups: Vec::new(),
        forwarded: Forwarded::Refuse,
    };
    request.floor()
}

/// The policy without the addresses that `installed` policies lock; `None` when no address is left.
#[must_use]
pub fn not_locked(policy: Policy, installed: &[Policy]) -> Option<Policy> {
    let mut installed = installed.iter();
    installed.try_fold(policy, |left, installed| left.without(&installed.target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{IMDS_V6, Subjects, Uid};

    #[test]
    fn the_floor_allows_root_alone() {
        let floor = metadata_for_root();
        assert_eq!(floor.target.addresses(), [IMDS_V4, IMDS_V6]);
        assert!(
            floor
                .subjects
                .means(&Subjects::new([], [Uid::ROOT.into()], []))
        );
    }

    #[test]
    fn only_addresses_that_nothing_locks_are_left() {
        let only = |address| Policy {
            target: Target::new(address, true),
            ..metadata_for_root()
        };
        let left = not_locked(metadata_for_root(), &[only(IMDS_V4)]).unwrap();
        assert_eq!(left.target.addresses(), [IMDS_V6]);
        assert!(not_locked(metadata_for_root(), &[only(IMDS_V4), only(IMDS_V6)]).is_none());
        assert_eq!(
            not_locked(metadata_for_root(), &[]),
            Some(metadata_for_root())
        );
    }
}
