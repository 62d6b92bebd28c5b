//! What goes wrong, and what others do, round by round. Everything is drawn from one stream.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use tokio::sync::Notify;

use super::crew::Crew;
use super::ledger::Ledger;
use super::spell::Spell;
use super::world;
use crate::clock::Clock;
use crate::sim::{Fault, FaultKind, Sim};
use rekey_core::model::KeyType;

/// What editors wrote and nobody may lose, by app and name.
pub(super) type Kept = Arc<Mutex<BTreeMap<(String, String), String>>>;

/// The weather, and what it left behind.
pub(super) struct Weather {
    rng: Rng,
    kept: Kept,
    /// What was in consumers' settings at some time; editors may write it back.
    memory: Vec<(Consumer, String)>,
    planted: BTreeMap<String, DateTime<Utc>>,
    forbidden: Option<(Fault, u64)>,
    spell: Option<Spell>,
    outage: u64,
    in_outage: bool,
    gone: BTreeMap<String, u64>,
    names: u64,
    counts: BTreeMap<&'static str, u64>,
}

/// A setting that holds a connection string.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) app: String,
    pub(super) setting: &'static str,
    pub(super) instance: String,
}

/// A worker is to be killed.
pub(super) struct Kill {
    /// How many passes of the round are spared.
    pub(super) passes_left: u8,
    at: At,
    nth: u64,
    /// Whether the request at which it is killed takes effect.
    late: bool,
}

#[derive(Clone, Copy)]
enum At {
    Azure,
    Storage,
}

/// The operations that are made to fail, with any request of Azure Resource Manager as the last.
const OPERATIONS: [&str; 8] = [
    "SignalR_ListKeys",
    "SignalR_RegenerateKey",
    "WebApps_ListApplicationSettings",
    "WebApps_ListConnectionStrings",
    "WebApps_UpdateApplicationSettings",
    "WebApps_UpdateApplicationSettings",
    "DataPlane_Exists",
    "*",
];

const FAILURES: [FaultKind; 9] = [
    FaultKind::TimeoutBefore,
    FaultKind::TimeoutAfter,
    FaultKind::TimeoutAfter,
    FaultKind::ServerError,
    FaultKind::ServerErrorAfter,
    FaultKind::Unavailable,
    FaultKind::Conflict,
    FaultKind::Unauthorized,
    FaultKind::ExpiredToken,
];

/// What becomes of asking for an operation, or of where it is to be asked for.
const OUT_OF_REACH: [FaultKind; 6] = [
    FaultKind::StillRunning,
    FaultKind::NullStatus,
    FaultKind::Html,
    FaultKind::BadRequest,
    FaultKind::Forbidden,
    FaultKind::ForeignHost,
];

/// What becomes of settings that were sent.
const NOT_WRITTEN: [FaultKind; 3] = [FaultKind::Swallowed, FaultKind::AppliedLate, FaultKind::ContentShare];

/// Between two times that an app is given an old string lies at least this: a consumer that takes a key and leaves it
/// again between two looks is the one thing that nobody can see (ARCHITECTURE.md), and not what is tested here.
fn between_plants() -> TimeDelta {
    TimeDelta::hours(12)
}

