//! The documents that prove what was changed ([`rekey_core::evidence`]): written once, and never anew.

use std::sync::Arc;

use super::lease::put_surely;
use super::{EVIDENCE, Found, Store, StoreError};
use crate::clock::Clock;
use rekey_core::evidence::{Document, next};
use rekey_core::journal::Journal;
use rekey_core::model::ServiceId;

/// Writes a document. One that is there already is as good, if it is the same: whoever wrote it died before he put that on record.
pub(crate) async fn keep_evidence(
    store: &dyn Store,
    clock: &Arc<dyn Clock>,
    document: &Document,
) -> Result<(), StoreError> {
    let name = format!("{EVIDENCE}{}", document.name);
    match put_surely(store, clock, &name, &document.body, None).await {
        Ok(_) => Ok(()),
        Err(StoreError::Changed) => Err(StoreError::OtherEvidence { name: document.name.clone() }),
        Err(error) => Err(of_evidence(error)),
    }
}

/// A failure of the storage, of a document: no journal is concerned, and what the document tells of is done.
fn of_evidence(error: StoreError) -> StoreError {
    let passes = error.is_passing();
    match error {
        StoreError::Refused(refusal) => StoreError::NoEvidence { why: refusal.of_evidence(), passes },
        StoreError::Unavailable(why) => StoreError::NoEvidence { why, passes },
        other => other,
    }
}

/// The name of the document that stands in the way of the next one, if another does.
pub(crate) async fn in_the_way(
    store: &dyn Store,
    journal: &Journal,
    service: &ServiceId,
) -> Result<Option<String>, StoreError> {
    let Ok(Some(next)) = next(journal, service) else { return Ok(None) };
    let there = evidence(store, &next.name).await?;
    Ok(there.filter(|there| *there != next.body).map(|_| next.name))
}

/// A document, if it is there.
pub async fn evidence(store: &dyn Store, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let got = store.get(&format!("{EVIDENCE}{name}")).await;
    let Found { document, .. } = got.map_err(of_evidence)?;
    Ok(document.map(|(body, _)| body))
}

/// The names of all documents; nothing, if there is no container for them.
pub async fn evidence_names(store: &dyn Store) -> Result<Option<Vec<String>>, StoreError> {
    let mut names = store.list_evidence().await?;
    names.iter_mut().for_each(|names| names.sort());
    Ok(names)
}
