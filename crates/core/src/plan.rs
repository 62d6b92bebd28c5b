//! The decision: what to do next to a service, and why, from what was seen and what is remembered.
//!
//! Start at [`decide`]; the table in `ARCHITECTURE.md` lists its rules in the same order. Everything here is pure:
//! no I/O, no clock, no randomness, no async. [`reconcile()`] turns a look into journal events first, so that the
//! journal and the snapshot agree; [`decide`] refuses to go on where they do not.

mod announced;
mod assess;
mod external;
mod forecast;
mod held;
mod quiet;
mod reconcile;
mod safety;
mod snapshot;
mod step;
mod waves;
mod writers;

pub use announced::{Announced, Deadline};
pub use assess::{Assessment, Covered, Open, Verdict, assess, judge, to_watch};
pub use forecast::{Forecast, Foreseen, forecast, takes, takes_in_waves};
pub use held::{
    APPROVED_FOR, Approving, Asks, Heeded, Opening, Urgent, approves, asks, due_next, heeded_by_record,
    late_approval, next_opening, urgent,
};
pub use quiet::quiet;
pub use reconcile::{Agreement, agreement, handed_out, reconcile};
pub use safety::{Standing, is_doubtful, is_overdue, not_back, standing};
pub use snapshot::{
    Consumer, ConsumerRef, CutOff, Execution, External, Holding, ReferenceFault, SettingFault, Snapshot,
    Unknown, Whereabouts,
};
pub use step::{Awaited, BlockedBy, Decision, Due, Gated, Part, Step, Unseen, WaitFor, WavesDiffer};
pub use waves::{
    WaveOrder, after_gate, asked_of, begun, gates_beside, not_seen_with, passes, repair_passes, repaired_of,
};
pub use writers::{LoggedWrite, Unnamed, name, unnamed};

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::journal::{Held, Journal, KeyRecord};
use crate::model::{KeyType, PerKey};
use crate::policy::{FirstRotation, Policy, Verify};
use crate::time::delta;

/// What windows, waves and their gates may take besides, of a rotation that has to be over by a time.
const A_DAY: Duration = Duration::from_secs(86_400);

/// Decides the next step of a service. The first rule that matches wins:
///
/// 1. a consumer is stale: repoint it, never waiting for anything first;
/// 2. a regeneration is in flight: follow it to its end; and then what becomes of the wave that was moved last: ask how it
///    is, once it had time, and move it back, or no other, if it is not well;
/// 3. due, and consumers hold both keys: repoint the holders of the older key to the newer, and wait for those of them whom
///    only others can change;
/// 4. due, and the standby key is fresh and verified: repoint all to it, and wait likewise;
/// 5. due, and it is fresh but not verified: verify it;
/// 6. due, and it is not fresh: regenerate it, once the grace since it was held is over;
///    Rules 3, 4 and 6 move consumers that work, and wait for the end of a pause, for an approval where one is required, and
///    for a window, unless the keys are compromised or a regeneration is announced for a time before that. Of those whom rules
///    3 and 4 move, a step moves the first wave alone;
///    While a regeneration of the standby key alone is announced for so soon that a rotation would not be over by then, it
///    waits until that has come, but for compromised keys;
///    Not due, but elsewhere than at home, where a newer key of ours is: rules 5, 4 and 3 as if it were, without an approval;
/// 7. the standby key was left under our watch, or was reported as compromised, and its grace is over: regenerate it, so that
///    it dies;
/// 8. otherwise settled, if everything was seen. Where something stays out of sight it is blocked, whatever there is to
///    wait for: what a person has to do is said at once, and never goes quiet.
///
/// Guarantees, kept by property tests: it never panics; a key is regenerated only when the snapshot shows no
/// consumer with it, nothing that was not seen may hold it and the grace is over; a consumer with a valid key is moved
/// only to a key that the service accepted; it is settled only if everything was seen and nobody is stale.
pub fn decide(snapshot: &Snapshot, journal: &Journal, policy: &Policy, now: DateTime<Utc>) -> Decision {
    let Some(view) = View::of(snapshot, journal, policy, now) else {
        return Decision::Blocked(BlockedBy::JournalDisagrees);
    };
    let first = view.repair().or_else(|| view.follow());
    let rest = || view.or_report(view.gate().unwrap_or_else(|| view.rotate()));
    view.unless_unseen(first.unwrap_or_else(rest))
}

/// All that a decision depends on.
struct View<'a> {
    snapshot: &'a Snapshot,
    journal: &'a Journal,
    keys: &'a PerKey<KeyRecord>,
    policy: &'a Policy,
    now: DateTime<Utc>,
}

impl<'a> View<'a> {
    /// Nothing if the journal speaks of other keys than were seen.
    fn of(
        snapshot: &'a Snapshot,
        journal: &'a Journal,
        policy: &'a Policy,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let keys = journal.keys().filter(|_| agreement(&snapshot.keys, journal) != Agreement::Differs)?;
        Some(Self { snapshot, journal, keys, policy, now })
    }
}

