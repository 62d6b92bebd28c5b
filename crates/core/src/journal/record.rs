//! What can happen to a service, and what is known of its keys, as both are stored.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::model::{ConsumerId, Fingerprint, KeyType, OperationUrl, PerKey};

/// The cause of a failed regeneration of which only this is known: Azure could not be asked how it went, and the key is the
/// old one after the longest time that it can take.
pub const UNCHANGED: &str = "unchanged";

/// Something that happened to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type", deny_unknown_fields)]
pub enum Event {
    /// The service was seen for the first time.
    Adopted {
        /// The keys it had.
        keys: PerKey<Fingerprint>,
    },
    /// A key changed, and it was not our doing.
    KeyChanged {
        key_type: KeyType,
        /// The new key.
        fingerprint: Fingerprint,
    },
    /// After a key changed from outside, everybody was seen with a valid key.
    Recovered {},
    /// Apps were seen that were never seen before, or with other keys than before.
    #[serde(rename = "consumersSeen", alias = "appsSeen")]
    AppsSeen {
        /// Which, with the keys that they hold or may hold.
        #[serde(rename = "consumers", alias = "apps")]
        apps: BTreeMap<ConsumerId, Vec<Fingerprint>>,
        /// Of those with several dictionaries that hold one, which these are.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        dictionaries: BTreeMap<ConsumerId, BTreeSet<String>>,
        /// Of jobs, the executions that go on with what they were started with, and when each will have ended at the latest.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        executions: BTreeMap<ConsumerId, BTreeMap<String, DateTime<Utc>>>,
    },
    /// Apps that were seen before cannot be read any more, and may take any key from now on.
    #[serde(rename = "consumersBlurred", alias = "appsBlurred")]
    AppsBlurred {
        #[serde(rename = "consumers", alias = "apps")]
        apps: BTreeSet<ConsumerId>,
    },
    /// An app that was there before is not found any more; or all are found again, or are named no longer.
    #[serde(rename = "consumersMissing", alias = "appsMissing")]
    AppsMissing {
        /// Which of the two.
        missing: bool,
    },
    /// A consumer was seen with a key that none held before.
    Taken { key_type: KeyType },
    /// No consumer holds a key any more.
    Left { key_type: KeyType },
    /// Something could not be seen that may hold any key.
    Blinded {},
    /// Everything could be seen again.
    Sighted {},
    /// A rotation was asked for, whatever the age of the keys.
    RotationRequested {
        /// Whether because the keys are compromised: then those of now die after a short grace.
        #[serde(default, alias = "exposed")]
        compromised: bool,
        /// Whether by a notice, which may not ask as often as it likes.
        #[serde(default)]
        noticed: bool,
    },
    /// The keys are to be looked at every few seconds for a while: their regeneration is announced, or said to have happened
    /// and not to be seen yet.
    WatchAsked {
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        /// The keys whose regeneration is announced, if one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<PerKey<bool>>,
    },
    /// The run at work has checked after this call of another, and after all before it; everybody holds a valid key.
    Heard {
        /// The last of them.
        call: u64,
    },
    /// An operator ran `unblock`: what was refused or failed is to be tried again.
    Unblocked {},
    /// A regeneration is about to be sent.
    RegenerationIntended { key_type: KeyType },
    /// Azure took the regeneration on.
    RegenerationAccepted {
        /// Where to ask how it goes. It carries a signature, so the history keeps the event without it.
        #[serde(skip)]
        operation: Option<OperationUrl>,
        /// The new key, as the answer gave it.
        promised: Option<Fingerprint>,
    },
    /// Azure cannot be asked any more how the regeneration goes: the keys tell, as where its operation was never learned.
    OperationLost {},
    /// The regeneration is over and the key is a new one.
    Regenerated {
        /// The new key.
        fingerprint: Fingerprint,
        /// Whether Azure said so; if not, the changed key does.
        confirmed: bool,
    },
    /// The regeneration is over and the key is the old one.
    RegenerationFailed {
        /// What is known of the cause: what Azure said, or [`UNCHANGED`].
        detail: String,
        /// Whether the next will fail alike, until a person does something about it.
        #[serde(default)]
        lasting: bool,
    },
    /// The service accepted a key.
    Verified { key_type: KeyType },
    /// The service did not accept a key.
    VerificationRefused {
        key_type: KeyType,
        /// What it said.
        detail: String,
    },
    /// Consumers are about to be given a key: from now on it counts as held.
    RepointIntended { key_type: KeyType },
    /// Consumers were given a key.
    Repointed {
        key_type: KeyType,
        /// The apps that were written.
        #[serde(rename = "consumers", alias = "apps")]
        apps: Vec<ConsumerId>,
        /// Whether they held an invalid key before.
        #[serde(alias = "mended")]
        repaired: bool,
    },
    /// A consumer that only others can change said itself which key it holds.
    Reported { consumer: ConsumerId, fingerprint: Fingerprint },
    /// A person said which key such a consumer holds.
    Acknowledged {
        consumer: ConsumerId,
        fingerprint: Fingerprint,
        /// Who.
        by: String,
    },
    /// A person said that whoever reads a consumer without being seen has left a key.
    ReadersAcknowledged {
        consumer: ConsumerId,
        /// The key.
        fingerprint: Fingerprint,
        /// Who.
        by: String,
    },
    /// A wave of consumers is about to be given a key, and is asked afterwards how it is.
    WaveIntended {
        number: u32,
        key_type: KeyType,
        #[serde(rename = "consumers")]
        apps: Vec<ConsumerId>,
    },
    /// A wave is not moved, for something of it was not well before.
    WaveHeldBack {
        number: u32,
        /// What, and what was said.
        detail: String,
    },
    /// All of the wave was seen to be well with the key that it was given.
    GatePassed {
        number: u32,
        /// Who of it was still to be moved then, and is asked once he is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<ConsumerId>,
    },
    /// It was not, in the time that it has.
    GateFailed {
        number: u32,
        /// What was not well, and what was said.
        detail: String,
        then: AfterGate,
    },
    /// Consumers with a `health` are about to be repaired, and are asked afterwards how they are.
    RepairIntended {
        #[serde(rename = "consumers")]
        apps: Vec<ConsumerId>,
    },
    /// All of them were seen to be well again.
    RepairPassed {
        /// Who of them was still to be repaired then, and is asked once he is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<ConsumerId>,
    },
    /// They were not, in the time that they have. It is told, and nothing follows.
    RepairFailed {
        /// What was not well, and what was said.
        detail: String,
    },
    /// Somebody wrote an old string back into apps.
    WrittenBack {
        /// Which, with the key that it has.
        consumers: BTreeMap<ConsumerId, Fingerprint>,
    },
    /// By Azure's activity log this is who wrote one of them last before that was seen.
    WriterNamed {
        consumer: ConsumerId,
        /// Who, as Azure calls him: the mail address of a person, or the id of an application.
        by: String,
        /// When he did.
        written: DateTime<Utc>,
        /// What he did, as Azure calls it.
        action: String,
    },
    /// Nobody can be named.
    WriterUnknown {
        consumers: BTreeSet<ConsumerId>,
        /// Why not.
        detail: String,
    },
    /// A key is held by those alone whom only others can change, and they are waited for; or that is over.
    ExternalAwaited {
        key_type: KeyType,
        /// Which of the two.
        awaited: bool,
        /// Those, where it begins.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        who: Vec<ConsumerId>,
    },
    /// A person lets rotations rest for a while.
    Paused {
        until: DateTime<Utc>,
        /// Who.
        by: String,
        why: String,
    },
    /// A person ended that.
    Resumed {
        /// Who.
        by: String,
    },
    /// A person approved the rotation that replaces a key.
    Approved {
        /// The key, which names the rotation: no other ever replaces it.
        fingerprint: Fingerprint,
        /// Until when it may begin.
        until: DateTime<Utc>,
        /// Who.
        by: String,
        /// Whether an event says so, which proves no more than that its sender may publish.
        noticed: bool,
    },
    /// The ids by which Azure's support finds the requests that made a key anew, or wrote consumers.
    Traced {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        regeneration: Option<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        consumers: BTreeMap<ConsumerId, String>,
    },
    /// Calls were signed with a key that was replaced.
    OldKeyTried {
        fingerprint: Fingerprint,
        /// How many.
        calls: u32,
        /// What they have shown.
        fate: Fate,
    },
    /// A change of keys, or of who holds them, is over and is to be proved by a document.
    Concluded {
        /// Whether nothing is left to be done.
        finished: bool,
    },
    /// That document is written.
    EvidenceKept { name: String, sha256: String },
    /// The next document begins a chain, for another than ours stands where the last one was to go on.
    EvidenceBegun {
        /// The document that stands there.
        found: String,
    },
}

