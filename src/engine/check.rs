//! One check of a service: its keys and what its consumers hold, read from Azure and reduced to a [`Snapshot`].
//!
//! Start at [`Check::take`]. A check keeps what it read, each part with its time, so that a later [`Check::refresh`]
//! reads again only what has grown too old. The snapshot it yields holds fingerprints; the keys stay here.

mod container_apps;
mod key_values;
mod references;
mod static_web_apps;

pub(crate) use key_values::Refusal;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{join_all, try_join};
use futures::{FutureExt, join};

use self::container_apps::Brought;
use crate::azure::arm::{Arm, ArmError, ArmErrorKind};
use crate::azure::consumers::{Absence, Contents, Marks, Missing, Place};
use crate::azure::services::KeyService;
use crate::clock::Clock;
use crate::config::{AppConfig, ServiceConfig};
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::journal::Journal;
use rekey_core::model::{ConsumerId, Fingerprint, KeyPair, KeyType, KeyValueId, PerKey, SecretId};
use rekey_core::plan::{Consumer, Holding, Snapshot, Unknown};

/// What a check is made with.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// Azure Resource Manager, bounded by the time of the run.
    pub arm: &'a Arm,
    pub clock: &'a dyn Clock,
    /// Whether somebody may be cut off: then one app that does not answer keeps nobody waiting for long.
    pub in_need: bool,
}

/// How long an app's settings may take while somebody may be cut off. Azure answers within a second, or two; whoever takes
/// longer is read by the next run.
const PATIENCE: TimeDelta = TimeDelta::seconds(5);

impl Reader<'_> {
    /// The client for apps.
    fn arm_for_apps(&self) -> Arm {
        self.arm.timed(self.in_need.then_some(PATIENCE))
    }
}

/// How old what was read may be when a key is regenerated on the strength of it. Reading a hundred apps takes about
/// as long, so asking for less would promise what cannot be kept.
pub const FRESH: TimeDelta = TimeDelta::seconds(5);

/// How much older it may be where Azure's limit makes reading slow, so that the first of it is old when the last is there: what
/// is left of [`USABLE`] is for the journal and the request.
const SLOWLY: TimeDelta = TimeDelta::seconds(15);

/// How long the platform may take to restart an app with the secrets that it fetched anew. A restart takes a minute or two;
/// whoever takes longer is told as one that still has the old version, and made to try again after a while.
const ARRIVES: TimeDelta = TimeDelta::minutes(3);

/// How old it may be when the regeneration is sent: time for the journal write in between, and for the one request.
pub const USABLE: TimeDelta = TimeDelta::seconds(35);

/// How old it may be when Azure was too busy for the regeneration and it is sent again: what was told as fresh must be it.
pub const USABLE_AGAIN: TimeDelta = TimeDelta::seconds(15);

/// What was read of a service, and when. It holds key material; its `Debug` does not.
#[derive(Debug)]
pub struct Check {
    keys: KeyPair,
    host: String,
    keys_at: DateTime<Utc>,
    places: BTreeMap<Place, Read>,
    /// How the hosts of vaults end that may be asked.
    vault_suffix: &'static str,
    /// The same of App Configuration stores.
    store_suffixes: &'static [&'static str],
    /// What this run has set going and waits for.
    going: Going,
    /// The secrets that are on record as holders of a key, whether anything leads to them any more or not; nothing where only
    /// what a notice names is checked.
    on_record: Option<BTreeSet<SecretId>>,
    /// The same of key-values.
    values_on_record: BTreeSet<KeyValueId>,
    /// What could be found out of apps that Azure does not find.
    missing: BTreeMap<ConsumerId, Missing>,
    /// The keys that the service refuses; nothing if it was not asked about these keys.
    refused: Option<PerKey<bool>>,
    /// How long it took when what had grown too old was last read again.
    refresh_took: TimeDelta,
}

/// What a run has set going and waits for. It is not lost where the run lets another have the lease meanwhile.
#[derive(Debug, Default)]
pub struct Going {
    /// The references that were made to be fetched anew, and until when that is waited for.
    references: BTreeMap<Place, DateTime<Utc>>,
    /// What was written into container apps, whose readers were restarted.
    restarts: BTreeMap<ConsumerId, Brought>,
}

