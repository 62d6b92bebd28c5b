//! Small documents beside the journals, for whoever meets a lease may not write the journal: that would break the lease.
//!
//! *Calls*, from a run that waits to the run that has the lease, whatever process each is in: check again, somebody is being cut
//! off. They are numbered in a document beside the journal. The run that has the lease reads the number at each of its polls,
//! checks again, and once everybody was seen with a valid key writes the number into the journal
//! ([`Journal::heard`](rekey_core::journal::Journal::heard)). So who called knows that it was checked after his call, and his
//! call came after what he knows of.
//!
//! `timer.json`: that the timer ran, how many of its runs in a row did not finish a service, because their time was over or
//! another run had the lease, and when each service was last read in full. One run that does not finish is nothing; a second one
//! in a row means that nothing gets done. The timer's runs alone write it, one at a time, once for all services; when they did is
//! the storage's to say.
//!
//! `doctor.json`: when the function app last looked at itself. On Flex Consumption nearly each of the timer's runs is the first of
//! its process, and a check a day is enough.

use crate::report::text::azure as words;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::document::{holds_the_lease, name_of, place};
use super::{ETag, Found, Store, StoreError};
use crate::report::cause;
use rekey_core::model::ServiceId;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Calls {
    /// The number of the last.
    calls: u64,
}

/// Calls; the number of the call.
pub async fn call(store: &dyn Store, instance: &ServiceId) -> Result<u64, StoreError> {
    // A run of an older release, which has the lease of format 1, reads the calls beside that.
    let journal = holds_the_lease(store, instance).await?;
    let name = beside(&journal);
    let Found { document, at, .. } = store.get(&name).await?;
    let last = document.as_ref().map_or(Ok(0), |(body, _)| read_calls(&name, body, at))?;
    // By the storage's clock: where somebody has deleted the document, no number comes again that was heard before.
    let number = millis(at).max(last.saturating_add(1));
    let body = serde_json::to_vec(&Calls { calls: number })
        .map_err(|error| StoreError::Unavailable(cause::told(&error)))?;
    match store.put(&name, body, document.as_ref().map(|(_, etag)| etag)).await {
        Ok(_) => Ok(number),
        // Whoever was faster wrote after this call was begun, so his stands for this one too.
        Err(StoreError::Changed) => last_call(store, &name).await,
        Err(error) => Err(error),
    }
}

/// The number of the last call.
pub async fn calls(store: &dyn Store, instance: &ServiceId) -> Result<u64, StoreError> {
    last_call(store, &beside(&name_of(instance))).await
}

async fn last_call(store: &dyn Store, name: &str) -> Result<u64, StoreError> {
    let Found { document, at, .. } = store.get(name).await?;
    document.map_or(Ok(0), |(body, _)| read_calls(name, &body, at))
}

fn beside(journal: &str) -> String {
    format!("{}.calls.json", journal.trim_end_matches(".json"))
}

/// Numbers are times of the storage's clock; one of the future was written by somebody else, and would be heard for ever.
fn read_calls(name: &str, body: &[u8], at: DateTime<Utc>) -> Result<u64, StoreError> {
    let unreadable = |detail| StoreError::Unreadable { name: name.to_owned(), detail };
    let Calls { calls } = serde_json::from_slice(body).map_err(|error| unreadable(place(&error)))?;
    if calls > millis(at + TimeDelta::hours(1)) {
        return Err(unreadable(words::DOCUMENT_FROM_THE_FUTURE.to_owned()));
    }
    Ok(calls)
}

fn millis(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or_default()
}

/// Its name. Journals are in folders, so none has it.
const TIMER: &str = "timer.json";

/// How often it is written anew because another run of the timer wrote it in between: the Functions host runs one at a time,
/// unless the lock by which it does so is lost.
const CROWDED: u32 = 4;

/// What a run of the timer leaves to the next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timer {
    /// How many runs in a row have not finished a service; of those that were finished nothing is said.
    pub unfinished: BTreeMap<ServiceId, u32>,
    /// What the webhook was told of and goes on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<ServiceId, Told>,
    /// The release and the configuration with which services were read in full.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub with: String,
    /// When each service was last read in full, of those that were in order then and since.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub read: BTreeMap<ServiceId, DateTime<Utc>>,
}

/// What somebody was told of, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Told {
    /// The type of the event that told of it.
    pub what: String,
    /// When they were told.
    pub at: DateTime<Utc>,
    /// Who was cut off then.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub cut_off: BTreeSet<String>,
}

/// What was found on record of earlier runs of the timer, each in a process of its own.
#[derive(Debug)]
pub struct TimerFound {
    pub timer: Timer,
    etag: Option<ETag>,
}

