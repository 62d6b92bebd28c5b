//! `unblock`: after a person has looked, lets what was refused or came to nothing be tried again at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;

use super::instances::{PATIENCE, confirmed, in_turn, one_on_record};
use crate::azure::http::{ask_health, shown};
use crate::clock::{Clock, SystemClock};
use crate::config::{Environment, ServiceConfig};
use crate::engine::{Engine, Preview, RunError};
use crate::report::cause;
use crate::report::text::journal::history;
use crate::report::text::snapshot::warnings;
use crate::report::text::{InWords, command as text, readable};
use crate::store::{Draft, Lease, StoreError, in_the_way};
use crate::terminal::{self, Exit};
use rekey_core::journal::{Event, Gate};
use rekey_core::model::ConsumerId;
use rekey_core::plan::Unknown;

/// The arguments of `unblock`.
#[derive(Debug, Args)]
pub(super) struct UnblockArgs {
    /// The name or resource id of a configured service
    instance: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn unblock(args: UnblockArgs, environment: &Environment) -> Exit {
    match Box::pin(try_unblock(&args, environment)).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_unblock(args: &UnblockArgs, environment: &Environment) -> Result<Exit, Exit> {
    let (rekey, instance) = one_on_record(&args.instance, environment, text::unblock_no_journal)?;
    let instance = &instance;
    let told = |error: RunError| failed(instance, &error);
    let preview = rekey.preview(instance, SystemClock.now() + PATIENCE).await;
    let preview = preview.map_err(told)?;
    let lease = strange_lease(&rekey, instance).await.map_err(|error| told(error.into()))?;
    let in_the_way = in_the_way(&*rekey.store, &preview.journal, &instance.id).await;
    let in_the_way =
        in_the_way.map_err(|error| told(error.into()))?.map(|name| text::unblock_evidence(&name));
    let found = preview.journal.obstacles().iter().map(InWords::in_words).collect::<Vec<_>>();
    let found: Vec<String> = lease.into_iter().chain(found).chain(in_the_way).collect();
    show(instance, &preview, &found);
    if found.is_empty() {
        return Ok(nothing_to_clear(instance, &preview));
    }
    still_ill(&rekey, instance, &preview).await;
    confirmed(args.yes, text::UNBLOCK_QUESTION)?;
    clear(&rekey, instance).await.map_err(told)?;
    terminal::say(&cleared(found.len(), needs_nobody(&preview)));
    Ok(Exit::Done)
}

/// Warns of those who did not come back and do not answer well now either. It hinders nobody: who is ill for another reason is
/// to be left behind at times.
async fn still_ill(rekey: &Engine, instance: &ServiceConfig, preview: &Preview) {
    let journal = &preview.journal;
    let failed = journal.wave().filter(|wave| matches!(wave.gate, Gate::Failed { .. }));
    let of_wave = failed.into_iter().flat_map(|wave| &wave.apps);
    let repaired = journal.repair().filter(|repair| repair.failed.is_some());
    let apps: BTreeSet<&ConsumerId> =
        of_wave.chain(repaired.into_iter().flat_map(|repair| &repair.apps)).collect();
    for (app, url) in apps.into_iter().filter_map(|app| Some((app, instance.health.get(app)?))) {
        if let Err(why) = ask_health(&rekey.http, url).await {
            terminal::complain(&text::unblock_still_ill(app.name(), shown(url), why));
        }
    }
}

fn failed(instance: &ServiceConfig, error: &RunError) -> Exit {
    terminal::complain_of(&format!("{}: {}", instance.id.name(), cause::told(error)));
    if is_of_another_run(error) {
        terminal::complain(&format!("  {}", text::UNBLOCK_OTHER_RUN));
        return Exit::Unfinished;
    }
    Exit::Failed
}

/// Whether the journal is another's at the moment, as where `rotate` ends unfinished.
pub(super) const fn is_of_another_run(error: &RunError) -> bool {
    matches!(error, RunError::Store(StoreError::Held { .. } | StoreError::Changed))
}

/// A lease that no run of ours can have, if the journal has one.
async fn strange_lease(rekey: &Engine, instance: &ServiceConfig) -> Result<Option<String>, StoreError> {
    let (store, clock) = (Arc::clone(&rekey.store), Arc::clone(&rekey.clock));
    match Draft::read(store, clock, &instance.id, "unblock").await {
        Err(StoreError::StrangeLease { holder, claims, .. }) => {
            Ok(Some(text::unblock_lease(&holder, readable(claims))))
        }
        Ok(_) | Err(StoreError::Held { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is known: how it stands, what would be forgotten, what has to be cured, and what was done last.
fn show(instance: &ServiceConfig, preview: &Preview, found: &[String]) {
    terminal::tell(&format!("{}: {}", instance.id.name(), preview.decision.in_words()));
    for obstacle in found {
        terminal::tell(&text::unblock_to_be_cleared(obstacle));
    }
    let passing: Vec<String> = passing(preview).map(InWords::in_words).collect();
    for warning in warnings(&preview.snapshot) {
        let passes = passing.contains(&warning);
        let told =
            if passes { text::unblock_passes(&warning) } else { text::unblock_to_be_resolved(&warning) };
        terminal::tell(&told);
    }
    let history = history(&preview.journal);
    for (entry, told) in &history[history.len().saturating_sub(5)..] {
        terminal::tell(&format!("  {}  {told}", readable(entry.at)));
    }
}

/// What Azure was too busy to show, which nobody has to resolve.
fn passing(preview: &Preview) -> impl Iterator<Item = &Unknown> {
    preview.snapshot.unknown.iter().filter(|unknown| !unknown.lasts())
}

fn needs_nobody(preview: &Preview) -> bool {
    preview.snapshot.unknown.len() == passing(preview).count()
}

/// That a command had nothing to do is not what whoever typed it expects.
fn nothing_to_clear(instance: &ServiceConfig, preview: &Preview) -> Exit {
    let next = if needs_nobody(preview) { text::UNBLOCK_AS_ABOVE } else { text::UNBLOCK_RESOLVE };
    terminal::complain(&text::unblock_nothing_to_clear(instance.id.name(), next));
    Exit::Failed
}

fn cleared(count: usize, needs_nobody: bool) -> String {
    let next = if needs_nobody { text::UNBLOCK_RETRIES } else { text::UNBLOCK_STILL_BLOCKED };
    match count {
        1 => text::unblock_cleared(text::UNBLOCK_ONE, next),
        _ => text::unblock_cleared(text::unblock_many(count), next),
    }
}

async fn clear(rekey: &Engine, instance: &ServiceConfig) -> Result<(), RunError> {
    let mut lease = match in_turn(rekey, instance, "unblock").await {
        Err(StoreError::StrangeLease { .. }) => {
            let (store, clock) = (Arc::clone(&rekey.store), Arc::clone(&rekey.clock));
            Lease::acquire_by_hand(store, clock, &instance.id, "unblock").await?
        }
        lease => lease?,
    };
    lease.record(Event::Unblocked {})?;
    // What cannot be read is told, and the lease is given back all the same.
    let found = in_the_way(&*rekey.store, lease.journal(), &instance.id).await;
    let begun = match &found {
        Ok(Some(found)) => lease.record(Event::EvidenceBegun { found: found.clone() }),
        _ => Ok(()),
    };
    lease.release().await?;
    begun?;
    found?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_run_at_work_nothing_is_finished_and_it_is_said_when_to_come_again() {
        let file = "[[instance]]\nid = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/chat\"\n\
            apps = [\"/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/web\"]\n";
        let config = crate::config::load_from(
            file,
            "rekey.toml",
            &Environment::from_iter([("REKEY_STATE", "memory")]),
        );
        let instance = config.unwrap().instances[0].clone();
        let held = StoreError::Held { holder: "timer/1".to_owned(), until: SystemClock.now(), heard: 0 };
        assert_eq!(failed(&instance, &held.into()), Exit::Unfinished);
        assert_eq!(failed(&instance, &StoreError::Changed.into()), Exit::Unfinished);
        assert_eq!(failed(&instance, &StoreError::Unavailable("no answer".to_owned()).into()), Exit::Failed);
        assert_eq!(failed(&instance, &RunError::OutOfTime), Exit::Failed);
    }
}