#[derive(Debug)]
struct Read {
    at: DateTime<Utc>,
    found: Result<Contents, ArmError>,
    /// Whether it is what Azure answered to a write: not what the app is given, only what we asked for.
    echo: bool,
    /// Whether it was not waited for as long as it might have been.
    hasty: bool,
}

impl Read {
    /// Whether it may be read by who has more time.
    fn was_given_up(&self) -> bool {
        self.hasty && self.found.as_ref().is_err_and(|error| self.is_late() || error.is_passing())
    }

    /// Whether there was no time to read it.
    fn is_late(&self) -> bool {
        self.found.as_ref().is_err_and(|error| error.kind() == ArmErrorKind::OutOfTime)
    }
}

impl Check {
    /// Reads everything.
    pub async fn take(
        reader: Reader<'_>,
        service: &ServiceConfig,
        journal: &Journal,
    ) -> Result<Self, ArmError> {
        let mut check = Self::of_all(Self::of_keys(reader, service), reader, service).await?;
        check.complete(reader, service, journal).await?;
        Ok(check)
    }

    /// Reads the keys alone; [`Check::complete`] reads the rest.
    pub async fn of_keys(reader: Reader<'_>, service: &ServiceConfig) -> Result<Self, ArmError> {
        let (keys, host, keys_at) = list_keys(reader, service).await?;
        Ok(Self {
            keys,
            host,
            keys_at,
            places: BTreeMap::new(),
            vault_suffix: reader.arm.vault_suffix(),
            store_suffixes: reader.arm.store_suffixes(),
            going: Going::default(),
            on_record: None,
            values_on_record: BTreeSet::new(),
            missing: BTreeMap::new(),
            refused: None,
            refresh_took: TimeDelta::zero(),
        })
    }

    /// Reads the apps side by side with the keys, which tell only then whether somebody is in need: an app that does not
    /// answer soon is not waited for. [`Check::complete`] reads it again, if nobody is.
    pub async fn of_all(
        of_keys: impl Future<Output = Result<Self, ArmError>>,
        reader: Reader<'_>,
        service: &ServiceConfig,
    ) -> Result<Self, ArmError> {
        let hasty = Reader { in_need: true, ..reader };
        let reads = read_all(hasty, Place::configured(service).into_iter()).map(Ok);
        let (mut check, reads) = try_join(of_keys, reads).await?;
        check.places.extend(reads);
        Ok(check)
    }

    /// Reads the apps that were not read yet, or only in haste, and what else is on record.
    pub async fn complete(
        &mut self,
        reader: Reader<'_>,
        service: &ServiceConfig,
        journal: &Journal,
    ) -> Result<(), ArmError> {
        self.on_record = Some(references::on_record(service, journal));
        self.values_on_record = key_values::on_record(journal);
        self.complete_named(reader, service).await
    }

    /// What was set going by then, for the next check of the same run.
    pub fn take_going(&mut self) -> Going {
        std::mem::take(&mut self.going)
    }

    /// Waits for what the check before this one had set going.
    pub fn goes_on(&mut self, going: Going) {
        self.going = going;
    }

    /// The same of the apps of a configuration alone.
    pub async fn complete_named(
        &mut self,
        reader: Reader<'_>,
        service: &ServiceConfig,
    ) -> Result<(), ArmError> {
        self.read_apps(reader, service, |read| read.was_given_up() && !reader.in_need).await.map(drop)
    }

    /// Reads again what is older than `age`, and what is Azure's answer to a write; whether there was any of it.
    pub async fn refresh(
        &mut self,
        reader: Reader<'_>,
        service: &ServiceConfig,
        age: TimeDelta,
    ) -> Result<bool, ArmError> {
        let (keys_at, began) = (self.keys_at, reader.clock.now());
        self.refresh_keys(reader, service, age).await?;
        let since = reader.clock.now() - age;
        let apps = self.read_apps(reader, service, |read| read.echo || read.at < since).await?;
        self.refresh_took = reader.clock.now() - began;
        Ok(apps || self.keys_at != keys_at)
    }

    /// The same for a step that rests on it: what is as old as reading it again would leave it is not read once more.
    pub async fn refresh_for_step(
        &mut self,
        reader: Reader<'_>,
        service: &ServiceConfig,
    ) -> Result<bool, ArmError> {
        self.refresh(reader, service, FRESH + self.refresh_took.min(SLOWLY)).await
    }

