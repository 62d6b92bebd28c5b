//! What is known of each service, for who looks: a page, and the same as JSON, without asking Azure.
//!
//! Start at [`ServiceOverview::of_run`]. Each run leaves an overview of its service beside the journals ([`kept`]), a hundred
//! services to a document, so that a page of a fleet costs a handful of requests. [`page`] renders them. An overview says nothing
//! that a run did not see or the journal does not have, and holds no key, no token and no signed URL: it is made of fingerprints,
//! ids, times and the sentences of [`crate::report::text`].

pub mod kept;
pub mod page;
pub mod timeline;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::config::{Config, ServiceConfig};
use crate::report::text::overview as words;
use crate::report::text::snapshot::stale;
use crate::report::text::{InWords, readable};
use crate::report::{Ending, RunEvent, RunReport};
use crate::schedule;
use crate::store::CLOCKS_AGREE;
use rekey_core::journal::{Event, Held, Journal, KeyRecord, Origin};
use rekey_core::model::{ConsumerId, Fingerprint, KeyType, PerKey, ServiceId};
use rekey_core::plan::{self, BlockedBy, CutOff, Decision, Gated, Part, Step, WaitFor};
use rekey_core::time::delta;
use timeline::Timeline;

/// How many runs of a service are shown.
const RUNS: usize = 10;

/// How many schedules of the timer may pass before what is known counts as unknown.
const PATIENCE: i32 = 2;

/// How often runs tell of services.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// The time between two runs of the timer.
    pub every: TimeDelta,
    /// How long a run of the timer may last, at whose end it tells.
    pub longest: TimeDelta,
}

impl Rhythm {
    pub fn of(config: &Config, now: DateTime<Utc>) -> Self {
        let every = schedule::usual_gap(config.schedule.as_deref(), now);
        Self { every, longest: delta(config.timer_budget) }
    }

    /// How old the newest overview may be where the timer runs: two schedules, and no less than until the next run ends.
    fn patience(self) -> TimeDelta {
        (self.every * PATIENCE).max(self.every + self.longest)
    }
}

/// What is known of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceOverview {
    pub instance: ServiceId,
    pub name: String,
    /// When the run ended that tells it; none if none has told of the service yet.
    pub at: Option<DateTime<Utc>>,
    /// Until when that is known, by how often the timer runs where it was told: who looks may not know.
    pub known_until: Option<DateTime<Utc>>,
    /// The tags that the service was last given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged: BTreeMap<String, String>,
    /// When signalr-rekey last made one of its keys.
    #[serde(default)]
    pub rotated: Option<DateTime<Utc>>,
    /// Whether the run that told it could see who is cut off.
    #[serde(skip)]
    pub sighted: bool,
    /// When a run last ended well that had checked the service.
    #[serde(default)]
    pub checked: Option<DateTime<Utc>>,
    pub condition: Condition,
    pub keys: Option<PerKey<KeyOverview>>,
    pub consumers: Vec<ConsumerOverview>,
    /// How many more there are, for which there was no room.
    #[serde(default)]
    pub consumers_left_out: usize,
    pub next_due: Option<DateTime<Utc>>,
    /// When the next rotation may begin, by windows, freezes and a pause; none if no window is open in time.
    #[serde(default)]
    pub next_begins: Option<DateTime<Utc>>,
    /// The pause that is on.
    #[serde(default)]
    pub paused: Option<PauseOverview>,
    pub windows: Windows,
    /// The last runs, the latest first.
    pub runs: Vec<RunOverview>,
    pub timeline: Timeline,
}

/// How a service stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub state: State,
    /// A word for machines: why.
    pub reason: String,
    /// Since when it is so, as far as runs have told.
    pub since: Option<DateTime<Utc>>,
    /// The same for people.
    pub message: String,
    /// What a person does about it; nothing where nobody has to do anything.
    pub what_to_do: Option<String>,
}

/// The condition of a service, in one word. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Nothing goes on until a person has done something; worst of all where somebody holds an invalid key.
    Blocked,
    /// Somebody holds an invalid key, and is given a valid one.
    Repairing,
    /// Nobody knows how it stands.
    Unknown,
    /// A rotation is due, and waits for a time or for somebody.
    Waiting,
    /// A rotation is under way.
    Rotating,
    /// Nothing is to be done.
    Ready,
}

