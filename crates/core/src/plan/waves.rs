//! In which order consumers are moved, how many at once, and what becomes of those that do not come back.
//!
//! Start at [`View::in_waves`], which takes the first wave out of all who are to be moved, and at [`View::gate`], which comes
//! before: after each step it is asked how those are whom it moved. [`WaveOrder`] tells who is in which wave.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::safety::is_compromised;
use super::{
    BlockedBy, ConsumerRef, Decision, Gated, Holding, Part, Snapshot, Step, Unknown, View, WaitFor,
    WavesDiffer, announced,
};
use crate::journal::{AfterGate, Event, Gate, Journal, Repair, Wave};
use crate::model::{ConsumerId, KeyType};
use crate::policy::{OnUnhealthy, Policy};
use crate::time::delta;

/// The wave of deployment slots, and that of all others, where the configuration does not say otherwise.
const SLOTS: u32 = 1;
const OTHERS: u32 = 2;

/// Who is moved in which wave. Who is given what another consumer holds is in one wave with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaveOrder {
    /// Those that are moved together, with their wave.
    groups: Vec<(u32, BTreeSet<ConsumerId>)>,
    /// Those that would have to be, and are configured otherwise.
    pub differ: Vec<WavesDiffer>,
}

impl WaveOrder {
    /// The waves of those whom a check shows with a key.
    pub fn of(snapshot: &Snapshot, policy: &Policy) -> Self {
        let holds = snapshot.consumers.iter().filter(|consumer| consumer.holds != Holding::Identity);
        let all = holds.map(|consumer| &consumer.at.app).filter(|app| !app.is_external());
        let all: BTreeSet<&ConsumerId> = all.collect();
        let mut groups: Vec<BTreeSet<ConsumerId>> = Vec::new();
        // What others read and holds no key ties nobody together.
        let reads = snapshot.reads.iter().filter(|(_, read)| all.contains(read));
        let alone = all.iter().map(|app| BTreeSet::from([(*app).clone()]));
        let together = reads.map(|(one, other)| BTreeSet::from([one.clone(), other.clone()]));
        for mut group in alone.chain(together) {
            let (tied, others) = groups.into_iter().partition(|known| !known.is_disjoint(&group));
            let tied: Vec<BTreeSet<ConsumerId>> = tied;
            group.extend(tied.into_iter().flatten());
            groups = others;
            groups.push(group);
        }
        let configured = |group: &BTreeSet<ConsumerId>| -> Vec<(ConsumerId, u32)> {
            group.iter().filter_map(|app| Some((app.clone(), *policy.waves.get(app)?))).collect()
        };
        let differ = groups.iter().filter_map(|group| {
            let waves = configured(group);
            let by = group.iter().filter(|one| usual(one).is_none()).cloned().collect();
            let is_so = waves.iter().any(|(_, wave)| *wave != waves[0].1);
            is_so.then_some(WavesDiffer { waves, by })
        });
        let differ = differ.collect();
        let wave = |group: &BTreeSet<ConsumerId>| {
            let named = configured(group).into_iter().map(|(_, wave)| wave).max();
            let usual = || group.iter().filter_map(usual).max().unwrap_or(OTHERS);
            named.unwrap_or_else(usual)
        };
        let mut groups: Vec<_> = groups.into_iter().map(|group| (wave(&group), group)).collect();
        groups.sort();
        Self { groups, differ }
    }

    /// The waves of consumers by the configuration alone, before a check has shown who reads what.
    pub fn configured(consumers: impl Iterator<Item = ConsumerId>, policy: &Policy) -> Self {
        let number = |app: &ConsumerId| policy.waves.get(app).copied().or(usual(app)).unwrap_or(OTHERS);
        let mut groups: Vec<_> = consumers.map(|app| (number(&app), BTreeSet::from([app]))).collect();
        groups.sort();
        Self { groups, differ: vec![] }
    }

    /// How many consumers each wave has, the first wave first.
    pub fn sizes(&self) -> Vec<usize> {
        let of_wave = |number: u32| self.groups.iter().filter(move |(known, _)| *known == number);
        self.numbers().into_iter().map(|number| of_wave(number).map(|(_, group)| group.len()).sum()).collect()
    }