impl Weather {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            kept: Kept::default(),
            memory: Vec::new(),
            planted: BTreeMap::new(),
            forbidden: None,
            spell: None,
            outage: 0,
            in_outage: false,
            gone: BTreeMap::new(),
            names: 0,
            counts: BTreeMap::new(),
        }
    }

    /// The weather of one round.
    pub(super) fn turn(&mut self, crew: &mut Crew) -> Option<Kill> {
        let before = self.counts.values().sum::<u64>();
        self.people(crew);
        self.azure(crew);
        self.lasting(crew);
        self.storage(crew);
        let kill = self.chance(35, "kill").then(|| Kill {
            passes_left: self.rng.u8(0..3),
            at: if self.rng.u8(0..4) == 0 { At::Storage } else { At::Azure },
            // A pass that only looks makes about ten requests to Azure, one that rotates about forty.
            nth: if self.rng.bool() { self.rng.u64(1..12) } else { self.rng.u64(1..45) },
            late: self.rng.bool(),
        });
        let nothing = before == self.counts.values().sum::<u64>();
        crew.calm = nothing && self.forbidden.is_none() && self.spell.is_none() && !self.in_outage;
        kill
    }

    /// What lasts a round is over.
    pub(super) fn calm_down(&mut self, crew: &Crew) {
        crew.sim.clear_faults();
        crew.sim.clear_hooks();
        crew.ledger.clear();
    }

    /// The storm is over.
    pub(super) fn clear(&mut self, crew: &mut Crew) {
        self.calm_down(crew);
        if let Some(spell) = self.spell.take() {
            spell.end(crew);
        }
        let gone = std::mem::take(&mut self.gone);
        gone.keys().for_each(|instance| come_back(crew, instance));
    }

    /// How often what happened, in so far as it was drawn.
    pub(super) const fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// What editors wrote last.
    pub(super) fn kept(&self) -> BTreeMap<(String, String), String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether something happens, with a chance in a hundred.
    fn chance(&mut self, percent: u8, what: &'static str) -> bool {
        let happens = self.rng.u8(0..100) < percent;
        if happens {
            *self.counts.entry(what).or_default() += 1;
        }
        happens
    }

    fn people(&mut self, crew: &Crew) {
        self.come_and_go(crew);
        if self.chance(10, "edit") {
            self.edit(crew);
        }
        if self.chance(3, "edit during a regeneration") {
            self.edit_during_a_regeneration(crew);
        }
        // Nobody writes back what a spell left in a setting.
        if self.rng.u8(0..100) < 5 && self.spell.is_none() {
            self.remember(crew);
        }
        if self.rng.u8(0..100) < 3 {
            self.plant(crew);
        }
        if self.chance(2, "outside regeneration") {
            self.force(crew);
        }
    }

    /// Apps that are deleted, and made again.
    fn come_and_go(&mut self, crew: &Crew) {
        let back: Vec<String> = self
            .gone
            .iter()
            .filter(|(_, until)| **until <= crew.rounds)
            .map(|(name, _)| name.clone())
            .collect();
        for instance in back {
            self.gone.remove(&instance);
            come_back(crew, &instance);
        }
        let instance = self.instance(crew);
        if !self.gone.contains_key(&instance) && self.chance(1, "app gone") {
            let app = format!("func-{instance}");
            // It is there: it is not among those that are gone.
            let _ = crew.sim.delete_site(&app);
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| *of != app);
            self.gone.insert(instance, crew.rounds + self.rng.u64(1..12));
        }
    }

    /// Somebody adds a setting of his own, changes it, or removes it.
    fn edit(&mut self, crew: &Crew) {
        let Consumer { app, .. } = self.consumer(crew);
        let (name, value) = (format!("EDITED_{}", self.rng.u8(0..4)), self.value());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.rng.u8(0..4) == 0 {
            if crew.sim.edit_setting(&app, &name, None).is_ok() {
                kept.remove(&(app, name));
            }
        } else if crew.sim.edit_setting(&app, &name, Some(&value)).is_ok() {
            kept.insert((app, name), value);
        }
    }

    /// The same while a pass is at work, and well before it reads what it is going to write.
    fn edit_during_a_regeneration(&mut self, crew: &Crew) {
        let Consumer { app, .. } = self.consumer(crew);
        let (name, value) = (format!("EDITED_{}", self.rng.u8(4..6)), self.value());
        let kept = Arc::clone(&self.kept);
        crew.sim.after("SignalR_RegenerateKey", 1, move |state| {
            if state.edit_setting(&app, &name, Some(&value)).is_ok() {
                kept.lock().unwrap_or_else(PoisonError::into_inner).insert((app, name), value);
            }
        });
    }

    /// Somebody takes down what a consumer's setting holds.
    fn remember(&mut self, crew: &Crew) {
        let consumer = self.consumer(crew);
        let found = crew.sim.settings(&consumer.app).ok();
        if let Some(value) = found.and_then(|found| found.get(consumer.setting).cloned()) {
            self.memory.push((consumer, value));
            self.memory.drain(..self.memory.len().saturating_sub(12));
        }
    }

    /// Somebody writes a string into a consumer's setting: one that he took down before, or a fresh copy of either.
    fn plant(&mut self, crew: &Crew) {
        let (consumer, value) = match self.rng.choice(&self.memory) {
            Some((consumer, value)) if self.rng.bool() => (consumer.clone(), value.clone()),
            _ => {
                let consumer = self.consumer(crew);
                let key = if self.rng.bool() { "primary" } else { "secondary" };
                let value = format!("{{{key}:{}}}", consumer.instance);
                (consumer, value)
            }
        };
        let now = crew.clock.now();
        let recently = self.planted.get(&consumer.app).is_some_and(|at| *at + between_plants() > now);
        if !recently && crew.sim.edit_setting(&consumer.app, consumer.setting, Some(&value)).is_ok() {
            self.planted.insert(consumer.app, now);
            *self.counts.entry("string planted").or_default() += 1;
        }
    }

    /// Something begins that lasts some rounds, or ends; a key may be replaced at the same time.
    fn lasting(&mut self, crew: &mut Crew) {
        let over = self.spell.take_if(|spell| spell.until() <= crew.rounds);
        if let Some(spell) = over {
            spell.end(crew);
        }
        if self.spell.is_none() && self.rng.u8(0..100) < 5 {
            let (consumer, until) = (self.consumer(crew), crew.rounds + self.rng.u64(1..7));
            if let Some(spell) = Spell::begin(crew, &consumer, self.rng.u8(..), until) {
                *self.counts.entry(spell.name()).or_default() += 1;
                self.spell = Some(spell);
                if self.chance(50, "outside regeneration") {
                    self.force_of(crew, consumer.instance);
                }
            }
        }
    }

    /// Azure, or a person, replaces one key or both; now, or while a pass is at work.
    fn force(&mut self, crew: &Crew) {
        let instance = self.instance(crew);
        self.force_of(crew, instance);
    }

    fn force_of(&mut self, crew: &Crew, instance: String) {
        let key_types = match self.rng.u8(0..5) {
            0 => KeyType::ALL.to_vec(),
            1 | 2 => vec![KeyType::Primary],
            _ => vec![KeyType::Secondary],
        };
        if self.rng.bool() {
            // The instance exists.
            let _ = crew.sim.regenerate(&instance, &key_types);
        } else {
            let nth = usize::from(self.rng.u8(1..60));
            let disturbed = Arc::clone(&crew.disturbed);
            crew.sim.before("*", nth, move |state| {
                disturbed.store(true, Ordering::Relaxed);
                drop(state.force_regeneration(&instance, &key_types));
            });
        }
    }

    fn azure(&mut self, crew: &Crew) {
        if self.chance(8, "throttling") {
            let fault = Fault::new("*", FaultKind::Throttled).times(self.rng.u64(1..15));
            crew.sim.fault(Fault { retry_after: Some(self.rng.u64(1..90)), ..fault });
        }
        for _ in 0..2 {
            if self.chance(10, "failure") {
                let operation = OPERATIONS[self.rng.usize(0..OPERATIONS.len())];
                let kind = FAILURES[self.rng.usize(0..FAILURES.len())];
                crew.sim.fault(Fault::new(operation, kind).times(self.rng.u64(1..4)));
            }
        }
        if self.chance(8, "regeneration that fails") {
            let kinds = [
                FaultKind::NoEffect,
                FaultKind::OperationFailed,
                FaultKind::TimeoutAfter,
                FaultKind::TimeoutBefore,
                FaultKind::ServerErrorAfter,
            ];
            let kind = kinds[self.rng.usize(0..kinds.len())];
            crew.sim.fault(Fault::new("SignalR_RegenerateKey", kind));
        }
        if self.chance(6, "operation out of reach") {
            let kind = OUT_OF_REACH[self.rng.usize(0..OUT_OF_REACH.len())];
            let operation = match kind {
                FaultKind::ForeignHost => "SignalR_RegenerateKey",
                _ => "SignalR_OperationStatuses",
            };
            crew.sim.fault(Fault::new(operation, kind).times(self.rng.u64(1..30)));
        }
        if self.chance(6, "settings not written") {
            let kind = NOT_WRITTEN[self.rng.usize(0..NOT_WRITTEN.len())];
            let fault = Fault::new("WebApps_UpdateApplicationSettings", kind).times(self.rng.u64(1..3));
            crew.sim.fault(Fault { delay_ms: self.rng.u64(500..20_000), ..fault });
        }
        if self.forbidden.is_none() && self.chance(2, "app forbidden") {
            let Consumer { app, .. } = self.consumer(crew);
            let operation = ["WebApps_ListApplicationSettings", "WebApps_UpdateApplicationSettings"];
            let fault = Fault::new(operation[self.rng.usize(0..2)], FaultKind::Forbidden).on(&app);
            self.forbidden = Some((fault.times(u64::MAX), crew.rounds + self.rng.u64(1..6)));
        }
        self.forbidden.take_if(|(_, until)| *until <= crew.rounds);
        if let Some((fault, _)) = &self.forbidden {
            crew.sim.fault(fault.clone());
        }
    }

    fn storage(&mut self, crew: &Crew) {
        if self.outage == 0 && self.chance(4, "storage outage") {
            self.outage = self.rng.u64(1..4);
        }
        self.in_outage = self.outage > 0;
        if self.in_outage {
            self.outage -= 1;
            crew.ledger.fail(u64::MAX, self.rng.bool());
        } else if self.chance(6, "storage failure") {
            crew.ledger.fail(self.rng.u64(1..6), self.rng.bool());
        }
    }

    fn instance(&mut self, crew: &Crew) -> String {
        let names: Vec<&str> = crew.instances().collect();
        names[self.rng.usize(0..names.len())].to_owned()
    }

    fn consumer(&mut self, crew: &Crew) -> Consumer {
        let all = consumers(crew);
        all[self.rng.usize(0..all.len())].clone()
    }

    fn value(&mut self) -> String {
        self.names += 1;
        format!("value {}; of = somebody", self.names)
    }
}

