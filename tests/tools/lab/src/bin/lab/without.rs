//! `lab without`: runs a program on a kernel that seems to lack a feature.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::{Args, ValueEnum};
use nix::libc::{
    AF_INET6, AF_NETLINK, EAFNOSUPPORT, EPROTONOSUPPORT, NETLINK_NETFILTER, SYS_socket,
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// Run a program for which some sockets cannot be made
#[derive(Args)]
pub(crate) struct Without {
    /// What is not there
    what: What,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The protocol family IPv6, as in a kernel without it or a sandbox that forbids it
    Ipv6,
    /// All of netfilter's netlink, `nf_tables` with it, as in a kernel without it
    NfTables,
    /// Netlink, as in a sandbox that forbids it
    Netlink,
}

impl Without {
    pub(crate) fn run(self) {
        let filter = filter(self.what).expect("the filter is well-formed");
        seccompiler::apply_filter(&filter).expect("this kernel has seccomp filters");
        let [program, arguments @ ..] = self.program.as_slice() else {
            panic!("no program given")
        };
        let error = Command::new(program).args(arguments).exec();
        panic!("cannot run {}: {error}", program.display());
    }
}

/// `socket` fails for it; all else is let through.
fn filter(what: What) -> Result<BpfProgram, BackendError> {
    let is = |argument, value: i32| {
        let value = u64::try_from(value).expect("the constants of sockets are not negative");
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    let (conditions, errno) = match what {
        What::Ipv6 => (vec![is(0, AF_INET6)?], EAFNOSUPPORT),
        What::Netlink => (vec![is(0, AF_NETLINK)?], EAFNOSUPPORT),
        What::NfTables => (
            vec![is(0, AF_NETLINK)?, is(2, NETLINK_NETFILTER)?],
            EPROTONOSUPPORT,
        ),
    };
    let errno = u32::try_from(errno).expect("an error number is not negative");
    SeccompFilter::new(
        [(SYS_socket, vec![SeccompRule::new(conditions)?])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}
