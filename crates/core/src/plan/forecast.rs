//! What would be done from here on, with times: [`decide`] played forward over a snapshot and a journal.
//!
//! Start at [`forecast`]. It takes no decision of its own: each step is what `decide` answers in the world that the steps
//! before it would leave, so that it cannot disagree with what a run does. What it assumes is that Azure and the apps do
//! what they are asked to, in the usual time, that who is waited for takes as long as he may, and that nobody else does
//! anything meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::waves::{begun, passes, repair_passes};
use super::{
    Awaited, BlockedBy, Consumer, ConsumerRef, Decision, Due, Execution, Gated, Holding, Snapshot, Step,
    WaitFor, WaveOrder, approves, decide, handed_out, reconcile,
};
use crate::journal::{Event, Illegal, Journal};
use crate::model::{ConsumerId, Fingerprint, Key, KeyType};
use crate::policy::Policy;
use crate::time::delta;

/// How long a regeneration takes: the longest on record took 74 s, most take a minute.
const REGENERATION: TimeDelta = TimeDelta::seconds(75);

/// How long a key takes to be proved: four signed calls, a second apart.
const VERIFICATION: TimeDelta = TimeDelta::seconds(4);

/// How long writing apps takes, for each eight of them: they are read, written and read back, and eight are asked at once.
const WRITES: TimeDelta = TimeDelta::seconds(5);
const AT_ONCE: usize = 8;

/// How long it takes to ask how a wave is.
const GATE: TimeDelta = TimeDelta::seconds(5);

/// The most steps that are foreseen, besides four for each consumer: it may be a wave of its own. The longest way to a settled
/// service has about a dozen; what goes on for longer does not end.
const LONGEST: usize = 100;

/// What would be done, in order, and how it would end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The steps and the waits.
    pub steps: Vec<Foreseen>,
    /// When it would be over.
    pub over: DateTime<Utc>,
    /// How it would stand then: settled, or blocked. Nothing if no end is foreseen: a rotation takes so long that the next one
    /// is due before.
    pub end: Option<Decision>,
}

/// One step or one wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// When it would begin.
    pub at: DateTime<Utc>,
    /// What it is: a step, or a wait.
    pub decision: Decision,
}

impl Foreseen {
    /// The apps that it restarts: App Service restarts an app whose settings are written.
    pub fn restarts(&self) -> BTreeSet<&ConsumerId> {
        match &self.decision {
            Decision::Do(Step::Repoint { consumers, .. }) => {
                consumers.iter().map(|one| &one.app).filter(|app| app.restarts()).collect()
            }
            _ => BTreeSet::new(),
        }
    }
}

impl Forecast {
    /// How often each app would restart.
    pub fn restarts(&self) -> BTreeMap<&ConsumerId, usize> {
        let mut restarts = BTreeMap::new();
        for app in self.steps.iter().flat_map(Foreseen::restarts) {
            *restarts.entry(app).or_default() += 1;
        }
        restarts
    }

    /// Whether nothing would be done: no step, now or later.
    pub fn is_idle(&self) -> bool {
        !self.steps.iter().any(|foreseen| matches!(foreseen.decision, Decision::Do(_)))
    }

    /// Whether there is no more to tell than what is decided now.
    pub fn says_no_more(&self) -> bool {
        self.is_idle() && (self.steps.is_empty() || matches!(self.end, Some(Decision::Settled { .. })))
    }
}

/// How long regenerating a key, proving it and giving it to so many apps takes.
pub fn takes(apps: usize) -> TimeDelta {
    REGENERATION + VERIFICATION + writes(apps)
}

/// The same of apps that are moved in waves, with the gates and the pauses between them.
pub fn takes_in_waves(order: &WaveOrder, policy: &Policy) -> TimeDelta {
    let sizes = order.sizes();
    let at_once = |size: usize| match policy.restarts_at_once {
        0 => size,
        at_once => size.min(at_once as usize),
    };
    let moved = sizes.iter().map(|size| {
        let step = at_once((*size).max(1));
        let gate = if order.has_gates(policy) { delta(policy.gate_after) + GATE } else { TimeDelta::zero() };
        (writes(step) + gate) * i32::try_from(size.div_ceil(step)).unwrap_or(i32::MAX)
    });
    let pauses = i32::try_from(sizes.len().saturating_sub(1)).unwrap_or(i32::MAX);
    REGENERATION + VERIFICATION + moved.sum::<TimeDelta>() + delta(policy.pause_between_waves) * pauses
}

