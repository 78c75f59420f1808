//! Tests of the lab itself: packets get through without rules, and the lab shows the effect of a rule. Every test of
//! the lockdown relies on this.

use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use lab::{
    DNS_V4, DNS_V6, Done, Ending, Family, How, IMDS, IMDS_V4, IMDS_V6, Lab, Lane, Report, User,
    Variant,
};

/// One request of curl, as root on the host: the HTTP status and the body.
fn fetch(lab: &Lab, options: &[&str], path: &str) -> (String, String) {
    let mut curl = lab.command("curl");
    curl.args([
        "--silent",
        "--max-time",
        "5",
        "--write-out",
        "\n%{http_code}",
    ])
    .args(options);
    let answer = Done::of(curl.arg(format!("http://{IMDS_V4}/latest/{path}")))
        .expect_code(0)
        .stdout;
    let (body, status) = answer
        .rsplit_once('\n')
        .expect("the status is on a line of its own");
    (status.to_owned(), body.to_owned())
}

const TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";

#[test]
fn the_service_answers_with_the_status_codes_of_imdsv2() {
    let lab = Lab::new(Variant::Nft);
    let put = |headers: &[&str]| {
        let headers = headers.iter().flat_map(|header| ["--header", header]);
        fetch(
            &lab,
            &["--request", "PUT"]
                .into_iter()
                .chain(headers)
                .collect::<Vec<_>>(),
            "api/token",
        )
    };
    for bad in [
        vec![],
        vec![format!("{TTL}: 0")],
        vec![format!("{TTL}: 21601")],
        vec![format!("{TTL}: x")],
    ] {
        let bad: Vec<_> = bad.iter().map(String::as_str).collect();
        assert_eq!(put(&bad).0, "400", "{bad:?}");
    }
    assert_eq!(
        put(&[&format!("{TTL}: 60"), "X-Forwarded-For: 192.0.2.9"]).0,
        "403"
    );

    let (status, token) = put(&[&format!("{TTL}: 21600")]);
    assert_eq!(status, "200");
    let token = format!("X-aws-ec2-metadata-token: {token}");
    let get = |path: &str| fetch(&lab, &["--header", &token], path);
    let role = "meta-data/iam/security-credentials/";
    assert_eq!(get(role), ("200".to_owned(), "demo-role".to_owned()));
    for (path, field) in [
        (format!("{role}demo-role"), "AccessKeyId"),
        ("dynamic/instance-identity/document".to_owned(), "region"),
    ] {
        let (status, body) = get(&path);
        let document: serde_json::Value = serde_json::from_str(&body).expect("a JSON document");
        assert!(
            status == "200" && document[field].is_string(),
            "{status} {body}"
        );
    }
    assert_eq!(get("meta-data/instance-id").0, "200");
    assert_eq!(get("meta-data/no-such-thing").0, "404");

    assert_eq!(fetch(&lab, &[], role).0, "401");
    assert_eq!(
        fetch(
            &lab,
            &["--header", "X-aws-ec2-metadata-token: guessed"],
            role
        )
        .0,
        "401"
    );
    let (_, short) = put(&[&format!("{TTL}: 1")]);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(
        fetch(
            &lab,
            &["--header", &format!("X-aws-ec2-metadata-token: {short}")],
            role
        )
        .0,
        "401"
    );
}

#[test]
fn without_a_lockdown_everybody_gets_the_credentials() {
    let lab = Lab::new(Variant::Nft);
    for address in IMDS {
        for user in User::ALL {
            let done = lab.curl(user, address).expect_code(0);
            assert!(done.stdout.contains("AccessKeyId"), "{done}");
        }
        let done = lab.container_curl(&User::ROOT, address).expect_code(0);
        assert!(done.stdout.contains("AccessKeyId"), "{done}");
    }
}