/// Every setting that holds a connection string.
pub(super) fn consumers(crew: &Crew) -> Vec<Consumer> {
    const WEB: &str = "Azure__SignalR__ConnectionString";
    let mut all: Vec<Consumer> = Vec::new();
    for (at, instance) in crew.instances().enumerate() {
        let consumer = |app: String, setting| Consumer { app, setting, instance: instance.to_owned() };
        all.push(consumer(format!("web-{instance}"), WEB));
        all.push(consumer(format!("web-{instance}/staging"), WEB));
        all.push(consumer(format!("func-{instance}"), "AzureSignalRConnectionString"));
        if let Some(setting) = [WEB, "Second"].get(at) {
            all.push(consumer("web-shared".into(), setting));
        }
    }
    all
}

fn come_back(crew: &Crew, instance: &str) {
    // Its name is free, and its placeholder names an instance that there is.
    let _ = crew.sim.with(|state| state.add_site(world::function(instance)));
}

impl Kill {
    /// Lies in wait. What is answered is told when the worker is to be dropped.
    pub(super) fn arm(&self, sim: &Sim, ledger: &Ledger) -> Arc<Notify> {
        let killed = Arc::new(Notify::new());
        let Self { nth, late, .. } = *self;
        match self.at {
            At::Storage => ledger.kill(nth % 7 + 1, late, Arc::clone(&killed)),
            At::Azure => {
                let (killer, spoilt) = (Arc::clone(&killed), Self::spoilt(late));
                sim.before("*", usize::try_from(nth).unwrap_or(1), move |state| {
                    state.spoil(spoilt);
                    killer.notify_one();
                });
            }
        }
        killed
    }

    /// Lets go of a worker that came through.
    pub(super) fn disarm(sim: &Sim, ledger: &Ledger) {
        sim.clear_hooks();
        ledger.spare();
    }

    const fn spoilt(late: bool) -> FaultKind {
        if late { FaultKind::TimeoutAfter } else { FaultKind::TimeoutBefore }
    }
}
