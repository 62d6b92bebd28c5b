//! Which event fits which state: the one table that [`Journal::apply`] goes by, and that its tests walk.
//!
//! Start at [`conditions`]. What it asks for, beside what no state is needed for (`unblocked`, `resumed`; `paused`, whose end must be
//! to come; `watchAsked`, whose times must be in order and few; `reported`, which may come before the first check):
//!
//! | event | fits a service that | and where |
//! |---|---|---|
//! | `adopted` | was never seen | |
//! | all others | was seen | |
//! | `keyChanged` | | that key is another now, and none of ours is being made in its place |
//! | `recovered` | | a key changed from outside, and not everybody was seen with a valid one since |
//! | `consumersBlurred` | | each of the apps was seen, and is in sight |
//! | `consumersMissing` | | that is news |
//! | `taken` | | nobody holds the key |
//! | `left` | | somebody holds it |
//! | `blinded`, `sighted` | | everything is in sight, or something is not |
//! | `regenerationIntended` | has no regeneration in flight | nobody holds the key |
//! | `regenerationAccepted` | has one in flight | Azure did not take it on before |
//! | `operationLost` | has one in flight | there is an operation to ask |
//! | `regenerated` | has one in flight | the key is another now |
//! | `regenerationFailed` | has one in flight | |
//! | `verified`, `verificationRefused` | has none in flight | the key is not verified yet |
//! | `repointIntended` | | the key is not about to be replaced: none is being made in its place, or this is the one |
//! | `repointed` | | the last thing on record is that this key would be given out, or was given to others of them |
//! | `reported`, `acknowledged` | | only others can change the consumer; what a person says is of a key that there is |
//! | `readersAcknowledged` | | the consumer is not such a one, and nobody holds the key, which there is |
//! | `approved` | | it is of a key that there is, and not over when it is given |
//! | `externalAwaited` | | that is news, and where the wait begins somebody holds the key |
//! | `waveIntended` | | the key is here to stay, as for `repointIntended`, and no wave of before waits for a person |
//! | `waveHeldBack` | | that is news |
//! | `repairIntended`, `writtenBack`, `writerNamed`, `writerUnknown` | | |
//! | `repairPassed`, `repairFailed` | | some were repaired, and nothing is known yet of how they are |
//! | `traced` | | a change goes on |
//! | `oldKeyTried` | | the key was replaced in the change that goes on, and it is not known yet whether it is dead |
//! | `concluded` | has no regeneration in flight | a change goes on |
//! | `evidenceKept`, `evidenceBegun` | | a change that is over has no document yet |
//! | `gatePassed`, `gateFailed` | | the wave of this number is the last that was moved, and nothing is known yet of its gate |

use chrono::{DateTime, Utc};

use super::{Event, Held, InFlight, Journal, KeyRecord, Obstacle, WATCHES};
use crate::model::{ConsumerId, KeyType, PerKey};

/// What an event may ask of the state. "The key" is the one that the event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The service was never seen.
    NeverSeen,
    Seen,
    /// No regeneration is in flight.
    NoneInFlight,
    InFlight,
    /// Azure is not known to have taken it on.
    NotAccepted,
    /// It has an operation that Azure can be asked about.
    HasOperation,
    /// The key that is told of is not the one that was there before.
    AnotherKey,
    /// No regeneration of the key is in flight.
    NotBeingReplaced,
    /// The key is here to stay: none is being made in its place, or it is the one that was made.
    Stays,
    /// A consumer holds the key.
    Held,
    NotHeld,
    /// The service was not yet seen to accept the key.
    NotVerified,
    /// The last that is on record is that the key would be given to consumers, or was given to others of them.
    BeingGivenOut,
    /// A key changed from outside, and not everybody was seen with a valid one since.
    Unrepaired,
    /// Something is out of sight.
    Blind,
    InSight,
    /// Whether an app is missing is another than is on record.
    News,
    /// Each of the apps was seen, and did not go out of sight since.
    AppsInSight,
    /// The end is not before the beginning.
    InOrder,
    /// There is room for one more.
    Room,
    /// Only others can change the consumer.
    External,
    NotExternal,
    /// The key that is told of is one of the two.
    Current,
    /// No consumer holds the key that is told of.
    LeftByAll,
    /// Whether it is waited for those who hold a key is another than is on record.
    NewsOfWait,
    /// Where the wait for them begins, somebody holds the key.
    HeldToWait,
    /// No wave was rolled back, or stopped at, that a person has not looked at.
    NoGateFailed,
    /// That a wave is not moved, and why, is another than is on record.
    NewsOfWave,
    /// The wave was moved last, and nothing is known yet of its gate.
    GateOpen,
    /// Some were repaired, and nothing is known yet of how they are.
    RepairOpen,
    /// A change of keys, or of who holds them, goes on.
    ChangeOpen,
    /// The key was replaced in it, and it is not known yet whether it is dead.
    FateOpen,
    /// A change that is over has no document yet.
    Unproved,
}

