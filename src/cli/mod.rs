//! The command line as types. No I/O.
//!
//! The help texts, the man pages and the completion scripts are generated from these definitions.

mod commands;
mod generate;
mod reference;
mod role;
pub mod settings;
mod shared;
mod trust_policy;
mod usage_error;

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

pub use commands::{
    ApplyArgs, DisableArgs, EnableArgs, ForwardedChoice, Generate, GenerateArgs, PolicyArgs,
    RemoveArgs, VerifyArgs,
};
pub use generate::generate;
pub use reference::{ENVIRONMENT, EXAMPLES, EXIT_CODES, Entry, FILES};
pub use role::RoleError;
pub use shared::{CommonArgs, Format, SHARED_OPTIONS, VariantChoice};
pub use trust_policy::{
    AutoDeployArgs, BuildArgs, CheckArgs, CircleCiArgs, GitHubArgs, GuardArgs, OidcArgs, OtherArgs,
    PermissionsArgs, PolicyFormat, PresetArgs, ProviderAccountArgs, RoleArgs, ServiceArgs,
    SshGruntArgs, ThirdPartyArgs, TrustPolicy, TrustPolicyArgs,
};

/// Let only named OS users reach the EC2 instance metadata service
///
/// `ip-lockdown 169.254.169.254 root` installs iptables and nftables rules that let only root reach
/// the instance metadata service, over IPv4 and IPv6. It then reads the rules back and verifies
/// them with test packets. Changing the list of users never opens the address to other users, and
/// other rules and other traffic are not affected. Any other IPv4 or IPv6 address can be locked too.
#[derive(Debug, Parser)]
#[command(
    name = "ip-lockdown",
    version,
    override_usage = "ip-lockdown [OPTIONS] ADDRESS [USER]...\n       ip-lockdown [OPTIONS] COMMAND ...",
    after_long_help = reference::after_long_help(),
    arg_required_else_help = true,
    max_term_width = 100,
    mut_subcommand("trust-policy", |command| without_shared(command, &["variant", "layers", "config", "wait"])),
    mut_subcommand("generate", |command| {
        without_shared(command, &["variant", "layers", "config", "wait", "output", "quiet", "verbose"])
    })
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,

    /// The options that every command takes.
    #[command(flatten)]
    pub common: CommonArgs,
}

impl Cli {
    /// Parses the arguments, of which the first is the program's name. `ADDRESS [USER]...` without
    /// a command, with or without options, means `apply`.
    ///
    /// # Errors
    /// The arguments are wrong, or request the help or the version. The error prints itself.
    pub fn from_arguments(mut arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut definition = Self::command();
        definition.build();
        let first = first_positional(&definition, arguments.get(1..).unwrap_or_default());
        if first.is_some_and(|word| !means_command(&definition, word)) {
            arguments.insert(1, "apply".into());
        }
        trust_policy::name_oidc_provider(&mut arguments);
        Self::try_parse_from(arguments)
            .and_then(Self::quiet_or_verbose)
            .map_err(usage_error::in_our_form)
    }

    /// clap's `conflicts_with` misses a conflict of options of which one is before the command.
    fn quiet_or_verbose(self) -> Result<Self, clap::Error> {
        if self.common.quiet && self.common.verbose > 0 {
            return Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                "the argument '--quiet' cannot be used with '--verbose'",
            ));
        }
        Ok(self)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lock an address, then verify it (default if ADDRESS is given without a command)
    ///
    /// If the address is already locked for the given users, nothing changes and the counters are
    /// kept. If it is locked for other users, the list is replaced.
    Apply(ApplyArgs),
    /// Check that the lockdown works. Changes nothing
    ///
    /// Inspects the rules and their position among other tools' rules, and sends test packets as
    /// allowed and as other users.
    Verify(VerifyArgs),
    /// Show locked addresses, allowed users and packet counters
    Status,
    /// Remove the rules of ip-lockdown, which opens the address
    ///
    /// Removes them from every layer, address family and iptables variant. Other tools' rules are
    /// unchanged.
    Remove(RemoveArgs),
    /// Write the configuration and apply it at every boot
    ///
    /// At boot, addresses are locked before the network starts.
    Enable(EnableArgs),
    /// Stop applying the configuration at boot
    ///
    /// Locked addresses stay locked until the next boot, unless --now is given.
    Disable(DisableArgs),
    /// Build or check the trust policy of an IAM role
    ///
    /// The trust policy determines who may assume the role. These commands need no privileges, and
    /// call neither AWS nor iptables.
    TrustPolicy(TrustPolicyArgs),
    /// Print a man page or a completion script
    Generate(GenerateArgs),
}

