//! `enable` and `disable`: the configuration, and the units that apply it at boot.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tracing::{error, info, warn};

use super::config::{self, ConfigFailure};
use super::report::{print, print_json};
use super::{CommandError, apply, open, remove, words};
use crate::cli::{
    CommonArgs, DisableArgs, EnableArgs, Format, LayersChoice, RemoveArgs, VariantChoice,
};
use crate::config::{Source, parse, with_lockdown};
use crate::exit_code::ExitCode;
use crate::policy::Unresolved;
use crate::sys::systemd::SystemdError;
use crate::sys::{self, lock, privileges, systemd};

pub(super) fn enable(args: &EnableArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    let words = match &args.address {
        Some(address) => Some(words::parse(address, &args.policy)?),
        None => None,
    };
    privileges::need_root()?;
    warn_about_options(common);
    let path = config::path(common);
    // What is wrong is told before anything is made.
    let mut change = changed(&path, words.as_ref(), args.now)?;
    if change.text.is_some() {
        let limit = Duration::from_secs(common.wait.into());
        let _held = lock::folder(&sys::config::folder(&path)?, limit)?;
        // Another run may have written while this waited.
        change = changed(&path, words.as_ref(), args.now)?;
        if let Some(text) = &change.text {
            sys::config::write(&path, text)?;
        }
    }
    if let Some(own) = &words {
        warn_about_drop_ins(own, &change.all);
    }
    let mut said = vec![match &change.text {
        Some(_) => format!("{}: written", path.display()),
        None => format!("{}: as it was", path.display()),
    }];
    // What systemd refuses does not keep the address open.
    let refused = in_systemd(args.now, &mut said).err();
    if !args.now && refused.is_none() {
        said.push("nothing is applied before the next boot, or `ip-lockdown apply`".to_owned());
    }
    say(
        &said,
        "enable",
        args.now || refused.is_some(),
        common.output,
    )?;
    if !args.now {
        return match refused {
            None => Ok(ExitCode::Success),
            Some(refused) => Err(refused.into()),
        };
    }
    // One result tells both.
    let also = refused.iter().map(ToString::to_string).collect();
    let applied =
        open(common, true).and_then(|firewall| apply::apply(None, also, &firewall, common));
    match (applied, refused) {
        (Err(failure), Some(refused)) => {
            error!("{failure}");
            Err(refused.into())
        }
        (applied, _) => applied,
    }
}

/// The configuration, as `enable` leaves it.
struct Change {
    /// The text of the file, where it is to be written.
    text: Option<String>,
    /// What it says then, with the drop-ins.
    all: Vec<Unresolved>,
}

/// Decides what becomes of the configuration; with `now`, all of its names are looked up.
fn changed(path: &Path, words: Option<&Unresolved>, now: bool) -> Result<Change, CommandError> {
    let mut sources = match sys::config::read(path) {
        Err(error) if !(error.is_missing() && words.is_some()) => {
            return Err(ConfigFailure::from(error).into());
        }
        sources => sources.unwrap_or_default(),
    };
    // It need not be there: drop-ins are a configuration too.
    let old = sys::config::read_file(path).map_err(ConfigFailure::from)?;
    let mut text = None;
    if let Some(words) = words {
        words::resolve(words)?;
        let name = path.display().to_string();
        let old = old.unwrap_or_else(|| Source {
            name,
            text: String::new(),
        });
        let new = with_lockdown(&old, words).map_err(ConfigFailure::from)?;
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
    let all = parse(&sources).map_err(ConfigFailure::from)?;
    if all.is_empty() {
        return Err(ConfigFailure::Empty(path.display().to_string()).into());
    }
    if now {
        for words in &all {
            words::resolve(words)?;
        }
    }
    Ok(Change { text, all })
}

/// Says where who is configured are more than were asked for. Other options of a drop-in contradict,
/// which is an error.
fn warn_about_drop_ins(own: &Unresolved, all: &[Unresolved]) {
    let mut others = all.iter().filter(|merged| merged.target == own.target);
    if others.any(|merged| !merged.names_the_same(own)) {
        warn!("drop-ins in conf.d let others pass to {} too", own.target);
    }
}

fn in_systemd(now: bool, said: &mut Vec<String>) -> Result<(), SystemdError> {
    let links = systemd::enable()?;
    said.push(match links.is_empty() {
        true => format!("{}: enabled already", systemd::BOOT_UNIT),
        false => format!("{}: enabled ({links})", systemd::BOOT_UNIT),
    });
    if now && systemd::is_running() {
        systemd::start()?;
        said.push(format!("{}: started", systemd::BOOT_UNIT));
    }
    Ok(())
}

/// The unit knows nothing of the options of this command line.
fn warn_about_options(common: &CommonArgs) {
    if common.config.is_some() {
        warn!(
            "at boot {} is read, not this file: ip-lockdown.service needs a drop-in with the same \
             --config",
            sys::config::PATH
        );
    }
    if common.layers != LayersChoice::Auto || common.variant != VariantChoice::Auto {
        warn!(
            "at boot, variant and layers are chosen anew: ip-lockdown.service needs a drop-in with \
             the same options"
        );
    }
}

pub(super) fn disable(args: &DisableArgs, common: &CommonArgs) -> Result<ExitCode, CommandError> {
    privileges::need_root()?;
    let links = systemd::disable()?;
    let mut said = vec![match links.is_empty() {
        true => format!("{}: disabled already", systemd::BOOT_UNIT),
        false => format!("{}: disabled ({links})", systemd::BOOT_UNIT),
    }];
    said.push(format!("{}: left as it is", config::path(common).display()));
    if !args.now {
        said.push(
            "what is locked stays locked until the next boot, or `ip-lockdown remove`".to_owned(),
        );
        say(&said, "disable", args.now, common.output)?;
        return Ok(ExitCode::Success);
    }
    if systemd::is_running() {
        systemd::stop()?;
        said.push(format!("{}: stopped", systemd::BOOT_UNIT));
    }
    say(&said, "disable", args.now, common.output)?;
    let all = RemoveArgs {
        address: None,
        only: false,
    };
    remove::run(&all, common)
}

/// What was done; `follows`: as log lines, where another object of JSON follows.
fn say(lines: &[String], command: &str, follows: bool, format: Format) -> Result<(), CommandError> {
    match format {
        Format::Text => {
            let mut text = lines.join("\n");
            text.push('\n');
            print(text.as_bytes())?;
        }
        Format::Json if follows => lines.iter().for_each(|line| info!("{line}")),
        Format::Json => {
            #[derive(Serialize)]
            struct Body<'a> {
                done: &'a [String],
            }
            print_json(command, ExitCode::Success, Body { done: lines })?;
        }
    }
    Ok(())
}