    /// The wave of a consumer.
    pub fn number(&self, app: &ConsumerId) -> u32 {
        let of_app = self.groups.iter().find(|(_, group)| group.contains(app));
        of_app.map_or_else(|| usual(app).unwrap_or(OTHERS), |(number, _)| *number)
    }

    /// The numbers of all waves, each once.
    pub fn numbers(&self) -> BTreeSet<u32> {
        self.groups.iter().map(|(number, _)| *number).collect()
    }

    /// Whether it is asked after each step how those are whom it moved. Where all are moved at once and nobody says how an app
    /// is to be asked, reading back what was written shows all that there is to see.
    pub fn has_gates(&self, policy: &Policy) -> bool {
        let watched = self.groups.iter().flat_map(|(_, group)| group).any(|app| policy.watched.contains(app));
        self.numbers().len() > 1 || policy.restarts_at_once > 0 || watched
    }

    /// As many of a wave as may restart at once, of those who are to be moved; at least one, with all that are moved with it.
    fn first(&self, number: u32, consumers: &[ConsumerRef], at_once: u32) -> Vec<ConsumerRef> {
        let wanted: BTreeSet<&ConsumerId> = consumers.iter().map(|consumer| &consumer.app).collect();
        let (mut taken, mut restarts) = (BTreeSet::new(), 0);
        for (_, group) in self.groups.iter().filter(|(known, _)| *known == number) {
            let of_group: Vec<_> = group.iter().filter(|app| wanted.contains(*app)).collect();
            let more = of_group.iter().filter(|app| app.restarts()).count();
            if at_once > 0 && restarts > 0 && restarts + more > at_once as usize {
                break;
            }
            restarts += more;
            taken.extend(of_group);
        }
        consumers.iter().filter(|consumer| taken.contains(&consumer.app)).cloned().collect()
    }
}

/// The wave of its kind; none of what is only read by others.
fn usual(app: &ConsumerId) -> Option<u32> {
    match app {
        ConsumerId::AppService(id) if id.slot().is_some() => Some(SLOTS),
        _ => app.restarts().then_some(OTHERS),
    }
}

