//! Numeric ids of users and groups.

use std::fmt;

use serde::Serialize;

/// The largest id. 4294967295 is (uid_t) -1, which means "no id" to `setresuid(2)` and xt_owner.
pub(super) const MAX_ID: u32 = u32::MAX - 1;

/// A numeric user id, 0 to 4294967294.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Uid(pub(super) u32);

/// A numeric group id, 0 to 4294967294.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Gid(pub(super) u32);

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// The id; `None` for 4294967295, which no process can have.
            #[must_use]
            pub fn new(id: u32) -> Option<Self> {
                (id <= MAX_ID).then_some(Self(id))
            }

            /// The id as a number.
            #[must_use]
            pub fn get(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
id!(Uid);
id!(Gid);

impl Uid {
    /// The uid of root.
    pub const ROOT: Self = Self(0);
}

/// A non-empty range of uids, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidRange {
    pub(super) first: Uid,
    pub(super) last: Uid,
}

impl UidRange {
    /// The range; `None` if `last` is lower than `first`.
    #[must_use]
    pub fn new(first: Uid, last: Uid) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest uid.
    #[must_use]
    pub fn first(self) -> Uid {
        self.first
    }

    /// The highest uid.
    #[must_use]
    pub fn last(self) -> Uid {
        self.last
    }

    /// Whether the range contains `uid`.
    #[must_use]
    pub fn contains(self, uid: Uid) -> bool {
        self.first <= uid && uid <= self.last
    }

    /// The number of uids in the range, 1 to 2^32 - 1.
    #[must_use]
    pub fn count(self) -> u64 {
        u64::from(self.last.0) - u64::from(self.first.0) + 1
    }
}

impl From<Uid> for UidRange {
    fn from(uid: Uid) -> Self {
        Self {
            first: uid,
            last: uid,
        }
    }
}

impl fmt::Display for UidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
