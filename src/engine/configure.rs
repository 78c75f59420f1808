//! `enable` and `disable`: the configuration, and the units that apply it at boot.

use std::path::{Path, PathBuf};

use tracing::{error, info, warn};

use super::apply::{Applied, apply_policy, resolve, warn_about};
use super::configuration::{self, ConfigFailure};
use super::error::{EngineError, Failure};
use super::host::{has_cloud_init, open, refuse_own_addresses};
use super::options::Options;
use super::remove::{Removed, remove};
use crate::config::{Source, parse, with_lockdown};
use crate::host::{BOOT_UNIT, UNITS};
use crate::policy::Request;
use crate::sys::systemd::SystemdError;
use crate::sys::{self, lock, privileges, systemd};

/// What `enable` did.
#[derive(Debug)]
pub struct Enabled {
    /// The configuration file.
    pub path: PathBuf,
    /// Whether the file changed.
    pub written: bool,
    /// The messages of systemctl about the links that it created; `None` if it failed.
    pub links: Option<String>,
    /// Whether the units were started.
    pub started: bool,
    /// With `now`, the result of `apply`; without, the error of systemctl if it failed.
    pub applied: Option<Result<Applied, EngineError>>,
}

/// Adds the request, if there is one, to the configuration, and enables the units; with `now` also
/// starts them and applies the configuration.
///
/// # Errors
/// The input or the configuration cannot be used, or the file cannot be written. Nothing was
/// changed.
pub fn enable(
    request: Option<&Request>,
    now: bool,
    options: &Options,
) -> Result<Enabled, EngineError> {
    privileges::need_root()?;
    warn_about_options(options);
    let path = options.config_path();
    // Errors are reported before the directory is created.
    let mut change = edit(&path, request, now)?;
    if change.text.is_some() {
        let _held = lock::folder(&sys::config::folder(&path)?, options.wait)?;
        // Another run may have written while this one waited.
        change = edit(&path, request, now)?;
        if let Some(text) = &change.text {
            sys::config::write(&path, text)?;
            info!("wrote {}", path.display());
        }
    }
    if let Some(request) = request {
        warn_about_drop_ins(request, &change.merged);
    }
    warn_about_root(&change.merged, now);
    let mut enabled = Enabled {
        path,
        written: change.text.is_some(),
        links: None,
        started: false,
        applied: None,
    };
    // If systemd fails, the address must be locked all the same.
    let refused = enable_units(now, &mut enabled).err();
    if now {
        enabled.applied = Some(apply_now(refused, options));
    } else if let Some(refused) = refused {
        enabled.applied = Some(Err(refused.into()));
    }
    Ok(enabled)
}

/// Applies the configuration; the result includes the error of systemd.
fn apply_now(refused: Option<SystemdError>, options: &Options) -> Result<Applied, EngineError> {
    match (open(options, true), refused) {
        (Ok(firewall), refused) => {
            let known = Vec::from_iter(refused.map(Failure::Systemd));
            apply_policy(None, known, &firewall, options)
        }
        (Err(failed), Some(refused)) => {
            error!("{failed}");
            Err(refused.into())
        }
        (Err(failed), None) => Err(failed),
    }
}

fn enable_units(now: bool, enabled: &mut Enabled) -> Result<(), SystemdError> {
    enabled.links = Some(systemd::enable(BOOT_UNIT)?);
    if now && systemd::is_running() {
        systemd::start(&UNITS)?;
        enabled.started = true;
    }
    Ok(())
}

/// The configuration as `enable` leaves it.
struct Edited {
    /// The text of the file, if it has to be written.
    text: Option<String>,
    /// The requests in the changed file and the drop-ins.
    merged: Vec<Request>,
}