/// What signed calls with a key that was replaced have shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Fate {
    /// The service refuses it, and accepted the new one in the same moment.
    Refused,
    /// The service still accepted it at the last of them.
    StillAccepted,
    /// The service is not asked (`verify = "control-plane"`).
    NotAsked,
    /// The process that knew the key ended before it was asked, or the service did not say.
    NotKnown { why: Option<String> },
}

impl Event {
    /// The key that it is of; nothing if it is of both, or of the one in flight.
    pub(super) const fn key_type(&self) -> Option<KeyType> {
        match self {
            Self::KeyChanged { key_type, .. }
            | Self::Taken { key_type }
            | Self::Left { key_type }
            | Self::RegenerationIntended { key_type }
            | Self::Verified { key_type }
            | Self::VerificationRefused { key_type, .. }
            | Self::RepointIntended { key_type }
            | Self::Repointed { key_type, .. }
            | Self::ExternalAwaited { key_type, .. }
            | Self::WaveIntended { key_type, .. } => Some(*key_type),
            Self::Adopted { .. }
            | Self::Recovered {}
            | Self::AppsSeen { .. }
            | Self::AppsBlurred { .. }
            | Self::AppsMissing { .. }
            | Self::Blinded {}
            | Self::Sighted {}
            | Self::RotationRequested { .. }
            | Self::WatchAsked { .. }
            | Self::Heard { .. }
            | Self::Unblocked {}
            | Self::RegenerationAccepted { .. }
            | Self::OperationLost {}
            | Self::Regenerated { .. }
            | Self::RegenerationFailed { .. }
            | Self::Reported { .. }
            | Self::Acknowledged { .. }
            | Self::ReadersAcknowledged { .. }
            | Self::WaveHeldBack { .. }
            | Self::GatePassed { .. }
            | Self::GateFailed { .. }
            | Self::RepairIntended { .. }
            | Self::RepairPassed { .. }
            | Self::RepairFailed { .. }
            | Self::WrittenBack { .. }
            | Self::WriterNamed { .. }
            | Self::WriterUnknown { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::Approved { .. }
            | Self::Traced { .. }
            | Self::OldKeyTried { .. }
            | Self::Concluded { .. }
            | Self::EvidenceKept { .. }
            | Self::EvidenceBegun { .. } => None,
        }
    }

    /// Whether it tells of what was seen to come or go, and of nothing that was done.
    pub(super) const fn is_sight(&self) -> bool {
        matches!(
            self,
            Self::Taken { .. }
                | Self::Left { .. }
                | Self::ExternalAwaited { .. }
                | Self::Blinded {}
                | Self::Sighted {}
                | Self::AppsMissing { .. }
        )
    }

    /// The apps that it names.
    pub(super) fn apps(&self) -> &[ConsumerId] {
        match self {
            Self::Repointed { apps, .. }
            | Self::WaveIntended { apps, .. }
            | Self::GatePassed { left: apps, .. }
            | Self::RepairPassed { left: apps }
            | Self::RepairIntended { apps } => apps,
            _ => &[],
        }
    }
}

/// As the history keeps it: an operation's URL carries a signature.
pub(super) fn without_operation(event: Event) -> Event {
    match event {
        Event::RegenerationAccepted { promised, .. } => {
            Event::RegenerationAccepted { operation: None, promised }
        }
        other => other,
    }
}

/// What is known of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRecord {
    /// The key, in so far as it may be told.
    pub fingerprint: Fingerprint,
    /// When it was made, or, where that was not our doing, first seen.
    pub created: DateTime<Utc>,
    /// How it came to be.
    pub origin: Origin,
    /// Whether Azure said that the regeneration which made it succeeded.
    pub confirmed: bool,
    /// Whether the service was seen to accept it.
    pub verified: bool,
    /// The last time the service refused it while we tried to verify it.
    pub refusal: Option<Refusal>,
    /// Whether consumers hold it.
    pub held: Held,
    /// Since when it is waited for consumers that only others can change, and that alone hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited: Option<DateTime<Utc>>,
}