/// One of the two keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyOverview {
    pub fingerprint: Fingerprint,
    pub created: DateTime<Utc>,
    pub origin: Origin,
    pub verified: bool,
    /// `never`, `now`, `left` or `unknown`, as in the other answers.
    pub held: String,
    pub held_since: Option<DateTime<Utc>>,
    /// When it is due to be replaced, by its age; for a key that consumers hold.
    pub due: Option<DateTime<Utc>>,
}

/// A place that holds a key, or may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerOverview {
    pub kind: String,
    pub id: String,
    pub name: String,
    /// The keys that it holds: `primary`, `secondary`, or `stale`; `unknown` besides, if it went out of sight.
    pub holds: Vec<String>,
    /// When that was last seen, or said.
    pub observed: Option<DateTime<Utc>>,
}

/// That a person has paused the rotations of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseOverview {
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub by: String,
    pub why: String,
}

/// When working consumers are moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Windows {
    /// As they are configured.
    pub windows: Vec<String>,
    pub freezes: Vec<String>,
    /// When the next one opens; none if one is open, or there is none.
    pub next: Option<DateTime<Utc>>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunOverview {
    pub at: DateTime<Utc>,
    /// Its name in the log.
    pub run: String,
    /// A word for machines, as in the answers of `rotate`.
    pub ending: String,
    pub failed: bool,
    pub took_ms: u64,
    pub summary: String,
}

impl ServiceOverview {
    /// What a run tells of its service. Nothing where it has not come to a judgement: another run is at it, or what called for
    /// this one was no news.
    pub fn of_run(
        service: &ServiceConfig,
        report: &RunReport,
        journal: &Journal,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let condition = Condition::of_run(service, report, journal, now)?;
        let observed = report.seen.as_ref().map(|seen| seen.at).or_else(|| observed_before(report, now));
        let run = RunOverview {
            at: now,
            run: report.run.clone(),
            ending: report.ending.name().to_owned(),
            failed: report.ending.is_failure(),
            took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
            summary: report.summary(),
        };
        Some(Self {
            sighted: report.seen.is_some() || !report.cut_off.is_empty() || report.ending.is_repaired(),
            checked: observed
                .filter(|_| !run.failed && !matches!(report.ending, Ending::Stopped))
                .map(|_| now),
            condition,
            runs: vec![run],
            at: Some(now),
            consumers: consumers(service, report, journal, observed),
            ..Self::of_journal(service, journal, now)
        })
    }

    /// One of which no run has told.
    pub fn unknown(service: &ServiceConfig) -> Self {
        let condition = Condition::unknown("NeverRun", words::NEVER_RUN.to_owned(), words::LOOK_AT_THE_TIMER);
        Self {
            instance: service.id.clone(),
            name: service.id.name().to_owned(),
            at: None,
            known_until: None,
            tagged: BTreeMap::new(),
            rotated: None,
            sighted: false,
            checked: None,
            condition,
            keys: None,
            consumers: vec![],
            consumers_left_out: 0,
            next_due: None,
            next_begins: None,
            paused: None,
            windows: Windows::default(),
            runs: vec![],
            timeline: Timeline::default(),
        }
    }

    /// One of which something stands there that is none of ours.
    fn unreadable(service: &ServiceConfig) -> Self {
        let condition =
            Condition::unknown("Unreadable", words::UNREADABLE.to_owned(), words::LOOK_AT_THE_TIMER);
        Self { condition, ..Self::unknown(service) }
    }

    /// What the journal has of it.
    fn of_journal(service: &ServiceConfig, journal: &Journal, now: DateTime<Utc>) -> Self {
        let keys = journal.keys().map(|keys| PerKey::from_fn(|key_type| key(service, &keys[key_type])));
        let next_due = keys.iter().flat_map(PerKey::iter).filter_map(|(_, key)| key.due).min();
        let paused = journal.paused(now).map(|pause| PauseOverview {
            since: pause.at,
            until: pause.until,
            by: pause.by.clone(),
            why: pause.why.clone(),
        });
        let made = journal.keys().into_iter().flat_map(PerKey::iter).map(|(_, key)| key);
        let made = made.filter(|key| key.origin == Origin::Ours).map(|key| key.created).max();
        let before = journal.history().rev().find(|entry| matches!(entry.event, Event::Regenerated { .. }));
        Self {
            rotated: made.max(before.map(|entry| entry.at)),
            next_due,
            next_begins: plan::next_opening(journal, &service.policy, now).and_then(|opening| opening.begins),
            paused,
            keys,
            windows: Windows::of(service, now),
            timeline: Timeline::of(journal, now),
            ..Self::unknown(service)
        }
    }