#[test]
fn the_host_knows_the_users_of_the_lab_and_their_groups() {
    let lab = Lab::new(Variant::Nft);
    for user in User::ALL {
        let ids = lab.run(&["id", user.name]).expect_code(0).stdout;
        assert!(
            ids.starts_with(&format!(
                "uid={}({}) gid={}(",
                user.uid, user.name, user.gid
            )),
            "{ids}"
        );
        for group in user.groups {
            assert!(ids.contains(&format!(",{group}(")), "{ids}");
        }
    }
    let whoami = lab
        .sh("setpriv --reuid=1003 --regid=1003 --init-groups id -Gn")
        .expect_code(0);
    assert_eq!(whoami.stdout, "carol metadata\n");
    assert_eq!(
        lab.run(&["id", "-gn", "dave"]).expect_code(0).stdout,
        "ops\n"
    );
}

/// What each kind of socket comes to where nothing is locked, and where an `OUTPUT` rule refuses all. A kernel
/// without the protocol says so in both cases. Nobody listens for SCTP.
fn expected(how: How) -> (Vec<Ending>, Vec<Ending>) {
    use Ending::{Answered, Connected, Denied, Refused, Sent, TimedOut, Unsupported};
    match how {
        How::Tcp | How::Mapped | How::TcpFastopen => (vec![Connected], vec![Refused]),
        How::Mptcp => (vec![Connected, Unsupported], vec![Refused, Unsupported]),
        How::Udp => (vec![Answered], vec![Denied]),
        How::Udplite => (vec![Answered, Unsupported], vec![Denied, Unsupported]),
        // Refused over IPv6, where the send itself does not fail.
        How::Icmp | How::IcmpRaw => (vec![Answered], vec![Denied, Refused]),
        How::SctpRaw => (vec![Sent], vec![Denied]),
        How::Sctp => (
            vec![Refused, Unsupported],
            vec![Denied, TimedOut, Unsupported],
        ),
    }
}

fn reject_everything(lab: &Lab) {
    for (family, address) in Family::ALL.into_iter().zip(IMDS) {
        for verdict in ["-p tcp -j REJECT --reject-with tcp-reset", "-j REJECT"] {
            lab.iptables(family, &format!("-A OUTPUT -d {address} {verdict}"))
                .expect_code(0);
        }
    }
}

#[test]
fn every_kind_of_socket_gets_through_an_open_firewall_and_not_through_a_closed_one() {
    let lab = Lab::new(Variant::Nft);
    let tries = || {
        let kinds = How::ALL
            .iter()
            .flat_map(|how| IMDS.map(|address| (*how, address)));
        kinds.filter(|(how, address)| *how != How::Mapped || address.is_ipv4())
    };
    for (how, address) in tries() {
        let outcome = lab.attempt(&User::MALLORY, how, address);
        assert!(
            expected(how).0.contains(&outcome.ending),
            "open, {how} {address}: {outcome:?}"
        );
    }
    reject_everything(&lab);
    for (how, address) in tries() {
        let outcome = lab.attempt(&User::MALLORY, how, address);
        assert!(
            expected(how).1.contains(&outcome.ending),
            "closed, {how} {address}: {outcome:?}"
        );
    }
}

#[test]
fn a_rule_by_hand_refuses_at_once_and_nothing_else_in_either_variant() {
    for variant in Variant::ALL {
        let lab = Lab::new(variant);
        let rule = "-A OUTPUT -d 169.254.169.254 -p tcp -j REJECT --reject-with tcp-reset";
        lab.iptables(Family::V4, rule).expect_code(0);

        let outcome = lab.attempt(&User::ROOT, How::Tcp, IMDS_V4);
        assert!(
            outcome.refused_fast() && outcome.ending == Ending::Refused,
            "{variant}: {outcome:?}"
        );
        let curl = lab.curl(&User::ROOT, IMDS_V4).expect_code(7);
        assert!(curl.took < Duration::from_secs(1), "{variant}: {curl}");
        for open in [IMDS_V6, DNS_V4, DNS_V6] {
            let outcome = lab.attempt(&User::ROOT, How::Tcp, open);
            assert!(outcome.passed(), "{variant}, {open}: {outcome:?}");
        }
        let outcome = lab.container_attempt(&User::ROOT, How::Tcp, IMDS_V4);
        assert!(
            outcome.passed(),
            "{variant}, a routed packet meets no OUTPUT rule: {outcome:?}"
        );

        let counted = lab.save(Family::V4);
        assert!(
            counted
                .lines()
                .any(|line| line.starts_with("[2:") && line.contains("tcp-reset")),
            "{counted}"
        );
        assert!(!lab.save(Family::V6).contains("REJECT"));
    }
}

