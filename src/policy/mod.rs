//! Policies: which address to lock, and who is allowed. Data only, no lookups.
//!
//! The texts of arguments and configuration are parsed into types once, here; later code does not
//! check them again. [`resolve`] decides which id a name gets;
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
pub use subject::{AccountName, GroupRef, MAX_SUBJECTS, SubjectError, UserRef};
pub use subjects::Subjects;

/// Whether to refuse the packets to the address that this host forwards for containers and VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Forwarded {
    /// Refuse forwarded packets. They have no local owner, so no rule can match their user.
    #[default]
    Refuse,
    /// Do not filter forwarded packets, for hosts whose containers need the address.
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
    /// Whether both policies have the same effect. Names of users and groups do not matter.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        self.target == other.target
            && self.forwarded == other.forwarded
            && self.subjects.means(&other.subjects)
    }

    /// This policy without the addresses of `other`; `None` when no address is left.
    ///
    /// When `--only` locks one address of the metadata service, the other one keeps its old policy,
    /// which becomes an `--only` lockdown.
    #[must_use]
    pub fn without(&self, other: &Target) -> Option<Self> {
        let rest: Vec<Address> = self
            .target
            .addresses()
            .iter()
            .copied()
            .filter(|address| !other.addresses().contains(address))
            .collect();
        if rest.len() == self.target.addresses().len() {
            return Some(self.clone());
        }
        let target = Target::new(*rest.first()?, true);
        Some(Self {
            target,
            ..self.clone()
        })
    }
}