fn writes(apps: usize) -> TimeDelta {
    WRITES * i32::try_from(apps.div_ceil(AT_ONCE)).unwrap_or(i32::MAX)
}

/// Plays the decision forward until the service is settled or blocked. `asked` is whether a rotation is asked for now,
/// whatever the age of the keys.
pub fn forecast(
    snapshot: &Snapshot,
    journal: &Journal,
    policy: &Policy,
    now: DateTime<Utc>,
    asked: bool,
) -> Forecast {
    // What was written is read back at once in this world, as everything in it comes about.
    let (snapshot, journal) = (Snapshot { echoed: false, ..snapshot.clone() }, journal.clone());
    let consumers = snapshot.consumers.len();
    let mut world = World { snapshot, journal, policy, now, made: 0 };
    let mut steps = Vec::new();
    let mut asked = asked;
    let longest = LONGEST + 4 * consumers;
    while steps.len() < longest {
        let at = world.now;
        let disagrees = Some(Decision::Blocked(BlockedBy::JournalDisagrees));
        let Ok(decision) = world.decide(std::mem::take(&mut asked)) else {
            return Forecast { steps, over: at, end: disagrees };
        };
        let played = match &decision {
            Decision::Do(step) => world.play(step),
            Decision::Waiting { reason: WaitFor::External { key_type, who, .. }, until } => {
                world.report(*key_type, who, *until)
            }
            // When a person approves nobody knows: what would be done then is what is asked for.
            Decision::Waiting { reason: WaitFor::Approval { due, .. }, .. }
            | Decision::Blocked(BlockedBy::NotApproved(due)) => world.approve(due),
            Decision::Waiting { until, .. } => {
                world.now = (*until).max(at + TimeDelta::seconds(1));
                Ok(())
            }
            Decision::Blocked(_) | Decision::Settled { .. } => {
                return Forecast { steps, over: at, end: Some(decision) };
            }
        };
        steps.push(Foreseen { at, decision });
        if played.is_err() {
            return Forecast { steps, over: world.now, end: disagrees };
        }
    }
    Forecast { steps, over: world.now, end: None }
}

/// The world as the steps so far would leave it.
struct World<'p> {
    snapshot: Snapshot,
    journal: Journal,
    policy: &'p Policy,
    now: DateTime<Utc>,
    /// How many keys were made up.
    made: usize,
}

