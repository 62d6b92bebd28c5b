//! What the timer leaves behind in one small document, `timer.json`: that it ran, and how many of its runs in a row did not
//! finish a service, because their time was over or another run had the lease. One such run is nothing; a second one in a
//! row means that nothing gets done.
//!
//! It is no part of the journals, for a run that meets a lease may not write the journal: that would break the lease. The
//! timer's runs alone write it, one at a time, once for all services; when they did is the storage's to say.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Found, Store, StoreError, place};
use crate::report::cause;
use rekey_core::model::ServiceId;

/// Its name. Journals are in folders, so none has it.
const NAME: &str = "timer.json";

/// How often it is written anew because another run of the timer wrote it in between: the Functions host runs one at a time,
/// unless the lock by which it does so is lost.
const CROWDED: u32 = 4;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Timer {
    /// How many runs in a row have not finished a service; of those that were finished nothing is said.
    unfinished: BTreeMap<ServiceId, u32>,
    /// What the webhook was told of and goes on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    told: BTreeMap<ServiceId, Told>,
}

/// What somebody was told of, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Told {
    /// The type of the event that told of it.
    pub what: String,
    /// When they were told.
    pub at: DateTime<Utc>,
}

/// What was told of by earlier runs of the timer, each in a process of its own, and went on.
pub(crate) async fn timer_told(store: &dyn Store) -> Result<BTreeMap<ServiceId, Told>, StoreError> {
    let Found { document, .. } = store.get(NAME).await?;
    Ok(document.map_or(Ok(Timer::default()), |(body, _)| read(&body))?.told)
}

/// Takes down a run of the timer, and for each service whether it was finished; how many in a row have not finished each that
/// was not, with this one.
pub async fn timer_ran(
    store: &dyn Store,
    services: &[(ServiceId, bool)],
    told: &BTreeMap<ServiceId, Told>,
) -> Result<BTreeMap<ServiceId, u32>, StoreError> {
    let mut crowded = 0;
    loop {
        match count(store, services, told).await {
            Err(StoreError::Changed) if crowded < CROWDED => crowded += 1,
            counted => return counted,
        }
    }
}

async fn count(
    store: &dyn Store,
    services: &[(ServiceId, bool)],
    told: &BTreeMap<ServiceId, Told>,
) -> Result<BTreeMap<ServiceId, u32>, StoreError> {
    let Found { document, .. } = store.get(NAME).await?;
    // What cannot be read is written anew: a count that is lost begins anew, and the timer is seen to run.
    let Timer { unfinished: before, .. } =
        document.as_ref().and_then(|(body, _)| read(body).ok()).unwrap_or_default();
    let unfinished = services.iter().filter(|(_, finished)| !finished).map(|(service, _)| {
        let runs = before.get(service).copied().unwrap_or_default().saturating_add(1);
        (service.clone(), runs)
    });
    let timer = Timer { unfinished: unfinished.collect(), told: told.clone() };
    write(store, &timer, document.as_ref().map(|(_, etag)| etag)).await?;
    Ok(timer.unfinished)
}

/// When the timer last ran, and the time of now, both by the storage's clock. Where it never ran, that begins to count
/// from now.
pub(crate) async fn timer_last_ran(store: &dyn Store) -> Result<(DateTime<Utc>, DateTime<Utc>), StoreError> {
    let Found { document, modified, at } = store.get(NAME).await?;
    if document.is_some() {
        return Ok((modified, at));
    }
    match write(store, &Timer::default(), None).await {
        Ok(()) | Err(StoreError::Changed) => Ok((at, at)),
        Err(error) => Err(error),
    }
}

async fn write(store: &dyn Store, timer: &Timer, expected: Option<&super::ETag>) -> Result<(), StoreError> {
    let body = serde_json::to_vec(timer).map_err(|error| StoreError::Unavailable(cause::told(&error)))?;
    store.put(NAME, body, expected).await?;
    Ok(())
}

fn read(body: &[u8]) -> Result<Timer, StoreError> {
    serde_json::from_slice(body)
        .map_err(|error| StoreError::Unreadable { name: NAME.to_owned(), detail: place(&error) })
}
