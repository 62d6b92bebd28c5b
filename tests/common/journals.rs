//! The journals in Azurite, as the handlers see them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signalr_rekey::clock::SystemClock;
use signalr_rekey::store::{Store, StoreError};

use super::azurite;

/// The journals, as the handlers see them.
pub struct Journals(Arc<dyn Store>);

impl Journals {
    pub fn open() -> Self {
        Self(azurite::store(Arc::new(SystemClock)))
    }

    /// The document of an instance.
    pub async fn read(&self, instance: &str) -> Option<Value> {
        let (body, _) = self.0.get(&name(instance)).await.unwrap().document?;
        Some(serde_json::from_slice(&body).expect("the journal is intact"))
    }

    /// Waits until the document of an instance is such.
    pub async fn wait(&self, instance: &str, is_such: impl Fn(&Value) -> bool) {
        for _ in 0..6_000 {
            if self.read(instance).await.is_some_and(|document| is_such(&document)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the journal never came to that: {:?}", self.read(instance).await);
    }

    /// Lets the lease end, as time would, and an intent that has no operation, as a follower would after the longest
    /// operation.
    pub async fn pass_time(&self, instance: &str) {
        loop {
            let (body, etag) = self.0.get(&name(instance)).await.unwrap().document.unwrap();
            let mut document: Value = serde_json::from_slice(&body).unwrap();
            document["lease"]["expires"] = json!("2020-01-01T00:00:00Z");
            if document["journal"]["inFlight"]["operation"].is_null() {
                document["journal"]["inFlight"] = Value::Null;
            }
            match self.0.put(&name(instance), serde_json::to_vec(&document).unwrap(), Some(&etag)).await {
                // The write of a worker was on its way when it was frozen.
                Err(StoreError::Changed) => {}
                done => return drop(done.unwrap()),
            }
        }
    }
}

fn name(instance: &str) -> String {
    format!("00000000-0000-0000-0000-000000000001/rg-demo/signalr/{instance}.json")
}