impl World<'_> {
    /// What a run does between two steps: it brings the journal up to what it sees, and decides.
    fn decide(&mut self, asked: bool) -> Result<Decision, Illegal> {
        self.snapshot.at = self.now;
        let events = reconcile(&self.snapshot, &self.journal, self.policy, self.now);
        let by_itself = events.iter().any(|event| matches!(event, Event::RotationRequested { .. }));
        let request = Event::RotationRequested { compromised: false, noticed: false };
        for event in events.into_iter().chain((asked && !by_itself).then_some(request)) {
            self.record(event)?;
        }
        Ok(decide(&self.snapshot, &self.journal, self.policy, self.now))
    }

    fn record(&mut self, event: Event) -> Result<(), Illegal> {
        self.journal.apply(event, self.now)
    }

    fn record_all(&mut self, events: impl IntoIterator<Item = Event>) -> Result<(), Illegal> {
        events.into_iter().try_for_each(|event| self.record(event))
    }

    fn approve(&mut self, due: &Due) -> Result<(), Illegal> {
        self.record(approves(due, String::new(), false, self.policy, self.now))
    }

    fn play(&mut self, step: &Step) -> Result<(), Illegal> {
        match step {
            Step::Repoint { to, consumers, repair, part } => {
                self.record_all(begun((*part, *repair), *to, consumers, self.policy))?;
                self.repoint(*to, consumers, *repair)
            }
            Step::Gate(gated) => {
                self.now += GATE;
                self.record_all(match gated {
                    Gated::Wave(_) => {
                        self.journal.wave().map(|wave| passes(wave, &self.snapshot, self.policy))
                    }
                    Gated::Repaired => {
                        self.journal.repair().map(|repair| repair_passes(repair, &self.snapshot))
                    }
                })
            }
            Step::Verify(key_type) => {
                self.now += VERIFICATION;
                self.record(Event::Verified { key_type: *key_type })
            }
            Step::Regenerate(key_type) => {
                self.record(Event::RegenerationIntended { key_type: *key_type })?;
                let promised = Some(self.make_up());
                self.record(Event::RegenerationAccepted { operation: None, promised })?;
                self.end_regeneration(*key_type)
            }
            Step::Follow(key_type) => self.end_regeneration(*key_type),
        }
    }

    fn repoint(&mut self, to: KeyType, consumers: &[ConsumerRef], repair: bool) -> Result<(), Illegal> {
        self.record(Event::RepointIntended { key_type: to })?;
        let key = &self.snapshot.keys[to];
        self.record(handed_out(&self.journal, key, consumers, &self.snapshot.running))?;
        let apps: BTreeSet<ConsumerId> = consumers.iter().map(|consumer| consumer.app.clone()).collect();
        let (executions, running) = (&self.snapshot.executions, &self.snapshot.running);
        let is_known = |one: &&Execution| {
            executions.iter().any(|known| (&known.job, &known.name) == (&one.job, &one.name))
        };
        let go_on = running.iter().filter(|one| apps.contains(&one.job) && !is_known(one));
        let go_on: Vec<Execution> = go_on.cloned().collect();
        self.snapshot.executions.extend(go_on);
        self.now += writes(apps.len());
        let is_replaced = |holds: &Holding| match holds {
            Holding::Stale(_) => true,
            Holding::Valid(_) => !repair,
            Holding::Identity => false,
        };
        let meant = |one: &&mut Consumer| consumers.contains(&one.at) && is_replaced(&one.holds);
        self.snapshot.consumers.iter_mut().filter(meant).for_each(|one| one.holds = Holding::Valid(to));
        apps.iter().for_each(|app| self.see(app));
        self.record(Event::Repointed { key_type: to, apps: apps.into_iter().collect(), repaired: repair })
    }

    /// Those of whom a wait ends first leave a key at the last moment.
    fn report(&mut self, key_type: KeyType, who: &[Awaited], until: DateTime<Utc>) -> Result<(), Illegal> {
        self.now = until.max(self.now);
        for Awaited { consumer, .. } in who.iter().filter(|one| one.late <= until) {
            let taken = key_type.other();
            let fingerprint = self.snapshot.keys[taken].clone();
            self.record(Event::Reported { consumer: consumer.clone(), fingerprint })?;
            let of_it = self.snapshot.consumers.iter_mut().filter(|one| one.at.app == *consumer);
            of_it.for_each(|one| one.holds = Holding::Valid(taken));
        }
        Ok(())
    }

    /// What a check would show of an app that was written.
    fn see(&mut self, app: &ConsumerId) {
        let held = self.snapshot.consumers.iter().filter(|consumer| consumer.at.app == *app);
        let held = held.filter_map(|consumer| match &consumer.holds {
            Holding::Valid(key_type) => Some(self.snapshot.keys[*key_type].clone()),
            Holding::Stale(fingerprint) => Some(fingerprint.clone()),
            Holding::Identity => None,
        });
        let held: BTreeSet<Fingerprint> = held.collect();
        if let Some(seen) = self.snapshot.seen.get_mut(app) {
            *seen = held.into_iter().collect();
        }
    }

    /// The regeneration under way ends well, in the usual time since it was begun, and Azure lists the key.
    fn end_regeneration(&mut self, key_type: KeyType) -> Result<(), Illegal> {
        let Some(flight) = self.journal.in_flight().cloned() else { return Ok(()) };
        self.now = (flight.intended + REGENERATION).max(self.now);
        let before = self.snapshot.keys[key_type].clone();
        let changed = Some(before.clone()).filter(|found| *found != flight.prior);
        let fingerprint = flight.promised.or(changed).unwrap_or_else(|| self.make_up());
        if fingerprint != before {
            let holders = self.snapshot.consumers.iter_mut();
            for consumer in holders.filter(|consumer| consumer.holds == Holding::Valid(key_type)) {
                consumer.holds = Holding::Stale(before.clone());
            }
            self.snapshot.refused[key_type] = false;
            self.snapshot.keys[key_type] = fingerprint.clone();
        }
        self.record(Event::Regenerated { fingerprint, confirmed: true })
    }

    /// The fingerprint of a key that Azure has yet to make.
    fn make_up(&mut self) -> Fingerprint {
        self.made += 1;
        Key::new(format!("foreseen key {}", self.made)).fingerprint()
    }
}
