//! What is done, and what is expected of it. The expected states of the layers were found by trying each tool by
//! hand. If a new version of a tool behaves differently, the run fails, and the row here must be changed.

use crate::clients::Source;
use crate::lockdown::State::{self, Bypassed, Gone, Stands};

/// Rows that share one boot of the guest.
pub(crate) struct Group {
    /// A word for the command line.
    pub(crate) name: &'static str,
    /// The heading.
    pub(crate) title: &'static str,
    /// The Debian packages whose versions matter.
    pub(crate) packages: &'static [&'static str],
    /// Bash, before anything else.
    pub(crate) setup: &'static str,
    /// Who tries to get through besides [`HOST`] and [`LISTED`]. Each is shown to get through before the lockdown.
    pub(crate) sources: &'static [&'static Source],
    /// Bash between that and the lockdown. If there is any, it ends these sources; rows start them again.
    pub(crate) undo: &'static str,
    /// Bash after each row, which waits until the tool is through with it.
    pub(crate) settle: &'static str,
    /// In this order, each from what the one before left.
    pub(crate) rows: &'static [Row],
}

/// One disturbance.
pub(crate) struct Row {
    pub(crate) does: Does,
    /// What is left of each layer before the lockdown is applied again.
    pub(crate) leaves: Leaves,
    /// Whether unlisted users may get through meanwhile.
    pub(crate) opens: bool,
    /// The exit code of `apply` and of the `verify` after it.
    pub(crate) code: i32,
    /// For readers.
    pub(crate) note: &'static str,
}

