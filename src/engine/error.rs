//! Why a command, or a part of it, failed.

use std::io;

use thiserror::Error;

use super::configuration::ConfigFailure;
use crate::exit_code::ExitCode;
use crate::policy::resolve::NotResolved;
use crate::policy::{Address, Target};
use crate::ruleset::NotRead;
use crate::ruleset::plan::{CannotLock, Place, Rejected};
use crate::sys::FirewallError;
use crate::sys::config::WriteError;
use crate::sys::firewall::Firewall;
use crate::sys::lock::LockError;
use crate::sys::privileges::PrivilegeError;
use crate::sys::systemd::SystemdError;

/// Why a command could not be carried out.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigFailure),
    /// The configuration cannot be written.
    #[error(transparent)]
    WriteConfig(#[from] WriteError),
    /// A call of systemctl failed.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// A name has no id.
    #[error(transparent)]
    NotResolved(#[from] NotResolved),
    /// Privileges are missing.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// Another run holds the lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The programs of the firewall cannot be used.
    #[error(transparent)]
    Firewall(#[from] FirewallError),
    /// The host does not permit the policy.
    #[error(transparent)]
    CannotLock(#[from] NotPermitted),
    /// An address of this host itself cannot be locked.
    #[error(
        "{address} is an address of this host (interface {interface}), which a lockdown cannot \
         protect: containers reach it through INPUT, and the answers to listed users would be refused"
    )]
    OwnAddress {
        /// The address.
        address: Address,
        /// The interface that has it.
        interface: String,
    },
    /// It is not known whether the kernel has IPv6.
    #[error("cannot determine whether this kernel has IPv6: {0}")]
    Ipv6(#[source] io::Error),
}

impl EngineError {
    /// The exit code of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::OwnAddress { .. }
            | Self::CannotLock(NotPermitted {
                source: CannotLock::NotForNftables(_),
                ..
            })
            | Self::NotResolved(NotResolved::Unknown { .. } | NotResolved::BadId { .. }) => {
                ExitCode::BadInput
            }
            _ => ExitCode::Incomplete,
        }
    }

    /// What the user can do about the error.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NotResolved(error) => error.help(),
            Self::Config(error) => error.help(),
            Self::Privilege(_) => Some("run it as root".to_owned()),
            Self::Lock(error) => error.help(),
            Self::Firewall(error) => error.help(),
            Self::Systemd(error) => error.help(),
            Self::CannotLock(error) => error.help.clone(),
            Self::OwnAddress { .. } => Some(
                "lock the addresses of other hosts only, and restrict the service on this host itself"
                    .to_owned(),
            ),
            Self::WriteConfig(_) | Self::Ipv6(_) => None,
        }
    }
}

/// Why the host does not permit a policy, and what to do about it.
#[derive(Debug, Error)]
#[error("{source}")]
pub struct NotPermitted {
    /// Why.
    #[source]
    source: CannotLock,
    /// What the user can do about it.
    help: Option<String>,
}

impl NotPermitted {
    /// Reads how this distribution installs iptables, if that helps.
    pub(super) fn new(source: CannotLock) -> Self {
        let help = match &source {
            CannotLock::NotForNftables(_) => {
                Some("leave nftables out of --layers, or use --layers auto".to_owned())
            }
            CannotLock::NeedsIptables(_) | CannotLock::NoIptables => {
                Firewall::iptables_missing().help()
            }
            CannotLock::NoNfTables => Some("use --layers auto".to_owned()),
            CannotLock::NotRead(error) => error.help.clone(),
            CannotLock::NoFamily(..) => None,
        };
        Self { source, help }
    }
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Lockdown(target, source) => Self::CannotLock {
                target,
                source: NotPermitted::new(source),
            },
            Rejected::Halves(source) => Self::HalfLost(NotPermitted::new(source)),
        }
    }
}

/// A part of a change that failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// A place refused its transaction.
    #[error("{place}: {source}; {}", outcome(source))]
    Refused {
        /// The place.
        place: Place,
        /// Why it refused.
        #[source]
        source: FirewallError,
    },
    /// Rules could not be read, so nothing was changed there.
    #[error(transparent)]
    NotRead(#[from] NotRead),
    /// The host does not permit a policy.
    #[error("{target}: {source}")]
    CannotLock {
        /// What should have been locked.
        target: Target,
        /// Why it was not.
        #[source]
        source: NotPermitted,
    },
    /// The half of an IMDS pair that an `--only` leaves cannot be installed here.
    #[error("the other address of the metadata service: {0}")]
    HalfLost(#[source] NotPermitted),
    /// A call of systemctl failed.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// Another tool installed removed rules again.
    #[error("rules for {} reappeared while they were removed", join(.0))]
    Reappeared(Vec<Address>),
    /// Rules are left, for the reasons of other failures.
    #[error("still locked: {}", join(.0))]
    StillLocked(Vec<Address>),
    /// Rules may be left, because a layer could not be read.
    #[error("it is not known whether {} is open", join(.0))]
    NotKnownToBeOpen(Vec<Address>),
}

impl Failure {
    /// The failure of a refused transaction.
    pub(super) fn refused((place, source): (Place, FirewallError)) -> Self {
        Self::Refused { place, source }
    }

    /// What the user can do about the failure.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Refused { source, .. } => source.help(),
            Self::CannotLock { source, .. } | Self::HalfLost(source) => source.help.clone(),
            Self::Systemd(error) => error.help(),
            Self::NotRead(error) => error.help.clone(),
            Self::Reappeared(_) => Some("run it again".to_owned()),
            Self::StillLocked(_) | Self::NotKnownToBeOpen(_) => None,
        }
    }
}

/// What a failed transaction did.
fn outcome(error: &FirewallError) -> &'static str {
    if error.is_refusal() {
        "existing rules are unchanged"
    } else {
        "it is not known whether rules changed: run `ip-lockdown verify`"
    }
}

fn join(addresses: &[Address]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(" and ")
}

/// The exit code of a change with these failures.
pub(super) fn exit_code(failures: &[Failure]) -> ExitCode {
    if failures.is_empty() {
        ExitCode::Success
    } else {
        ExitCode::Incomplete
    }
}
