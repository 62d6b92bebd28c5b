//! The journal: what happened, and what is on record.

use rekey_core::evidence::{Flaw, Flawed};
use rekey_core::journal::{
    AfterGate, Asked, AskedBy, Entry, Event, Failures, Fate, Journal, Obstacle, OldKey, UNCHANGED,
};
use rekey_core::model::{ConsumerId, KeyType};

use super::brief::called;
use super::{InWords, brief, readable};

/// What happened, with the key that is being replaced where that is known: the end of a regeneration does not name it.
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

words! {
    impl InWords for Event {
        Self::Adopted { keys } => "first check: primary key {}, secondary key {}", keys.primary, keys.secondary;
        Self::KeyChanged { key_type, fingerprint } =>
            "{key_type} key regenerated from outside (new fingerprint {fingerprint})";
        Self::AppsSeen { apps, .. } => "{} read for the first time, or with other keys than before", counted(apps.len(), "app");
        Self::AppsBlurred { apps } => "{} can no longer be read", counted(apps.len(), "app");
        Self::AppsMissing { missing: true } => "an app no longer exists under its id";
        Self::AppsMissing { missing: false } => "every app is found again";
        Self::Taken { key_type } => "a consumer holds the {key_type} key";
        Self::Left { key_type } => "no consumer holds the {key_type} key any more";
        Self::Blinded {} => "not every consumer can be checked";
        Self::Recovered {} => "OK: every consumer holds a valid key again";
        Self::Sighted {} => "every consumer can be checked again";
        Self::RotationRequested { compromised: false, .. } => "rotation requested";
        Self::RotationRequested { compromised: true, .. } => "keys reported as compromised; rotation requested";
        Self::WatchAsked { from, until, .. } => "keys are checked every few seconds from {} until {}",
            readable(*from), readable(*until);
        Self::Heard { .. } => "another run asked for a check: every consumer holds a valid key";
        Self::Unblocked {} => "recorded failures cleared by hand";
        Self::RegenerationIntended { key_type } => "about to regenerate the {key_type} key";
        Self::RegenerationAccepted { .. } => "Azure accepted the regeneration";
        Self::OperationLost {} =>
            "Azure cannot be asked how the regeneration goes; the listed keys will show how it ended";
        event @ (Self::Regenerated { .. } | Self::RegenerationFailed { .. }) => "{}", told(event, None);
        Self::Verified { key_type } => "the service accepts the {key_type} key";
        Self::VerificationRefused { key_type, detail } => "the service does not accept the {key_type} key: {detail}";
        Self::RepointIntended { key_type } => "about to give the {key_type} key to consumers";
        Self::Repointed { key_type, apps, repaired: true } => "given the {key_type} key in the place of an invalid one: {}", named(apps);
        Self::Repointed { key_type, apps, repaired: false } => "repointed to the {key_type} key: {}", named(apps);
        Self::Reported { consumer, fingerprint } => "{} reports that it holds the key {fingerprint}", called(consumer);
        Self::Acknowledged { consumer, fingerprint, by } =>
            "{} holds the key {fingerprint}, as {by} acknowledged", called(consumer);
        Self::ReadersAcknowledged { consumer, fingerprint, by } =>
            "whoever reads {} has left the key {fingerprint}, as {by} acknowledged", called(consumer);
        Self::WaveIntended { number, key_type, apps } => "about to move wave {number} to the {key_type} key: {}", named(apps);
        Self::WaveHeldBack { number, detail } => "wave {number} is not moved, because it was not well before: {detail}";
        Self::GatePassed { number, left } if left.is_empty() => "wave {number} is well with its new key";
        Self::GatePassed { number, left } => "those of wave {number} who were moved are well with their new key; still to be moved: {}", named(left);
        Self::GateFailed { number, detail, then: AfterGate::RollBack } =>
            "wave {number} did not come back with its new key, and gets back the key that it had: {detail}";
        Self::GateFailed { number, detail, then: AfterGate::Stop } =>
            "wave {number} did not come back with its new key, and keeps it (on_unhealthy): {detail}";
        Self::GateFailed { number, detail, then: AfterGate::Report } =>
            "wave {number} did not come back with its new key, and keeps it, for the key that it had is compromised: {detail}";
        Self::RepairIntended { apps } => "asked afterwards how they are: {}", named(apps);
        Self::RepairPassed { left } if left.is_empty() => "those who were repaired are well again";
        Self::RepairPassed { left } => "those who were repaired are well again; still to be repaired: {}", named(left);
        Self::RepairFailed { detail } => "those who were repaired did not come back, and keep their key, which is valid: {detail}";
        Self::WrittenBack { consumers } => "somebody wrote an old string back: {}", named(consumers.keys());
        Self::WriterNamed { consumer, by, written, action } =>
            "by Azure's activity log {} was last written before that by {by}, at {} ({action})", called(consumer), readable(*written);
        Self::WriterUnknown { consumers, detail } =>
            "who wrote an old string back is not known of {}: {detail}", named(consumers);
        Self::Paused { until, by, why } => "rotations paused until {} by {by}: {why}", readable(*until);
        Self::Resumed { by } => "pause of rotations ended by {by}";
        Self::Approved { fingerprint, until, by, noticed } =>
            "rotation that replaces the key {fingerprint} approved by {by}{}; it may begin until {}",
            if *noticed { ", as an event says" } else { "" }, readable(*until);
        Self::Traced { .. } => "Azure's ids of the last requests";
        Self::OldKeyTried { fingerprint, calls, fate: Fate::Refused } =>
            "the old key {fingerprint} no longer works: the service refused it at {}, and accepted the new one", nth(*calls);
        Self::OldKeyTried { fingerprint, calls, fate: Fate::StillAccepted } =>
            "the service still accepts the old key {fingerprint}, after {}: whoever knows it can still use it", counted(*calls as usize, "call");
        Self::OldKeyTried { fingerprint, fate: Fate::NotAsked, .. } =>
            "whether the old key {fingerprint} still works was not checked (verify = \"control-plane\")";
        Self::OldKeyTried { fingerprint, calls, fate: Fate::NotKnown { why } } =>
            "whether the old key {fingerprint} still works is not known, after {}: {}", counted(*calls as usize, "call"),
            why.as_deref().unwrap_or("the service did not say");
        Self::Concluded { finished: true } => "the change is over, and is to be proved";
        Self::Concluded { finished: false } => "the change goes on; what was done of it is to be proved";
        Self::EvidenceKept { name, .. } => "evidence written: {name}";
        Self::EvidenceBegun { found } => "a new chain of evidence is begun, for another document is there as {found}";
        Self::ExternalAwaited { key_type, awaited: true, who } =>
            "these alone still hold the {key_type} key, whom only others can change, and are waited for: {}", named(who);
        Self::ExternalAwaited { key_type, awaited: false, .. } => "an app holds the {key_type} key again; nobody is asked to leave it";
    }
}

