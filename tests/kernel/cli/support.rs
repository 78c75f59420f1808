//! A host that is locked for root, and the state that must stay unchanged.

use std::ffi::OsStr;

use lab::{Done, Ending, Family, How, IMDS, Lab, User, Variant, lockdown_program};

use lab::saved::{of_iptables, state};

pub(crate) use lab::V4;

/// Copies the program to where every user of the lab can start it.
#[track_caller]
pub(crate) fn installed(lab: &Lab) -> &'static str {
    let source = lockdown_program();
    let source = source.to_str().expect("a path of text");
    let place = "/usr/local/bin/ip-lockdown";
    lab.run(&["install", "-D", "-m", "755", source, place])
        .expect_code(0);
    place
}

/// A host that is locked for root, and the state of its firewall.
pub(crate) struct Locked {
    pub(crate) lab: Lab,
    before: String,
}

impl Locked {
    #[track_caller]
    pub(crate) fn new(variant: Variant) -> Self {
        let lab = Lab::new(variant);
        lab.lockdown(&[V4, "root"]).expect_code(0);
        let before = state(&lab);
        Self { lab, before }
    }

    /// Runs the program, which is to end with this code and to say these words on standard error.
    #[track_caller]
    pub(crate) fn fails<S: AsRef<OsStr>>(&self, words: &[S], code: i32, says: &str) -> Done {
        let mut command = self.lab.program();
        let done = Done::of(command.args(words)).expect_code(code);
        assert!(done.stderr.contains(says), "no {says:?} in {done}");
        assert_eq!(done.stdout, "", "{done}");
        done
    }

    /// Expects that the firewall is as it was, rule by rule.
    #[track_caller]
    pub(crate) fn expect_unchanged(&self) {
        assert_eq!(state(&self.lab), self.before);
    }

    /// Expects that the tables of iptables are as they were, rule by rule.
    #[track_caller]
    pub(crate) fn expect_iptables_unchanged(&self) {
        let tables = of_iptables(&self.lab);
        assert!(
            self.before.starts_with(&tables),
            "{tables}\n{}",
            self.before
        );
    }

    /// Expects that who was refused still is.
    #[track_caller]
    pub(crate) fn expect_not_open(&self) {
        for address in IMDS {
            let outcome = self.lab.attempt(&User::MALLORY, How::Udp, address);
            assert_eq!(outcome.ending, Ending::Denied, "{address}: {outcome:?}");
        }
    }

    /// Puts scripts in the place of one program, such as `-save`, of both families.
    #[track_caller]
    pub(crate) fn stub(&self, suffix: &str, script: &str) {
        for family in Family::ALL {
            self.stub_one(family, suffix, script);
        }
    }

    /// The same for one family.
    #[track_caller]
    pub(crate) fn stub_one(&self, family: Family, suffix: &str, script: &str) {
        let name = name(family);
        let path = format!("/usr/sbin/{name}-{}{suffix}", self.lab.variant());
        self.lab.stub(&path, &format!("#!/bin/bash\n{script}\n"));
    }

    /// Puts the real programs back.
    #[track_caller]
    pub(crate) fn unstub(&self, suffix: &str) {
        let variant = self.lab.variant();
        for family in Family::ALL {
            let path = format!("/usr/sbin/{}-{variant}{suffix}", name(family));
            self.lab
                .run(&["ln", "-sfn", &format!("xtables-{variant}-multi"), &path])
                .expect_code(0);
        }
    }
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}