    /// Reads again what is Azure's answer to a write, and the keys: what was written may have been replaced meanwhile.
    pub async fn read_back(&mut self, reader: Reader<'_>, service: &ServiceConfig) -> Result<(), ArmError> {
        let (listed, read) =
            join!(list_keys(reader, service), self.read_apps(reader, service, |read| read.echo));
        read?;
        self.listed(listed?);
        Ok(())
    }

    /// What a place holds, or is about to hold by Azure's answer to a write, if it was read.
    fn read_of(&self, place: &Place) -> Option<&Contents> {
        self.places.get(place)?.found.as_ref().ok()
    }

    /// Whether something was written and not read since.
    pub fn is_echoed(&self) -> bool {
        self.places.values().any(|read| read.echo)
    }

    /// Who was written and not read since.
    pub fn echoed(&self) -> impl Iterator<Item = ConsumerId> {
        self.places.iter().filter(|(_, read)| read.echo).map(|(place, _)| place.consumer())
    }

    /// Reads the keys again if they are older than `age`.
    pub async fn refresh_keys(
        &mut self,
        reader: Reader<'_>,
        service: &ServiceConfig,
        age: TimeDelta,
    ) -> Result<(), ArmError> {
        let old = self.keys_at < reader.clock.now() - age;
        if old { self.read_keys(reader, service).await } else { Ok(()) }
    }

    /// Reads the keys again.
    pub async fn read_keys(&mut self, reader: Reader<'_>, service: &ServiceConfig) -> Result<(), ArmError> {
        self.listed(list_keys(reader, service).await?);
        Ok(())
    }

    fn listed(&mut self, (keys, host, at): (KeyPair, String, DateTime<Utc>)) {
        if self.keys != keys {
            self.refused = None;
        }
        (self.keys, self.host, self.keys_at) = (keys, host, at);
    }

    /// Whether an app holds a key that is not listed and never was on record.
    pub fn shows_strange_keys(&self, service: &ServiceConfig, journal: &Journal) -> bool {
        let consumers = self.snapshot(service, journal).consumers;
        consumers.iter().any(|consumer| {
            matches!(&consumer.holds, Holding::Stale(fingerprint) if !journal.remembers(fingerprint))
        })
    }

    /// The keys. For writing them into settings and for proving them.
    pub fn keys(&self) -> &KeyPair {
        &self.keys
    }

    /// The keys, in so far as they may be told.
    pub fn fingerprints(&self) -> PerKey<Fingerprint> {
        PerKey::from_fn(|key_type| self.keys[key_type].fingerprint())
    }

    /// The host of the service, as its own connection strings name it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The keys that the service refuses, if it was asked.
    pub const fn refused(&self) -> Option<PerKey<bool>> {
        self.refused
    }

    /// Takes in what the service said of the keys.
    pub const fn heard(&mut self, refused: PerKey<bool>) {
        self.refused = Some(refused);
    }

    /// The oldest part of it.
    pub fn oldest(&self) -> DateTime<Utc> {
        let read = self.places.iter().filter(|(place, _)| !place.is_fixed()).map(|(_, read)| read.at);
        read.chain([self.keys_at]).min().unwrap_or(self.keys_at)
    }

    /// What a place holds that was read, and when.
    pub fn contents(&self, place: &Place) -> Option<(&Contents, DateTime<Utc>)> {
        let read = self.places.get(place).filter(|read| !read.echo)?;
        read.found.as_ref().ok().map(|contents| (contents, read.at))
    }

    /// Takes over what Azure answered to a write.
    pub fn written(&mut self, place: Place, contents: Contents, at: DateTime<Utc>) {
        // The platform fetches secrets anew then: what it made of references is as good as unread.
        for (references, read) in &mut self.places {
            if place.makes_fetch(references) {
                read.echo = true;
                self.going.references.insert(references.clone(), at + ARRIVES);
            }
        }
        if let Some(app) = contents.container_app() {
            self.brings(place.consumer(), app, at);
        }
        self.writes_production(&place, &contents, at);
        self.places.insert(place, Read { at, found: Ok(contents), echo: true, hasty: false });
    }

    /// How long to wait before what was written is read back.
    pub fn settles_in(&self) -> TimeDelta {
        let echoed = self.places.iter().filter(|(_, read)| read.echo);
        echoed.map(|(place, _)| place.settling().read_back_after()).max().unwrap_or_default()
    }

