//! One look at an instance: its keys and the settings of its apps, read from Azure and reduced to a [`Snapshot`].
//!
//! Start at [`Look::take`]. A look keeps what it read, each part with its time, so that a later [`Look::refresh`]
//! reads again only what has grown too old. The snapshot it yields holds fingerprints; the keys stay here.

mod classify;
mod missing;
pub mod survey;
mod text;

use missing::{Missing, Place};

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use futures::{FutureExt, StreamExt, stream};

use crate::azure::arm::{Arm, ArmError, ArmErrorKind, Settings};
use crate::clock::Clock;
use crate::config::{AppConfig, ServiceConfig};
use crate::report::cause;
use crate::report::text::azure::unread as texts;
use rekey_core::journal::Journal;
use rekey_core::model::{AppId, ConnectionString, Fingerprint, KeyPair, KeyType, PerKey, Section};
use rekey_core::plan::{Holding, Snapshot, Unknown};

/// How many apps of one instance are asked at the same time. ARM lets 10 writes a second pass in the long run, and
/// listing settings counts as one; with eight instances at once the bucket of 200 holds for the peaks.
pub const APPS_AT_ONCE: usize = 8;

/// The same while clients may be failing: the list and the write of a hundred apps are what the bucket of 200 holds.
pub const APPS_AT_ONCE_IN_NEED: usize = 100;

/// What a look is taken with.
#[derive(Clone, Copy, Debug)]
pub struct Eyes<'a> {
    /// Azure Resource Manager, bounded by the time of the pass.
    pub arm: &'a Arm,
    /// The time.
    pub clock: &'a dyn Clock,
    /// How many apps are asked at the same time.
    pub at_once: usize,
    /// Whether somebody may be cut off: then one app that does not answer keeps nobody waiting for long.
    pub in_need: bool,
}

/// How long an app's settings may take while somebody may be cut off. Azure answers within a second, or two; whoever takes
/// longer is read by the next run.
fn patience() -> TimeDelta {
    TimeDelta::seconds(5)
}

impl Eyes<'_> {
    /// The client for apps.
    fn arm_for_apps(&self) -> Arm {
        if self.in_need { self.arm.no_later_than(self.clock.now() + patience()) } else { self.arm.clone() }
    }
}

/// How old what was read may be when a key is regenerated on the strength of it. Reading a hundred apps takes about
/// as long, so asking for less would promise what cannot be kept.
#[must_use]
pub fn fresh() -> TimeDelta {
    TimeDelta::seconds(5)
}

/// How old it may be when the regeneration is sent: time for the journal write in between, and for the one request.
#[must_use]
pub fn usable() -> TimeDelta {
    TimeDelta::seconds(35)
}

/// What was read of an instance, and when. It holds key material; its `Debug` does not.
#[derive(Debug)]
pub struct Look {
    keys: KeyPair,
    host: String,
    keys_at: DateTime<Utc>,
    apps: BTreeMap<(AppId, Section), Read>,
    /// What could be found out of apps that Azure does not find.
    missing: BTreeMap<AppId, Missing>,
    /// The keys that the service refuses; nothing if it was not asked about these keys.
    refused: Option<PerKey<bool>>,
}

#[derive(Debug)]
struct Read {
    at: DateTime<Utc>,
    found: Result<Settings, ArmError>,
    /// Whether it is what Azure answered to a write: not what the app is given, only what we asked for.
    echo: bool,
}

impl Look {
    /// Reads everything.
    pub async fn take(eyes: Eyes<'_>, instance: &ServiceConfig) -> Result<Self, ArmError> {
        let mut look = Self::of_keys(eyes, instance).await?;
        look.complete(eyes, instance).await?;
        Ok(look)
    }

    /// Reads the keys alone; [`Look::complete`] reads the rest.
    pub async fn of_keys(eyes: Eyes<'_>, instance: &ServiceConfig) -> Result<Self, ArmError> {
        let (keys, host, keys_at) = list_keys(eyes, instance).await?;
        Ok(Self { keys, host, keys_at, apps: BTreeMap::new(), missing: BTreeMap::new(), refused: None })
    }