/// What must be true for an event to fit.
pub(super) const fn conditions(event: &Event) -> &'static [Condition] {
    use Condition::*;
    match event {
        Event::Adopted { .. } => &[NeverSeen],
        Event::KeyChanged { .. } => &[Seen, NotBeingReplaced, AnotherKey],
        Event::Recovered {} => &[Seen, Unrepaired],
        Event::AppsSeen { .. }
        | Event::RotationRequested { .. }
        | Event::Heard { .. }
        | Event::RepairIntended { .. }
        | Event::WrittenBack { .. }
        | Event::WriterNamed { .. }
        | Event::WriterUnknown { .. } => &[Seen],
        Event::AppsBlurred { .. } => &[Seen, AppsInSight],
        Event::AppsMissing { .. } => &[Seen, News],
        Event::Taken { .. } => &[Seen, NotHeld],
        Event::Left { .. } => &[Seen, Held],
        Event::Blinded {} => &[Seen, InSight],
        Event::Sighted {} => &[Seen, Blind],
        Event::WatchAsked { .. } => &[InOrder, Room],
        Event::Unblocked {} | Event::Resumed { .. } => &[],
        Event::Paused { .. } => &[InOrder],
        Event::Approved { .. } => &[Seen, InOrder, Current],
        Event::RegenerationIntended { .. } => &[Seen, NoneInFlight, NotHeld],
        Event::RegenerationAccepted { .. } => &[Seen, InFlight, NotAccepted],
        Event::OperationLost {} => &[Seen, HasOperation],
        Event::Regenerated { .. } => &[Seen, InFlight, AnotherKey],
        Event::RegenerationFailed { .. } => &[Seen, InFlight],
        Event::Verified { .. } | Event::VerificationRefused { .. } => &[Seen, NoneInFlight, NotVerified],
        Event::RepointIntended { .. } => &[Seen, Stays],
        Event::Repointed { .. } => &[Seen, BeingGivenOut],
        Event::Reported { .. } => &[External],
        Event::Acknowledged { .. } => &[Seen, External, Current],
        Event::ReadersAcknowledged { .. } => &[Seen, NotExternal, Current, LeftByAll],
        Event::ExternalAwaited { .. } => &[Seen, NewsOfWait, HeldToWait],
        Event::WaveIntended { .. } => &[Seen, Stays, NoGateFailed],
        Event::WaveHeldBack { .. } => &[Seen, NewsOfWave],
        Event::GatePassed { .. } | Event::GateFailed { .. } => &[Seen, GateOpen],
        Event::RepairPassed { .. } | Event::RepairFailed { .. } => &[Seen, RepairOpen],
        Event::Traced { .. } => &[Seen, ChangeOpen],
        Event::OldKeyTried { .. } => &[Seen, FateOpen],
        Event::Concluded { .. } => &[Seen, NoneInFlight, ChangeOpen],
        Event::EvidenceKept { .. } | Event::EvidenceBegun { .. } => &[Seen, Unproved],
    }
}