/// What was last said of a consumer that only others can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// The key that it holds.
    pub fingerprint: Fingerprint,
    /// When that was first said, of all times in a row that it was.
    pub since: DateTime<Utc>,
    /// When it was said last.
    pub at: DateTime<Utc>,
    /// The person who said it, where it did not say so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// That whoever reads a consumer without being seen has left a key, by a person's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadersLeft {
    /// The key.
    pub fingerprint: Fingerprint,
    pub at: DateTime<Utc>,
    /// Who said so.
    pub by: String,
}

/// That a person lets rotations rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pause {
    /// Since when.
    pub at: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// Who said so.
    pub by: String,
    pub why: String,
}

/// That the rotation which replaces a key was approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The key.
    pub fingerprint: Fingerprint,
    pub at: DateTime<Utc>,
    /// Until when it may begin.
    pub until: DateTime<Utc>,
    /// Who said so.
    pub by: String,
}

/// How a key came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// We regenerated it.
    Ours,
    /// Azure or another person did.
    Outside,
    /// It was there when we first looked.
    FirstSeen,
}

/// Whether consumers hold a key, and if not, since when surely not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "at")]
pub enum Held {
    /// We made it, and no consumer was ever seen with it.
    Never,
    /// A consumer held it at the last check.
    Now,
    /// The first look at which no consumer held it any more. The last consumer left some time before: counting the
    /// grace from the check errs on the safe side, counting it from the last check that saw the consumer would not.
    Left(DateTime<Utc>),
    /// Nobody was seen with it since this time, but somebody may have left it just before: it was not made by us, or
    /// not everything could be seen until then.
    Unknown(DateTime<Utc>),
}

