//! Which of the configured instances a command is for, and a look at each.

use std::sync::Arc;

use chrono::TimeDelta;

use super::{Exit, load, output};
use crate::cause;
use crate::clock::{Clock, SystemClock};
use crate::compose::{compose, silent};
use crate::config::{Config, Environment, InstanceConfig, StateConfig};
use crate::http::is_loopback;
use crate::pass::{Narrator, Preview, Rekey};

/// How long Azure may take to show one instance: a read and all its retries.
fn patience() -> TimeDelta {
    TimeDelta::minutes(2)
}

/// The parts, put together for a command.
pub(super) fn rekey(environment: &Environment, narrator: Narrator) -> Result<Rekey, Exit> {
    let config = load(environment)?;
    compose(config, environment, Arc::new(SystemClock), narrator).map_err(|error| {
        output::complain(&cause::told(&error));
        Exit::Wrong
    })
}

/// Without a journal that is shared, a command and a deployed worker know nothing of each other. Whether that is so.
pub(super) fn warn_of_memory(config: &Config) -> bool {
    let alone = config.state == StateConfig::Memory && !is_loopback(&config.azure.resource_manager);
    if alone {
        output::complain(
            "warning: the journal of this command is in memory alone. It does not know what a deployed worker has done or \
             is doing, and waits the grace of every key; set AzureWebJobsStorage__accountName to the storage of the \
             function app to share its journal",
        );
    }
    alone
}

/// A look at each of the instances that were named, those with trouble first. What cannot be looked at is complained of,
/// and the others are shown all the same. The exit code says whether all is well.
pub(super) async fn look_at(
    named: &[String],
    environment: &Environment,
) -> Result<(Vec<(InstanceConfig, Preview)>, Exit), Exit> {
    let rekey = rekey(environment, silent())?;
    warn_of_memory(&rekey.config);
    let (mut seen, mut failed) = (Vec::new(), Vec::new());
    for instance in chosen(&rekey.config, named)? {
        match rekey.preview(instance, SystemClock.now() + patience()).await {
            Ok(preview) => seen.push((instance.clone(), preview)),
            Err(error) => failed.push(format!("{}: {}", instance.id.name(), cause::told(&error))),
        }
    }
    seen.sort_by_key(|(_, preview): &(InstanceConfig, Preview)| preview.trouble().is_empty());
    let trouble = seen.iter().any(|(_, preview)| !preview.trouble().is_empty());
    let exit = complain_once(failed);
    Ok((seen, if trouble { Exit::Failed } else { exit }))
}

/// Tells what failed, each cause once, and how the command ends with that.
pub(super) fn complain_once(failed: Vec<String>) -> Exit {
    let exit = if failed.is_empty() { Exit::Done } else { Exit::Failed };
    cause::once(failed).iter().for_each(|line| output::complain(line));
    exit
}

/// The configured instances that were named, by name or by resource id; all if none is.
pub(super) fn chosen<'a>(config: &'a Config, named: &[String]) -> Result<Vec<&'a InstanceConfig>, Exit> {
    if named.is_empty() {
        return Ok(config.instances.iter().collect());
    }
    let mut chosen: Vec<&InstanceConfig> = Vec::new();
    for name in named {
        let fits = |instance: &&InstanceConfig| {
            instance.id.name().eq_ignore_ascii_case(name) || name.parse() == Ok(instance.id.clone())
        };
        let found: Vec<_> = config.instances.iter().filter(fits).collect();
        if found.is_empty() {
            output::complain(&unknown(config, name));
            return Err(Exit::Wrong);
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

fn unknown(config: &Config, name: &str) -> String {
    let known: Vec<&str> = config.instances.iter().map(|instance| instance.id.name()).collect();
    format!("{name:?} is not configured; rekey.toml has: {}", known.join(", "))
}
