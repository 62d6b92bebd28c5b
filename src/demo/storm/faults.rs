//! What goes wrong, and what others do, round by round. Everything is drawn from one stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::{Fault, FaultKind, KeyType};
use fastrand::Rng;
use parking_lot::Mutex;

use super::flaky_store::{At, Kill};
use super::lasting::Lasting;
use super::run::Storm;
use super::world::{self, CONFIGURED, Consumer, FOLLOWED, Place, READERS, VAULT, consumers, places};
use crate::clock::Clock;

/// The setting of ours in an app that refers to a secret or key-value.
const REFRESHED: &str = "REKEY_REFRESHED";

/// What editors wrote and nobody may lose, by app and name.
pub(super) type Kept = Arc<Mutex<BTreeMap<(String, String), String>>>;

/// What goes wrong, and what is left of it.
pub(super) struct Faults {
    rng: Rng,
    kept: Kept,
    /// What was in a place at some time; editors may write it back.
    memory: Vec<(Place, String)>,
    planted: BTreeMap<Place, DateTime<Utc>>,
    forbidden: Option<(Fault, u64)>,
    lasting: Option<Lasting>,
    outage: u64,
    in_outage: bool,
    gone: BTreeMap<String, u64>,
    names: u64,
    counts: BTreeMap<&'static str, u64>,
}