/// A refusal of a key that was to be verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    pub at: DateTime<Utc>,
    /// What the service said.
    pub detail: String,
}

/// A regeneration that was begun and whose end is not yet known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InFlight {
    /// The key that is being replaced.
    pub key_type: KeyType,
    /// Its fingerprint before: the key is replaced when this changed.
    pub prior: Fingerprint,
    /// When the intent was recorded, just before the request was sent.
    pub intended: DateTime<Utc>,
    /// Azure's URL of the operation, once it is known.
    pub operation: Option<OperationUrl>,
    /// The new key, as the answer to the request gave it. Azure's 202 already holds it.
    pub promised: Option<Fingerprint>,
    /// Whether Azure took it on. Documents of before it was known have none.
    #[serde(default)]
    pub accepted: bool,
}

impl InFlight {
    /// Whether Azure is known to have taken it on.
    pub(super) const fn is_accepted(&self) -> bool {
        self.accepted || self.operation.is_some() || self.promised.is_some()
    }
}

/// A time in which the keys are looked at every few seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Watch {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// The keys whose regeneration is announced, if one is, and the release that recorded it knew of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<PerKey<bool>>,
}

/// Regenerations in a row that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failures {
    pub count: u32,
    /// The last one.
    pub at: DateTime<Utc>,
    /// What was said of it.
    pub detail: String,
    /// Whether the next will fail alike, until a person does something about it. Documents of before it was known have
    /// none.
    #[serde(default)]
    pub lasting: bool,
}