#[test]
fn the_container_is_refused_by_a_forward_rule() {
    let lab = Lab::new(Variant::Nft);
    let rule = "-I FORWARD -d fd00:ec2::254 -p tcp -j REJECT --reject-with tcp-reset";
    lab.iptables(Family::V6, rule).expect_code(0);
    let outcome = lab.container_attempt(&User::ALICE, How::Tcp, IMDS_V6);
    assert!(outcome.refused_fast(), "{outcome:?}");
    for (how, address) in [(How::Udp, IMDS_V6), (How::Tcp, IMDS_V4)] {
        let outcome = lab.container_attempt(&User::ALICE, how, address);
        assert!(outcome.passed(), "{how} {address}: {outcome:?}");
    }
}

#[test]
fn the_hammer_counts_what_gets_through_and_what_does_not() {
    let lab = Lab::new(Variant::Nft);
    let half_a_second = || std::thread::sleep(Duration::from_millis(500));
    let open = lab.hammer_while(&User::MALLORY, &IMDS, half_a_second);
    assert!(open.connected > 10 && open.udp_sent > 10, "{open:?}");
    assert_eq!((open.refused, open.other), (0, 0), "{open:?}");
    // On a busy machine a handshake may take more than 20 ms.
    assert!(open.timed_out * 2 < open.attempts, "{open:?}");

    reject_everything(&lab);
    let closed = lab.hammer_while(&User::MALLORY, &IMDS, half_a_second);
    assert!(closed.attempts > 100, "{closed:?}");
    assert_eq!(
        (closed.passed(), closed.refused),
        (0, closed.attempts),
        "{closed:?}"
    );
}

#[test]
fn the_hammer_sees_a_gap_of_a_few_milliseconds() {
    let lab = Lab::new(Variant::Nft);
    reject_everything(&lab);
    let counts = lab.hammer_while(&User::MALLORY, &IMDS, || {
        lab.sh("iptables-nft -F OUTPUT; sleep 0.005; iptables-nft -A OUTPUT -d 169.254.169.254 -j REJECT")
            .expect_code(0);
    });
    assert!(
        counts.passed() > 0 && counts.refused > counts.passed(),
        "{counts:?}"
    );
}

#[test]
fn a_packet_that_is_dropped_times_out() {
    let lab = Lab::new(Variant::Nft);
    // Not in OUTPUT: the sender is told of a drop there.
    lab.iptables(Family::V4, "-A INPUT -s 169.254.169.254 -j DROP")
        .expect_code(0);
    assert_eq!(
        lab.attempt(&User::ALICE, How::Tcp, IMDS_V4).ending,
        Ending::TimedOut
    );
    let counts = lab.hammer_while(&User::ALICE, &[IMDS_V4], || ());
    assert!(counts.timed_out > 0 && counts.connected == 0, "{counts:?}");
}