    /// The tags that the service should have.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let time = |at: Option<DateTime<Utc>>| at.map_or_else(|| "none".to_owned(), readable);
        let tags = [
            ("rekey-last-rotated", time(self.rotated)),
            ("rekey-next-due", time(self.next_due)),
            ("rekey-condition", self.condition.state.name().to_owned()),
        ];
        tags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The same after an earlier one: since when it stands so, and the runs before.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        if self.could_not_see() && before.condition.is_cut_off() {
            self.condition = self.condition.beside(&before.condition);
        }
        let (is, was) = (&self.condition, &before.condition);
        if (is.state, &is.reason) == (was.state, &was.reason) {
            self.condition.since = was.since;
        }
        for consumer in self.consumers.iter_mut().filter(|consumer| consumer.observed.is_none()) {
            let known = before.consumers.iter().find(|known| known.id == consumer.id);
            consumer.observed = known.and_then(|known| known.observed);
        }
        // One that a notice's run was told of twice is one.
        let earlier = before.runs.iter().filter(|run| self.runs.iter().all(|told| told.run != run.run));
        self.rotated = self.rotated.max(before.rotated);
        self.checked = self.checked.or(before.checked);
        if self.tagged.is_empty() {
            self.tagged.clone_from(&before.tagged);
        }
        self.runs = self.runs.iter().chain(earlier).cloned().collect();
        self.runs.truncate(RUNS);
        self
    }

    /// Whether it is of a run that failed before it could see who is cut off. One that was put beside an earlier one is not: it
    /// says so already.
    fn could_not_see(&self) -> bool {
        !self.sighted && matches!(self.condition.reason.as_str(), "RunFailed" | "Unavailable")
    }

    /// Whether it says more than one that is kept: anything else of the service, or the same long enough after. So the timer
    /// tells at each run that it still looks, and a crowd of notices that find nothing new writes nothing.
    pub fn is_news(&self, kept: &Self, rhythm: Rhythm) -> bool {
        let is_recent = self.at.zip(kept.at).is_some_and(|(at, kept)| (at - kept).abs() < rhythm.every / 2);
        !is_recent || self.clone().timeless() != kept.clone().timeless()
    }

    /// Without what is another each time somebody looks.
    fn timeless(mut self) -> Self {
        (self.at, self.known_until, self.checked, self.runs) = (None, None, None, vec![]);
        (self.timeline.to, self.windows.next) = (None, None);
        self.next_begins = None;
        self.consumers.iter_mut().for_each(|consumer| consumer.observed = None);
        self
    }

    /// The same, told in this rhythm.
    #[must_use]
    pub fn told_in(mut self, rhythm: Rhythm) -> Self {
        self.known_until = self.at.map(|at| at + rhythm.patience());
        self
    }

    /// What was told by a clock that was off by so much, by a right one.
    fn by_a_clock_off_by(mut self, off: TimeDelta) -> Self {
        let own = [&mut self.at, &mut self.checked, &mut self.condition.since];
        let seen = self.consumers.iter_mut().map(|one| &mut one.observed);
        own.into_iter().chain(seen).flatten().for_each(|at| *at += off);
        self.runs.iter_mut().for_each(|run| run.at += off);
        self
    }

    /// Leaves so many consumers at most, those first who need somebody.
    fn shorten(&mut self, most: usize) {
        let is_well =
            |one: &ConsumerOverview| !one.holds.iter().any(|key| key == "stale" || key == "unknown");
        self.consumers.sort_by_key(is_well);
        self.consumers_left_out += self.consumers.len().saturating_sub(most);
        self.consumers.truncate(most);
        self.timeline.moves.iter_mut().for_each(|one| one.consumers.truncate(most));
    }

    /// The same as of now: what is older than two schedules of the timer is not known any more, nor is what is of a time to come.
    #[must_use]
    pub fn as_of(mut self, now: DateTime<Utc>) -> Self {
        let Some(at) = self.at else { return self };
        let until = self.known_until.unwrap_or(at);
        let is_ahead = at > now + CLOCKS_AGREE;
        if now <= until && !is_ahead {
            return self;
        }
        let message = match is_ahead {
            true => words::ahead(readable(at), &self.condition.message),
            false => words::outdated(readable(at), readable(until), &self.condition.message),
        };
        let unknown = Condition::unknown("Outdated", message, words::LOOK_AT_THE_TIMER);
        self.condition = Condition { since: Some(at), ..unknown };
        self
    }
}

