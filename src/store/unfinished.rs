//! How many runs in a row ended without having finished: their time was over, or another run held the lease. One such run
//! is nothing; a second one in a row means that nothing gets done.
//!
//! The count is a document of its own beside the journal, for a run that meets a lease may not write the journal: that
//! would break the lease. The timer's runs alone write it, one at a time.

use serde::{Deserialize, Serialize};

use super::{Found, Store, StoreError, document_name, place};
use crate::model::InstanceId;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unfinished {
    runs: u32,
}

/// Counts a run of the timer that ended; how many in a row have not finished, with this one.
pub async fn count_unfinished(
    store: &dyn Store,
    instance: &InstanceId,
    finished: bool,
) -> Result<u32, StoreError> {
    let name = format!("{}.unfinished.json", document_name(instance).trim_end_matches(".json"));
    let Found { document, .. } = store.get(&name).await?;
    let before = match &document {
        None => 0,
        Some((body, _)) => read(&name, body)?.runs,
    };
    let runs = if finished { 0 } else { before.saturating_add(1) };
    if runs != before {
        let body = serde_json::to_vec(&Unfinished { runs })
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        store.put(&name, body, document.as_ref().map(|(_, etag)| etag)).await?;
    }
    Ok(runs)
}

fn read(name: &str, body: &[u8]) -> Result<Unfinished, StoreError> {
    serde_json::from_slice(body)
        .map_err(|error| StoreError::Unreadable { name: name.to_owned(), detail: place(&error) })
}
