//! The command line, as types. No I/O.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::ruleset::{Layers, LayersError};

mod trust_policy;

pub use trust_policy::{
    AutoDeployArgs, BuildArgs, CheckArgs, CircleCiArgs, GitHubArgs, GuardArgs, OidcArgs, OtherArgs,
    PermissionsArgs, PolicyFormat, PresetArgs, ProviderAccountArgs, RoleArgs, ServiceArgs,
    SshGruntArgs, ThirdPartyArgs, TrustPolicy, TrustPolicyArgs,
};

/// Only named OS users reach an address, such as the EC2 instance metadata service.
///
/// `ip-lockdown 169.254.169.254 root` installs owner-match rules of iptables, and of nftables
/// behind them, so that only root reaches the instance metadata service, over IPv4 and IPv6, reads
/// them back, and proves with real sockets that they hold. It never opens the address while changing who may pass, and
/// leaves all other rules and traffic alone.
#[derive(Debug, Parser)]
#[command(
    name = "ip-lockdown",
    version,
    override_usage = "ip-lockdown [OPTIONS] ADDRESS [USER]...\n       ip-lockdown COMMAND ...",
    after_long_help = after_help(),
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// What every command takes.
    #[command(flatten)]
    pub common: CommonArgs,
}

impl Cli {
    /// Reads the words of the command line, the program's name first. `ADDRESS [USER]...` alone,
    /// with whatever options, means `apply`.
    ///
    /// # Errors
    /// The words do not fit, or ask for help or the version; clap's error says how to print it.
    pub fn from_words(mut words: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut definition = Self::command();
        definition.build();
        let first = first_positional(&definition, words.get(1..).unwrap_or_default());
        if first.is_some_and(|word| !means_command(&definition, word)) {
            words.insert(1, "apply".into());
        }
        trust_policy::name_oidc_provider(&mut words);
        Self::try_parse_from(words)
    }
}

/// Whether the words ask for JSON, as far as that can be told of words that do not fit.
#[must_use]
pub fn asks_for_json(words: &[OsString]) -> bool {
    words.contains(&"--output=json".into())
        || words
            .windows(2)
            .any(|pair| pair[0] == "--output" && pair[1] == "json")
}

/// Whether the word is a command, or so like one that clap's hint helps more than ours.
fn means_command(definition: &clap::Command, word: &OsStr) -> bool {
    definition.find_subcommand(word).is_some()
        || definition
            .get_subcommands()
            .any(|command| strsim::jaro_winkler(command.get_name(), &word.to_string_lossy()) > 0.8)
}

/// The first word that is neither an option nor an option's value.
fn first_positional<'a>(definition: &clap::Command, words: &'a [OsString]) -> Option<&'a OsString> {
    let options: Vec<&clap::Arg> = definition
        .find_subcommand("apply")
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter(|option| option.get_action().takes_values())
        .collect();
    let takes_next = |word: &str| {
        options
            .iter()
            .filter_map(|option| option.get_long())
            .any(|long| word.strip_prefix("--") == Some(long))
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--") => return words.next(),
            Some(option) if takes_next(option) => drop(words.next()),
            Some(option) if option.starts_with('-') && option.len() > 1 => {}
            _ => return Some(word),
        }
    }
    None
}

/// What the exit codes mean, for `--help` and the man page.
pub const EXIT_CODES: &str = concat!(
    "  0  in force, or done\n",
    "  1  looked, and it does not hold: drift, failed probe, errors in a trust policy\n",
    "  2  bad usage, configuration or name, or a policy that cannot be read; nothing was changed\n",
    "  3  could not do it or could not look: privileges, a missing program, a lock held too long;\n",
    "     what stood still stands\n",
    "  4  in force but degraded: no backstop layer, a name not resolved or a configuration that\n",
    "     cannot be used (at boot), not probed (--no-probe), or a lesser check could not be made"
);

/// What of the environment matters.
pub const ENVIRONMENT: &str = concat!(
    "  RUST_LOG  what to log on standard error, such as `debug`; goes before -v. Nothing else of the\n",
    "            environment is used, and programs get none of it."
);

