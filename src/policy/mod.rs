//! What is wanted: which address, for whom. Pure data, no look-ups.
//!
//! Words from the command line become typed values here, once; nothing further in
//! re-checks them. Names become ids in [`crate::sys::accounts`].
#![forbid(unsafe_code)]

mod address;
mod id;
mod subject;
mod subjects;
mod unresolved;

pub use address::{Address, AddressError, Family, IMDS_V4, IMDS_V6, Target};
pub use id::{Gid, Uid, UidRange};
pub use subject::{AccountName, GroupWord, MAX_WORDS, SubjectError, UserWord};
pub use subjects::Subjects;
pub use unresolved::Unresolved;

/// What becomes of packets to the address that this host forwards for others (containers, VMs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Forwarded {
    /// Refused: a forwarded packet has no local owner, so nobody can be named for it.
    #[default]
    Refuse,
    /// Left alone: the opt-out for container hosts whose containers need the address.
    Allow,
}

/// One lockdown: a target, who may pass, and what becomes of forwarded packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The address, or the pair of addresses, that is locked.
    pub target: Target,
    /// Who may pass.
    pub subjects: Subjects,
    /// What becomes of forwarded packets.
    pub forwarded: Forwarded,
}

impl Policy {
    /// Whether both let the same ids pass in the same way, by whatever names they were given.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        self.target == other.target
            && self.forwarded == other.forwarded
            && self.subjects.means(&other.subjects)
    }

    /// Takes the addresses of `other` out of this policy's target; `None` when nothing is left.
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