impl View<'_> {
    /// Of those who are to be moved, the first wave alone, once the one before it has had its pause.
    pub(super) fn in_waves(&self, decision: Decision) -> Decision {
        let Decision::Do(Step::Repoint { to, consumers, repair: false, .. }) = decision else {
            return decision;
        };
        let order = WaveOrder::of(self.snapshot, self.policy);
        let step = |consumers, part| Decision::Do(Step::Repoint { to, consumers, repair: false, part });
        if !order.has_gates(self.policy) {
            return step(consumers, Part::All);
        }
        if self.is_compromised(to.other()) {
            let last = order.numbers().last().copied().unwrap_or(OTHERS);
            return step(consumers, Part::Wave { number: last, waits: false });
        }
        if !order.differ.is_empty() {
            return Decision::Blocked(BlockedBy::WavesDiffer(order.differ));
        }
        let last = self.journal.wave().filter(|wave| wave.to == to);
        // Who is left of a wave that was begun comes first: it is one.
        if let Some(wave) = self.journal.open_wave().filter(|wave| wave.to == to) {
            let left: Vec<_> = consumers.iter().filter(|one| wave.apps.contains(&one.app)).cloned().collect();
            if !left.is_empty() {
                return step(left, Part::Wave { number: wave.number, waits: true });
            }
        }
        let first = consumers.iter().map(|consumer| order.number(&consumer.app)).min();
        let number = first.unwrap_or(OTHERS);
        if let Some(until) = last.and_then(|wave| self.pause_after(wave, number)) {
            return Decision::Waiting { reason: WaitFor::BetweenWaves(number), until };
        }
        let consumers = order.first(number, &consumers, self.policy.restarts_at_once);
        step(consumers, Part::Wave { number, waits: true })
    }

    /// Until when it rests after a wave before another; not at all, if a regeneration of the key that is
    /// left is announced for a time before that.
    fn pause_after(&self, wave: &Wave, next: u32) -> Option<DateTime<Utc>> {
        let Gate::Passed { at } = &wave.gate else { return None };
        let until = *at + delta(self.policy.pause_between_waves);
        let announced =
            announced::ahead(self.journal, wave.to.other(), self.now).into_iter().any(|at| at <= until);
        (wave.number != next && self.now < until && !announced).then_some(until)
    }

    /// What becomes of the wave that was moved last: nothing more, if its gate has passed, or some of it is still to be moved.
    /// What was compromised waits for no gate ([`View::or_report`]).
    pub(super) fn gate(&self) -> Option<Decision> {
        let wave = self.journal.wave().filter(|wave| !self.is_compromised(wave.to.other()))?;
        match &wave.gate {
            Gate::Passed { .. } | Gate::Failed { then: AfterGate::Report, .. } => None,
            Gate::Open => self.ask_how_it_is(wave),
            Gate::Failed { detail, then, .. } => Some(match self.of_wave(wave, &Holding::Valid(wave.to)) {
                // The wave is on record no longer than both keys are those that were there when it was moved.
                consumers if *then == AfterGate::RollBack && !consumers.is_empty() => {
                    let (to, part) = (wave.to.other(), Part::Back(wave.number));
                    Decision::Do(Step::Repoint { to, consumers, repair: false, part })
                }
                _ => {
                    let (to, detail) = (wave.to, detail.clone());
                    Decision::Blocked(BlockedBy::Unhealthy { wave: wave.number, to, then: *then, detail })
                }
            }),
        }
    }

    /// Where nothing else is to be done: how those are who were moved away from a compromised key, or repaired, for it to be
    /// told. That something else stands in the way is not hidden by it.
    pub(super) fn or_report(&self, decision: Decision) -> Decision {
        self.reports().fold(decision, |decision, asks| {
            let is_first = match (&decision, &asks) {
                (Decision::Do(_), _) | (Decision::Blocked(_), Decision::Waiting { .. }) => false,
                (Decision::Waiting { until, .. }, Decision::Waiting { until: asked, .. }) => asked < until,
                _ => true,
            };
            if is_first { asks } else { decision }
        })
    }

    /// Who is asked for it to be told, and nothing else.
    fn reports(&self) -> impl Iterator<Item = Decision> {
        let report = self.journal.open_wave().filter(|wave| self.is_compromised(wave.to.other()));
        let repair = self.journal.open_repair();
        let repair = repair.filter(|repair| !repaired_of(repair, self.snapshot).is_empty());
        let of_wave = report.and_then(|wave| self.ask_how_it_is(wave));
        let of_repair = repair.map(|repair| self.ask_at(repair.moved, Gated::Repaired));
        of_wave.into_iter().chain(of_repair)
    }

    /// What is left of it is moved first; but those who were moved are asked when their time has come, whatever keeps the rest.
    fn ask_how_it_is(&self, wave: &Wave) -> Option<Decision> {
        let is_held = |key_type| !self.of_wave(wave, &Holding::Valid(key_type)).is_empty();
        let asks = self.ask_at(wave.moved, Gated::Wave(wave.number));
        let is_due = is_held(wave.to) && matches!(asks, Decision::Do(_));
        (is_due || !is_held(wave.to.other())).then_some(asks)
    }

    /// Those who were moved then are asked how they are, once they had time.
    fn ask_at(&self, moved: DateTime<Utc>, gated: Gated) -> Decision {
        let until = moved + delta(self.policy.gate_after);
        if self.now < until {
            Decision::Waiting { reason: WaitFor::Gate(gated), until }
        } else {
            Decision::Do(Step::Gate(gated))
        }
    }

    /// Who of a wave holds something.
    fn of_wave(&self, wave: &Wave, holds: &Holding) -> Vec<ConsumerRef> {
        let of_wave = |consumer: &ConsumerRef| wave.apps.contains(&consumer.app);
        self.snapshot.holders(|holding| holding == holds).into_iter().filter(of_wave).collect()
    }
}

/// That consumers are about to be given a key, after which it is asked how they are, as it goes on record before the write;
/// nothing if it is not asked. Of who is repaired nothing but his `health` tells.
pub fn begun(
    (part, repair): (Part, bool),
    to: KeyType,
    consumers: &[ConsumerRef],
    policy: &Policy,
) -> Option<Event> {
    let apps: BTreeSet<ConsumerId> = consumers.iter().map(|consumer| consumer.app.clone()).collect();
    if repair {
        let apps: Vec<ConsumerId> = apps.into_iter().filter(|app| policy.watched.contains(app)).collect();
        return (!apps.is_empty()).then_some(Event::RepairIntended { apps });
    }
    let Part::Wave { number, .. } = part else { return None };
    Some(Event::WaveIntended { number, key_type: to, apps: apps.into_iter().collect() })
}