/// Which files matter.
pub const FILES: &str = concat!(
    "  /etc/ip-lockdown/config.toml, /etc/ip-lockdown/conf.d/*.toml\n",
    "      the configuration: ip-lockdown-config(5)\n",
    "  /run/ip-lockdown.lock\n",
    "      held while rules are changed. No state is kept anywhere but in the firewall itself."
);

fn after_help() -> String {
    format!("Exit codes:\n{EXIT_CODES}\n\nEnvironment:\n{ENVIRONMENT}\n\nFiles:\n{FILES}")
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put a lockdown in force, read it back and probe it; the same as giving ADDRESS alone
    Apply(ApplyArgs),
    /// Look whether what is in force holds: rules, their place, and real packets; changes nothing
    Verify(VerifyArgs),
    /// Show what is locked, to whom, and how many packets passed and were refused; judges nothing
    Status,
    /// Take our rules, and only ours, away: the one way to open an address
    Remove(RemoveArgs),
    /// Write the configuration, and have it applied at every boot, before the network
    Enable(EnableArgs),
    /// Do not apply it at boot any more. What is locked stays locked, unless --now is given
    Disable(DisableArgs),
    /// Build or check the trust policy of an IAM role: who may assume it. Calls neither AWS nor iptables
    TrustPolicy(TrustPolicyArgs),
    /// Print the man page or shell completions
    Generate(GenerateArgs),
}

/// What every command takes, told behind the options of the command itself.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Which iptables to use; `auto` is what `iptables` means on this host
    #[arg(
        long,
        global = true,
        display_order = 501,
        value_enum,
        default_value_t,
        value_name = "VARIANT"
    )]
    pub variant: VariantChoice,

    /// Where the rules are laid: `filter`, `nftables` and `security`, with commas. `auto` is
    /// filter,nftables, or nftables where there is no iptables; filter,security for a policy with
    /// groups, and where the kernel has no nf_tables. `status` and `remove` look at all of them,
    /// whatever is said here
    #[arg(
        long,
        global = true,
        display_order = 502,
        default_value_t,
        value_name = "LAYERS"
    )]
    pub layers: LayersChoice,

    /// How to print the result; JSON is described in json.md of the documentation
    #[arg(
        long,
        global = true,
        display_order = 503,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Format,

    /// The configuration; drop-ins are in conf.d beside it. /etc/ip-lockdown/config.toml if not given
    #[arg(long, global = true, display_order = 500, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How many seconds to wait for another run, and for the xtables lock
    #[arg(long, global = true, display_order = 504, default_value_t = 10, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub wait: u32,

    /// Log what is done on standard error; twice: everything
    #[arg(short, long, global = true, display_order = 505, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Which iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum VariantChoice {
    /// What `iptables` means on this host
    #[default]
    Auto,
    /// iptables-nft
    Nft,
    /// iptables-legacy
    Legacy,
}

/// Where the rules are laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayersChoice {
    /// What this host can give.
    #[default]
    Auto,
    /// Just these.
    These(Layers),
}

impl FromStr for LayersChoice {
    type Err = LayersError;

    fn from_str(text: &str) -> Result<Self, LayersError> {
        match text {
            "auto" => Ok(Self::Auto),
            layers => layers.parse().map(Self::These),
        }
    }
}

impl fmt::Display for LayersChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::These(layers) => layers.fmt(f),
        }
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// What becomes of forwarded packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ForwardedChoice {
    /// Refuse them: containers and VMs behind this host do not reach the address
    #[default]
    Refuse,
    /// Leave them alone: for container hosts whose containers need the address
    Allow,
}

/// An address and who may pass.
#[derive(Debug, Clone, Args)]
pub struct PolicyArgs {
    /// Who may pass: a user's name, a uid, or a range of uids such as 1000-1099. None: nobody
    #[arg(value_name = "USER", allow_negative_numbers = true)]
    pub users: Vec<OsString>,

    /// A group whose members may pass, supplementary memberships included; may be repeated
    #[arg(
        long = "group",
        value_name = "GROUP",
        allow_negative_numbers = true,
        requires = "address"
    )]
    pub groups: Vec<OsString>,

    /// This address alone, not the other one of the metadata service with it
    #[arg(long, requires = "address")]
    pub only: bool,

    /// What becomes of packets that this host routes or bridges for containers and VMs
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "HOW",
        requires = "address"
    )]
    pub forwarded: ForwardedChoice,
}