/// The operations that are made to fail, with any request of Azure Resource Manager as the last.
const OPERATIONS: [&str; 24] = [
    "SignalR_ListKeys",
    "SignalR_RegenerateKey",
    "WebApps_ListApplicationSettings",
    "WebApps_ListConnectionStrings",
    "WebApps_UpdateApplicationSettings",
    "WebApps_UpdateApplicationSettings",
    "DataPlane_Exists",
    "KeyVault_GetSecret",
    "KeyVault_GetSecretVersions",
    "KeyVault_SetSecret",
    "WebApps_GetAppSettingKeyVaultReference",
    "AppConfiguration_GetKeyValue",
    "AppConfiguration_PutKeyValue",
    "ContainerApps_Get",
    "ContainerApps_ListSecrets",
    "ContainerApps_Update",
    "ContainerAppsRevisions_RestartRevision",
    "ContainerAppsRevisionReplicas_ListReplicas",
    "Jobs_ListSecrets",
    "Jobs_Update",
    "JobsExecutions_List",
    "StaticSites_ListStaticSiteFunctionAppSettings",
    "StaticSites_CreateOrUpdateStaticSiteFunctionAppSettings",
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
/// again between two checks is the one thing that nobody can see (ARCHITECTURE.md), and not what is tested here.
fn between_plants() -> TimeDelta {
    TimeDelta::hours(12)
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            kept: Kept::default(),
            memory: Vec::new(),
            planted: BTreeMap::new(),
            forbidden: None,
            lasting: None,
            outage: 0,
            in_outage: false,
            gone: BTreeMap::new(),
            names: 0,
            counts: BTreeMap::new(),
        }
    }

    /// What goes wrong in one round, and which worker is killed in it.
    pub(super) fn begin_round(&mut self, storm: &mut Storm) -> Option<Kill> {
        let before = self.counts.values().sum::<u64>();
        self.editors(storm);
        self.azure(storm);
        self.lasting(storm);
        self.storage(storm);
        let kill = self.chance(35, "kill").then(|| Kill {
            runs_left: self.rng.u8(0..3),
            at: if self.rng.u8(0..4) == 0 { At::Storage } else { At::Azure },
            // A run that only checks makes about ten requests to Azure, one that rotates about forty.
            nth: if self.rng.bool() { self.rng.u64(1..12) } else { self.rng.u64(1..45) },
            late: self.rng.bool(),
        });
        let nothing = before == self.counts.values().sum::<u64>();
        storm.calm = nothing && self.forbidden.is_none() && self.lasting.is_none() && !self.in_outage;
        kill
    }

    /// What lasts a round is over.
    pub(super) fn end_round(&mut self, storm: &Storm) {
        storm.azure.clear_faults();
        storm.azure.clear_hooks();
        storm.store.clear();
    }

    /// The storm is over.
    pub(super) fn end(&mut self, storm: &mut Storm) {
        self.end_round(storm);
        if let Some(lasting) = self.lasting.take() {
            lasting.end(storm);
        }
        let gone = std::mem::take(&mut self.gone);
        gone.keys().for_each(|service| come_back(storm, service));
    }

    /// How often which of it happened.
    pub(super) const fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// What editors wrote last.
    pub(super) fn kept(&self) -> BTreeMap<(String, String), String> {
        self.kept.lock().clone()
    }

    /// Whether something happens, with a chance in a hundred.
    fn chance(&mut self, percent: u8, what: &'static str) -> bool {
        let happens = self.rng.u8(0..100) < percent;
        if happens {
            *self.counts.entry(what).or_default() += 1;
        }
        happens
    }

    fn editors(&mut self, storm: &Storm) {
        self.come_and_go(storm);
        if self.chance(10, "edit") {
            self.edit(storm);
        }
        if self.chance(3, "edit during a regeneration") {
            self.edit_during_a_regeneration(storm);
        }
        // Nobody writes back what a lasting fault left in a setting.
        if self.rng.u8(0..100) < 5 && self.lasting.is_none() {
            self.remember(storm);
        }
        if self.rng.u8(0..100) < 3 {
            self.plant(storm);
        }
        if self.chance(8, "secret written anew") {
            self.write_secret_anew(storm);
        }
        if self.chance(4, "secret written at the same time") {
            self.write_secret_at_the_same_time(storm);
        }
        if self.chance(6, "references fetched slowly") {
            let reader = READERS[self.rng.usize(0..READERS.len())];
            // The app may be gone.
            let _ = storm.azure.with(|state| state.refresh_references(reader));
        }
        if self.chance(3, "note of what was fetched lost") {
            self.forget_what_was_fetched(storm);
        }
        if self.chance(3, "containers scaled or restarted") {
            self.scale(storm);
        }
        if self.chance(2, "outside regeneration") {
            self.force(storm);
        }
    }

    /// Somebody saves a secret as it is: a new version, which nobody was made to fetch.
    fn write_secret_anew(&mut self, storm: &Storm) {
        let place = Place::Secret(self.secret());
        if let Some(value) = place.read(&storm.azure) {
            place.write(&storm.azure, &value);
        }
    }

    /// He saves what he read before a worker wrote, just after that: there is no condition that would keep him from it.
    fn write_secret_at_the_same_time(&mut self, storm: &Storm) {
        let name = self.secret();
        let Some(value) = Place::Secret(name).read(&storm.azure) else { return };
        let nth = self.rng.usize(1..3);
        storm.azure.after("KeyVault_SetSecret", nth, move |state| {
            // It may be deleted.
            let _ = state.set_secret(VAULT, name, &value);
        });
    }

    /// A template that knows only its own settings takes ours away, which says what an app was made to fetch.
    fn forget_what_was_fetched(&mut self, storm: &Storm) {
        let readers = [READERS[0], READERS[1], "by-store", "by-sdk"];
        // The app may be gone.
        let _ = storm.azure.edit_setting(readers[self.rng.usize(0..readers.len())], REFRESHED, None);
    }

    fn secret(&mut self) -> &'static str {
        [FOLLOWED, CONFIGURED][self.rng.usize(0..2)]
    }

    /// A container app is scaled, to nothing at times, or a person restarts it.
    fn scale(&mut self, storm: &Storm) {
        let app = ["api-east", "api-west"][self.rng.usize(0..2)];
        let replicas = self.rng.usize(0..4);
        // They are there.
        let _ = match replicas {
            3 => storm.azure.with(|state| state.restart_revision(app, None)),
            replicas => storm.azure.with(|state| state.scale(app, None, replicas)),
        };
    }

    /// Apps that are deleted, and made again.
    fn come_and_go(&mut self, storm: &Storm) {
        let back: Vec<String> = self
            .gone
            .iter()
            .filter(|(_, until)| **until <= storm.rounds)
            .map(|(name, _)| name.clone())
            .collect();
        for service in back {
            self.gone.remove(&service);
            come_back(storm, &service);
        }
        let service = self.service(storm);
        if !self.gone.contains_key(&service) && self.chance(1, "app gone") {
            let app = format!("func-{service}");
            // It is there: it is not among those that are gone.
            let _ = storm.azure.delete_site(&app);
            self.kept.lock().retain(|(of, _), _| *of != app);
            self.gone.insert(service, storm.rounds + self.rng.u64(1..12));
        }
    }

    /// Somebody adds a setting of his own, changes it, or removes it.
    fn edit(&mut self, storm: &Storm) {
        let Consumer { app, .. } = self.consumer();
        let (name, value) = (format!("EDITED_{}", self.rng.u8(0..4)), self.value());
        let mut kept = self.kept.lock();
        if self.rng.u8(0..4) == 0 {
            if storm.azure.edit_setting(&app, &name, None).is_ok() {
                kept.remove(&(app, name));
            }
        } else if storm.azure.edit_setting(&app, &name, Some(&value)).is_ok() {
            kept.insert((app, name), value);
        }
    }

    /// The same while a run is at work, and well before it reads what it is going to write.
    fn edit_during_a_regeneration(&mut self, storm: &Storm) {
        let Consumer { app, .. } = self.consumer();
        let (name, value) = (format!("EDITED_{}", self.rng.u8(4..6)), self.value());
        let kept = Arc::clone(&self.kept);
        storm.azure.after("SignalR_RegenerateKey", 1, move |state| {
            if state.edit_setting(&app, &name, Some(&value)).is_ok() {
                kept.lock().insert((app, name), value);
            }
        });
    }

    /// Somebody takes down what is in a place.
    fn remember(&mut self, storm: &Storm) {
        let (place, _) = self.place();
        if let Some(value) = place.read(&storm.azure) {
            self.memory.push((place, value));
            self.memory.drain(..self.memory.len().saturating_sub(12));
        }
    }

    /// Somebody writes a string into a place: one that he took down before, or a fresh copy of either.
    fn plant(&mut self, storm: &Storm) {
        let (place, value) = match self.rng.choice(&self.memory) {
            Some((place, value)) if self.rng.bool() => (place.clone(), value.clone()),
            _ => {
                let (place, service) = self.place();
                let key = if self.rng.bool() { "primary" } else { "secondary" };
                (place, format!("{{{key}:{service}}}"))
            }
        };
        let now = storm.clock.now();
        let recently = self.planted.get(&place).is_some_and(|at| *at + between_plants() > now);
        if !recently && place.write(&storm.azure, &value) {
            self.planted.insert(place, now);
            *self.counts.entry("string planted").or_default() += 1;
        }
    }

    /// Something begins that lasts some rounds, or ends; a key may be replaced at the same time.
    fn lasting(&mut self, storm: &mut Storm) {
        let over = self.lasting.take_if(|lasting| lasting.until() <= storm.rounds);
        if let Some(lasting) = over {
            lasting.end(storm);
        }
        if self.lasting.is_none() && self.rng.u8(0..100) < 5 {
            let (consumer, until) = (self.consumer(), storm.rounds + self.rng.u64(1..7));
            if let Some(lasting) = Lasting::begin(storm, &consumer, self.rng.u8(..), until) {
                *self.counts.entry(lasting.name()).or_default() += 1;
                let service = lasting.service().to_owned();
                self.lasting = Some(lasting);
                if self.chance(50, "outside regeneration") {
                    self.force_of(storm, service);
                }
            }
        }
    }

    /// Azure, or a person, replaces one key or both; now, or while a run is at work.
    fn force(&mut self, storm: &Storm) {
        let service = self.service(storm);
        self.force_of(storm, service);
    }

    fn force_of(&mut self, storm: &Storm, service: String) {
        let key_types = match self.rng.u8(0..5) {
            0 => KeyType::ALL.to_vec(),
            1 | 2 => vec![KeyType::Primary],
            _ => vec![KeyType::Secondary],
        };
        if self.rng.bool() {
            // The service exists.
            let _ = storm.azure.regenerate(&service, &key_types);
        } else {
            let nth = usize::from(self.rng.u8(1..60));
            let disturbed = Arc::clone(&storm.disturbed);
            storm.azure.before("*", nth, move |state| {
                disturbed.store(true, Ordering::Relaxed);
                drop(state.force_regeneration(&service, &key_types));
            });
        }
    }

    fn azure(&mut self, storm: &Storm) {
        if self.chance(8, "throttling") {
            let fault = Fault::new("*", FaultKind::Throttled).times(self.rng.u64(1..15));
            storm.azure.fault(Fault { retry_after: Some(self.rng.u64(1..90)), ..fault });
        }
        for _ in 0..2 {
            if self.chance(10, "failure") {
                let operation = OPERATIONS[self.rng.usize(0..OPERATIONS.len())];
                let kind = FAILURES[self.rng.usize(0..FAILURES.len())];
                storm.azure.fault(Fault::new(operation, kind).times(self.rng.u64(1..4)));
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
            storm.azure.fault(Fault::new("SignalR_RegenerateKey", kind));
        }
        if self.chance(6, "operation out of reach") {
            let kind = OUT_OF_REACH[self.rng.usize(0..OUT_OF_REACH.len())];
            let operation = match kind {
                FaultKind::ForeignHost => "SignalR_RegenerateKey",
                _ => "SignalR_OperationStatuses",
            };
            storm.azure.fault(Fault::new(operation, kind).times(self.rng.u64(1..30)));
        }
        if self.chance(6, "settings not written") {
            let kind = NOT_WRITTEN[self.rng.usize(0..NOT_WRITTEN.len())];
            let fault = Fault::new("WebApps_UpdateApplicationSettings", kind).times(self.rng.u64(1..3));
            storm.azure.fault(Fault { delay_ms: self.rng.u64(500..20_000), ..fault });
        }
        if self.forbidden.is_none() && self.chance(2, "app forbidden") {
            let Consumer { app, .. } = self.consumer();
            let operation = ["WebApps_ListApplicationSettings", "WebApps_UpdateApplicationSettings"];
            let fault = Fault::new(operation[self.rng.usize(0..2)], FaultKind::Forbidden).on(&app);
            self.forbidden = Some((fault.times(u64::MAX), storm.rounds + self.rng.u64(1..6)));
        }
        self.forbidden.take_if(|(_, until)| *until <= storm.rounds);
        if let Some((fault, _)) = &self.forbidden {
            storm.azure.fault(fault.clone());
        }
    }

    fn storage(&mut self, storm: &Storm) {
        if self.outage == 0 && self.chance(4, "storage outage") {
            self.outage = self.rng.u64(1..4);
        }
        self.in_outage = self.outage > 0;
        if self.in_outage {
            self.outage -= 1;
            storm.store.fail(u64::MAX, self.rng.bool());
        } else if self.chance(6, "storage failure") {
            storm.store.fail(self.rng.u64(1..6), self.rng.bool());
        }
    }

    fn service(&mut self, storm: &Storm) -> String {
        let names: Vec<&str> = storm.services().collect();
        names[self.rng.usize(0..names.len())].to_owned()
    }

    fn consumer(&mut self) -> Consumer {
        let all = consumers();
        all[self.rng.usize(0..all.len())].clone()
    }

    fn place(&mut self) -> (Place, String) {
        let all = places();
        all[self.rng.usize(0..all.len())].clone()
    }

    fn value(&mut self) -> String {
        self.names += 1;
        format!("value {}; of = somebody", self.names)
    }
}

fn come_back(storm: &Storm, service: &str) {
    // Its name is free, and its placeholder names a service that there is.
    let _ = storm.azure.with(|state| state.add_site(world::function(service)));
}
