//! The journal's events for machines. `docs/json.md` has their names, which stay as they are when the journal's own change.

use std::collections::BTreeMap;

use rekey_core::journal::Event;
use serde_json::{Value, json};

/// An event with its fields. Consumers are told by their resource ids.
pub fn event(event: &Event) -> Value {
    match event {
        Event::RotationRequested { compromised, noticed } => {
            json!({ "type": "rotationRequested", "exposed": compromised, "noticed": noticed })
        }
        Event::Repointed { key_type, apps, repaired } => {
            let apps: Vec<String> = apps.iter().map(ToString::to_string).collect();
            json!({ "type": "repointed", "keyType": key_type, "apps": apps, "mended": repaired })
        }
        Event::AppsSeen { apps, .. } => {
            let apps: BTreeMap<_, _> = apps.iter().map(|(app, held)| (app.to_string(), held)).collect();
            json!({ "type": "appsSeen", "apps": apps })
        }
        Event::AppsBlurred { apps } => {
            let apps: Vec<String> = apps.iter().map(ToString::to_string).collect();
            json!({ "type": "appsBlurred", "apps": apps })
        }
        Event::Reported { consumer, fingerprint } => {
            json!({ "type": "reported", "kind": consumer.kind(), "name": consumer.name(), "fingerprint": fingerprint })
        }
        Event::Acknowledged { consumer, fingerprint, by } => {
            let (kind, name) = (consumer.kind(), consumer.name());
            json!({ "type": "acknowledged", "kind": kind, "name": name, "fingerprint": fingerprint, "by": by })
        }
        Event::ReadersAcknowledged { consumer, fingerprint, by } => {
            let (kind, id) = (consumer.kind(), consumer.to_string());
            json!({ "type": "readersAcknowledged", "kind": kind, "id": id, "fingerprint": fingerprint, "by": by })
        }
        Event::ExternalAwaited { key_type, awaited, who } => {
            let who = who.iter().map(|one| json!({ "kind": one.kind(), "name": one.name() }));
            let who: Vec<_> = who.collect();
            json!({ "type": "externalAwaited", "keyType": key_type, "awaited": awaited, "who": who })
        }
        Event::AppsMissing { missing } => json!({ "type": "appsMissing", "missing": missing }),
        told_as_stored => serde_json::to_value(told_as_stored).unwrap_or_default(),
    }
}
