//! When the function app last looked at itself, in one small document, `doctor.json`: on Flex Consumption nearly each of the
//! timer's runs is the first of its process, and a look a day is enough.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Found, Store, StoreError};
use crate::report::cause;

/// Its name. Journals are in folders, so none has it.
const NAME: &str = "doctor.json";

/// How long a look is good for.
const GOOD_FOR: TimeDelta = TimeDelta::days(1);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Examined {
    /// What was looked at: names a release and a configuration.
    what: String,
}

/// Whether this was looked at within a day; if not, it is put on record that it is looked at now.
pub(crate) async fn was_examined(store: &dyn Store, what: &str) -> Result<bool, StoreError> {
    let Found { document, modified, at } = store.get(NAME).await?;
    // What cannot be read any more is written anew.
    let same = |body: &[u8]| serde_json::from_slice(body).is_ok_and(|Examined { what: known }| known == what);
    if document.as_ref().is_some_and(|(body, _)| same(body)) && at < modified + GOOD_FOR {
        return Ok(true);
    }
    let body = serde_json::to_vec(&Examined { what: what.to_owned() })
        .map_err(|error| StoreError::Unavailable(cause::told(&error)))?;
    match store.put(NAME, body, document.as_ref().map(|(_, etag)| etag)).await {
        // Another process was faster, and looks.
        Err(StoreError::Changed) => Ok(true),
        written => written.map(|_| false),
    }
}