fn observed_before(report: &RunReport, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    report.events.iter().find_map(|event| match event {
        RunEvent::AppsNotRead { ago, .. } => Some(now - delta(*ago)),
        _ => None,
    })
}

fn key(service: &ServiceConfig, record: &KeyRecord) -> KeyOverview {
    let (held, held_since) = match record.held {
        Held::Never => ("never", None),
        Held::Now => ("now", None),
        Held::Left(at) => ("left", Some(at)),
        Held::Unknown(at) => ("unknown", Some(at)),
    };
    let policy = &service.policy;
    let due = record.created + delta(policy.rotate_every) + delta(policy.due_later);
    KeyOverview {
        fingerprint: record.fingerprint.clone(),
        created: record.created,
        origin: record.origin,
        verified: record.verified,
        held: held.to_owned(),
        held_since,
        due: (record.held == Held::Now).then_some(due),
    }
}

/// Those that the journal has seen, and those that reported, by what is on record of them. Who is cut off was given nothing, whatever
/// went on record before it was tried: it holds what it was seen with.
fn consumers(
    service: &ServiceConfig,
    report: &RunReport,
    journal: &Journal,
    observed: Option<DateTime<Utc>>,
) -> Vec<ConsumerOverview> {
    let cut_off = |app: &ConsumerId| {
        report.cut_off.iter().any(|who| matches!(who, CutOff::Stale(at) if at.app == *app))
    };
    let seen = journal.all_seen().map(|(consumer, on_record)| {
        let blurred = journal.is_blurred(consumer);
        let seen = report.seen.as_ref().and_then(|snapshot| snapshot.seen.get(consumer));
        let held = seen.filter(|_| cut_off(consumer)).map_or(on_record, Vec::as_slice);
        let mut holds = held.iter().map(|held| word(journal, held)).collect::<Vec<_>>();
        holds.extend(blurred.then(|| "unknown".to_owned()));
        of_consumer(consumer, holds, observed.filter(|_| !blurred))
    });
    let external = service.external.iter().map(|one| match journal.report(&one.id) {
        Some(report) => of_consumer(&one.id, vec![word(journal, &report.fingerprint)], Some(report.at)),
        None => of_consumer(&one.id, vec!["unknown".to_owned()], None),
    });
    seen.chain(external).collect()
}

fn of_consumer(
    consumer: &ConsumerId,
    holds: Vec<String>,
    observed: Option<DateTime<Utc>>,
) -> ConsumerOverview {
    let (kind, id, name) = (consumer.kind().to_owned(), consumer.to_string(), consumer.name());
    ConsumerOverview { kind, id, name, holds, observed }
}

fn word(journal: &Journal, held: &Fingerprint) -> String {
    let keys = journal.keys();
    let of = |key_type: KeyType| keys.is_some_and(|keys| keys[key_type].fingerprint == *held);
    let word = match (of(KeyType::Primary), of(KeyType::Secondary)) {
        (true, _) => "primary",
        (_, true) => "secondary",
        (false, false) => "stale",
    };
    word.to_owned()
}

impl Windows {
    fn of(service: &ServiceConfig, now: DateTime<Utc>) -> Self {
        let policy = &service.policy;
        let calendar = policy.calendar();
        let next = (!calendar.is_open(now)).then(|| calendar.opens(now)).flatten();
        Self {
            windows: policy.windows.iter().map(ToString::to_string).collect(),
            freezes: policy.freezes.iter().map(ToString::to_string).collect(),
            next,
        }
    }
}