#[test]
fn a_connection_opened_earlier_is_answered_until_a_rule_cuts_it() {
    let lab = Lab::new(Variant::Nft);
    for address in IMDS {
        assert_eq!(
            lab.hold(&User::MALLORY, address).ask().ending,
            Ending::Answered
        );
        let held = lab.hold(&User::MALLORY, address);
        reject_everything(&lab);
        let outcome = held.ask();
        assert!(
            outcome.refused_fast() && outcome.ending == Ending::Refused,
            "{outcome:?}"
        );
        for family in Family::ALL {
            lab.iptables(family, "-F").expect_code(0);
        }
    }
}

#[test]
fn half_closed_connections_are_seen_where_a_recipe_rejects_closing_packets() {
    let lab = Lab::new(Variant::Nft);
    let served = lab.requests(&User::ALICE, IMDS_V4, 20);
    assert_eq!(
        (served.served, served.failed, lab.server_half_closed()),
        (20, 0, 0),
        "{served:?}"
    );

    let recipe = "
        iptables-nft -A OUTPUT -d 169.254.169.254 -m owner --uid-owner 1001 -j ACCEPT
        iptables-nft -A OUTPUT -d 169.254.169.254 -j REJECT";
    lab.sh(recipe).expect_code(0);
    let served = lab.requests(&User::ALICE, IMDS_V4, 20);
    assert_eq!((served.served, served.failed), (20, 0), "{served:?}");
    assert!(lab.server_half_closed() > 0);
    let refused = lab.requests(&User::BOB, IMDS_V4, 2);
    assert_eq!((refused.served, refused.failed), (0, 2), "{refused:?}");
}

#[test]
fn a_program_can_be_replaced_and_taken_away_under_one_of_its_names() {
    let lab = Lab::new(Variant::Nft);
    lab.stub(
        "/usr/sbin/iptables-nft-restore",
        "#!/bin/sh\necho \"stub of $0\" >&2\nexit 4\n",
    );
    let stub = lab.run(&["iptables-nft-restore"]).expect_code(4);
    assert_eq!(stub.stderr, "stub of /usr/sbin/iptables-nft-restore\n");
    lab.iptables(Family::V4, "-S").expect_code(0);

    let real = "#!/bin/sh\nexec xtables-nft-multi iptables-nft-restore \"$@\"\n";
    lab.stub("/usr/sbin/iptables-nft-restore", real);
    lab.sh("printf '*filter\\n:LAB -\\nCOMMIT\\n' | iptables-nft-restore --noflush")
        .expect_code(0);
    assert!(lab.save(Family::V4).contains(":LAB"));

    lab.hide("/sbin/nft");
    lab.run(&["nft", "list", "ruleset"]).expect_code(127);
    Done::of(
        Lab::new(Variant::Nft)
            .command("nft")
            .args(["list", "ruleset"]),
    )
    .expect_code(0);
}

#[test]
fn without_ipv6_no_socket_of_that_family_can_be_made() {
    let lab = Lab::new(Variant::Nft);
    let attempt = |address: IpAddr| {
        let url = format!("http://{}/", std::net::SocketAddr::new(address, 80));
        Done::of(lab.without_ipv6("curl").args([
            "--silent",
            "--show-error",
            "--max-time",
            "2",
            &url,
        ]))
    };
    attempt(IMDS_V4).expect_code(0);
    let refused = attempt(IMDS_V6).expect_code(7);
    assert!(refused.took < Duration::from_secs(1), "{refused}");
    let legacy = Done::of(lab.without_ipv6("ip6tables-legacy").arg("-S")).expect_code(3);
    assert!(
        legacy.stderr.contains("Address family not supported"),
        "{legacy}"
    );
}

#[test]
fn what_is_written_in_a_lab_stays_in_it() {
    let lab = Lab::new(Variant::Nft);
    let name = format!("lab-of-{}", std::process::id());
    for place in ["/etc", "/run", "/usr", "/var"] {
        let file = Path::new(place).join(&name);
        lab.run(&["touch", &file.to_string_lossy()]).expect_code(0);
        assert!(!file.exists(), "{} left the lab", file.display());
    }
    lab.iptables(Family::V4, "-N LAB").expect_code(0);
    assert!(!Lab::new(Variant::Nft).save(Family::V4).contains("LAB"));
}

