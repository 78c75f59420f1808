//! The cost of a packet: of an allowed user, of a refused user, and of other traffic.

use std::net::SocketAddr;

use lab::{DNS_V4, IMDS_V4, Lab, Pace, User, Variant};

use crate::page::Page;
use crate::series::AllSeries;

const ROUNDS: usize = 15;

/// How often a refusal is timed: some take a second.
const REFUSED: usize = 5;

/// How long each is done at a time, in seconds.
const MOMENT: f64 = 0.15;

/// The recipe of many a page, for both addresses.
const RECIPE: &str = "
for family in ip:169.254.169.254 ip6:fd00:ec2::254; do
    iptables=${family%%:*}tables-$variant address=${family#*:}
    $iptables -A OUTPUT -d $address -m owner --uid-owner root -j ACCEPT
    $iptables -A OUTPUT -d $address -j $target
done";

/// What lies in the way, by name, and how it is laid. Nothing twice: its difference from itself is the noise.
const WAYS: [(&str, &str); 6] = [
    ("nothing", ""),
    ("nothing again", ""),
    ("recipe, REJECT", "recipe REJECT"),
    ("recipe, DROP", "recipe DROP"),
    ("ip-lockdown", "ours 169.254.169.254"),
    (
        "ip-lockdown, 8 addresses",
        "ours 169.254.169.254 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7",
    ),
];

pub(crate) fn measure(page: &mut Page) {
    page.section(
        "Packets",
        &format!(
            "Between two network namespaces; *in the way* is what is installed. *New*: microseconds for an HTTP request on a \
             new connection, by root, who is listed. *Kept*: the same on a connection that is kept open, and such requests \
             per second of one client. *Refused*: microseconds until an unlisted user's connect fails. With DROP, the bench \
             gives up after a second; with REJECT it may, because the kernel limits ICMP messages. *Datagrams* and \
             *stream*: other traffic, to an address that is not locked: thousands of 64-byte datagrams per second, and \
             gigabits per second with writes of 64 KiB. {ROUNDS} rounds in turns. The difference between *nothing* and \
             *nothing again* is the noise of the measurement."
        ),
    );
    page.head(&[
        "variant",
        "in the way",
        "new, µs",
        "kept, µs",
        "kept, /s",
        "refused, µs",
        "datagrams, 1000/s",
        "/ nothing",
        "stream, Gbit/s",
        "/ nothing",
    ]);
    for variant in Variant::ALL {
        let all = rounds(variant);
        for (way, _) in WAYS {
            let shown =
                |what: &str, precision| format!("{:.precision$}", all.of(&format!("{way} {what}")));
            let ratio = |what: &str| {
                format!(
                    "{:.3}",
                    all.ratio(&format!("{way} {what}"), &format!("{} {what}", WAYS[0].0))
                )
            };
            let refused = if way.starts_with("nothing") {
                String::new()
            } else {
                shown("refused", 1)
            };
            page.row(&[
                variant.to_string(),
                way.to_owned(),
                shown("fresh", 1),
                shown("kept", 1),
                shown("kept in a second", 0),
                refused,
                shown("datagram", 0),
                ratio("datagram"),
                shown("stream", 2),
                ratio("stream"),
            ]);
        }
    }
}

fn rounds(variant: Variant) -> AllSeries {
    let lab = Lab::new(variant);
    let imds = SocketAddr::new(IMDS_V4, 80);
    let other = SocketAddr::new(DNS_V4, 9);
    with_ports_to_spare(&lab);
    let _sink = lab.sink(&[other]);
    let mut all = AllSeries::default();
    for round in 0..ROUNDS {
        for (way, laid) in in_turn(round) {
            lay(&lab, variant, laid);
            // A machine that has just waited is slower for a while.
            lab.pace(&User::ROOT, "datagram", other, MOMENT);
            let fresh = lab.pace(&User::ROOT, "fresh", imds, MOMENT);
            all.add(&format!("{way} fresh"), fresh.median_us);
            let kept = lab.pace(&User::ROOT, "kept", imds, MOMENT);
            all.add(&format!("{way} kept"), kept.median_us);
            all.add(&format!("{way} kept in a second"), in_a_second(kept));
            for (what, unit) in [("datagram", 1e3), ("stream", 1e9 / (8.0 * 65536.0))] {
                let pace = lab.pace(&User::ROOT, what, other, MOMENT);
                all.add(&format!("{way} {what}"), in_a_second(pace) / unit);
            }
        }
    }
    for round in 0..REFUSED {
        for (way, laid) in in_turn(round).filter(|(_, laid)| !laid.is_empty()) {
            lay(&lab, variant, laid);
            let pace = lab.pace(&User::NOBODY, "refused", imds, MOMENT);
            all.add(&format!("{way} refused"), pace.median_us);
        }
    }
    all
}

/// All ways, each round in another order, so that none always comes after the same other one.
fn in_turn(round: usize) -> impl Iterator<Item = (&'static str, &'static str)> {
    // Up or down through them, from another one on.
    let step = if round.is_multiple_of(2) {
        1
    } else {
        WAYS.len() - 1
    };
    (0..WAYS.len()).map(move |turn| WAYS[(round + turn * step) % WAYS.len()])
}

fn in_a_second(pace: Pace) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "millions at most")]
    let count = pace.count as f64;
    count / pace.seconds
}

/// Many thousands of connections a minute: their ports are used again, a second after their end.
pub(crate) fn with_ports_to_spare(lab: &Lab) {
    lab.run(&[
        "sysctl",
        "--quiet",
        "--write",
        "net.ipv4.ip_local_port_range=1024 65535",
        "net.ipv4.tcp_tw_reuse=1",
    ])
    .expect_code(0);
}

fn lay(lab: &Lab, variant: Variant, laid: &str) {
    lab.lockdown(&["remove"]).expect_code(0);
    lab.sh(&format!("iptables-{variant} -F; ip6tables-{variant} -F"))
        .expect_code(0);
    let mut words = laid.split(' ');
    match words.next() {
        Some("recipe") => {
            let target = words.next().expect("REJECT or DROP");
            lab.sh(&format!("variant={variant} target={target}{RECIPE}"))
                .expect_code(0);
        }
        Some("ours") => {
            for address in words {
                lab.lockdown(&[address, "root"]).expect_code(0);
            }
        }
        _ => {}
    }
}