/// What follows if the gate of a wave fails.
pub fn after_gate(wave: &Wave, journal: &Journal, policy: &Policy) -> AfterGate {
    let had = journal.keys().map(|keys| &keys[wave.to.other()]);
    let compromised = had.is_some_and(|record| is_compromised(record, journal));
    match policy.on_unhealthy {
        _ if compromised => AfterGate::Report,
        OnUnhealthy::RollBack => AfterGate::RollBack,
        OnUnhealthy::Stop => AfterGate::Stop,
    }
}

/// Who of a wave is not as it should be: out of sight, or with something that is neither the key that it was given nor the one
/// that it had. Who is gone is not missed.
pub fn not_seen_with(wave: &Wave, snapshot: &Snapshot) -> BTreeSet<ConsumerId> {
    let other = |app: &ConsumerId| {
        holdings(app, snapshot).any(|holds| !matches!(holds, Holding::Identity | Holding::Valid(_)))
    };
    let unseen: BTreeSet<&ConsumerId> = snapshot.unknown.iter().map(Unknown::consumer).collect();
    wave.apps.iter().filter(|app| other(app) || unseen.contains(app)).cloned().collect()
}

/// Who of a wave is asked how he is: all but those who have the key alone that the wave had.
pub fn asked_of(wave: &Wave, snapshot: &Snapshot) -> BTreeSet<ConsumerId> {
    let had = Holding::Valid(wave.to.other());
    let waits = |app: &&ConsumerId| {
        let mut held = holdings(app, snapshot).filter(|holds| **holds != Holding::Identity).peekable();
        held.peek().is_some() && held.all(|holds| *holds == had)
    };
    wave.apps.iter().filter(|app| !waits(app)).cloned().collect()
}

/// That those of a wave who were asked are well. Who still has the key that it had is asked once he is moved, and with him those
/// who can only be moved back together with him.
pub fn passes(wave: &Wave, snapshot: &Snapshot, policy: &Policy) -> Event {
    let had = Holding::Valid(wave.to.other());
    let is_left = |app: &ConsumerId| holdings(app, snapshot).any(|holds| *holds == had);
    let groups = WaveOrder::of(snapshot, policy).groups.into_iter();
    let groups = groups.map(|(_, group)| &group & &wave.apps).filter(|group| group.iter().any(is_left));
    let left = groups.flatten().collect::<BTreeSet<ConsumerId>>().into_iter().collect();
    Event::GatePassed { number: wave.number, left }
}

/// Who of those who were to be repaired has been, and is asked how he is.
pub fn repaired_of(repair: &Repair, snapshot: &Snapshot) -> BTreeSet<ConsumerId> {
    repair.apps.iter().filter(|app| !is_stale(app, snapshot)).cloned().collect()
}

/// That those are well who were repaired; who could not be is asked once he is.
pub fn repair_passes(repair: &Repair, snapshot: &Snapshot) -> Event {
    Event::RepairPassed { left: repair.apps.iter().filter(|app| is_stale(app, snapshot)).cloned().collect() }
}

fn is_stale(app: &ConsumerId, snapshot: &Snapshot) -> bool {
    holdings(app, snapshot).any(|holds| matches!(holds, Holding::Stale(_)))
}

fn holdings<'a>(app: &'a ConsumerId, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Holding> {
    snapshot.consumers.iter().filter(move |consumer| consumer.at.app == *app).map(|consumer| &consumer.holds)
}

/// What is to be done for gates where a write that comes before them has failed: nobody who was moved or repaired is forgotten
/// for another who cannot be.
pub fn gates_beside(
    snapshot: &Snapshot,
    journal: &Journal,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Option<Step> {
    let view = View::of(snapshot, journal, policy, now).filter(|_| journal.in_flight().is_none())?;
    view.gate().into_iter().chain(view.reports()).find_map(|decision| match decision {
        Decision::Do(step) => Some(step),
        _ => None,
    })
}
