//! Which of the configured services a command is for, and a look at each.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::load;
use crate::azure::http::is_loopback;
use crate::clock::{Clock, SystemClock};
use crate::compose::{compose, silent};
use crate::config::{Config, Environment, ServiceConfig, StateConfig};
use crate::engine::{Engine, Narrator, Preview, RunError};
use crate::report::text::command::{
    NOT_A_TERMINAL, NOT_IN_OWN_MEMORY, NOTHING_DONE, OWN_MEMORY, not_configured, still_checking,
    waits_in_turn, without_the_journal,
};
use crate::report::text::snapshot::cut_off_by_keys;
use crate::report::text::{file_name, readable, rounded};
use crate::report::{RunEvent, cause, once};
use crate::store::{self, Lease, StoreError};
use crate::terminal::{self, Answer, Exit};
use rekey_core::model::printable;

/// How long Azure may take to show one service: a read and all its retries.
pub(super) const PATIENCE: TimeDelta = TimeDelta::minutes(2);

/// How long a command waits for another run, and how often it asks: a run that was killed has the lease for two minutes.
const TURN: TimeDelta = TimeDelta::seconds(125);
const AGAIN: Duration = Duration::from_millis(500);

/// How long a command says nothing while it looks.
const SILENCE: TimeDelta = TimeDelta::seconds(3);

/// The parts, put together for a command.
pub(super) fn rekey(environment: &Environment, narrator: Narrator) -> Result<Engine, Exit> {
    put_together(load(environment)?, environment, narrator)
}

/// The same, of a configuration at hand.
pub(super) fn put_together(
    config: Config,
    environment: &Environment,
    narrator: Narrator,
) -> Result<Engine, Exit> {
    compose(config, environment, Arc::new(SystemClock), narrator).map_err(|error| {
        terminal::complain(&cause::told(&error));
        Exit::Wrong
    })
}

/// Whether Azure is the simulator, with which nothing can be lost.
pub(super) fn is_simulated(config: &Config) -> bool {
    is_loopback(&config.azure.resource_manager)
}

/// Whether a command and the deployed app would know nothing of each other: their journal is in no storage.
pub(super) fn has_no_journal(config: &Config) -> bool {
    // A storage on this machine is the emulator's, and no deployed app has its journal there.
    let here = match &config.state {
        StateConfig::Memory => true,
        StateConfig::Blob(blob) => is_loopback(&blob.endpoint),
    };
    here && !is_simulated(config)
}

/// The parts, and the services that are named (all if none is), for a command that writes what is on record of them; or what
/// is said where the journal of the deployed app is out of reach. What would end with this process is not begun.
pub(super) fn on_record(
    named: &[String],
    environment: &Environment,
    out_of_reach: impl FnOnce() -> String,
) -> Result<(Engine, Vec<ServiceConfig>), Exit> {
    let rekey = rekey(environment, silent())?;
    let services = chosen(&rekey.config, named)?.into_iter().cloned().collect();
    if has_no_journal(&rekey.config) {
        terminal::complain(&out_of_reach());
        return Err(Exit::Wrong);
    }
    if is_own_memory(&rekey.config) {
        terminal::complain(NOT_IN_OWN_MEMORY);
        return Err(Exit::Wrong);
    }
    Ok((rekey, services))
}

/// The same for one service.
pub(super) fn one_on_record(
    named: &String,
    environment: &Environment,
    out_of_reach: impl FnOnce() -> String,
) -> Result<(Engine, ServiceConfig), Exit> {
    let (rekey, services) = on_record(std::slice::from_ref(named), environment, out_of_reach)?;
    Ok((rekey, services.into_iter().next().ok_or(Exit::Wrong)?))
}

/// Asks whether to go on, unless that was said already; how the command ends if nobody says yes.
pub(super) fn confirmed(said: bool, question: &str) -> Result<(), Exit> {
    if said {
        return Ok(());
    }
    match terminal::ask(question) {
        Answer::Yes => Ok(()),
        Answer::No => {
            terminal::complain(NOTHING_DONE);
            Err(Exit::Failed)
        }
        Answer::Nobody => {
            terminal::complain(NOT_A_TERMINAL);
            Err(Exit::Wrong)
        }
    }
}

/// Whether the journal is in the memory of this process alone: what others did against the simulator is not in it.
fn is_own_memory(config: &Config) -> bool {
    config.state == StateConfig::Memory && is_simulated(config)
}

/// Says so in one line. Whether that is so.
pub(super) fn warn_of_own_memory(config: &Config) -> bool {
    let own = is_own_memory(config);
    if own {
        terminal::complain(OWN_MEMORY);
    }
    own
}

/// Says in one line that a command works without what the deployed app knows. Whether that is so.
pub(super) fn warn_of_no_journal(config: &Config) -> bool {
    let alone = has_no_journal(config);
    if alone {
        terminal::complain(&without_the_journal());
    }
    alone
}

/// What a check of a service showed, or why it could not be looked at.
pub(super) struct Seen {
    pub(super) instance: ServiceConfig,
    pub(super) found: Result<Preview, String>,
}

