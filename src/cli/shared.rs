//! The options that every command takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::ruleset::LayerChoice;

/// The heading of these options in the help.
pub const SHARED_OPTIONS: &str = "Shared options";

/// The options that every command takes. The help shows them after the options of the command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = SHARED_OPTIONS)]
pub struct CommonArgs {
    /// Configuration file instead of /etc/ip-lockdown/config.toml
    ///
    /// Drop-ins are read from the directory conf.d beside the file.
    #[arg(
        long,
        global = true,
        display_order = 500,
        hide_short_help = true,
        value_name = "FILE",
        value_hint = clap::ValueHint::FilePath
    )]
    pub config: Option<PathBuf>,

    /// Which iptables variant to use
    ///
    /// The default is `variant` of the configuration, or else auto.
    #[arg(
        long,
        global = true,
        display_order = 501,
        hide_short_help = true,
        value_enum,
        value_name = "VARIANT"
    )]
    pub variant: Option<VariantChoice>,

    /// Layers to install the rules in
    ///
    /// A list of filter, nftables and security, separated by commas. The default is `layers` of the
    /// configuration, or else auto. `auto` means filter,nftables; nftables alone if iptables is not
    /// installed or cannot be used; filter,security if groups are allowed or the kernel has no
    /// nf_tables. Ignored by `status` and `remove`, which always use all layers.
    #[arg(
        long,
        global = true,
        display_order = 502,
        hide_short_help = true,
        value_name = "LAYERS"
    )]
    pub layers: Option<LayerChoice>,

    /// How long to wait for other runs and for the xtables lock
    #[arg(long, global = true, display_order = 503, hide_short_help = true, default_value_t = 10,
          value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub wait: u32,

    /// How to print the result
    #[arg(
        long,
        global = true,
        display_order = 504,
        hide_short_help = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Format,

    /// Print nothing but errors and failed checks
    #[arg(short, long, global = true, display_order = 505)]
    pub quiet: bool,

    /// Log actions to standard error; -vv logs everything
    ///
    /// RUST_LOG overrides this.
    #[arg(short, long, global = true, display_order = 506, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Which iptables to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VariantChoice {
    /// The variant that the command `iptables` runs on this host
    Auto,
    /// iptables-nft
    Nft,
    /// iptables-legacy
    Legacy,
}

/// How to print the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Text for people
    #[default]
    Text,
    /// One JSON object, described in json.md of the documentation
    Json,
}