    /// Reads the apps that were not read yet.
    pub async fn complete(&mut self, eyes: Eyes<'_>, instance: &ServiceConfig) -> Result<(), ArmError> {
        self.read_apps(eyes, instance, |_| false).await.map(drop)
    }

    /// Reads again what is older than `age`, and what is Azure's answer to a write; whether there was any of it.
    pub async fn refresh(
        &mut self,
        eyes: Eyes<'_>,
        instance: &ServiceConfig,
        age: TimeDelta,
    ) -> Result<bool, ArmError> {
        let keys_at = self.keys_at;
        self.refresh_keys(eyes, instance, age).await?;
        let since = eyes.clock.now() - age;
        let apps = self.read_apps(eyes, instance, |read| read.echo || read.at < since).await?;
        Ok(apps || self.keys_at != keys_at)
    }

    /// Reads again what is Azure's answer to a write.
    pub async fn read_back(&mut self, eyes: Eyes<'_>, instance: &ServiceConfig) -> Result<(), ArmError> {
        self.read_apps(eyes, instance, |read| read.echo).await.map(drop)
    }

    /// Whether something was written and not read since.
    #[must_use]
    pub fn is_echoed(&self) -> bool {
        self.apps.values().any(|read| read.echo)
    }

    /// Reads the keys again if they are older than `age`.
    pub async fn refresh_keys(
        &mut self,
        eyes: Eyes<'_>,
        instance: &ServiceConfig,
        age: TimeDelta,
    ) -> Result<(), ArmError> {
        let old = self.keys_at < eyes.clock.now() - age;
        if old { self.read_keys(eyes, instance).await } else { Ok(()) }
    }

    /// Reads the keys again.
    pub async fn read_keys(&mut self, eyes: Eyes<'_>, instance: &ServiceConfig) -> Result<(), ArmError> {
        let before = self.keys.clone();
        (self.keys, self.host, self.keys_at) = list_keys(eyes, instance).await?;
        if self.keys != before {
            self.refused = None;
        }
        Ok(())
    }

    /// The keys. For writing them into settings and for proving them.
    #[must_use]
    pub fn keys(&self) -> &KeyPair {
        &self.keys
    }

    /// The keys, in so far as they may be told.
    #[must_use]
    pub fn fingerprints(&self) -> PerKey<Fingerprint> {
        PerKey::from_fn(|key_type| self.keys[key_type].fingerprint())
    }

    /// The host of the instance, as its own connection strings name it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The keys that the service refuses, if it was asked.
    #[must_use]
    pub const fn refused(&self) -> Option<PerKey<bool>> {
        self.refused
    }

    /// Takes in what the service said of the keys.
    pub const fn heard(&mut self, refused: PerKey<bool>) {
        self.refused = Some(refused);
    }

    /// The oldest part of it.
    #[must_use]
    pub fn oldest(&self) -> DateTime<Utc> {
        self.apps.values().map(|read| read.at).chain([self.keys_at]).min().unwrap_or(self.keys_at)
    }

    /// A dictionary that was read, and when.
    #[must_use]
    pub fn settings(&self, app: &AppId, section: Section) -> Option<(&Settings, DateTime<Utc>)> {
        let read = self.apps.get(&(app.clone(), section)).filter(|read| !read.echo)?;
        read.found.as_ref().ok().map(|settings| (settings, read.at))
    }

    /// Takes over what Azure answered to a write.
    pub fn written(&mut self, app: AppId, section: Section, settings: Settings, at: DateTime<Utc>) {
        self.apps.insert((app, section), Read { at, found: Ok(settings), echo: true });
    }

    /// What the look shows, without key material.
    #[must_use]
    pub fn snapshot(&self, instance: &ServiceConfig, journal: &Journal) -> Snapshot {
        let mut snapshot = Snapshot {
            echoed: self.is_echoed(),
            refused: self.refused.unwrap_or_default(),
            ..Snapshot::of_keys(self.oldest(), self.fingerprints())
        };
        for app in &instance.apps {
            self.add_app(app, journal, &mut snapshot);
        }
        snapshot
    }

    /// Whether a connection string is the instance's.
    #[must_use]
    pub fn is_ours(&self, string: &ConnectionString, journal: &Journal) -> bool {
        self.seen(journal).holding(string).is_some()
    }

