//! iptables targets, by their effect on a packet (iptables-extensions(8)).

/// Targets that rewrite the destination of a packet.
pub(crate) const REWRITES: &[&str] = &["DNAT", "DNPT", "NETMAP", "REDIRECT", "TPROXY"];

/// Targets that do not end the evaluation: the packet continues with the next rule.
pub(crate) const GOES_ON: &[&str] = &[
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CLUSTERIP",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MARK",
    "NFLOG",
    "NOTRACK",
    "RATEEST",
    "SECMARK",
    "SET",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TRACE",
    "TTL",
    "ULOG",
];