impl View<'_> {
    fn repair(&self) -> Option<Decision> {
        let consumers = self.snapshot.stale();
        let to = self.repairing_key();
        let part = Part::All;
        (!consumers.is_empty()).then_some(Decision::Do(Step::Repoint { to, consumers, repair: true, part }))
    }

    fn follow(&self) -> Option<Decision> {
        let flight = self.journal.in_flight()?;
        if flight.operation.is_some() {
            return Some(Decision::Do(Step::Follow(flight.key_type)));
        }
        let until = self.known_at(flight);
        Some(Decision::Waiting { reason: WaitFor::LostOperation(flight.key_type), until })
    }

    fn rotate(&self) -> Decision {
        let held = KeyType::ALL.into_iter().filter(|key_type| self.snapshot.is_held(*key_type));
        match held.collect::<Vec<_>>()[..] {
            [] => self.end_compromised().unwrap_or(Decision::Settled { next: None }),
            [active] => match self.leaves_since(active) {
                Some(since) => self.replace(active, since),
                None => self.retire(active.other()).unwrap_or_else(|| self.settled()),
            },
            _ if KeyType::ALL.into_iter().any(|key_type| self.leaves_since(key_type).is_some()) => {
                self.in_waves(self.unless_held(self.unite()))
            }
            _ => self.settled(),
        }
    }

    /// On the newer key; but not on one that others are about to regenerate.
    fn unite(&self) -> Decision {
        let to = self.shunned().map_or_else(|| self.newer(), |(shunned, _)| shunned.other());
        self.verify(to).unwrap_or_else(|| self.move_to(to))
    }

    /// The key that consumers who hold both are united on.
    fn newer(&self) -> KeyType {
        let count = |key_type| self.snapshot.holders(|holding| *holding == Holding::Valid(key_type)).len();
        // Of two that are equally old the one whose holders we cannot move: the others are moved sooner than a person is asked.
        let rank = |key_type: KeyType| {
            (self.keys[key_type].created, self.snapshot.count_external(key_type), count(key_type))
        };
        let (primary, secondary) = (KeyType::Primary, KeyType::Secondary);
        if rank(secondary) > rank(primary) { secondary } else { primary }
    }

    fn replace(&self, active: KeyType, since: DateTime<Utc>) -> Decision {
        let standby = active.other();
        if let Some((_, until)) = self.shunned().filter(|(shunned, _)| *shunned == standby) {
            return Decision::Waiting { reason: WaitFor::Announced(standby), until };
        }
        if self.is_fresh(standby, since) {
            self.verify(standby).unwrap_or_else(|| self.in_waves(self.unless_held(self.move_to(standby))))
        } else {
            let decision = self.regenerate(standby, self.released(standby));
            // It dies in any case, and whoever comes after it may be given to consumers later.
            let dies = self.was_left(standby) || self.is_compromised(standby);
            let acts = matches!(decision, Decision::Do(_));
            if dies && acts { decision } else { self.unless_held(decision) }
        }
    }

    /// The key to which nobody is moved, for it is going to be regenerated by others, and until when: so soon that a rotation would
    /// not have brought everybody back from it. It is not waited for longer than a rotation is ever due, and not for keys that
    /// are compromised.
    fn shunned(&self) -> Option<(KeyType, DateTime<Utc>)> {
        let (shunned, until) = announced::alone(self.journal, self.now)?;
        let takes = self.policy.grace * 2 + self.longest_reader() + A_DAY;
        let soon = until <= self.now + delta(takes);
        let stays = shunned.other();
        let since = self.leaves_since(stays);
        let patient = since.is_none_or(|since| self.now < since + delta(self.policy.rotate_every));
        (soon && patient && !self.is_compromised(stays)).then_some((shunned, until))
    }

    fn longest_reader(&self) -> Duration {
        self.snapshot.readers_within.values().copied().max().unwrap_or_default()
    }

    fn was_left(&self, key_type: KeyType) -> bool {
        matches!(self.keys[key_type].held, Held::Left(_))
    }

    /// Rule 4, and the end of rule 3.
    fn move_to(&self, to: KeyType) -> Decision {
        let consumers = self.snapshot.writable_holders(to.other());
        if consumers.is_empty() {
            return self.await_external(to.other());
        }
        self.unless_unknown(
            |unknown| !unknown.is_of_missing(),
            Step::Repoint { to, consumers, repair: false, part: Part::All },
        )
    }

    /// Rule 5; nothing if the key is verified.
    fn verify(&self, key_type: KeyType) -> Option<Decision> {
        let record = &self.keys[key_type];
        if record.verified {
            return None;
        }
        if self.policy.verify == Verify::ControlPlane {
            return self.wait_for_control_plane(key_type);
        }
        let Some(refusal) = &record.refusal else { return Some(Decision::Do(Step::Verify(key_type))) };
        let again = refusal.at + delta(safety::VERIFY_AGAIN);
        let patience = record.created + delta(self.policy.longest_operation);
        Some(if again <= self.now {
            Decision::Do(Step::Verify(key_type))
        } else if patience < refusal.at {
            let detail = refusal.detail.clone();
            Decision::Blocked(BlockedBy::KeyRefused { key_type, since: record.created, detail })
        } else {
            Decision::Waiting { reason: WaitFor::Acceptance(key_type), until: again }
        })
    }

    /// Rule 5 where the data plane is out of reach: Azure's word for it, or the longest time that it can take.
    fn wait_for_control_plane(&self, key_type: KeyType) -> Option<Decision> {
        let record = &self.keys[key_type];
        let until = record.created + delta(self.policy.longest_operation);
        let waiting = Decision::Waiting { reason: WaitFor::Acceptance(key_type), until };
        (!record.confirmed && until > self.now).then_some(waiting)
    }

    /// Rule 7; nothing if the standby key was neither left under our watch nor compromised.
    fn retire(&self, standby: KeyType) -> Option<Decision> {
        let dies = self.was_left(standby) || self.is_compromised(standby);
        let released = self.released(standby).filter(|_| dies)?;
        Some(self.regenerate(standby, Some(released)))
    }

    /// Rule 7 where nobody holds a key: one that is in strange hands dies all the same; nothing if there is none.
    fn end_compromised(&self) -> Option<Decision> {
        let compromised = KeyType::ALL.into_iter().filter(|key_type| self.is_compromised(*key_type));
        let (released, compromised) = compromised.filter_map(|key| Some((self.released(key)?, key))).min()?;
        Some(self.regenerate(compromised, Some(released)))
    }

    /// The end of rules 6 and 7: regenerate a key that is released from a time on.
    fn regenerate(&self, key_type: KeyType, released: Option<DateTime<Utc>>) -> Decision {
        // A key that the journal holds to be held and no check shows: its holder is among what could not be seen.
        let Some(released) = released else {
            return Decision::Blocked(self.unknown().unwrap_or(BlockedBy::JournalDisagrees));
        };
        if released > self.now {
            let executions = self.executions_until(key_type, released);
            let readers = self.readers_awaited(key_type);
            let reason = match (executions.is_empty(), readers.is_empty()) {
                (false, _) => WaitFor::Executions { key_type, who: executions },
                (true, false) => WaitFor::Readers { key_type, who: readers },
                (true, true) => WaitFor::Grace(key_type),
            };
            return Decision::Waiting { reason, until: released };
        }
        if let Some(failures) = self.journal.failures() {
            let until = failures.at + safety::back_off(failures.count);
            let detail = failures.detail.clone();
            if until > self.now && safety::is_hopeless(failures) {
                return Decision::Blocked(BlockedBy::RegenerationFails { key_type, again: until, detail });
            }
            if until > self.now {
                return Decision::Waiting { reason: WaitFor::RegenerateAgain { key_type, detail }, until };
            }
        }
        let key = &self.snapshot.keys[key_type];
        self.unless_unknown(|unknown| unknown.may_hold(key), Step::Regenerate(key_type))
    }

    /// Not knowing is not safe: a step is not taken while something is out of sight that hinders it.
    fn unless_unknown(&self, hinders: impl Fn(&Unknown) -> bool, step: Step) -> Decision {
        let hindered = self.snapshot.unknown.iter().any(hinders);
        let blocked = self.unknown().filter(|_| hindered);
        blocked.map_or(Decision::Do(step), Decision::Blocked)
    }

    fn unknown(&self) -> Option<BlockedBy> {
        let unknown = &self.snapshot.unknown;
        (!unknown.is_empty()).then(|| BlockedBy::Unknown(unknown.clone()))
    }

    fn settled(&self) -> Decision {
        let held = KeyType::ALL.into_iter().filter(|key_type| self.snapshot.is_held(*key_type));
        Decision::Settled { next: held.map(|key_type| self.due_at(key_type)).min() }
    }

    /// Nothing is settled with something out of sight, and nobody waits for hours to be told of what lasts.
    fn unless_unseen(&self, decision: Decision) -> Decision {
        let said = match decision {
            Decision::Settled { .. } => true,
            Decision::Waiting { .. }
            | Decision::Blocked(BlockedBy::NeverOpens { .. } | BlockedBy::NotApproved(_)) => {
                self.snapshot.unknown.iter().any(Unknown::lasts)
            }
            Decision::Do(_) | Decision::Blocked(_) => false,
        };
        self.unknown().filter(|_| said).map_or(decision, Decision::Blocked)
    }
}

/// Whether a first check of a service asks for a rotation at once.
pub fn rotates_at_first_sight(policy: &Policy) -> bool {
    policy.first_rotation == FirstRotation::Now
}

#[cfg(test)]
mod tests;