#[test]
fn nothing_of_a_lab_survives_it() {
    let lab = Lab::new(Variant::Nft);
    let pid = lab.sh("sleep 300 & echo $!").expect_code(0).stdout;
    // A zombie, which somebody has yet to wait for, is in no namespace.
    let namespace = Path::new("/proc").join(pid.trim()).join("ns/net");
    assert!(namespace.exists());
    drop(lab);
    assert!(!namespace.exists());
}

#[test]
fn a_steady_client_reports_what_got_through_and_what_did_not() {
    let lab = Lab::new(Variant::Nft);
    for family in Family::ALL {
        let locked = if family == Family::V4 {
            IMDS_V4
        } else {
            IMDS_V6
        };
        lab.iptables(
            family,
            &format!("-A OUTPUT -d {locked} -p tcp -j REJECT --reject-with tcp-reset"),
        )
        .expect_code(0);
        lab.iptables(family, &format!("-A OUTPUT -d {locked} -j DROP"))
            .expect_code(0);
    }
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("reports");
    let socket = UnixDatagram::bind(&path).expect("the socket is new");
    let mut options = vec![
        "--name=me".to_owned(),
        format!("--report={}", path.display()),
    ];
    for what in ["connect", "send", "echo", "fetch"] {
        options.extend([IMDS_V4, IMDS_V6, DNS_V4, DNS_V6].map(|to| format!("--{what}={to}")));
    }

    let mut arguments = vec!["steady"];
    arguments.extend(options.iter().map(String::as_str));
    let mut sums: Vec<Lane> = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| lab.tool(&arguments).expect_code(0));
        while sums.iter().any(|lane| lane.tries < 10) || sums.is_empty() {
            let mut report = vec![0; 1 << 16];
            let length = socket.recv(&mut report).expect("a report");
            let report: Report = serde_json::from_slice(&report[..length]).expect("JSON");
            assert_eq!(report.name, "me");
            if sums.is_empty() {
                sums = report.lanes;
            } else {
                sums.iter_mut()
                    .zip(&report.lanes)
                    .for_each(|(sum, lane)| sum.add(lane));
            }
        }
        // The end of the socket is the end of the client.
        drop(socket);
    });
    assert_eq!(sums.len(), 16);
    for lane in sums {
        let through = lane.to == DNS_V4 || lane.to == DNS_V6;
        assert_eq!(lane.passed > 0, through, "{lane:?}");
        assert_eq!(lane.first_passed.is_some(), through, "{lane:?}");
        assert_eq!(lane.refused > 0, !through, "{lane:?}");
        assert_eq!(lane.first_refused.is_some(), !through, "{lane:?}");
        assert_eq!(
            lane.tries,
            lane.passed + lane.refused + lane.silent + lane.other,
            "{lane:?}"
        );
    }
}

#[test]
fn a_steady_client_keeps_its_sum_in_a_file() {
    let lab = Lab::new(Variant::Nft);
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = place.path().join("folder");
    std::fs::create_dir(&folder).expect("the place is new");
    let file = folder.join("report");
    let to_file = format!("--file={}", file.display());
    let connect = format!("--connect={IMDS_V4}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            lab.tool(&["steady", "--name=me", &to_file, &connect])
                .expect_code(0)
        });
        let mut earlier = 0;
        while earlier < 100 {
            let Ok(report) = std::fs::read(&file) else {
                continue;
            };
            let report: Report = serde_json::from_slice(&report).expect("always a whole report");
            let tries = report.lanes[0].tries;
            assert!(tries >= earlier, "{tries} after {earlier}");
            earlier = tries;
        }
        // The end of the folder is the end of the client.
        std::fs::rename(&folder, place.path().join("gone")).expect("it is ours");
    });
}
