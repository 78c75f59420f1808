//! The policies that are installed at boot before names are looked up, or without a usable
//! configuration.

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
fn not_locked(policy: Policy, installed: &[Policy]) -> Option<Policy> {
    installed
        .iter()
        .try_fold(policy, |rest, installed| rest.without(&installed.target))
}

/// The policies to install before the names of the requests are looked up: for the subjects that need no
/// lookup. Of a request that needs lookups, addresses that `installed` policies lock are left out.
#[must_use]
pub fn before_lookups(requests: &[Request], installed: &[Policy]) -> Vec<Policy> {
    let floors = requests.iter().filter_map(|request| {
        if request.needs_lookups() {
            not_locked(request.floor(), installed)
        } else {
            Some(request.floor())
        }
    });
    floors.collect()
}

/// The policies to install without a usable configuration: the installed ones, and the metadata service
/// for root where it is not locked.
#[must_use]
pub fn without_configuration(installed: &[Policy]) -> Vec<Policy> {
    let floor = not_locked(metadata_for_root(), installed);
    installed.iter().cloned().chain(floor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{IMDS_V6, Subjects, Uid};

    #[test]
    fn a_floor_never_replaces_an_installed_list() {
        let request = |user: &str| Request {
            target: Target::new(IMDS_V4, false),
            users: vec![user.parse().unwrap()],
            groups: Vec::new(),
            forwarded: Forwarded::Refuse,
        };
        let installed = [request("1000").floor()];
        assert_eq!(before_lookups(&[request("alice")], &installed), []);
        let nobody = before_lookups(&[request("alice")], &[]);
        assert!(nobody[0].subjects.is_empty());
        let by_number = [request("1001").floor()];
        assert_eq!(before_lookups(&[request("1001")], &installed), by_number);
        assert_eq!(without_configuration(&installed), installed);
        assert_eq!(without_configuration(&[]), [metadata_for_root()]);
    }

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