/// The parts for a command that only looks, after a word on what it cannot know.
pub(super) fn onlooker(environment: &Environment) -> Result<Engine, Exit> {
    let rekey = rekey(environment, silent())?;
    warn_of_no_journal(&rekey.config);
    warn_of_own_memory(&rekey.config);
    Ok(rekey)
}

/// A look at each of these instances, those with trouble first.
pub(super) async fn look_with(rekey: &Engine, instances: &[&ServiceConfig]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut silent_until = Some(SystemClock.now() + SILENCE);
    for (number, instance) in instances.iter().enumerate() {
        let mut look = pin!(rekey.preview(instance, SystemClock.now() + PATIENCE));
        let found = match silent_until {
            None => look.await,
            Some(until) => tokio::select! {
                biased;
                found = &mut look => found,
                () = SystemClock.sleep_until(until) => {
                    silent_until = None;
                    let left = instances.len() - number;
                    terminal::mention(&still_checking(instance.id.name(), left, rounded(PATIENCE.to_std().unwrap_or_default())));
                    look.await
                }
            },
        };
        let found = match found {
            Ok(preview) => Ok(preview),
            Err(error) => Err(told(rekey, instance, &error).await),
        };
        seen.push(Seen { instance: (*instance).clone(), found });
    }
    seen.sort_by_key(|seen| seen.found.as_ref().is_ok_and(|preview| preview.trouble().is_empty()));
    seen
}

/// Why a service could not be looked at. Who is known to be cut off by that is said first.
async fn told(rekey: &Engine, instance: &ServiceConfig, error: &RunError) -> String {
    let (why, cut_off) = (cause::told(error), rekey.cut_off_by(error, instance).await);
    if cut_off.is_empty() {
        return why;
    }
    format!("{}; {why}", cut_off_by_keys(&cut_off))
}

/// Complains of what could not be looked at. Whether all is well, as an exit code.
pub(super) fn complain_of_unseen(seen: &[Seen]) -> Exit {
    let trouble = |seen: &Seen| seen.found.as_ref().is_ok_and(|preview| !preview.trouble().is_empty());
    let exit = complain_once(failed(seen));
    if seen.iter().any(trouble) { Exit::Failed } else { exit }
}

/// A line for each that could not be looked at.
pub(super) fn failed(seen: &[Seen]) -> Vec<String> {
    let line = |seen: &Seen| Some(format!("{}: {}", seen.instance.id.name(), seen.found.as_ref().err()?));
    seen.iter().filter_map(line).collect()
}

/// Tells what failed, each cause once, and how the command ends with that.
pub(super) fn complain_once(failed: Vec<String>) -> Exit {
    let exit = if failed.is_empty() { Exit::Done } else { Exit::Failed };
    once::all(failed).iter().for_each(|line| terminal::complain_of(line));
    exit
}

/// The configured services that were named, by name or by resource id; all if none is.
pub(super) fn chosen<'a>(config: &'a Config, named: &[String]) -> Result<Vec<&'a ServiceConfig>, Exit> {
    if named.is_empty() {
        return Ok(config.instances.iter().collect());
    }
    let mut chosen: Vec<&ServiceConfig> = Vec::new();
    for name in named {
        let fits = |instance: &&ServiceConfig| {
            instance.id.name().eq_ignore_ascii_case(name) || name.parse() == Ok(instance.id.clone())
        };
        let found: Vec<_> = config.instances.iter().filter(fits).collect();
        if found.is_empty() {
            terminal::complain(&unknown(config, name));
            return Err(Exit::Wrong);
        }
        chosen.retain(|known| !found.iter().any(|one| one.id == known.id));
        chosen.extend(found);
    }
    Ok(chosen)
}

fn unknown(config: &Config, name: &str) -> String {
    let known: Vec<&str> = config.instances.iter().map(|instance| instance.id.name()).collect();
    not_configured(printable(name), file_name(), known.join(", "))
}

/// The lease of the journal. A run that waits for something gives it to who calls; one that was killed has it for two minutes.
pub(super) async fn in_turn(
    rekey: &Engine,
    service: &ServiceConfig,
    command: &str,
) -> Result<Lease, StoreError> {
    let holder = format!("{command}/{}", uuid::Uuid::new_v4());
    let patience = rekey.clock.now() + TURN;
    let mut is_told = false;
    loop {
        let (store, clock) = (Arc::clone(&rekey.store), Arc::clone(&rekey.clock));
        match Lease::acquire(store, clock, &service.id, &holder).await {
            Err(StoreError::Held { holder, .. }) if rekey.clock.now() < patience => {
                if !is_told {
                    is_told = true;
                    terminal::mention(&waits_in_turn(service.id.name(), holder, readable(patience)));
                    if let Err(error) = store::call(&*rekey.store, &service.id).await {
                        let why = cause::told(&error);
                        terminal::mention(&format!("{}: {}", service.id.name(), RunEvent::NotCalled { why }));
                    }
                }
                rekey.clock.sleep(AGAIN).await;
            }
            // Somebody was faster, and has it now.
            Err(StoreError::Changed) if rekey.clock.now() < patience => {}
            lease => return lease,
        }
    }
}