impl Condition {
    /// Whether the state is such for an event.
    pub(super) fn is_met(self, journal: &Journal, event: &Event, at: DateTime<Utc>) -> bool {
        let flight = journal.in_flight.as_ref();
        let of_key = |fits: fn(&KeyRecord) -> bool| record(journal, event.key_type()).is_some_and(fits);
        match self {
            Self::NeverSeen => journal.keys.is_none(),
            Self::Seen => journal.keys.is_some(),
            Self::NoneInFlight => flight.is_none(),
            Self::InFlight => flight.is_some(),
            Self::NotAccepted => !flight.is_some_and(InFlight::is_accepted),
            Self::HasOperation => flight.is_some_and(|flight| flight.operation.is_some()),
            Self::AnotherKey => is_another(journal, event),
            Self::NotBeingReplaced => replacing(journal, event.key_type()).is_none(),
            Self::Stays => {
                replacing(journal, event.key_type()).is_none_or(|flight| flight.promised.is_some())
            }
            Self::Held => of_key(|record| record.held == Held::Now),
            Self::NotHeld => of_key(|record| record.held != Held::Now),
            Self::NotVerified => of_key(|record| !record.verified),
            Self::BeingGivenOut => is_given_out(journal, event.key_type()),
            Self::Unrepaired => journal.unrepaired,
            Self::Blind => journal.blind,
            Self::InSight => !journal.blind,
            Self::News => !matches!(event, Event::AppsMissing { missing } if *missing == journal.missing),
            Self::AppsInSight => are_in_sight(journal, event),
            Self::InOrder => match event {
                Event::WatchAsked { from, until, .. } => from <= until,
                Event::Paused { until, .. } | Event::Approved { until, .. } => at < *until,
                _ => true,
            },
            Self::Room => journal.watches.iter().filter(|watch| at < watch.until).count() < WATCHES,
            Self::External => consumer(event).is_some_and(ConsumerId::is_external),
            Self::NotExternal => !consumer(event).is_some_and(ConsumerId::is_external),
            Self::Current => told_of(journal, event).is_some(),
            Self::LeftByAll => told_of(journal, event).is_none_or(|record| record.held != Held::Now),
            Self::NewsOfWait => {
                let awaits = matches!(event, Event::ExternalAwaited { awaited: true, .. });
                of_key(|record| record.awaited.is_some()) != awaits
            }
            Self::HeldToWait => {
                let begins = matches!(event, Event::ExternalAwaited { awaited: true, .. });
                !begins || of_key(|record| record.held == Held::Now)
            }
            Self::NoGateFailed => {
                !journal.obstacles().iter().any(|obstacle| matches!(obstacle, Obstacle::Gate { .. }))
            }
            Self::NewsOfWave => !matches!(event, Event::WaveHeldBack { number, detail }
                if journal.held_back.as_ref().is_some_and(|known| known.number == *number && known.detail == *detail)),
            Self::RepairOpen => journal.open_repair().is_some(),
            Self::ChangeOpen => journal.evidence.open().is_some(),
            Self::FateOpen => match event {
                Event::OldKeyTried { fingerprint, .. } => {
                    journal.evidence.undecided().any(|(old, _)| old == fingerprint)
                }
                _ => false,
            },
            Self::Unproved => journal.evidence.waiting().next().is_some(),
            Self::GateOpen => journal.open_wave().is_some_and(|wave| {
                matches!(event, Event::GatePassed { number, .. } | Event::GateFailed { number, .. }
                    if *number == wave.number)
            }),
        }
    }
}

/// The consumer of which something is said.
const fn consumer(event: &Event) -> Option<&ConsumerId> {
    match event {
        Event::Reported { consumer, .. }
        | Event::Acknowledged { consumer, .. }
        | Event::ReadersAcknowledged { consumer, .. } => Some(consumer),
        _ => None,
    }
}

/// The key of the service that a person speaks of.
fn told_of<'journal>(journal: &'journal Journal, event: &Event) -> Option<&'journal KeyRecord> {
    let (Event::Acknowledged { fingerprint, .. }
    | Event::ReadersAcknowledged { fingerprint, .. }
    | Event::Approved { fingerprint, .. }) = event
    else {
        return None;
    };
    journal
        .keys
        .iter()
        .flat_map(PerKey::iter)
        .map(|(_, record)| record)
        .find(|record| record.fingerprint == *fingerprint)
}

fn record(journal: &Journal, key_type: Option<KeyType>) -> Option<&KeyRecord> {
    Some(&journal.keys.as_ref()?[key_type?])
}

/// The regeneration in flight that replaces the key.
fn replacing(journal: &Journal, key_type: Option<KeyType>) -> Option<&InFlight> {
    journal.in_flight.as_ref().filter(|flight| Some(flight.key_type) == key_type)
}

fn is_another(journal: &Journal, event: &Event) -> bool {
    match event {
        Event::KeyChanged { key_type, fingerprint } => {
            record(journal, Some(*key_type)).is_some_and(|record| record.fingerprint != *fingerprint)
        }
        Event::Regenerated { fingerprint, .. } => {
            journal.in_flight.as_ref().is_none_or(|flight| flight.prior != *fingerprint)
        }
        _ => true,
    }
}

/// Consumers are written in batches, each of which is told; nothing else comes between the intent and the last of them.
fn is_given_out(journal: &Journal, key: Option<KeyType>) -> bool {
    match journal.history.back().map(|entry| &entry.event) {
        Some(Event::RepointIntended { key_type } | Event::Repointed { key_type, .. }) => {
            Some(*key_type) == key
        }
        _ => false,
    }
}

fn are_in_sight(journal: &Journal, event: &Event) -> bool {
    let Event::AppsBlurred { apps } = event else { return true };
    apps.iter().all(|app| journal.seen.contains_key(app) && !journal.blurred.contains(app))
}

#[cfg(test)]
mod tests;