    /// What the check shows, without key material.
    pub fn snapshot(&self, service: &ServiceConfig, journal: &Journal) -> Snapshot {
        let mut snapshot = Snapshot {
            echoed: self.is_echoed(),
            refused: self.refused.unwrap_or_default(),
            ..Snapshot::of_keys(self.oldest(), self.fingerprints())
        };
        let mut secrets: BTreeSet<SecretId> = service.secrets().cloned().collect();
        for app in &service.apps {
            self.add_app(app, service, journal, &mut snapshot, &mut secrets);
        }
        for id in &service.container_apps {
            self.add_container_app(id, journal, &mut snapshot, &mut secrets);
        }
        for site in &service.static_web_apps {
            self.add_static_web_app(site, journal, &mut snapshot);
        }
        for key_value in &self.key_values(service) {
            self.add_key_value(key_value, service, journal, &mut snapshot);
        }
        snapshot.reads.extend(self.leads(service));
        secrets.extend(self.led_to(service));
        for secret in &secrets {
            self.add_secret(secret, service, journal, &mut snapshot);
        }
        if self.on_record.is_some() {
            for secret in references::on_record(service, journal).difference(&secrets) {
                self.add_left_behind(secret, service, journal, &mut snapshot);
            }
        }
        snapshot.add_external(service.external.iter().cloned(), journal);
        let is_valid = |key: &Fingerprint| snapshot.keys.iter().any(|(_, current)| current == key);
        let seen = journal.all_seen().filter(|(_, held)| held.iter().any(is_valid));
        snapshot.may_work = seen.map(|(consumer, _)| consumer.clone()).collect();
        snapshot
    }

    /// By what a value is known to be the service's.
    pub const fn marks<'a>(&'a self, journal: &'a Journal) -> Marks<'a> {
        Marks { keys: Some(&self.keys), host: self.host.as_str(), journal }
    }

    fn add_app(
        &self,
        app: &AppConfig,
        service: &ServiceConfig,
        journal: &Journal,
        snapshot: &mut Snapshot,
        secrets: &mut BTreeSet<SecretId>,
    ) {
        let before = (snapshot.consumers.len(), snapshot.unknown.len());
        let id = ConsumerId::from(&app.id);
        let mut unread = None;
        let mut unclear = Vec::new();
        let (mut held_in, mut emptied) = (BTreeSet::new(), false);
        for place in Place::of(app) {
            let first = snapshot.consumers.len();
            let why = emptied_of(&place, self.read_of(&place), &id, journal);
            match self.places.get(&place).map(|read| &read.found) {
                Some(Ok(_)) if why.is_some() => {
                    emptied = true;
                    unread = why.map(|why| unreadable(app, why, false));
                }
                Some(Ok(contents)) => {
                    let marks = self.marks(journal);
                    unclear.extend(place.shows(contents, app, marks, self.following(service), snapshot));
                    for followed in place.follows(contents, app, self.vault_suffix) {
                        self.add_reference(&followed, marks, snapshot);
                        let secret = ConsumerId::KeyVaultSecret(followed.reference.secret.clone());
                        snapshot.reads.insert((id.clone(), secret));
                        secrets.insert(followed.reference.secret);
                    }
                    held_in.extend(
                        holds_any(&snapshot.consumers[first..]).then(|| place.dictionary()).flatten(),
                    );
                }
                Some(Err(error)) if error.kind() == ArmErrorKind::Gone => {
                    return self.add_missing(app, journal, snapshot);
                }
                // What keeps one place out of sight mostly keeps the others: it is told once, and what lasts first.
                Some(Err(error)) => {
                    let one = unreadable(app, cause::told(error), error.is_passing());
                    if unread.as_ref().is_none_or(|first: &Unknown| one.lasts() && !first.lasts()) {
                        unread = Some(one);
                    }
                }
                None => {
                    unread.get_or_insert_with(|| unreadable(app, words::NOT_READ.to_owned(), true));
                }
            }
        }
        for reader in self.readers(app, service) {
            self.add_reader(&reader, journal, self.marks(journal), snapshot);
            snapshot.reads.insert((id.clone(), ConsumerId::KeyValue(reader.of)));
        }
        let seen = unread.is_none();
        snapshot.unknown.extend(unread);
        let nothing = before == (snapshot.consumers.len(), snapshot.unknown.len());
        if !nothing && !unclear.is_empty() {
            snapshot.references.push((id.clone(), unclear.clone()));
        }
        // That an app may hold none excuses one in which nothing points elsewhere.
        if nothing && !unclear.is_empty() {
            snapshot.unknown.push(Unknown::OnlyReferences { app: id.clone(), names: unclear });
        } else if nothing && !app.may_hold_none {
            snapshot.unknown.push(Unknown::NoConsumer { app: id.clone() });
        }
        let lasts = snapshot.unknown[before.1..].iter().any(Unknown::lasts);
        if !seen {
            let _ = lose(&id, journal, snapshot);
        }
        if emptied {
            let _ = lose_in_part(&id, journal, snapshot);
        }
        // Of one dictionary that must hold a key it shows that it holds none.
        if seen && (held_in.len() > 1 || (app.may_hold_none && !held_in.is_empty())) {
            snapshot.dictionaries.insert(id.clone(), held_in);
        }
        if seen {
            let mut held = held(snapshot, before.0, lasts);
            let out_of_sight =
                snapshot.unknown[before.1..].iter().any(|one| one.is_of_reference() && one.lasts());
            if out_of_sight {
                held.extend(lose_in_part(&id, journal, snapshot));
                held.sort();
                held.dedup();
            }
            snapshot.seen.insert(id.clone(), held);
        } else if lasts && journal.seen(&id).is_some() {
            // Who goes out of sight may take any key there, and is not to be taken for what he was seen with before.
            snapshot.blurred.insert(id.clone());
        }
    }