/// What is on record of the timer's runs.
pub(crate) async fn timer(store: &dyn Store) -> Result<TimerFound, StoreError> {
    let Found { document, .. } = store.get(TIMER).await?;
    let Some((body, etag)) = document else { return Ok(TimerFound { timer: Timer::default(), etag: None }) };
    let unreadable = |error| StoreError::Unreadable { name: TIMER.to_owned(), detail: place(&error) };
    Ok(TimerFound { timer: serde_json::from_slice(&body).map_err(unreadable)?, etag: Some(etag) })
}

/// Takes down a run of the timer with what it leaves, and for each service whether it was finished; how many in a row have not
/// finished each that was not, with this one. What was `found` when it began need not be read again.
pub async fn timer_ran(
    store: &dyn Store,
    mut found: Option<TimerFound>,
    services: &[(ServiceId, bool)],
    leaves: &Timer,
) -> Result<BTreeMap<ServiceId, u32>, StoreError> {
    let mut crowded = 0;
    loop {
        let before = match found.take() {
            Some(found) => found,
            None => timer_to_overwrite(store).await?,
        };
        match count_run(store, before, services, leaves).await {
            Err(StoreError::Changed) if crowded < CROWDED => crowded += 1,
            counted => return counted,
        }
    }
}

/// What cannot be read is written anew: a count that is lost begins anew, and the timer is seen to run.
async fn timer_to_overwrite(store: &dyn Store) -> Result<TimerFound, StoreError> {
    let Found { document, .. } = store.get(TIMER).await?;
    let timer = document.as_ref().and_then(|(body, _)| serde_json::from_slice(body).ok());
    Ok(TimerFound { timer: timer.unwrap_or_default(), etag: document.map(|(_, etag)| etag) })
}

async fn count_run(
    store: &dyn Store,
    TimerFound { timer: before, etag }: TimerFound,
    services: &[(ServiceId, bool)],
    leaves: &Timer,
) -> Result<BTreeMap<ServiceId, u32>, StoreError> {
    let unfinished = services.iter().filter(|(_, finished)| !finished).map(|(service, _)| {
        let runs = before.unfinished.get(service).copied().unwrap_or_default().saturating_add(1);
        (service.clone(), runs)
    });
    let timer = Timer { unfinished: unfinished.collect(), ..leaves.clone() };
    write_timer(store, &timer, etag.as_ref()).await?;
    Ok(timer.unfinished)
}

/// When the timer last ran, and the time of now, both by the storage's clock. Where it never ran, that begins to count
/// from now.
pub(crate) async fn timer_last_ran(store: &dyn Store) -> Result<(DateTime<Utc>, DateTime<Utc>), StoreError> {
    let Found { document, modified, at } = store.get(TIMER).await?;
    if document.is_some() {
        return Ok((modified, at));
    }
    match write_timer(store, &Timer::default(), None).await {
        Ok(()) | Err(StoreError::Changed) => Ok((at, at)),
        Err(error) => Err(error),
    }
}

async fn write_timer(store: &dyn Store, timer: &Timer, expected: Option<&ETag>) -> Result<(), StoreError> {
    let body = serde_json::to_vec(timer).map_err(|error| StoreError::Unavailable(cause::told(&error)))?;
    store.put(TIMER, body, expected).await?;
    Ok(())
}

/// Its name. Journals are in folders, so none has it.
const EXAMINED: &str = "doctor.json";

/// How long a check is good for.
const GOOD_FOR: TimeDelta = TimeDelta::days(1);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Examined {
    /// What was looked at: names a release and a configuration.
    what: String,
}

/// Whether this was looked at within a day; if not, it is put on record that it is looked at now.
pub(crate) async fn was_examined(store: &dyn Store, what: &str) -> Result<bool, StoreError> {
    let Found { document, modified, at } = store.get(EXAMINED).await?;
    // What cannot be read any more is written anew.
    let same = |body: &[u8]| serde_json::from_slice(body).is_ok_and(|Examined { what: known }| known == what);
    if document.as_ref().is_some_and(|(body, _)| same(body)) && at < modified + GOOD_FOR {
        return Ok(true);
    }
    let body = serde_json::to_vec(&Examined { what: what.to_owned() })
        .map_err(|error| StoreError::Unavailable(cause::told(&error)))?;
    match store.put(EXAMINED, body, document.as_ref().map(|(_, etag)| etag)).await {
        // Another process was faster, and looks.
        Err(StoreError::Changed) => Ok(true),
        written => written.map(|_| false),
    }
}
