//! The users of the lab's host.

use std::fmt::Write as _;

/// A user as whom something is tried. Any uid will do; the associated constants are those with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The name in the lab's `/etc/passwd`.
    pub name: &'static str,
    /// The user id.
    pub uid: u32,
    /// The primary group id.
    pub gid: u32,
    /// The supplementary group ids.
    pub groups: &'static [u32],
}

impl User {
    /// uid 0.
    pub const ROOT: Self = Self::new("root", 0, 0);
    /// uid 65534.
    pub const NOBODY: Self = Self::new("nobody", 65534, 65534);
    /// uid 1001.
    pub const ALICE: Self = Self::new("alice", 1001, 1001);
    /// uid 1002.
    pub const BOB: Self = Self::new("bob", 1002, 1002);
    /// uid 1003, member of the group `metadata` (2000).
    pub const CAROL: Self = Self {
        groups: &[2000],
        ..Self::new("carol", 1003, 1003)
    };
    /// uid 1005, whose primary group is `ops` (2001).
    pub const DAVE: Self = Self::new("dave", 1005, 2001);
    /// uid 1666: the one who is never let in.
    pub const MALLORY: Self = Self::new("mallory", 1666, 1666);
    /// uid 1700: a name with a hyphen.
    pub const SVC_WEB: Self = Self::new("svc-web", 1700, 1700);

    /// Every user above.
    pub const ALL: &[Self] = &[
        Self::ROOT,
        Self::NOBODY,
        Self::ALICE,
        Self::BOB,
        Self::CAROL,
        Self::DAVE,
        Self::MALLORY,
        Self::SVC_WEB,
    ];

    const fn new(name: &'static str, uid: u32, gid: u32) -> Self {
        Self {
            name,
            uid,
            gid,
            groups: &[],
        }
    }

    /// The options by which the `lab` program is told to become this user.
    pub(crate) fn lab_options(&self) -> Vec<String> {
        let mut options = vec![format!("--uid={}", self.uid), format!("--gid={}", self.gid)];
        if !self.groups.is_empty() {
            options.push(format!("--groups={}", self.group_list()));
        }
        options
    }

    /// The same for `setpriv`.
    pub(crate) fn setpriv_options(&self) -> Vec<String> {
        let groups = if self.groups.is_empty() {
            "--clear-groups".to_owned()
        } else {
            format!("--groups={}", self.group_list())
        };
        vec![
            format!("--reuid={}", self.uid),
            format!("--regid={}", self.gid),
            groups,
        ]
    }

    fn group_list(&self) -> String {
        self.groups
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// The users and groups that the lab adds to those of the system, as lines of `/etc/passwd` and `/etc/group`.
pub(crate) fn added_accounts() -> (String, String) {
    let mut passwd = String::new();
    let mut group = String::from("metadata:x:2000:carol\nops:x:2001:\n");
    for User { name, uid, gid, .. } in User::ALL
        .iter()
        .filter(|user| (1000..65534).contains(&user.uid))
    {
        let _ = writeln!(passwd, "{name}:x:{uid}:{gid}::/nonexistent:/bin/sh");
        if uid == gid {
            let _ = writeln!(group, "{name}:x:{gid}:");
        }
    }
    (passwd, group)
}