    /// An app that Azure does not find: deleted, moved, or never there under this id.
    fn add_missing(&self, app: &AppConfig, journal: &Journal, snapshot: &mut Snapshot) {
        let id = ConsumerId::from(&app.id);
        let missing = self.missing.get(&id);
        let Some(held) = journal.seen(&id) else {
            let meant = missing.and_then(|missing| missing.meant.clone());
            return snapshot.unknown.push(Unknown::NeverSeen { app: id, meant });
        };
        match missing.map(|missing| &missing.absence) {
            Some(Absence::Deleted) => snapshot.gone.push(id),
            Some(Absence::Elsewhere(whereabouts)) => {
                let _ = lose(&id, journal, snapshot);
                let either = snapshot.keys.iter().filter(|_| journal.is_blurred(&id));
                let held = held.iter().chain(either.map(|(_, key)| key)).cloned().collect();
                let whereabouts = whereabouts.clone();
                snapshot.unknown.push(Unknown::Vanished { app: id, whereabouts, held });
            }
            None => snapshot.unknown.push(unreadable(app, words::NOT_LOOKED_FOR.to_owned(), true)),
        }
    }

    /// Reads every place that was not read yet, and those that are to be read `again`; whether there was any.
    async fn read_apps(
        &mut self,
        reader: Reader<'_>,
        service: &ServiceConfig,
        again: impl Fn(&Read) -> bool,
    ) -> Result<bool, ArmError> {
        let mut old: BTreeSet<Place> = self.wanted(service);
        let is_known = |place: &Place| place.is_fixed() && self.read_of(place).is_some();
        old.retain(|place| self.places.get(place).is_none_or(|read| again(read) && !is_known(place)));
        let any = !old.is_empty();
        // What is read may lead to more.
        while !old.is_empty() {
            for (place, read) in read_all(reader, old.into_iter()).await {
                // Running out of the run's time says nothing of the app; it ends the check.
                if read.is_late() && !reader.in_need {
                    return read.found.map(|_| any);
                }
                self.missing.remove(&place.consumer());
                self.places.insert(place, read);
            }
            old = self.wanted(service);
            old.retain(|place| !self.places.contains_key(place));
        }
        self.await_arrival(service, reader.clock.now());
        self.await_restarts(reader.clock.now());
        let is_gone =
            |read: &Read| read.found.as_ref().is_err_and(|error| error.kind() == ArmErrorKind::Gone);
        let of_apps = |place: &&Place| matches!(place, Place::Settings(_));
        let gone =
            self.places.iter().filter(|(_, read)| is_gone(read)).map(|(place, _)| place).filter(of_apps);
        let gone = gone.filter(|place| !self.missing.contains_key(&place.consumer()));
        let gone: BTreeMap<_, _> = gone.map(|place| (place.consumer(), place.clone())).collect();
        self.look_for(reader, gone.into_values()).await;
        Ok(any)
    }

