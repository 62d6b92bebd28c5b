//! What happened, and what is on record.

use rekey_core::journal::{Event, Failures, Obstacle};
use rekey_core::model::ConsumerId;

use super::decision::cause;
use super::{InWords, readable};

impl InWords for Event {
    fn in_words(&self) -> String {
        match self {
            Self::Adopted { keys } => {
                format!("first seen, with primary key {} and secondary key {}", keys.primary, keys.secondary)
            }
            Self::KeyChanged { key_type, fingerprint } => {
                format!("the {key_type} key was regenerated from outside; it is {fingerprint} now")
            }
            Self::AppsSeen { apps } => {
                let apps = counted(apps.len(), "1 app was", "apps were");
                format!("{apps} seen, or seen with other keys")
            }
            Self::AppsBlurred { apps } => {
                let apps = counted(apps.len(), "1 app that was", "apps that were");
                format!("{apps} seen before cannot be read")
            }
            Self::AppsMissing { missing: true } => "an app that was there is not found any more".into(),
            Self::AppsMissing { missing: false } => "every app is found again".into(),
            Self::Taken { key_type } => format!("a consumer holds the {key_type} key"),
            Self::Left { key_type } => format!("no consumer holds the {key_type} key any more"),
            Self::Blinded {} => "not everything can be seen that may hold a key".into(),
            Self::Recovered {} => "nobody holds a dead key any more".into(),
            Self::Sighted {} => "everything can be seen again".into(),
            Self::RotationRequested { exposed: false, .. } => "a rotation was asked for".into(),
            Self::RotationRequested { exposed: true, .. } => {
                "the keys were reported as exposed, and a rotation asked for".into()
            }
            Self::WatchAsked { from, until } => format!(
                "its keys are looked at every few seconds from {} until {}",
                readable(*from),
                readable(*until)
            ),
            Self::Heard { .. } => "another run asked for a check: everybody holds a valid key".into(),
            Self::Unblocked {} => "unblocked by hand".into(),
            Self::RegenerationIntended { key_type } => format!("about to regenerate the {key_type} key"),
            Self::RegenerationAccepted { .. } => "Azure accepted the regeneration".into(),
            Self::OperationLost {} => {
                "Azure cannot be asked how the regeneration goes; the keys will tell".into()
            }
            Self::Regenerated { fingerprint, .. } => format!("regenerated; the key is {fingerprint} now"),
            Self::RegenerationFailed { detail, .. } => {
                format!("the regeneration came to nothing: {}", cause(detail))
            }
            Self::Verified { key_type } => format!("the service accepts the {key_type} key"),
            Self::VerificationRefused { key_type, detail } => {
                format!("the service does not accept the {key_type} key: {detail}")
            }
            Self::RepointIntended { key_type } => format!("about to give the {key_type} key to apps"),
            Self::Repointed { key_type, apps, repaired } => {
                let names = apps.iter().map(ConsumerId::name).collect::<Vec<_>>().join(", ");
                let did = if *repaired { "repaired" } else { "repointed" };
                format!("{did} to the {key_type} key: {names}")
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
                format!("regenerating a key came to nothing, {times}: {}", cause(detail))
            }
            Self::Refused { key_type, detail } => {
                format!("the service did not accept the {key_type} key: {detail}")
            }
            Self::Operation { key_type } => {
                format!("the operation that regenerates the {key_type} key is asked how it goes")
            }
        }
    }
}
