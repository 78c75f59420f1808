//! With every kind of socket, listed users get through and unlisted users are refused.

use std::net::IpAddr;

use lab::{Ending, How, IMDS, Lab, User};

use crate::promises::support::{V4, apply};

/// Every kind of socket and address that go together.
fn tries() -> impl Iterator<Item = (How, IpAddr)> {
    let all = How::ALL
        .iter()
        .flat_map(|how| IMDS.map(|address| (*how, address)));
    all.filter(|(how, address)| *how != How::Mapped || address.is_ipv4())
}

/// What no kernel needs to have.
fn may_be_unsupported(how: How) -> bool {
    matches!(how, How::Mptcp | How::Udplite | How::Sctp)
}

fn every_kind_of_socket_is_refused_to_the_unlisted_and_open_to_the_listed(lab: &Lab) {
    let open: Vec<_> = tries()
        .map(|(how, address)| lab.attempt(&User::ALICE, how, address).ending)
        .collect();
    apply(lab, &["alice"]);
    for ((how, address), open) in tries().zip(open) {
        let listed = lab.attempt(&User::ALICE, how, address);
        assert_eq!(listed.ending, open, "listed, {how} {address}");
        let could = listed.passed() || how == How::Sctp;
        assert!(
            could || may_be_unsupported(how),
            "listed, {how} {address}: {listed:?}"
        );

        // Root is as unlisted as any other here.
        for user in [User::MALLORY, User::ROOT] {
            let outcome = lab.attempt(&user, how, address);
            let as_it_must = match outcome.ending {
                Ending::Unsupported => open == Ending::Unsupported,
                // The kernel's SCTP is not told that its packet was refused. Without a listener there is no
                // connection to be had, and an answer would be a `Refused`.
                Ending::Denied | Ending::TimedOut if how == How::Sctp => true,
                _ => outcome.refused_fast() && how != How::Sctp,
            };
            assert!(as_it_must, "{}, {how} {address}: {outcome:?}", user.name);
        }
    }
}
on_every_host!(every_kind_of_socket_is_refused_to_the_unlisted_and_open_to_the_listed);

fn a_connection_opened_before_the_lockdown_is_cut_unless_its_owner_is_listed(lab: &Lab) {
    for address in IMDS {
        let unlisted = lab.hold(&User::MALLORY, address);
        let listed = lab.hold(&User::ALICE, address);
        apply(lab, &["alice"]);
        let outcome = unlisted.ask();
        assert!(
            outcome.ending == Ending::Refused && outcome.refused_fast(),
            "{address}: {outcome:?}"
        );
        assert_eq!(listed.ask().ending, Ending::Answered, "{address}");

        // And when the list changes.
        let struck_off = lab.hold(&User::ALICE, address);
        apply(lab, &["bob"]);
        assert!(struck_off.ask().refused_fast(), "{address}");
        lab.lockdown(&["remove"]).expect_code(0);
    }
}
on_every_host!(a_connection_opened_before_the_lockdown_is_cut_unless_its_owner_is_listed);

fn members_of_a_listed_group_pass_by_primary_and_by_supplementary_membership(lab: &Lab) {
    apply(lab, &["--group", "metadata", "--group", "ops"]);
    for address in IMDS {
        for how in [How::Tcp, How::Udp] {
            // carol has metadata as a supplementary group, dave has ops as his primary one.
            for member in [User::CAROL, User::DAVE] {
                let outcome = lab.attempt(&member, how, address);
                assert!(
                    outcome.passed(),
                    "{} {how} {address}: {outcome:?}",
                    member.name
                );
            }
            for other in [User::ROOT, User::ALICE, User::MALLORY] {
                let outcome = lab.attempt(&other, how, address);
                assert!(
                    outcome.refused_fast(),
                    "{} {how} {address}: {outcome:?}",
                    other.name
                );
            }
        }
    }
}
on_both_variants!(members_of_a_listed_group_pass_by_primary_and_by_supplementary_membership);

/// A limit that the README states: what counts is who *created* the socket.
fn a_socket_that_root_made_and_passed_on_works_for_whoever_holds_it(lab: &Lab) {
    lab.lockdown(&["apply", V4, "root"]).expect_code(0);
    let request = r"printf 'GET /latest/api/token HTTP/1.0\r\n\r\n' >&3; head -c 9 <&3";
    for address in IMDS {
        let passed_on = format!(
            "exec 3<>/dev/tcp/{address}/80; exec setpriv --reuid=1666 --regid=1666 --clear-groups bash -euc \"{request}\""
        );
        let done = lab.run(&["bash", "-euc", &passed_on]).expect_code(0);
        assert!(done.stdout.starts_with("HTTP/1."), "{done}");
        // The same user with a socket of its own is refused.
        let own = format!("exec 3<>/dev/tcp/{address}/80; {request}");
        let mallory = [
            "setpriv",
            "--reuid=1666",
            "--regid=1666",
            "--clear-groups",
            "bash",
            "-euc",
        ];
        let done = lab.run(&[&mallory[..], &[&own]].concat()).expect_code(1);
        assert!(done.stderr.contains("Connection refused"), "{done}");
    }
}
on_every_host!(a_socket_that_root_made_and_passed_on_works_for_whoever_holds_it);

/// Another one: a program that is setuid root makes its sockets as root.
fn a_setuid_root_program_counts_as_root_whoever_starts_it(lab: &Lab) {
    apply(lab, &["root"]);
    lab.sh("cp $(command -v curl) /usr/bin/curl-as-root; chmod 4755 /usr/bin/curl-as-root")
        .expect_code(0);
    for address in IMDS {
        let url = format!("http://{}/", std::net::SocketAddr::new(address, 80));
        let run = |curl: &str| {
            let user = ["setpriv", "--reuid=1666", "--regid=1666", "--clear-groups"];
            lab.run(&[&user[..], &[curl, "--silent", "--max-time", "2", &url]].concat())
        };
        run("curl-as-root").expect_code(0);
        run("curl").expect_code(7);
    }
}
on_every_host!(a_setuid_root_program_counts_as_root_whoever_starts_it);