/// What follows from a gate that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AfterGate {
    /// The wave gets back the key that it had, and no other is moved until a person says so.
    RollBack,
    /// No other is moved until a person says so.
    Stop,
    /// It is told: the key that it had is in strange hands, and nothing waits for a gate.
    Report,
}

/// Consumers that were given a key in one step, or are being given it, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wave {
    pub number: u32,
    /// The key that they are given; the other is the one that they had. Of a wave whose keys are others by now nothing is kept.
    pub to: KeyType,
    #[serde(rename = "consumers")]
    pub apps: BTreeSet<ConsumerId>,
    /// When the last of them was written; before that, when it went on record that they would be.
    pub moved: DateTime<Utc>,
    pub gate: Gate,
}

/// What is known of how a wave came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Gate {
    /// Nothing yet.
    Open,
    Passed {
        at: DateTime<Utc>,
    },
    Failed {
        at: DateTime<Utc>,
        /// What was not well, and what was said.
        detail: String,
        then: AfterGate,
    },
}

/// Consumers that were repaired, or are about to be, and are asked how they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repair {
    #[serde(rename = "consumers")]
    pub apps: BTreeSet<ConsumerId>,
    /// When the last of them was written; before that, when it went on record that they would be.
    pub moved: DateTime<Utc>,
    /// When they were found not to be well, and what was said; nothing as long as they have time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Unwell>,
}

/// What was not well, and what was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unwell {
    pub at: DateTime<Utc>,
    pub detail: String,
}

/// A wave that is not moved, for something of it was not well before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeldBack {
    pub number: u32,
    pub at: DateTime<Utc>,
    /// What, and what was said.
    pub detail: String,
}

impl Wave {
    /// The time of what is known of its gate.
    pub(super) const fn decided(&self) -> Option<DateTime<Utc>> {
        match &self.gate {
            Gate::Open => None,
            Gate::Passed { at } | Gate::Failed { at, .. } => Some(*at),
        }
    }
}

/// What keeps something from being tried again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle<'journal> {
    /// Regenerations in a row that came to nothing.
    Failures(&'journal Failures),
    /// The service did not accept a key.
    Refused {
        key_type: KeyType,
        /// What it said.
        detail: &'journal str,
    },
    /// Azure is asked how an operation goes.
    Operation {
        /// The key that it regenerates.
        key_type: KeyType,
    },
    /// A wave did not come back.
    Gate {
        number: u32,
        /// What was not well, and what was said.
        detail: &'journal str,
    },
    /// Those who were repaired did not come back. It stands in nobody's way, and is told until a person has looked.
    Repair {
        /// What was not well, and what was said.
        detail: &'journal str,
    },
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    pub at: DateTime<Utc>,
    pub event: Event,
}

impl KeyRecord {
    pub(super) fn new(fingerprint: &Fingerprint, created: DateTime<Utc>, origin: Origin, held: Held) -> Self {
        Self {
            fingerprint: fingerprint.clone(),
            created,
            origin,
            confirmed: false,
            verified: false,
            refusal: None,
            held,
            awaited: None,
        }
    }

    pub(super) fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let held = match self.held {
            Held::Never | Held::Now => None,
            Held::Left(at) | Held::Unknown(at) => Some(at),
        };
        let refused = self.refusal.as_ref().map(|refusal| refusal.at);
        [Some(self.created), held, refused, self.awaited].into_iter().flatten()
    }
}