/// What a row does.
pub(crate) enum Does {
    /// Nothing has been locked so far.
    FirstApply,
    /// Takes the lockdown away by its own command, so that it is laid anew among the rules of the other tool.
    Remove,
    /// Runs a line of bash.
    Run(&'static str),
    /// The same, under a shorter name.
    Named(&'static str, &'static str),
    /// Starts another source, which tries from then on.
    Start(&'static Source),
}

/// The state of each layer, of those that the program under test lays.
pub(crate) struct Leaves {
    pub(crate) filter: State,
    pub(crate) security: State,
    pub(crate) nftables: State,
}

impl Leaves {
    const fn new(filter: State, security: State, nftables: State) -> Self {
        Self {
            filter,
            security,
            nftables,
        }
    }

    /// That of the layer with this name.
    pub(crate) fn of(&self, layer: &str) -> Option<State> {
        match layer {
            "filter" => Some(self.filter),
            "security" => Some(self.security),
            "nftables" => Some(self.nftables),
            _ => None,
        }
    }
}

const ALL: Leaves = Leaves::new(Stands, Stands, Stands);
const FILTER_GONE: Leaves = Leaves::new(Gone, Stands, Stands);
const FILTER_BYPASSED: Leaves = Leaves::new(Bypassed, Stands, Stands);
/// What is left when every table of iptables-nft is flushed.
const IPTABLES_GONE: Leaves = Leaves::new(Gone, Gone, Stands);
const NOTHING: Leaves = Leaves::new(Gone, Gone, Gone);

/// A row in which the lockdown has to hold.
const fn row(line: &'static str, leaves: Leaves) -> Row {
    Row {
        does: Does::Run(line),
        leaves,
        opens: false,
        code: 0,
        note: "",
    }
}

const fn named(name: &'static str, line: &'static str, leaves: Leaves) -> Row {
    Row {
        does: Does::Named(name, line),
        ..row("", leaves)
    }
}

const fn start(source: &'static Source) -> Row {
    Row {
        does: Does::Start(source),
        ..row("", ALL)
    }
}

/// A row in which every layer goes. nftables.service is active then, and would flush them again: degraded.
const fn opens(line: &'static str) -> Row {
    Row {
        opens: true,
        code: 4,
        ..row(line, NOTHING)
    }
}

impl Row {
    const fn noted(self, note: &'static str) -> Self {
        Self { note, ..self }
    }
}

/// Every group plays it after its control.
pub(crate) const FIRST_APPLY: Row = Row {
    does: Does::FirstApply,
    leaves: NOTHING,
    code: 0,
    opens: true,
    note: "",
};

/// Groups play it while the rules of the other tool are in force: neither `remove` nor `apply` may change one of them.
const REMOVE: Row = Row {
    does: Does::Remove,
    ..FIRST_APPLY
};

pub(crate) const HOST: Source = Source {
    name: "host",
    who: "uid 65534 on the host",
    start: "exec setpriv --reuid=65534 --regid=65534 --clear-groups lab $UNLISTED",
};

pub(crate) const LISTED: Source = Source {
    name: "listed",
    who: "root on the host, who is listed",
    start: "exec lab $LISTED",
};

const BRIDGE: Source = Source {
    name: "bridge",
    who: "root in a network namespace on a bridge",
    start: "exec ip netns exec container lab $FORWARDED",
};

const DOCKER: Source = Source {
    name: "docker",
    who: "root in a container on docker0",
    // As the first process of a container it does not hear SIGTERM.
    start: "docker run --detach --restart=always --stop-signal=KILL --volume=/run/coexist:/run/coexist \
            bench lab $FORWARDED >/run/coexist/docker",
};

const DOCKER_HOST: Source = Source {
    name: "docker-host",
    who: "uid 65534 in a container with the host's network",
    start: "docker run --detach --restart=always --network=host --user=65534 --stop-signal=KILL --volume=/run/coexist:/run/coexist \
            bench lab $UNLISTED >/run/coexist/docker-host",
};

const PODMAN: Source = Source {
    name: "podman",
    who: "root in a container of podman on a bridge",
    start: "run_podman --volume=/run/coexist:/run/coexist localhost/bench lab $FORWARDED >/run/coexist/podman
            keep_address podman1",
};

const ROOTLESS: Source = Source {
    name: "rootless",
    who: "root in a container of uid 1500, rootless",
    start: "run_rootless --volume=/run/coexist:/run/coexist localhost/bench lab $FORWARDED >/run/coexist/rootless",
};

/// All groups, in the order of the page.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        name: "iptables",
        title: "iptables and nftables by hand",
        packages: &["iptables", "nftables"],
        setup: concat!(
            "setup_iptables <<'DROP-IN'\n",
            include_str!("../drop-in.conf"),
            "DROP-IN"
        ),
        sources: &[&BRIDGE],
        undo: "",
        settle: "",
        rows: &[
            row("iptables -F; ip6tables -F", FILTER_GONE),
            row(
                "iptables-restore /etc/iptables/rules.v4; ip6tables-restore /etc/iptables/rules.v6",
                FILTER_GONE,
            )
            .noted("what netfilter-persistent does: it restores a saved set of foreign rules, with an `ACCEPT` of all TCP in `OUTPUT`"),
            named(
                "iptables -I OUTPUT -j ACCEPT, the same for FORWARD, and with ip6tables",
                "for iptables in iptables ip6tables; do $iptables -I OUTPUT -j ACCEPT; $iptables -I FORWARD -j ACCEPT; done",
                FILTER_BYPASSED,
            ),
            REMOVE,
            row("nft -f /etc/nftables-own.conf", ALL)
                .noted("Debian's file, with `flush ruleset` replaced by the two lines of the advice below"),
            opens("systemctl restart nftables").noted(
                "Debian's /etc/nftables.conf begins with `flush ruleset`, which removes every tool's tables",
            ),
            opens("systemctl reload nftables"),
            opens("nft flush ruleset"),
            Row {
                opens: true,
                ..named(
                    "systemctl restart nftables, with the drop-in",
                    "drop_in; systemctl restart nftables",
                    ALL,
                )
            }
            .noted("the drop-in of the advice below"),
            Row {
                opens: true,
                ..named("systemctl reload nftables, with the drop-in", "systemctl reload nftables", ALL)
            },
        ],
    },
    Group {
        name: "ufw",
        title: "ufw",
        packages: &["ufw"],
        setup: "setup_ufw",
        sources: &[&BRIDGE],
        undo: "",
        settle: "",
        rows: &[
            row("ufw --force enable", ALL),
            row("ufw reload", ALL),
            row("ufw allow out to any port 80", ALL),
            REMOVE,
            row("ufw disable", ALL),
            named("ufw --force enable, again", "ufw --force enable", ALL),
            row("ufw --force reset", ALL).noted("this also disables ufw"),
        ],
    },
    Group {
        name: "firewalld-nftables",
        title: "firewalld with FirewallBackend=nftables",
        packages: &["firewalld"],
        setup: "setup_firewalld nftables",
        sources: &[&BRIDGE],
        undo: "",
        settle: "settle_firewalld",
        rows: FIREWALLD,
    },
    Group {
        name: "firewalld-iptables",
        title: "firewalld with FirewallBackend=iptables",
        packages: &["firewalld"],
        setup: "setup_firewalld iptables",
        sources: &[&BRIDGE],
        undo: "",
        settle: "settle_firewalld",
        rows: FIREWALLD,
    },
    Group {
        name: "docker",
        title: "Docker",
        packages: &["docker.io", "containerd", "runc"],
        setup: "setup_docker",
        sources: &[&DOCKER, &DOCKER_HOST],
        undo: "undo_docker",
        settle: "",
        rows: &[
            row("systemctl start docker", FILTER_BYPASSED),
            start(&DOCKER),
            start(&DOCKER_HOST),
            row("systemctl restart docker", FILTER_BYPASSED),
            named(
                "docker run --publish=8080:80",
                "docker run --detach --publish=8080:80 bench busybox httpd -f -p 80",
                ALL,
            ),
            REMOVE,
        ],
    },
    Group {
        name: "podman",
        title: "Podman",
        packages: &["podman", "netavark", "slirp4netns"],
        setup: "setup_podman",
        sources: &[&PODMAN, &ROOTLESS],
        undo: "undo_podman",
        settle: "",
        rows: &[
            start(&PODMAN),
            start(&ROOTLESS),
            named(
                "podman run --publish=8081:80",
                "run_podman --publish=8081:80 --name=web localhost/bench busybox httpd -f -p 80",
                ALL,
            ),
            REMOVE,
            named("podman rm, of that container", "podman rm --force --time=0 web", ALL),
        ],
    },
];

const FIREWALLD: &[Row] = &[
    row("systemctl start firewalld", IPTABLES_GONE),
    row("firewall-cmd --reload", IPTABLES_GONE),
    row("firewall-cmd --complete-reload", IPTABLES_GONE),
    row("systemctl restart firewalld", IPTABLES_GONE),
    REMOVE,
    row("systemctl stop firewalld", IPTABLES_GONE),
];
