//! `lab no-ipv6`: a program under a kernel that seems to have no IPv6.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use nix::libc::{AF_INET6, EAFNOSUPPORT, SYS_socket};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// Run a program for which no IPv6 socket can be made
#[derive(Args)]
pub(crate) struct NoIpv6 {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

impl NoIpv6 {
    pub(crate) fn run(self) {
        let filter = filter().expect("the filter is well-formed");
        seccompiler::apply_filter(&filter).expect("this kernel has seccomp filters");
        let [program, arguments @ ..] = self.program.as_slice() else {
            panic!("no program given")
        };
        let error = Command::new(program).args(arguments).exec();
        panic!("cannot run {}: {error}", program.display());
    }
}

/// `socket(AF_INET6, ..)` fails as it does where the protocol family is not there; all else is let through.
fn filter() -> Result<BpfProgram, BackendError> {
    let family = u64::try_from(AF_INET6).expect("a protocol family is not negative");
    let errno = u32::try_from(EAFNOSUPPORT).expect("an error number is not negative");
    let is_ipv6 = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family)?;
    SeccompFilter::new(
        [(SYS_socket, vec![SeccompRule::new(vec![is_ipv6])?])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}
