//! Calls from a run that waits to the run that has the lease, whatever process each is in: check again, somebody is being
//! cut off.
//!
//! They are numbered in a document of their own beside the journal, for a run that meets a lease may not write the journal:
//! that would break the lease. The run that has it reads the number at each of its polls, checks again, and once everybody
//! was seen with a valid key writes the number into the journal ([`Journal::heard`](rekey_core::journal::Journal::heard)). So
//! who called knows that it was checked after his call, and his call came after what he knows of.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Found, Store, StoreError, document_name, place};
use crate::report::cause;
use crate::report::text::azure::DOCUMENT_FROM_THE_FUTURE;
use rekey_core::model::ServiceId;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Calls {
    /// The number of the last.
    calls: u64,
}

/// Calls; the number of the call.
pub async fn call(store: &dyn Store, instance: &ServiceId) -> Result<u64, StoreError> {
    let name = name(instance);
    let Found { document, at, .. } = store.get(&name).await?;
    let last = document.as_ref().map_or(Ok(0), |(body, _)| read(&name, body, at))?;
    // By the storage's clock: where somebody has deleted the document, no number comes again that was heard before.
    let number = millis(at).max(last.saturating_add(1));
    let body = serde_json::to_vec(&Calls { calls: number })
        .map_err(|error| StoreError::Unavailable(cause::told(&error)))?;
    match store.put(&name, body, document.as_ref().map(|(_, etag)| etag)).await {
        Ok(_) => Ok(number),
        // Whoever was faster wrote after this call was begun, so his stands for this one too.
        Err(StoreError::Changed) => calls(store, instance).await,
        Err(error) => Err(error),
    }
}

/// The number of the last call.
pub async fn calls(store: &dyn Store, instance: &ServiceId) -> Result<u64, StoreError> {
    let name = name(instance);
    let Found { document, at, .. } = store.get(&name).await?;
    document.map_or(Ok(0), |(body, _)| read(&name, &body, at))
}

fn name(instance: &ServiceId) -> String {
    format!("{}.calls.json", document_name(instance).trim_end_matches(".json"))
}

/// Numbers are times of the storage's clock; one of the future was written by somebody else, and would be heard for ever.
fn read(name: &str, body: &[u8], at: DateTime<Utc>) -> Result<u64, StoreError> {
    let unreadable = |detail| StoreError::Unreadable { name: name.to_owned(), detail };
    let Calls { calls } = serde_json::from_slice(body).map_err(|error| unreadable(place(&error)))?;
    if calls > millis(at + TimeDelta::hours(1)) {
        return Err(unreadable(DOCUMENT_FROM_THE_FUTURE.to_owned()));
    }
    Ok(calls)
}

fn millis(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or_default()
}