/// `apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// The address to lock: IPv4 or IPv6. Either address of the metadata service
    /// (169.254.169.254, fd00:ec2::254) locks both. Without it, what the configuration says
    #[arg(value_name = "ADDRESS")]
    pub address: Option<OsString>,

    /// Who may pass.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Print the exact transaction and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// As at boot: whoever can be resolved is locked in, and names that cannot are left out, or
    /// keep the id they have; without a configuration that can be used, what is locked stays
    /// locked, and else only root reaches the metadata service. Exit code 4 then
    #[arg(long, conflicts_with_all = ["address", "dry_run"])]
    pub boot: bool,

    /// Stay for half a minute, and until every name is resolved, and apply again whatever other
    /// tools take away: for firewalls that flush after they report ready
    #[arg(long, requires = "boot")]
    pub settle: bool,
}

/// `enable`.
#[derive(Debug, Clone, Args)]
pub struct EnableArgs {
    /// The address to lock, written into the configuration with its users. Without it, the
    /// configuration stays as it is
    #[arg(value_name = "ADDRESS")]
    pub address: Option<OsString>,

    /// Who may pass.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Apply the configuration too, and start the units
    #[arg(long)]
    pub now: bool,
}

/// `disable`.
#[derive(Debug, Clone, Args)]
pub struct DisableArgs {
    /// Stop the units, and remove the rules too: the addresses are open then
    #[arg(long)]
    pub now: bool,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Expect this address to be locked for just these users, and for nobody if none is given.
    /// Without it, everything that is locked is verified against what was applied
    #[arg(value_name = "ADDRESS")]
    pub address: Option<OsString>,

    /// Who may pass.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Look at the rules only; behaviour stays unknown, and the exit code is 4 at best
    #[arg(long)]
    pub no_probe: bool,
}

/// `remove`.
#[derive(Debug, Clone, Args)]
pub struct RemoveArgs {
    /// The address to open; without it, all of them. Either address of the metadata service
    /// opens both
    #[arg(value_name = "ADDRESS")]
    pub address: Option<OsString>,

    /// This address alone, not the other one of the metadata service with it
    #[arg(long, requires = "address")]
    pub only: bool,
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
    /// The man page of the program, in roff
    Man,
    /// The man page of the configuration, in roff
    ConfigMan,
    /// A completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &str) -> Command {
        let words = std::iter::once("ip-lockdown").chain(words.split(' '));
        Cli::from_words(words.map(OsString::from).collect())
            .unwrap()
            .command
    }

    #[test]
    fn an_address_alone_means_apply() {
        for words in [
            "169.254.169.254",
            "169.254.169.254 root verify",
            "--variant nft 169.254.169.254 root",
            "-v --group=ops --group verify 169.254.169.254",
            "--dry-run --wait 3 -- 169.254.169.254",
            "apply 169.254.169.254 status",
            "instance-data root",
        ] {
            assert!(matches!(command(words), Command::Apply(_)), "{words}");
        }
    }

    #[test]
    fn commands_keep_their_names_behind_options() {
        assert!(matches!(
            command("--variant legacy verify"),
            Command::Verify(_)
        ));
        assert!(matches!(
            command("-vv --output=json status"),
            Command::Status
        ));
        assert!(matches!(command("--wait 1 remove"), Command::Remove(_)));
        assert!(matches!(
            command("-v trust-policy build"),
            Command::TrustPolicy(_)
        ));
    }

    #[test]
    fn a_mistyped_command_is_no_address() {
        for word in ["stauts", "verfy", "removee", "trustpolicy"] {
            let words = ["ip-lockdown", word].map(OsString::from).to_vec();
            let error = Cli::from_words(words).unwrap_err();
            assert_eq!(
                error.kind(),
                clap::error::ErrorKind::InvalidSubcommand,
                "{word}"
            );
        }
    }

    #[test]
    fn options_that_say_what_to_expect_need_an_address() {
        for option in ["--group=adm", "--only", "--forwarded=allow"] {
            let words = ["ip-lockdown", "verify", option]
                .map(OsString::from)
                .to_vec();
            assert!(Cli::from_words(words).is_err(), "{option}");
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