    /// Looks for the apps of places that Azure does not find. Those that were read vouch for its lists.
    async fn look_for(&mut self, reader: Reader<'_>, gone: impl Iterator<Item = Place>) {
        let read = self.places.iter().filter(|(_, read)| read.found.is_ok());
        let there: BTreeSet<ConsumerId> = read.map(|(place, _)| place.consumer()).collect();
        let arm = reader.arm_for_apps();
        let looked_for = gone.map(|place| {
            let (arm, there) = (&arm, &there);
            async move { (place.consumer(), place.look_for(arm, there).await) }
        });
        let found = join_all(looked_for).await;
        self.missing.extend(found.into_iter().filter_map(|(app, found)| Some((app, found?))));
    }
}

/// The keys, the host that their connection strings name, and when they were asked for.
async fn list_keys(
    reader: Reader<'_>,
    service: &ServiceConfig,
) -> Result<(KeyPair, String, DateTime<Utc>), ArmError> {
    let (arm, now) = (reader.arm.timed(None), reader.clock.now());
    let listed = service.id.service_type().list_keys(&arm, &service.id).await?;
    Ok((listed.keys, listed.host.unwrap_or_default(), arm.sent().unwrap_or(now)))
}

fn unreadable(app: &AppConfig, detail: String, passing: bool) -> Unknown {
    Unknown::Unreadable { app: (&app.id).into(), detail, passing }
}

/// Takes an app that is out of sight for lost if all keys are invalid that it was last seen with; whether it is. Of one that is
/// in part out of sight it counts what was seen.
fn lose(app: &ConsumerId, journal: &Journal, snapshot: &mut Snapshot) -> bool {
    let is_seen = |one: &Consumer| one.at.app == *app && one.holds != Holding::Identity;
    let lost = is_lost(app, journal, &snapshot.keys) && !snapshot.consumers.iter().any(is_seen);
    if lost {
        snapshot.lost.insert(app.clone());
    }
    lost
}

/// The invalid keys that an app was last seen with, which refers to something out of sight: by that it goes on with them, as far
/// as anybody knows, whatever its other settings hold by now. It is taken for lost, unless it is seen to hold one.
fn lose_in_part(app: &ConsumerId, journal: &Journal, snapshot: &mut Snapshot) -> Vec<Fingerprint> {
    let is_invalid = |key: &&Fingerprint| !snapshot.keys.iter().any(|(_, current)| current == *key);
    let invalid: Vec<Fingerprint> =
        journal.seen(app).unwrap_or_default().iter().filter(is_invalid).cloned().collect();
    let is_stale = |one: &Consumer| one.at.app == *app && matches!(one.holds, Holding::Stale(_));
    if !invalid.is_empty() && !snapshot.consumers.iter().any(is_stale) {
        snapshot.lost.insert(app.clone());
    }
    invalid
}

/// Why a dictionary is not believed that comes back without any setting, and held a key when it was last seen: nobody takes all
/// of them away without a reason, and something else that answers in Azure's place would look the same.
fn emptied_of(
    place: &Place,
    contents: Option<&Contents>,
    app: &ConsumerId,
    journal: &Journal,
) -> Option<String> {
    let dictionary = place.dictionary().filter(|_| contents.is_some_and(Contents::is_empty))?;
    let is_on_record = journal.dictionaries(app).is_some_and(|held_in| held_in.contains(&dictionary));
    is_on_record.then(|| words::emptied(dictionary))
}

/// Whether any of them holds a key.
fn holds_any(consumers: &[Consumer]) -> bool {
    consumers.iter().any(|one| one.holds != Holding::Identity)
}

/// Whether all keys are invalid that an app was last seen with: out of sight, it is very probably cut off.
pub(crate) fn is_lost(app: &ConsumerId, journal: &Journal, keys: &PerKey<Fingerprint>) -> bool {
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

/// Reads places, side by side.
async fn read_all(reader: Reader<'_>, places: impl Iterator<Item = Place>) -> Vec<(Place, Read)> {
    join_all(places.map(|place| read(reader, place).boxed())).await
}

async fn read(reader: Reader<'_>, place: Place) -> (Place, Read) {
    let (arm, now) = (reader.arm_for_apps(), reader.clock.now());
    let found = place.read(&arm).await;
    (place, Read { at: arm.sent().unwrap_or(now), found, echo: false, hasty: reader.in_need })
}