    fn seen<'a>(&'a self, journal: &'a Journal) -> classify::Seen<'a> {
        classify::Seen { keys: &self.keys, host: &self.host, journal }
    }

    fn add_app(&self, app: &AppConfig, journal: &Journal, snapshot: &mut Snapshot) {
        let before = (snapshot.consumers.len(), snapshot.unknown.len());
        let mut unread = None;
        let mut unclear = Vec::new();
        for section in sections(app) {
            match self.apps.get(&(app.id.clone(), section)).map(|read| &read.found) {
                Some(Ok(settings)) => {
                    unclear.extend(self.seen(journal).settings(app, section, settings, snapshot));
                }
                Some(Err(error)) if error.kind() == ArmErrorKind::Gone => {
                    return self.add_missing(app, journal, snapshot);
                }
                // What keeps one dictionary out of sight mostly keeps the other: it is told once, and what lasts first.
                Some(Err(error)) => {
                    let one = unreadable(app, cause::told(error), error.is_passing());
                    if unread.as_ref().is_none_or(|first: &Unknown| one.lasts() && !first.lasts()) {
                        unread = Some(one);
                    }
                }
                None => {
                    unread.get_or_insert_with(|| unreadable(app, texts::NOT_READ.to_owned(), true));
                }
            }
        }
        let seen = unread.is_none();
        snapshot.unknown.extend(unread);
        let nothing = before == (snapshot.consumers.len(), snapshot.unknown.len());
        if !nothing && !unclear.is_empty() {
            snapshot.references.push((app.id.clone(), unclear.clone()));
        }
        // That an app may hold none excuses one in which nothing points elsewhere.
        if nothing && !unclear.is_empty() {
            snapshot.unknown.push(Unknown::OnlyReferences { app: app.id.clone(), names: unclear });
        } else if nothing && !app.may_hold_none {
            snapshot.unknown.push(Unknown::NoConsumer { app: app.id.clone() });
        }
        let lasts = snapshot.unknown[before.1..].iter().any(Unknown::lasts);
        if seen {
            snapshot.seen.insert(app.id.clone(), held(snapshot, before.0, lasts));
        } else if lasts && journal.seen(&app.id).is_some() {
            // Who goes out of sight may take any key there, and is not to be taken for what he was seen with before.
            snapshot.blurred.insert(app.id.clone());
        }
        if !seen {
            lose(&app.id, journal, snapshot);
        }
    }

    /// An app that Azure does not find: deleted, moved, or never there under this id.
    fn add_missing(&self, app: &AppConfig, journal: &Journal, snapshot: &mut Snapshot) {
        let id = app.id.clone();
        let missing = self.missing.get(&id);
        let Some(held) = journal.seen(&id) else {
            let meant = missing.and_then(|missing| missing.meant.clone());
            return snapshot.unknown.push(Unknown::NeverSeen { app: id, meant });
        };
        match missing.map(|missing| &missing.place) {
            Some(Place::Nowhere) => snapshot.gone.push(id),
            Some(Place::Known(whereabouts)) => {
                lose(&id, journal, snapshot);
                let either = snapshot.keys.iter().filter(|_| journal.is_blurred(&id));
                let held = held.iter().chain(either.map(|(_, key)| key)).cloned().collect();
                let whereabouts = whereabouts.clone();
                snapshot.unknown.push(Unknown::Vanished { app: id, whereabouts, held });
            }
            None => snapshot.unknown.push(unreadable(app, texts::NOT_LOOKED_FOR.to_owned(), true)),
        }
    }

