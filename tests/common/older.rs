//! A release that knows journals of format 1 alone, by the rules that it goes by: what it reads, what it refuses and with which
//! words, and the lease that it takes in the document (`src/store.rs` of that release).

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rekey_core::model::ServiceId;
use serde_json::{Value, json};
use signalr_rekey::clock::Clock;
use signalr_rekey::store::{ETag, Store, StoreError};

use super::format_1_name;

const LEASE: TimeDelta = TimeDelta::seconds(120);

/// Why it does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// In its own words.
    Unreadable(String),
    Held,
    Changed,
}

/// Its run, with the lease.
#[derive(Debug)]
pub struct OlderRun {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    name: String,
    holder: &'static str,
    document: Value,
    etag: Option<ETag>,
}

impl OlderRun {
    /// Reads the journal and takes the lease.
    pub async fn begin(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        service: &ServiceId,
        holder: &'static str,
    ) -> Result<Self, Refused> {
        let name = format_1_name(service);
        let found = store.get(&name).await.unwrap();
        let (document, etag) = match found.document {
            None => (json!({"version": 1, "service": null, "lease": null, "journal": Value::Null}), None),
            Some((body, etag)) => (read(&name, &body)?, Some(etag)),
        };
        let until = |lease: &Value| {
            let expires: DateTime<Utc> = lease["expires"].as_str().unwrap().parse().unwrap();
            expires.min(found.modified + LEASE)
        };
        let lease = &document["lease"];
        if lease.is_object() && until(lease) > found.at && lease["holder"] != holder {
            return Err(Refused::Held);
        }
        let mut run = Self { store, clock, name, holder, document, etag };
        run.write(true).await?;
        Ok(run)
    }

    /// Takes something down, as of now, and renews the lease with it.
    pub async fn record(&mut self) -> Result<DateTime<Utc>, Refused> {
        let at = self.clock.now();
        let entry = json!({"at": at, "event": {"type": "unblocked"}});
        self.document["journal"]["history"].as_array_mut().unwrap().push(entry);
        self.write(true).await?;
        Ok(at)
    }

    /// Gives the lease back.
    pub async fn end(mut self) -> Result<(), Refused> {
        self.write(false).await
    }

    async fn write(&mut self, lease: bool) -> Result<(), Refused> {
        let expires = self.clock.now() + LEASE;
        self.document["lease"] =
            if lease { json!({"holder": self.holder, "expires": expires}) } else { Value::Null };
        let body = serde_json::to_vec_pretty(&self.document).unwrap();
        match self.store.put(&self.name, body, self.etag.as_ref()).await {
            Ok(stored) => self.etag = Some(stored.etag),
            Err(StoreError::Changed) => return Err(Refused::Changed),
            Err(error) => panic!("{error}"),
        }
        Ok(())
    }
}

/// It looks at the version first, and at nothing else of a document whose version it does not know.
fn read(name: &str, body: &[u8]) -> Result<Value, Refused> {
    let unreadable = |detail: String| {
        Refused::Unreadable(format!(
            "the journal {name} cannot be read ({detail}); it is left as it is and nothing is done to the instance"
        ))
    };
    let document: Value = serde_json::from_slice(body).map_err(|_| unreadable("it is no journal".into()))?;
    let version = document["version"].as_u64().and_then(|version| u32::try_from(version).ok());
    match version {
        Some(1) if document["journal"].is_object() => Ok(document),
        Some(1) => Err(unreadable("it is no journal".into())),
        Some(version) => Err(unreadable(format!("version {version} is unknown to this release"))),
        None => Err(unreadable("it is no journal".into())),
    }
}
