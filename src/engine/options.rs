//! What the engine needs of the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::ruleset::LayerChoice;
use crate::ruleset::model::VariantChoice;
use crate::sys;

/// The options of the command line that the engine uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which iptables variant to use; `None` if the configuration decides.
    pub variant: Option<VariantChoice>,
    /// Which layers a lockdown should get; `None` if the configuration decides.
    pub layers: Option<LayerChoice>,
    /// The configuration file, if it is not the default one.
    pub config: Option<PathBuf>,
    /// How long to wait for another run, and for the xtables lock, in full seconds.
    pub wait: Duration,
}

impl Options {
    /// The absolute path of the configuration.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        match &self.config {
            // Without a working directory, opening the relative path fails with the reason.
            Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            None => PathBuf::from(sys::config::PATH),
        }
    }
}
