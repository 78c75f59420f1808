//! The policy that is installed at boot when the configuration cannot be used.

use super::{Forwarded, IMDS_V4, Policy, Request, Target};

/// The metadata service, allowed for root only.
#[must_use]
pub fn metadata_for_root() -> Policy {
    let request = Request {
        target: Target::new(IMDS_V4, false),
        // "root" always parses. If it did not, nobody would be allowed.
        users: "root".parse().into_iter().collect(),
        groups: Vec::new(),
        forwarded: Forwarded::Refuse,
    };
    request.floor()
}

/// The policy without the addresses that `installed` policies lock; `None` when no address is left.
#[must_use]
pub fn not_locked(policy: Policy, installed: &[Policy]) -> Option<Policy> {
    installed
        .iter()
        .try_fold(policy, |rest, installed| rest.without(&installed.target))
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
    fn locked_addresses_are_left_out_of_the_floor() {
        let only = |address| Policy {
            target: Target::new(address, true),
            ..metadata_for_root()
        };
        let rest = not_locked(metadata_for_root(), &[only(IMDS_V4)]).unwrap();
        assert_eq!(rest.target.addresses(), [IMDS_V6]);
        assert!(not_locked(metadata_for_root(), &[only(IMDS_V4), only(IMDS_V6)]).is_none());
        assert_eq!(
            not_locked(metadata_for_root(), &[]),
            Some(metadata_for_root())
        );
    }
}
