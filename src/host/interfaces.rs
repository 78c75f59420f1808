//! The addresses of this host itself.

use std::net::IpAddr;

/// The addresses of the network interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interfaces(Vec<(IpAddr, String)>);

impl Interfaces {
    /// From the addresses, each with the name of its interface.
    pub fn new(addresses: impl IntoIterator<Item = (IpAddr, String)>) -> Self {
        Self(addresses.into_iter().collect())
    }

    /// The interface that has the address. Every address of 127.0.0.0/8 belongs to `lo`.
    #[must_use]
    pub fn having(&self, address: IpAddr) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| *own == address);
        match found {
            Some((_, name)) => Some(name),
            None => address.is_loopback().then_some("lo"),
        }
    }
}