impl Condition {
    fn new(
        state: State,
        reason: &str,
        message: String,
        what_to_do: Option<String>,
        since: DateTime<Utc>,
    ) -> Self {
        Self { state, reason: reason.to_owned(), since: Some(since), message, what_to_do }
    }

    fn is_cut_off(&self) -> bool {
        self.reason == "CutOff"
    }

    /// The same where somebody was cut off when that could last be seen, and nobody can tell whether he still is.
    fn beside(self, last: &Self) -> Self {
        let seen = last.message.rsplit(words::LAST_SEEN).next().unwrap_or_default();
        Self {
            state: self.state.min(last.state),
            reason: last.reason.clone(),
            since: last.since,
            message: format!("{}{}{seen}", self.message, words::LAST_SEEN),
            what_to_do: self.what_to_do.or_else(|| last.what_to_do.clone()),
        }
    }

    fn unknown(reason: &str, message: String, what_to_do: &str) -> Self {
        let what_to_do = Some(what_to_do.to_owned());
        Self { state: State::Unknown, reason: reason.to_owned(), since: None, message, what_to_do }
    }

    /// How a service stands at the end of a run; nothing where the run does not tell.
    fn of_run(
        service: &ServiceConfig,
        report: &RunReport,
        journal: &Journal,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let name = service.id.name();
        if !report.cut_off.is_empty() {
            let stale = stale(&report.cut_off);
            let (state, message) = match &report.ending {
                Ending::Decided(Decision::Blocked(by)) if by.passes() => (State::Repairing, stale),
                // It names them, and what keeps them from being repaired.
                Ending::Decided(Decision::Blocked(_)) => (State::Blocked, report.ending.to_string()),
                Ending::Failed(_) | Ending::NeverFinished { .. } | Ending::Unwatched { .. } => {
                    (State::Blocked, words::not_repaired(stale, &report.ending))
                }
                _ => (State::Repairing, stale),
            };
            let by_person = match &report.ending {
                Ending::Decided(decision) => what_to_do(name, decision),
                _ => None,
            };
            let by_person = by_person.unwrap_or_else(|| words::SEE_DOCTOR.to_owned());
            let what = (state == State::Blocked).then_some(by_person);
            return Some(Self::new(state, "CutOff", message, what, now));
        }
        let decided = match &report.ending {
            Ending::Decided(decision) => decision.clone(),
            Ending::Unseen(unknown) => Decision::Blocked(BlockedBy::Unknown(unknown.clone())),
            Ending::Failed(_) | Ending::NeverFinished { .. } | Ending::Unwatched { .. } => {
                let message = report.ending.to_string();
                let what = Some(words::SEE_DOCTOR.to_owned());
                return Some(Self::new(State::Blocked, "RunFailed", message, what, now));
            }
            Ending::Unavailable(_) => {
                let message = report.ending.to_string();
                return Some(Self::new(State::Unknown, "Unavailable", message, None, now));
            }
            // Another run tells.
            Ending::Busy { .. } | Ending::HandedOver { .. } | Ending::Known => return None,
            // The first run may end before it has put anything on record.
            Ending::Repaired
            | Ending::Recorded
            | Ending::Awaited { .. }
            | Ending::OutOfTime { .. }
            | Ending::Stopped
            | Ending::Postponed { .. } => {
                journal.keys()?;
                plan::decide(report.seen.as_ref()?, journal, &service.policy, now)
            }
        };
        let decided = Self::of(name, &decided, now);
        // Nothing waits for those who were repaired and are not well: somebody has to know of them all the same.
        let not_back = plan::not_back(journal).filter(|_| decided.state > State::Repairing);
        Some(match not_back {
            Some(not_back) => {
                Self::new(State::Blocked, "NotBack", not_back.in_words(), Some(words::unblock(name)), now)
            }
            None => decided,
        })
    }

