//! Changes to the user who makes the attempt.

use std::collections::HashSet;

use caps::{CapSet, Capability};
use clap::Args;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

/// The ids to take on before the first socket is made.
#[derive(Args)]
pub(crate) struct Identity {
    /// User id
    #[arg(long)]
    uid: u32,
    /// Primary group id
    #[arg(long)]
    gid: u32,
    /// Supplementary group ids, none by default
    #[arg(long, value_delimiter = ',')]
    groups: Vec<u32>,
}

impl Identity {
    /// Becomes that user, without privileges unless it is root.
    pub(crate) fn assume(&self) {
        let groups: Vec<_> = self.groups.iter().copied().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        setgroups(&groups)
            .and_then(|()| setresgid(gid, gid, gid))
            .and_then(|()| setresuid(uid, uid, uid))
            .expect("root can become any user");
    }

    /// The same, but with `CAP_NET_RAW` left: the user of a program such as tcpdump or a VPN client.
    pub(crate) fn assume_with_net_raw(&self) {
        caps::securebits::set_keepcaps(true).expect("capabilities can be kept");
        self.assume();
        if self.uid != 0 {
            let net_raw = HashSet::from([Capability::CAP_NET_RAW]);
            caps::set(None, CapSet::Effective, &net_raw).expect("root has CAP_NET_RAW");
            caps::set(None, CapSet::Permitted, &net_raw).expect("capabilities can be dropped");
        }
    }
}
