//! What is to be locked, and for whom. Pure data, no lookups.
//!
//! The text of arguments and configuration becomes typed values here, once; later code does not
//! check them again. [`resolve`](self::resolve) decides which id counts for a name;
//! [`crate::sys::accounts`] looks names up.
#![forbid(unsafe_code)]

mod address;
pub mod floor;
mod id;
mod request;
pub mod resolve;
mod subject;
mod subjects;

pub use address::{Address, AddressError, Family, IMDS_V4, IMDS_V6, Target};
pub use id::{Gid, Uid, UidRange};
pub use request::Request;
pub use subject::{AccountName, GroupWord, MAX_WORDS, SubjectError, UserWord};
pub use subjects::Subjects;

/// What happens to packets to the address that this host forwards for containers and VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Forwarded {
    /// They are refused: a forwarded packet has no local owner that could be listed.
    #[default]
    Refuse,
    /// They are not filtered: for container hosts whose containers need the address.
    Allow,
}

/// A target, the allowed subjects, and the rule for forwarded packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The address, or the pair of addresses, that is locked.
    pub target: Target,
    /// The allowed subjects.
    pub subjects: Subjects,
    /// The rule for forwarded packets.
    pub forwarded: Forwarded,
}

impl Policy {
    /// Whether both allow the same ids in the same way, whatever names they were given by.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        self.target == other.target
            && self.forwarded == other.forwarded
            && self.subjects.means(&other.subjects)
    }

    /// This policy without the addresses of `other`; `None` when no address is left.
    ///
    /// Locking one half of the IMDS pair with `--only` leaves the other half under its old
    /// policy, which from then on is an `--only` lock of its own.
    #[must_use]
    pub fn without(&self, other: &Target) -> Option<Self> {
        let left: Vec<Address> = self
            .target
            .addresses()
            .iter()
            .copied()
            .filter(|address| !other.addresses().contains(address))
            .collect();
        if left.len() == self.target.addresses().len() {
            return Some(self.clone());
        }
        let target = Target::new(*left.first()?, true);
        Some(Self {
            target,
            ..self.clone()
        })
    }
}