    /// Reads every dictionary that was not read yet, and those that are to be read `again`; whether there was any.
    async fn read_apps(
        &mut self,
        eyes: Eyes<'_>,
        instance: &ServiceConfig,
        again: impl Fn(&Read) -> bool,
    ) -> Result<bool, ArmError> {
        let all = instance.apps.iter().flat_map(|app| sections(app).map(|section| (app.id.clone(), section)));
        let old = all.filter(|part| self.apps.get(part).is_none_or(&again)).collect::<Vec<_>>();
        let any = !old.is_empty();
        let reads: Vec<_> = old.into_iter().map(|part| read(eyes, part).boxed()).collect();
        let reads: Vec<_> = stream::iter(reads).buffer_unordered(eyes.at_once).collect().await;
        let mut gone = BTreeSet::new();
        for (part, read) in reads {
            let Read { at, found, echo } = read;
            match found {
                // Running out of the run's time says nothing of the app; it ends the look.
                Err(error) if error.kind() == ArmErrorKind::OutOfTime && !eyes.in_need => return Err(error),
                Err(error) if error.kind() == ArmErrorKind::Gone => {
                    gone.insert(part.0.clone());
                    self.apps.insert(part, Read { at, found: Err(error), echo });
                }
                found => drop(self.apps.insert(part, Read { at, found, echo })),
            }
        }
        let read = self.apps.iter().filter(|(_, read)| read.found.is_ok());
        let there: BTreeSet<AppId> = read.map(|((app, _), _)| app.clone()).collect();
        let arm = eyes.arm_for_apps();
        let looked_for = gone.into_iter().map(|app| {
            let (arm, there) = (&arm, &there);
            async move { (missing::look_for(arm, &app, there).await, app) }
        });
        let found = join_all(looked_for).await;
        self.missing.extend(found.into_iter().map(|(missing, app)| (app, missing)));
        Ok(any)
    }
}

/// The keys, the host that their connection strings name, and when they were asked for.
async fn list_keys(
    eyes: Eyes<'_>,
    instance: &ServiceConfig,
) -> Result<(KeyPair, String, DateTime<Utc>), ArmError> {
    let at = eyes.clock.now();
    let listed = eyes.arm.list_keys(&instance.id).await?;
    Ok((listed.keys, listed.host.unwrap_or_default(), at))
}

fn unreadable(app: &AppConfig, detail: String, passing: bool) -> Unknown {
    Unknown::Unreadable { app: app.id.clone(), detail, passing }
}

/// Takes an app that is out of sight for lost if all keys are invalid that it was last seen with.
fn lose(app: &AppId, journal: &Journal, snapshot: &mut Snapshot) {
    if is_lost(app, journal, &snapshot.keys) {
        snapshot.lost.insert(app.clone());
    }
}

/// Whether all keys are invalid that an app was last seen with: out of sight, it is very probably cut off.
pub(crate) fn is_lost(app: &AppId, journal: &Journal, keys: &PerKey<Fingerprint>) -> bool {
    let held = journal.seen(app).unwrap_or_default();
    let is_current = |key: &Fingerprint| keys.iter().any(|(_, current)| current == key);
    !held.is_empty() && !held.iter().any(is_current)
}

/// The keys that an app holds whose consumers begin at `first`; if something of it is out of sight it may hold either.
fn held(snapshot: &Snapshot, first: usize, out_of_sight: bool) -> Vec<Fingerprint> {
    let current = |key_type: KeyType| snapshot.keys[key_type].clone();
    let mut held: Vec<Fingerprint> = snapshot.consumers[first..]
        .iter()
        .filter_map(|consumer| match &consumer.holds {
            Holding::Valid(key_type) => Some(current(*key_type)),
            Holding::Stale(fingerprint) => Some(fingerprint.clone()),
            Holding::Identity => None,
        })
        .chain(KeyType::ALL.into_iter().filter(|_| out_of_sight).map(current))
        .collect();
    held.sort();
    held.dedup();
    held
}

async fn read(eyes: Eyes<'_>, part: (AppId, Section)) -> ((AppId, Section), Read) {
    let at = eyes.clock.now();
    let found = eyes.arm_for_apps().list_settings(&part.0, part.1).await;
    (part, Read { at, found, echo: false })
}

/// The dictionaries of an app that can hold consumers: those whose entries were named, or both.
pub fn sections(app: &AppConfig) -> impl Iterator<Item = Section> + use<> {
    let by_value = app.settings.is_empty() && app.connection_strings.is_empty();
    let settings = by_value || !app.settings.is_empty();
    let strings = by_value || !app.connection_strings.is_empty();
    Section::ALL
        .into_iter()
        .zip([settings, strings])
        .filter(|(_, wanted)| *wanted)
        .map(|(section, _)| section)
}