    fn of(name: &str, decision: &Decision, now: DateTime<Utc>) -> Self {
        let (state, reason) = match decision {
            Decision::Do(Step::Repoint { repair: true, .. }) => (State::Repairing, "CutOff"),
            Decision::Do(Step::Repoint { part: Part::Back(_), .. }) => (State::Rotating, "RollBack"),
            Decision::Do(Step::Repoint { .. }) => (State::Rotating, "Repoint"),
            Decision::Do(Step::Gate(gated)) => of_gate(*gated),
            Decision::Do(Step::Follow(_)) => (State::Rotating, "Regenerating"),
            Decision::Do(Step::Verify(_)) => (State::Rotating, "Verify"),
            Decision::Do(Step::Regenerate(_)) => (State::Rotating, "Regenerate"),
            Decision::Waiting { reason, .. } => of_wait(reason),
            Decision::Blocked(by) if by.passes() => (State::Unknown, "AzureBusy"),
            Decision::Blocked(by) => (State::Blocked, of_block(by)),
            Decision::Settled { .. } => (State::Ready, "Settled"),
        };
        Self::new(state, reason, decision.in_words(), what_to_do(name, decision), now)
    }
}

const fn of_gate(gated: Gated) -> (State, &'static str) {
    match gated {
        Gated::Wave(_) => (State::Rotating, "Gate"),
        Gated::Repaired => (State::Repairing, "Gate"),
    }
}

const fn of_wait(reason: &WaitFor) -> (State, &'static str) {
    match reason {
        WaitFor::Grace(_) => (State::Rotating, "Grace"),
        WaitFor::Readers { .. } => (State::Rotating, "Readers"),
        WaitFor::Operation(_) => (State::Rotating, "Regenerating"),
        WaitFor::LostOperation(_) => (State::Rotating, "OperationLost"),
        WaitFor::Acceptance(_) => (State::Rotating, "NotAcceptedYet"),
        WaitFor::RegenerateAgain { .. } => (State::Rotating, "RegenerateAgain"),
        WaitFor::Window => (State::Waiting, "Window"),
        WaitFor::Freeze => (State::Waiting, "Freeze"),
        WaitFor::Pause(_) => (State::Waiting, "Pause"),
        WaitFor::Approval { .. } => (State::Waiting, "Approval"),
        WaitFor::Gate(gated) => of_gate(*gated),
        WaitFor::Home { held, .. } => of_wait(held),
        WaitFor::BetweenWaves(_) => (State::Rotating, "BetweenWaves"),
        WaitFor::Announced(_) => (State::Waiting, "Announced"),
        WaitFor::Executions { .. } => (State::Rotating, "Executions"),
        WaitFor::External { .. } => (State::Waiting, "External"),
    }
}

const fn of_block(by: &BlockedBy) -> &'static str {
    match by {
        BlockedBy::Unknown(_) => "OutOfSight",
        BlockedBy::KeyRefused { .. } => "KeyRefused",
        BlockedBy::RegenerationFails { .. } => "RegenerationFails",
        BlockedBy::NeverOpens { .. } => "NeverOpens",
        BlockedBy::NotApproved(_) => "NotApproved",
        BlockedBy::Unhealthy { .. } => "Unhealthy",
        BlockedBy::UnhealthyBefore { .. } => "UnhealthyBefore",
        BlockedBy::WavesDiffer(_) => "WavesDiffer",
        BlockedBy::JournalDisagrees => "JournalDisagrees",
        BlockedBy::ExternalLate { .. } => "ExternalLate",
    }
}

fn what_to_do(name: &str, decision: &Decision) -> Option<String> {
    match decision {
        Decision::Blocked(by) if by.passes() => None,
        Decision::Blocked(
            BlockedBy::KeyRefused { .. } | BlockedBy::RegenerationFails { .. } | BlockedBy::Unhealthy { .. },
        ) => Some(words::unblock(name)),
        Decision::Blocked(BlockedBy::NotApproved(_))
        | Decision::Waiting { reason: WaitFor::Approval { .. }, .. } => Some(words::approve(name)),
        Decision::Blocked(BlockedBy::ExternalLate { who, .. }) => {
            let first = who.first().map(|one| one.consumer.name()).unwrap_or_default();
            Some(words::acknowledge(name, first))
        }
        Decision::Blocked(_) => Some(words::SEE_DOCTOR.to_owned()),
        Decision::Do(_) | Decision::Waiting { .. } | Decision::Settled { .. } => None,
    }
}
