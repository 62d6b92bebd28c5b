//! `unblock`: after a person has looked, lets what was refused or came to nothing be tried again at once.

use std::sync::Arc;

use clap::Args;

use super::instances::{NAME_THE_STORAGE, chosen, has_no_journal, rekey, warn_of_own_memory};
use crate::clock::{Clock, SystemClock};
use crate::compose::silent;
use crate::config::{Environment, ServiceConfig};
use crate::engine::{Engine, Preview, RunError};
use crate::report::cause;
use crate::store::{Draft, Lease, StoreError};
use crate::terminal::{self, Answer, Exit};
use rekey_core::journal::Event;
use rekey_core::time::readable;

/// The arguments of `unblock`.
#[derive(Debug, Args)]
pub(super) struct UnblockArgs {
    /// The name or resource id of a configured instance
    instance: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn unblock(args: UnblockArgs, environment: &Environment) -> Exit {
    match try_unblock(&args, environment).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_unblock(args: &UnblockArgs, environment: &Environment) -> Result<Exit, Exit> {
    let rekey = rekey(environment, silent())?;
    let Some(instance) = chosen(&rekey.config, std::slice::from_ref(&args.instance))?.first().copied() else {
        return Err(Exit::Wrong);
    };
    if has_no_journal(&rekey.config) {
        terminal::complain(&format!(
            "this is without the journal of the deployed app, which is what `unblock` clears; nothing was done. To share \
             it: {NAME_THE_STORAGE}"
        ));
        return Ok(Exit::Wrong);
    }
    warn_of_own_memory(&rekey.config);
    let told = |error: RunError| failed(instance, &error);
    let preview = rekey.preview(instance, SystemClock.now() + chrono::TimeDelta::minutes(2)).await;
    let preview = preview.map_err(told)?;
    let lease = strange_lease(&rekey, instance).await.map_err(|error| told(error.into()))?;
    let found: Vec<String> = lease.into_iter().chain(preview.journal.obstacles()).collect();
    show(instance, &preview, &found);
    if found.is_empty() {
        return Ok(nothing_to_clear(instance, &preview));
    }
    if !args.yes {
        match terminal::ask("Forget these, so that they are tried again at once?") {
            Answer::Yes => {}
            Answer::No => {
                terminal::complain("nothing was done");
                return Ok(Exit::Failed);
            }
            Answer::Nobody => {
                terminal::complain(
                    "nobody is there to ask whether the refusals and failures of this instance are to be forgotten; give \
                     --yes if they are. Nothing was done",
                );
                return Ok(Exit::Wrong);
            }
        }
    }
    clear(&rekey, instance).await.map_err(told)?;
    terminal::say(&done(found.len(), &preview));
    Ok(Exit::Done)
}

fn failed(instance: &ServiceConfig, error: &RunError) -> Exit {
    terminal::complain_of(&format!("{}: {}", instance.id.name(), cause::told(error)));
    Exit::Failed
}

/// A lease that no run of ours can have, if the journal has one.
async fn strange_lease(rekey: &Engine, instance: &ServiceConfig) -> Result<Option<String>, StoreError> {
    let (store, clock) = (Arc::clone(&rekey.store), Arc::clone(&rekey.clock));
    match Draft::read(store, clock, &instance.id, "unblock").await {
        Err(StoreError::StrangeLease { holder, claims, .. }) => {
            let claims = readable(claims);
            Ok(Some(format!("a lease of {holder} until {claims}, longer than any run of ours takes one")))
        }
        Ok(_) | Err(StoreError::Held { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is known: how it stands, what would be forgotten, what has to be cured, and what was done last.
fn show(instance: &ServiceConfig, preview: &Preview, found: &[String]) {
    terminal::tell(&format!("{}: {}", instance.id.name(), preview.decision));
    for obstacle in found {
        terminal::tell(&format!("  to be forgotten: {obstacle}"));
    }
    for warning in preview.snapshot.warnings() {
        terminal::tell(&format!("  to be cured, which this command cannot: {warning}"));
    }
    for entry in preview.journal.history().rev().take(5).collect::<Vec<_>>().into_iter().rev() {
        terminal::tell(&format!("  {}  {}", readable(entry.at), entry.event));
    }
}

/// That a command had nothing to do is not what whoever typed it expects.
fn nothing_to_clear(instance: &ServiceConfig, preview: &Preview) -> Exit {
    let rest = if preview.snapshot.unknown.is_empty() {
        "the next run does what is said above"
    } else {
        "what stands in the way has to be cured, as is said above"
    };
    let name = instance.id.name();
    terminal::complain(&format!(
        "there is nothing to clear: no refusal or failure of {name} is on record, and nothing was done; {rest}"
    ));
    Exit::Failed
}

fn done(found: usize, preview: &Preview) -> String {
    let forgotten = if found == 1 { "it is forgotten" } else { "they are forgotten" };
    if preview.snapshot.unknown.is_empty() {
        format!("{forgotten}; the next run tries again")
    } else {
        format!(
            "{forgotten}; what has to be cured, as is said above, still stands in the way of the next run"
        )
    }
}

async fn clear(rekey: &Engine, instance: &ServiceConfig) -> Result<(), RunError> {
    let holder = format!("unblock/{}", uuid::Uuid::new_v4());
    let store = Arc::clone(&rekey.store);
    let mut lease = Lease::acquire_by_hand(store, Arc::clone(&rekey.clock), &instance.id, &holder).await?;
    lease.record(Event::Unblocked {})?;
    Ok(lease.release().await?)
}
