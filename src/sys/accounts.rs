//! Names to ids and back, by the name service of the host (NSS).

use std::io;

use nix::errno::Errno;
use users::{Groups, Users, UsersCache};

use super::ffi;
use crate::policy::AccountName;
use crate::policy::resolve::{Kind, Names};

/// How many names are listed at most.
const MAX_NAMES: usize = 10_000;

/// The users and groups of this host. Each name is looked up once.
#[derive(Default)]
pub struct Accounts(UsersCache);

impl Accounts {
    /// Nothing is looked up yet.
    #[must_use]
    pub fn new() -> Self {
        Self(UsersCache::new())
    }
}

impl Names for Accounts {
    fn id(&self, kind: Kind, name: &AccountName) -> io::Result<Option<u32>> {
        let name = name.as_str();
        let known = match kind {
            Kind::User => self.0.get_user_by_name(name).map(|user| user.uid()),
            Kind::Group => self.0.get_group_by_name(name).map(|group| group.gid()),
        };
        if known.is_some() {
            return Ok(known);
        }
        // The crate returns none for a failed lookup as well; the C library distinguishes the two.
        let found = match kind {
            Kind::User => {
                nix::unistd::User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()))
            }
            Kind::Group => nix::unistd::Group::from_name(name)
                .map(|group| group.map(|group| group.gid.as_raw())),
        };
        match found {
            // getpwnam(3), "RETURN VALUE": these codes also mean that the name was not found.
            Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
            found => Ok(found?),
        }
    }

    fn name(&self, kind: Kind, id: u32) -> Option<String> {
        let name = match kind {
            Kind::User => self.0.get_user_by_uid(id)?.name().to_owned(),
            Kind::Group => self.0.get_group_by_gid(id)?.name().to_owned(),
        };
        name.into_string().ok()
    }
}

/// The names of users or groups that the name service lists, at most 10,000.
#[must_use]
pub fn list(kind: Kind) -> Vec<String> {
    match kind {
        Kind::User => ffi::user_names(MAX_NAMES),
        Kind::Group => ffi::group_names(MAX_NAMES),
    }
}
