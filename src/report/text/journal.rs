//! What happened, and what is on record.

use rekey_core::journal::{Entry, Event, Failures, Journal, Obstacle};
use rekey_core::model::{ConsumerId, KeyType};

use super::decision::cause;
use super::{InWords, readable};

/// What happened, with the key that is being replaced where that is known: the end of a regeneration does not name it.
#[must_use]
pub fn told(event: &Event, in_flight: Option<KeyType>) -> String {
    let the_key = in_flight.map_or("a key".to_owned(), |key_type| format!("{key_type} key"));
    match event {
        Event::Regenerated { fingerprint, .. } => {
            format!("{the_key} regenerated (new fingerprint {fingerprint})")
        }
        Event::RegenerationFailed { detail, .. } => {
            format!("{the_key} not regenerated: {}", cause(detail))
        }
        other => other.in_words(),
    }
}

/// The events of a journal, oldest first, as [`told`].
#[must_use]
pub fn history<'journal>(journal: &'journal Journal) -> Vec<(&'journal Entry, String)> {
    let mut in_flight = None;
    let entry = |entry: &'journal Entry| {
        let Entry { event, .. } = entry;
        if let Event::RegenerationIntended { key_type } = event {
            in_flight = Some(*key_type);
        }
        (entry, told(event, in_flight))
    };
    journal.history().map(entry).collect()
}

impl InWords for Event {
    fn in_words(&self) -> String {
        match self {
            Self::Adopted { keys } => {
                format!("first check: primary key {}, secondary key {}", keys.primary, keys.secondary)
            }
            Self::KeyChanged { key_type, fingerprint } => {
                format!("{key_type} key regenerated from outside (new fingerprint {fingerprint})")
            }
            Self::AppsSeen { apps } => {
                let apps = counted(apps.len(), "1 app", "apps");
                format!("{apps} read for the first time, or with other keys than before")
            }
            Self::AppsBlurred { apps } => {
                let apps = counted(apps.len(), "1 app", "apps");
                format!("{apps} can no longer be read")
            }
            Self::AppsMissing { missing: true } => "an app no longer exists under its id".into(),
            Self::AppsMissing { missing: false } => "every app is found again".into(),
            Self::Taken { key_type } => format!("a consumer holds the {key_type} key"),
            Self::Left { key_type } => format!("no consumer holds the {key_type} key any more"),
            Self::Blinded {} => "not every consumer can be checked".into(),
            Self::Recovered {} => "OK: every consumer holds a valid key again".into(),
            Self::Sighted {} => "every consumer can be checked again".into(),
            Self::RotationRequested { compromised: false, .. } => "rotation requested".into(),
            Self::RotationRequested { compromised: true, .. } => {
                "keys reported as compromised; rotation requested".into()
            }
            Self::WatchAsked { from, until } => {
                format!(
                    "keys are checked every few seconds from {} until {}",
                    readable(*from),
                    readable(*until)
                )
            }
            Self::Heard { .. } => "another run asked for a check: every consumer holds a valid key".into(),
            Self::Unblocked {} => "recorded failures cleared by hand".into(),
            Self::RegenerationIntended { key_type } => format!("about to regenerate the {key_type} key"),
            Self::RegenerationAccepted { .. } => "Azure accepted the regeneration".into(),
            Self::OperationLost {} => {
                "Azure cannot be asked how the regeneration goes; the listed keys will show how it ended"
                    .into()
            }
            Self::Regenerated { .. } | Self::RegenerationFailed { .. } => told(self, None),
            Self::Verified { key_type } => format!("the service accepts the {key_type} key"),
            Self::VerificationRefused { key_type, detail } => {
                format!("the service does not accept the {key_type} key: {detail}")
            }
            Self::RepointIntended { key_type } => format!("about to give the {key_type} key to consumers"),
            Self::Repointed { key_type, apps, repaired } => {
                let names = apps.iter().map(ConsumerId::name).collect::<Vec<_>>().join(", ");
                let did = if *repaired { "repaired with" } else { "repointed to" };
                format!("{did} the {key_type} key: {names}")
            }
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { one.to_owned() } else { format!("{count} {many}") }
}

impl InWords for Obstacle<'_> {
    fn in_words(&self) -> String {
        match self {
            Self::Failures(Failures { count, detail, .. }) => {
                let times = if *count == 1 { "once".into() } else { format!("{count} times in a row") };
                format!("regenerating a key failed {times}: {}", cause(detail))
            }
            Self::Refused { key_type, detail } => {
                format!("the service did not accept the {key_type} key: {detail}")
            }
            Self::Operation { key_type } => {
                format!("Azure is being asked about the operation that regenerates the {key_type} key")
            }
        }
    }
}
