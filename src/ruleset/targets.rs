//! What the targets of iptables do (iptables-extensions(8)).

/// Targets that rewrite the destination of a packet.
pub(crate) const REWRITES: &[&str] = &["DNAT", "DNPT", "NETMAP", "REDIRECT", "TPROXY"];

/// Targets after which the packet goes on to the next rule.
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