/// Adds the request to the text of the configuration. With `now`, all names must resolve.
fn edit(path: &Path, request: Option<&Request>, now: bool) -> Result<Edited, EngineError> {
    let mut sources = match sys::config::read(path) {
        Err(error) if !(error.is_missing() && request.is_some()) => {
            return Err(ConfigFailure::from(error).into());
        }
        sources => sources.unwrap_or_default(),
    };
    // The main file may be missing, although the configuration has drop-ins.
    let old = sys::config::read_file(path).map_err(ConfigFailure::from)?;
    let mut text = None;
    if let Some(request) = request {
        resolve(request)?;
        // An image build writes the configuration of other hosts.
        if now {
            refuse_own_addresses([&request.target])?;
        }
        let name = path.display().to_string();
        let old = old.unwrap_or_else(|| Source {
            name,
            text: String::new(),
        });
        let new = with_lockdown(&old, request).map_err(ConfigFailure::from)?;
        match sources.iter_mut().find(|source| source.name == old.name) {
            Some(source) => source.text.clone_from(&new),
            None => sources.insert(
                0,
                Source {
                    text: new.clone(),
                    ..old.clone()
                },
            ),
        }
        text = (new != old.text).then_some(new);
    }
    let merged = parse(&sources).map_err(ConfigFailure::from)?;
    if merged.is_empty() {
        return Err(ConfigFailure::Empty(path.display().to_string()).into());
    }
    if now {
        for request in &merged {
            resolve(request)?;
        }
    }
    Ok(Edited { text, merged })
}

/// Warns if drop-ins allow more users than the request. (A drop-in with conflicting options is an
/// error.)
fn warn_about_drop_ins(own: &Request, merged: &[Request]) {
    let mut others = merged.iter().filter(|merged| merged.target == own.target);
    if others.any(|merged| !merged.names_the_same(own)) {
        warn!("drop-ins in conf.d also grant access to {}", own.target);
    }
}

/// Warns about entries that leave out root, if software that runs as root needs the address.
fn warn_about_root(merged: &[Request], now: bool) {
    for request in merged {
        let nobody = request.users.is_empty() && request.groups.is_empty();
        if nobody {
            // With `now`, apply warns.
            if !now {
                warn_about(&request.floor());
            }
            continue;
        }
        let mut addresses = request.target.addresses().iter();
        if !addresses.any(|address| address.is_imds()) || request.floor().subjects.allow_root() {
            continue;
        }
        // The names may include another name of root.
        let (resolved, _) = configuration::resolve(std::slice::from_ref(request), &[]);
        if resolved.iter().any(|policy| policy.subjects.allow_root()) {
            continue;
        }
        match has_cloud_init() {
            Ok(true) => warn!(
                "root is not allowed: cloud-init, which is installed here, runs as root and loses \
                 access to {}: instances get no SSH keys, host name or user-data from there",
                request.target
            ),
            Ok(false) => {}
            Err(error) => warn!(
                "{error}; if cloud-init is installed, it runs as root, which is not allowed to \
                 reach {}",
                request.target
            ),
        }
    }
}

/// Warns about options of this command line that the boot unit does not use.
fn warn_about_options(options: &Options) {
    if options.config.is_some() {
        warn!(
            "the boot unit reads {}, not this file; to change that, add the same --config to its \
             command lines with `systemctl edit ip-lockdown.service`",
            sys::config::PATH
        );
    }
    if options.layers.is_some() || options.variant.is_some() {
        warn!(
            "the boot unit takes layers and variant from {}: set `layers` and `variant` there",
            sys::config::PATH
        );
    }
}

/// What `disable` did.
#[derive(Debug)]
pub struct Disabled {
    /// The configuration file, which is unchanged.
    pub path: PathBuf,
    /// The messages of systemctl about the links that it removed.
    pub links: String,
    /// Whether the units were stopped.
    pub stopped: bool,
    /// With `now`, the result of `remove`.
    pub removed: Option<Result<Removed, EngineError>>,
}

/// Disables the units; with `now` also stops them and removes the rules. The configuration is
/// unchanged.
///
/// # Errors
/// Privileges are missing, or systemd refuses.
pub fn disable(now: bool, options: &Options) -> Result<Disabled, EngineError> {
    privileges::need_root()?;
    let mut disabled = Disabled {
        path: options.config_path(),
        links: systemd::disable(BOOT_UNIT)?,
        stopped: false,
        removed: None,
    };
    if now {
        if systemd::is_running() {
            systemd::stop(&UNITS)?;
            disabled.stopped = true;
        }
        disabled.removed = Some(remove(None, options));
    }
    Ok(disabled)
}
