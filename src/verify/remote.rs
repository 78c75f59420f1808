//! Whether the address belongs to another host.

use super::finding::{Check, Finding};
use crate::host::Host;
use crate::policy::Address;

/// Whether no interface of this host has the address. A lockdown of an own address protects nothing:
/// packets from containers and from the network reach the service through INPUT, where no layer is, and
/// the answers of the service to a local client are packets to the same address, which the rules refuse
/// unless the service runs as a listed user.
pub(super) fn remote(address: Address, host: &Host) -> Finding {
    let check = Check::AddressRemote;
    let finding = match &host.interfaces {
        Err(reason) => Finding::not_read(check, reason).degraded(),
        Ok(interfaces) => match interfaces.having(address.ip()) {
            None => Finding::pass(check, "no interface of this host has the address"),
            Some(name) => {
                let message = format!(
                    "{address} is an address of this host (interface {name}): containers reach it \
                     through INPUT, and the answers to listed users are refused"
                );
                Finding::fail(check, message).help(format!(
                    "`ip-lockdown remove {address}`, and restrict the service itself"
                ))
            }
        },
    };
    finding.about(address)
}
