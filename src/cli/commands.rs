//! The arguments of each command, except `trust-policy`: see the module `trust_policy`.

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};

/// Who is allowed to reach the address.
#[derive(Debug, Clone, Args)]
pub struct PolicyArgs {
    /// Allowed user: a name, a uid, or a range such as 1000-1099
    ///
    /// A number is always a uid; name:20001 is the user whose name is 20001. Without USER and --group,
    /// nobody is allowed, not even root.
    #[arg(value_name = "USER", allow_negative_numbers = true)]
    pub users: Vec<OsString>,

    /// Allowed group: a name or a gid; may be repeated
    ///
    /// Users for whom the group is supplementary are allowed too.
    #[arg(
        long = "group",
        value_name = "GROUP",
        allow_negative_numbers = true,
        requires = "address"
    )]
    pub groups: Vec<OsString>,

    /// Use only the given address, not the other address of the metadata service
    ///
    /// Without this option, each of 169.254.169.254 and fd00:ec2::254 stands for both addresses.
    #[arg(long, requires = "address")]
    pub only: bool,

    /// Whether packets that this host forwards are refused or allowed
    ///
    /// These are packets that this host routes or bridges for containers and VMs. They have no
    /// local user.
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "HOW",
        requires = "address"
    )]
    pub forwarded: ForwardedChoice,
}

/// How to treat forwarded packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ForwardedChoice {
    /// Containers and VMs behind this host cannot reach the address
    #[default]
    Refuse,
    /// Containers and VMs behind this host can reach the address
    Allow,
}

/// `apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// IPv4 or IPv6 address to lock
    ///
    /// Without ADDRESS, the configuration is applied. Either address of the metadata service
    /// (169.254.169.254, fd00:ec2::254) locks both, unless --only is given.
    #[arg(value_name = "ADDRESS")]
    pub address: Option<OsString>,

    /// Who is allowed.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Print the exact transactions and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Lock even if some names cannot be resolved, as at boot
    ///
    /// Allow every user whose name resolves; leave the others out, or keep the uid that the current
    /// rules have for them, unless another user has that uid now. If the configuration cannot be
    /// used, locked addresses stay locked, and a metadata service that is not locked yet is locked
    /// for root only. The exit code is 4 in each of these cases.
    #[arg(long, conflicts_with_all = ["address", "dry_run"])]
    pub boot: bool,

    /// With --boot: keep running for 30 seconds and reapply the rules if they change
    ///
    /// Runs longer while a name does not resolve. The rules are watched because some firewalls
    /// flush all rules after they report that they are ready.
    #[arg(long, requires = "boot")]
    pub settle: bool,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Address that must be locked for exactly the given users
    ///
    /// Without ADDRESS, all locked addresses are checked, and compared with the configuration if
    /// there is one.
    #[arg(value_name = "ADDRESS")]
    pub address: Option<OsString>,

    /// Who is expected to be allowed.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Inspect the rules only; send no test packets
    ///
    /// The findings on packets are then `unknown`, and the exit code is 4 at best.
    #[arg(long)]
    pub no_probe: bool,
}

/// `remove`.
#[derive(Debug, Clone, Args)]
pub struct RemoveArgs {
    /// Address to open; without it, every address is opened
    ///
    /// Either address of the metadata service opens both, unless --only is given.
    #[arg(value_name = "ADDRESS")]
    pub address: Option<OsString>,

    /// Use only the given address, not the other address of the metadata service
    ///
    /// Without this option, each of 169.254.169.254 and fd00:ec2::254 stands for both addresses.
    #[arg(long, requires = "address")]
    pub only: bool,
}

/// `enable`.
#[derive(Debug, Clone, Args)]
pub struct EnableArgs {
    /// Address to write into the configuration
    ///
    /// The given users and groups are written too. Without ADDRESS, the configuration is unchanged.
    #[arg(value_name = "ADDRESS")]
    pub address: Option<OsString>,

    /// Who is allowed.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Also apply the configuration and start the units now
    #[arg(long)]
    pub now: bool,
}

/// `disable`.
#[derive(Debug, Clone, Args)]
pub struct DisableArgs {
    /// Also stop the units and remove the rules now, which opens the addresses
    #[arg(long)]
    pub now: bool,
}

/// `generate`.
#[derive(Debug, Clone, Args)]
pub struct GenerateArgs {
    /// What to print.
    #[command(subcommand)]
    pub what: Generate,
}

/// What can be generated.
#[derive(Debug, Clone, Subcommand)]
pub enum Generate {
    /// Print the man page ip-lockdown(8)
    Man,
    /// Print the man page ip-lockdown-config(5)
    ConfigMan,
    /// Print the man page ip-lockdown-trust-policy(1)
    TrustPolicyMan,
    /// Print a completion script
    Completions {
        /// Shell that the script is for
        shell: clap_complete::Shell,
    },
}