/// Hides shared options from the help of a command for which they mean nothing. The command still
/// accepts them.
fn without_shared(command: clap::Command, hidden: &[&str]) -> clap::Command {
    let shared = CommonArgs::augment_args(clap::Command::new("shared"));
    let hidden = shared
        .get_arguments()
        .filter(|option| hidden.contains(&option.get_id().as_str()))
        .map(|option| option.clone().hide(true));
    command.args(hidden)
}

/// Whether the arguments request JSON, as far as this is known for arguments that are wrong.
#[must_use]
pub fn asks_for_json(arguments: &[OsString]) -> bool {
    arguments.contains(&"--output=json".into())
        || arguments
            .windows(2)
            .any(|pair| pair[0] == "--output" && pair[1] == "json")
}

/// Whether the word is a command, or so similar to one that clap's suggestion helps more than an
/// error about an address.
fn means_command(definition: &clap::Command, word: &OsStr) -> bool {
    definition.find_subcommand(word).is_some()
        || definition
            .get_subcommands()
            .any(|command| strsim::jaro_winkler(command.get_name(), &word.to_string_lossy()) > 0.8)
}

/// Returns the first argument that is neither an option nor an option's value.
fn first_positional<'a>(
    definition: &clap::Command,
    arguments: &'a [OsString],
) -> Option<&'a OsString> {
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
    let mut arguments = arguments.iter();
    while let Some(word) = arguments.next() {
        match word.to_str() {
            Some("--") => return arguments.next(),
            Some(option) if takes_next(option) => drop(arguments.next()),
            Some(option) if option.starts_with('-') && option.len() > 1 => {}
            _ => return Some(word),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(arguments: &str) -> Command {
        let arguments = std::iter::once("ip-lockdown").chain(arguments.split(' '));
        Cli::from_arguments(arguments.map(OsString::from).collect())
            .unwrap()
            .command
    }

    #[test]
    fn an_address_alone_means_apply() {
        for arguments in [
            "169.254.169.254",
            "169.254.169.254 root verify",
            "--variant nft 169.254.169.254 root",
            "-v --group=ops --group verify 169.254.169.254",
            "--dry-run --wait 3 -- 169.254.169.254",
            "apply 169.254.169.254 status",
            "instance-data root",
        ] {
            assert!(
                matches!(command(arguments), Command::Apply(_)),
                "{arguments}"
            );
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
            let arguments = ["ip-lockdown", word].map(OsString::from).to_vec();
            let error = Cli::from_arguments(arguments).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidSubcommand, "{word}");
        }
    }

    #[test]
    fn options_that_say_what_to_expect_need_an_address() {
        for option in ["--group=adm", "--only", "--forwarded=allow"] {
            let arguments = ["ip-lockdown", "verify", option]
                .map(OsString::from)
                .to_vec();
            assert!(Cli::from_arguments(arguments).is_err(), "{option}");
        }
    }

    #[test]
    fn the_short_help_fits_on_a_screen() {
        let mut definition = Cli::command();
        definition.build();
        let commands = definition.get_subcommands().cloned();
        let all: Vec<clap::Command> = commands.chain([definition.clone()]).collect();
        for command in all {
            let name = command.get_name().to_owned();
            let help = command.term_width(80).render_help().to_string();
            assert!(help.lines().count() <= 24, "{name}:\n{help}");
        }
    }

    #[test]
    fn options_that_mean_nothing_are_hidden_but_accepted() {
        for arguments in [
            "trust-policy check --variant nft FILE",
            "generate --quiet man",
            "generate man --output json",
        ] {
            command(arguments);
        }
        let mut definition = Cli::command();
        definition.build();
        let help = |names: &[&str]| {
            let command = names
                .iter()
                .try_fold(&definition, |it, name| it.find_subcommand(name));
            command.unwrap().clone().render_long_help().to_string()
        };
        let of_check = help(&["trust-policy", "check"]);
        assert!(!of_check.contains("--variant") && of_check.contains("--output"));
        assert!(!help(&["generate", "man"]).contains("Shared options"));
        assert!(help(&["verify"]).contains("--variant"));
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