// What a report tells of a change.
words! {
    impl InWords for OldKey {
        Self { at, calls, fate: Fate::Refused } =>
            "is refused: at {} the service refused {}, and accepted the new key right after it", readable(*at), nth(*calls);
        Self { at, calls, fate: Fate::StillAccepted } =>
            "IS STILL ACCEPTED at {}, after {}", readable(*at), counted(*calls as usize, "call");
        Self { fate: Fate::NotAsked, .. } => "was not tried (verify = \"control-plane\")";
        Self { at, calls, fate: Fate::NotKnown { why } } => "is not known to be refused at {}, after {}: {}",
            readable(*at), counted(*calls as usize, "call"), why.as_deref().unwrap_or("the service did not say");
    }
}

impl InWords for Asked {
    fn in_words(&self) -> String {
        let by = match self.by {
            AskedBy::Schedule => "by schedule",
            AskedBy::Command => "by command",
            AskedBy::Notice => "by an event",
            AskedBy::Outside => "a key was regenerated from outside",
            AskedBy::Consumers => "a consumer held another key than it should",
        };
        let compromised = if self.compromised { ", the keys being compromised" } else { "" };
        let approved = self.approved_by.as_ref().map(|who| format!(", approved by {who}"));
        format!("{by}{compromised}{}", approved.unwrap_or_default())
    }
}

words! {
    impl InWords for Flaw {
        Self::Missing { name } => "the document {name} is missing";
        Self::Gap { chain, first, last } if first == last => "the document of number {first} is missing, in the chain that began at {}", readable(*chain);
        Self::Gap { chain, first, last } => "the documents of the numbers {first} to {last} are missing, in the chain that began at {}", readable(*chain);
        Self::Changed { name } => "the document {name} is not what was written";
        Self::Unreadable { name, why } => "the document {name} cannot be read: {}", why.in_words();
        Self::Unknown { name } => "the document {name} is there, and the journal knows nothing of it: somebody put it there, or the \
            journal is an older one that was put back";
        Self::NoHead { chain, documents, last } => "the journal knows nothing of the chain that began at {} ({documents} documents, the \
            last {last}): the journal was deleted or put back, and whether the chain went on after that document cannot be told", readable(*chain);
    }
}

words! {
    impl InWords for Flawed {
        Self::OfVersion(version) => "it is of version {version}, which this release does not know; use the one that wrote it, or a later";
        Self::Malformed { line, column } => "it is no document of evidence (line {line}, column {column})";
        Self::NotGiven(why) => "{why}";
    }
}

words! {
    impl InWords for Obstacle<'_> {
        Self::Failures(Failures { count: 1, detail, .. }) => "regenerating a key failed once: {}", cause(detail);
        Self::Failures(Failures { count, detail, .. }) => "regenerating a key failed {count} times in a row: {}",
            cause(detail);
        Self::Refused { key_type, detail } => "the service did not accept the {key_type} key: {detail}";
        Self::Gate { number, detail } => "wave {number} did not come back with its new key: {detail}";
        Self::Repair { detail } => "those who were repaired did not come back: {detail}";
        Self::Operation { key_type } =>
            "Azure is being asked about the operation that regenerates the {key_type} key";
    }
}

fn nth(call: u32) -> String {
    if call == 1 { "the first call".to_owned() } else { format!("call {call}") }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn named<'a>(apps: impl IntoIterator<Item = &'a ConsumerId>) -> String {
    brief::names(apps.into_iter().map(called), 2 * brief::MOST)
}

/// Why a regeneration failed: what Azure said, or what is known without its word.
pub(super) fn cause(detail: &str) -> &str {
    if detail == UNCHANGED {
        "Azure could not be asked how it went, and the key is unchanged after the longest time that a regeneration takes"
    } else {
        detail
    }
}
