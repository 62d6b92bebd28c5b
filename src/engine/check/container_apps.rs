//! What a check shows of container apps: what their secrets hold, and who still runs with what these held before.
//!
//! Start at [`Check::add_container_app`]. Why it is judged as it is stands at the head of
//! [`container_apps`](crate::azure::consumers::container_apps).

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::references::add_either;
use super::{Check, held, lose};
use crate::azure::consumers::container_apps::{
    APPLIED_WITHIN, ARRIVES, ContainerApp, Entry, FETCHED_WITHIN, Reader, STARTS_WITHIN, Shown,
};
use crate::azure::consumers::key_vault::Secret;
use crate::azure::consumers::{Contents, Place, Versions};
use crate::report::cause;
use crate::report::text::azure as words;
use crate::report::text::readable;
use rekey_core::journal::{Event, Held, Journal};
use rekey_core::model::{
    ConsumerId, ContainerAppId, ContainerAppKind, Fingerprint, Key, PerKey, SecretId, names_signalr,
    printable, printable_list,
};
use rekey_core::plan::{
    Consumer, ConsumerRef, Execution, Holding, ReferenceFault, SettingFault, Snapshot, Unknown,
};

/// What this run wrote into an app, whose readers it restarted.
#[derive(Debug)]
pub(super) struct Brought {
    written: ContainerApp,
    /// Its readers as they were when they were last looked at.
    looked: Vec<Reader>,
    /// Until when the run waits for its readers to be replaced; no longer, once they were.
    awaited_until: Option<DateTime<Utc>>,
}

/// An app as it is judged.
struct Judged<'a> {
    id: &'a ContainerAppId,
    consumer: ConsumerId,
    app: &'a ContainerApp,
    /// Its secrets that hold a key of the service, or lead to one.
    names: Vec<String>,
    journal: &'a Journal,
    /// When it was read.
    at: DateTime<Utc>,
    /// Whether it was last seen to hold just what its secrets hold now.
    as_seen: bool,
}

impl Check {
    /// Adds what a container app, or a job, shows of the service.
    pub(super) fn add_container_app(
        &self,
        id: &ContainerAppId,
        journal: &Journal,
        out: &mut Snapshot,
        secrets: &mut BTreeSet<SecretId>,
    ) {
        let consumer = ConsumerId::ContainerApp(id.clone());
        let read = self.places.get(&Place::of_container_app(id.clone()));
        let (app, at, echo) = match read.map(|read| (&read.found, read.at, read.echo)) {
            Some((Ok(Contents::ContainerApp(app)), at, echo)) => (app, at, echo),
            Some((Err(error), ..)) => {
                return self.add_unread(&consumer, cause::told(error), error.is_passing(), journal, out);
            }
            _ => return self.add_unread(&consumer, words::NOT_READ.to_owned(), true, journal, out),
        };
        let first = (out.consumers.len(), out.unknown.len());
        let names = self.add_secrets_of(&consumer, app, journal, out);
        for (_, secret) in self.in_vaults(&consumer) {
            out.reads.insert((consumer.clone(), ConsumerId::KeyVaultSecret(secret.clone())));
            secrets.insert(secret);
        }
        if app.is_updating() && !echo {
            let (app, detail) = (consumer.clone(), words::UPDATING.to_owned());
            out.unknown.push(Unknown::Unreadable { app, detail, passing: true });
        }
        if first == (out.consumers.len(), out.unknown.len()) && names.is_empty() {
            out.unknown.push(Unknown::NoConsumer { app: consumer.clone() });
        }
        let by_secrets = held(out, first.0, false);
        let as_seen =
            journal.seen(&consumer) == Some(by_secrets.as_slice()) && !journal.is_blurred(&consumer);
        let judged = Judged { id, consumer: consumer.clone(), app, names, journal, at, as_seen };
        let is_known = as_seen && journal.executions(&consumer).is_none() && self.is_as_we_left_it(&judged);
        if id.kind() == ContainerAppKind::Job {
            out.running.extend(app.readers().iter().map(|reader| execution(&judged, reader)));
        }
        if echo {
            self.add_late(&judged, out);
        }
        let is_settled = echo || is_known || self.add_readers(&judged, out);
        let lasts = out.unknown[first.1..].iter().any(Unknown::lasts);
        let mut held = held(out, first.0, lasts || !is_settled);
        if !is_settled {
            held.extend(journal.seen(&consumer).unwrap_or_default().iter().cloned());
            held.sort();
            held.dedup();
        }
        // By a secret that the platform could not fetch it goes on with what it last held, as far as anybody knows.
        let is_unfetched = out.unknown[first.1..].iter().any(Unknown::is_of_reference);
        if is_unfetched && lose(&consumer, journal, out) {
            out.blurred.extend(lasts.then_some(consumer));
        } else {
            out.seen.insert(consumer, held);
        }
    }

    /// A consumer that is out of sight.
    pub(super) fn add_unread(
        &self,
        consumer: &ConsumerId,
        detail: String,
        passing: bool,
        journal: &Journal,
        out: &mut Snapshot,
    ) {
        out.unknown.push(Unknown::Unreadable { app: consumer.clone(), detail, passing });
        if !passing && journal.seen(consumer).is_some() {
            out.blurred.insert(consumer.clone());
        }
        let _ = lose(consumer, journal, out);
    }

    /// Adds what the secrets and variables of an app hold; the names of the secrets that are the service's.
    fn add_secrets_of(
        &self,
        consumer: &ConsumerId,
        app: &ContainerApp,
        journal: &Journal,
        out: &mut Snapshot,
    ) -> Vec<String> {
        let (marks, mut names) = (self.marks(journal), Vec::new());
        let setting =
            |name: &str, fault| Unknown::Setting { app: consumer.clone(), name: name.to_owned(), fault };
        for (entry, shown) in app.shows(marks) {
            let is_followed = self.followed_by(entry).is_some();
            // Of what the platform does not tell, or could not fetch, names must do.
            let is_meant = entry.is_without_value() && entry.is_in_a_vault() && names_signalr(&entry.name);
            if is_meant {
                out.unknown.push(Unknown::Reference {
                    fault: ReferenceFault::Other,
                    app: consumer.clone(),
                    name: entry.name.clone(),
                    why: words::NO_VALUE.to_owned(),
                    passing: false,
                });
            }
            for shown in &shown {
                let is_ours = matches!(shown, Shown::Holds(_));
                match shown {
                    Shown::Holds(_) if entry.is_in_a_vault() && !is_followed => {
                        out.unknown.push(setting(&entry.name, SettingFault::KeyVaultReference));
                    }
                    Shown::Holds(holds) => {
                        let at = at(consumer, &entry.name);
                        out.consumers.push(Consumer { at, holds: holds.clone() });
                    }
                    Shown::Fault(fault) => out.unknown.push(setting(&entry.name, *fault)),
                }
                if is_ours && !names.contains(&entry.name) {
                    names.push(entry.name.clone());
                }
            }
        }
        for (variable, is_stale) in app.in_the_open(marks) {
            let fault = if is_stale { SettingFault::StaleKeyInOtherText } else { SettingFault::InTemplate };
            out.unknown.push(setting(variable, fault));
        }
        names
    }

    /// Adds who may still run with what the secrets held before; whether nobody does.
    fn add_readers(&self, judged: &Judged<'_>, out: &mut Snapshot) -> bool {
        let Judged { app, at, .. } = judged;
        let brought = self.going.restarts.get(&judged.consumer).map(|brought| &brought.written);
        let brought = brought.filter(|written| app.holds_what_was(written));
        let since = self.effective_since(judged);
        let on_record = judged.journal.executions(&judged.consumer);
        let is_old = |reader: &&Reader| match brought {
            _ if on_record.is_some_and(|names| names.contains_key(&reader.name)) => true,
            Some(written) => written.replaces(&reader.name),
            None => reader.created.zip(since).is_none_or(|(created, since)| created <= since),
        };
        let (old, new): (Vec<&Reader>, Vec<&Reader>) = app.readers().iter().partition(is_old);
        if judged.id.kind() == ContainerAppKind::Job {
            return add_executions(judged, &old, out);
        }
        if old.is_empty() {
            let is_late = |reader: &&Reader| {
                !reader.runs && reader.created.is_some_and(|created| *at < created + STARTS_WITHIN)
            };
            let late: Vec<&Reader> = new.into_iter().filter(is_late).collect();
            let none = late.is_empty();
            out.unknown.extend((!none).then(|| awaited(judged, words::do_not_run_yet(in_states(&late)))));
            return none;
        }
        // This run restarted them, and does so no second time.
        let going = if brought.is_some() {
            let until = app.changed().map_or(*at, |changed| changed + patience(judged, out));
            Some((old, until))
        } else {
            going(app, &old, *at, patience(judged, out))
        };
        match going {
            Some((going, until)) => add_going(judged, &going, until, out),
            None => {
                let since = app.changed().filter(|_| judged.as_seen);
                out.changed.extend(since.map(|since| (judged.consumer.clone(), since)));
                add_replicas(judged, out);
            }
        }
        false
    }

    /// Adds the new replicas of an app that this run restarted and that do not run, as long as it waits for them, where
    /// somebody is refused meanwhile.
    fn add_late(&self, judged: &Judged<'_>, out: &mut Snapshot) {
        let Some(Brought { written, looked, .. }) = self.going.restarts.get(&judged.consumer) else { return };
        let is_late = |reader: &&Reader| !reader.runs && !written.replaces(&reader.name);
        let late: Vec<&Reader> = looked.iter().filter(is_late).collect();
        if !late.is_empty() && !remembered(judged, out).is_empty() {
            out.unknown.push(awaited(judged, words::do_not_run_yet(in_states(&late))));
        }
    }

    /// Whether nobody has changed it since a run of ours gave it a key, saw its readers replaced, and put that on record. Who
    /// put an old key there and took it away again may have started a process in between, which goes on with it.
    fn is_as_we_left_it(&self, judged: &Judged<'_>) -> bool {
        let ours = judged.journal.history().rev().find(
            |entry| matches!(&entry.event, Event::Repointed { apps, .. } if apps.contains(&judged.consumer)),
        );
        let made = self.made_in_vaults(judged);
        let changed = judged.app.changed().zip(made);
        let changed = changed.map(|(changed, made)| made.into_iter().fold(changed, DateTime::max));
        ours.zip(changed).is_some_and(|(ours, changed)| changed <= ours.at)
    }

    /// When the secrets in vaults that it reads were made; nothing where one of them cannot be told.
    fn made_in_vaults(&self, judged: &Judged<'_>) -> Option<Vec<DateTime<Utc>>> {
        let in_vaults = self.in_vaults(&judged.consumer).into_iter();
        let ours = in_vaults.filter(|(name, _)| judged.names.contains(name));
        let made = ours.map(|(_, secret)| {
            self.read_of(&Place::of_secret(secret)).and_then(Contents::secret).map(Secret::created)
        });
        made.collect()
    }

    /// From when on whoever starts runs with what the secrets hold now: by Azure's clock, where it tells.
    fn effective_since(&self, judged: &Judged<'_>) -> Option<DateTime<Utc>> {
        let changed = judged.app.changed()?;
        Some(match self.made_in_vaults(judged)?.into_iter().max() {
            None => changed + APPLIED_WITHIN,
            Some(newest) => newest.max(changed) + FETCHED_WITHIN,
        })
    }

    /// The secrets of an app that are kept in vaults that may be asked, by name, as far as they are the service's or may be.
    pub(super) fn in_vaults(&self, consumer: &ConsumerId) -> Vec<(String, SecretId)> {
        let ConsumerId::ContainerApp(id) = consumer else { return Vec::new() };
        let app = self.read_of(&Place::of_container_app(id.clone())).and_then(Contents::container_app);
        let entries = app.into_iter().flat_map(ContainerApp::secrets);
        entries.filter_map(|entry| Some((entry.name.clone(), self.followed_by(entry)?))).collect()
    }

    /// Of its secrets that are kept in vaults, by name, the versions that hold one of these keys.
    pub fn versions_in_vaults(&self, consumer: &ConsumerId, keys: &[&Key]) -> Versions {
        let version = |(name, id): (String, SecretId)| {
            let secret = self.read_of(&Place::of_secret(id.clone()))?.secret()?;
            let holds = keys.iter().any(|key| secret.holds(key));
            holds.then(|| (name, (Some(id), secret.version.clone())))
        };
        self.in_vaults(consumer).into_iter().filter_map(version).collect()
    }

    /// The secret of a vault that a secret of an app leads to, if it is meant for us: by what the platform has fetched, as far as
    /// that shows without the journal, or else by its name.
    fn followed_by(&self, entry: &Entry) -> Option<SecretId> {
        let secret = entry.reference()?.secret;
        let shown =
            || entry.shows(self.marks(&Journal::default())).iter().any(|one| matches!(one, Shown::Holds(_)));
        let is_meant = names_signalr(&entry.name) || names_signalr(secret.name()) || shown();
        (is_meant && secret.is_below(self.vault_suffix)).then_some(secret)
    }

    /// Takes down what was written into an app, if its readers are to be replaced by others.
    pub(super) fn brings(&mut self, consumer: ConsumerId, app: &ContainerApp, at: DateTime<Utc>) {
        if app.is_written() {
            let (written, awaited_until) = (app.clone(), Some(at + ARRIVES));
            let brought = Brought { written, looked: vec![], awaited_until };
            self.going.restarts.insert(consumer, brought);
        }
    }

    /// What is being replaced counts as not read, for a while.
    pub(super) fn await_restarts(&mut self, now: DateTime<Utc>) {
        for (consumer, brought) in &mut self.going.restarts {
            let ConsumerId::ContainerApp(id) = consumer else { continue };
            let Some(read) = self.places.get_mut(&Place::of_container_app(id.clone())) else { continue };
            let Some(until) = brought.awaited_until.filter(|_| !read.echo) else { continue };
            let Ok(Contents::ContainerApp(app)) = &read.found else { continue };
            let written = &brought.written;
            brought.looked = app.readers().to_vec();
            if now >= until || app.is_overwritten(written) || has_arrived(id, app, written) {
                brought.awaited_until = None;
                continue;
            }
            read.found = Ok(Contents::ContainerApp(Box::new(written.clone())));
            read.echo = true;
        }
    }
}

/// Whether all readers that a write was to replace have been, and those in their place run.
fn has_arrived(id: &ContainerAppId, app: &ContainerApp, written: &ContainerApp) -> bool {
    let is_new = |reader: &Reader| reader.runs && !written.replaces(&reader.name);
    let all_new = id.kind() == ContainerAppKind::Job || app.readers().iter().all(is_new);
    app.holds_what_was(written) && all_new
}

/// The replicas of before the last change of an app, and until when they are taken to be on their way out: if beside each of
/// them is one that was made since, and the change is not long ago. Those that were made since, and too soon to be sure what
/// they run with, stay as they are, whoever waits for them.
fn going<'a>(
    app: &'a ContainerApp,
    old: &[&'a Reader],
    now: DateTime<Utc>,
    patience: TimeDelta,
) -> Option<(Vec<&'a Reader>, DateTime<Utc>)> {
    let changed = app.changed()?;
    let is_newer = |reader: &Reader| reader.created.is_some_and(|created| changed < created);
    let newer: Vec<&Reader> = app.readers().iter().filter(|reader| is_newer(reader)).collect();
    let before: Vec<&Reader> = old.iter().copied().filter(|reader| !is_newer(reader)).collect();
    let go = !before.is_empty() && before.iter().all(|old| newer.iter().any(|new| new.is_beside(old)));
    let until = Some(changed + patience).filter(|until| go && now < *until)?;
    Some((before, until))
}

/// Adds replicas that are on their way out, and those that do not run in their place. Who has an invalid key is refused until
/// the old ones are gone.
fn add_going(judged: &Judged<'_>, going: &[&Reader], until: DateTime<Utc>, out: &mut Snapshot) {
    let is_late = |reader: &&Reader| !reader.runs && !going.contains(reader);
    let late: Vec<&Reader> = judged.app.readers().iter().filter(is_late).collect();
    let names: Vec<&str> = going.iter().map(|reader| reader.name.as_str()).collect();
    let going = words::being_replaced(printable_list(names), readable(until));
    let why = match &late[..] {
        [] => going,
        late => format!("{going}; {}", words::do_not_run_yet(in_states(late))),
    };
    out.unknown.push(awaited(judged, why));
    if !remembered(judged, out).is_empty() {
        out.lost.insert(judged.consumer.clone());
    }
}

/// Replicas, each with the state that it is in.
fn in_states(replicas: &[&Reader]) -> String {
    let told: Vec<String> =
        replicas.iter().map(|one| format!("{} ({})", printable(&one.name), one.state)).collect();
    told.join(", ")
}

/// How long that is believed. Who may be refused meanwhile has no time for it.
fn patience(judged: &Judged<'_>, out: &Snapshot) -> TimeDelta {
    if remembered(judged, out).is_empty() { STARTS_WITHIN } else { ARRIVES }
}

fn at(consumer: &ConsumerId, name: &str) -> ConsumerRef {
    ConsumerRef { app: consumer.clone(), section: None, name: name.to_owned() }
}

/// What lasts.
fn unknown(judged: &Judged<'_>, why: String) -> Unknown {
    let (app, name) = (judged.consumer.clone(), judged.names.join(", "));
    Unknown::Reference { app, name, fault: ReferenceFault::Other, why, passing: false }
}

/// What takes its time.
fn awaited(judged: &Judged<'_>, why: String) -> Unknown {
    let (app, name) = (judged.consumer.clone(), judged.names.join(", "));
    Unknown::Reference { app, name, fault: ReferenceFault::Awaited, why, passing: true }
}

/// The keys that an app was last seen with, or was to be given, and that are invalid now.
fn remembered<'a>(judged: &'a Judged<'_>, out: &Snapshot) -> Vec<&'a Fingerprint> {
    let keys = judged.journal.seen(&judged.consumer).unwrap_or_default().iter();
    keys.filter(|key| !out.keys.iter().any(|(_, current)| current == *key)).collect()
}

/// Replicas that may run with either key, and with an invalid one that is remembered.
fn add_replicas(judged: &Judged<'_>, out: &mut Snapshot) {
    let stale: Vec<Fingerprint> = remembered(judged, out).into_iter().cloned().collect();
    for name in &judged.names {
        let at = at(&judged.consumer, name);
        add_either(&at, out);
        let holds = stale.iter().cloned().map(Holding::Stale);
        let new = holds.map(|holds| Consumer { at: at.clone(), holds });
        let new: Vec<Consumer> = new.filter(|consumer| !out.consumers.contains(consumer)).collect();
        out.consumers.extend(new);
    }
}

/// Executions that may run with a key that is to be left, and that nobody can restart: it lives until they have ended. So do
/// those on record of which Azure tells nothing any more, as long as they may run. One that may run with an invalid key is
/// refused until then. Whether there is none.
fn add_executions(judged: &Judged<'_>, old: &[&Reader], out: &mut Snapshot) -> bool {
    let on_record = judged.journal.executions(&judged.consumer).into_iter().flatten();
    let untold = on_record.filter(|(name, until)| !judged.app.tells_of(name) && judged.at < **until);
    let untold = untold.map(|(name, until)| {
        let (job, name, until) = (judged.consumer.clone(), name.clone(), *until);
        Execution { job, name, began: None, until, told: false }
    });
    let going: Vec<Execution> = old.iter().map(|reader| execution(judged, reader)).chain(untold).collect();
    if !going.is_empty() && !remembered(judged, out).is_empty() {
        let names: Vec<&str> = going.iter().map(|one| one.name.as_str()).collect();
        let why = words::execution_is_refused(printable_list(names), judged.id.name());
        out.unknown.push(unknown(judged, why));
    }
    for Execution { name, until, .. } in going.iter().filter(|one| one.until <= judged.at) {
        let why = words::execution_is_overdue(printable(name), readable(*until));
        out.unknown.push(unknown(judged, why));
    }
    let none = going.is_empty();
    out.executions.extend(going);
    out.executions.extend(ended(judged));
    none
}

/// Those on record that have ended. What they signed until then is good for the grace of their key, so they are kept in mind for
/// as long as there is a key from before that nobody is to hold.
fn ended(judged: &Judged<'_>) -> Vec<Execution> {
    let on_record = judged.journal.executions(&judged.consumer).into_iter().flatten();
    let ended = on_record.filter_map(|(name, until)| {
        let told = judged.app.ended(name).map(|at| at.unwrap_or(judged.at).min(*until));
        // Of which nothing is told any more it cannot run now.
        let untold = (!judged.app.tells_of(name) && *until <= judged.at).then_some(*until);
        let (job, name) = (judged.consumer.clone(), name.clone());
        Some(Execution { job, name, began: None, until: told.or(untold)?, told: true })
    });
    let is_of_a_left_key = |one: &Execution| {
        let mut keys = judged.journal.keys().into_iter().flat_map(PerKey::iter);
        keys.any(|(_, record)| record.held != Held::Now && record.created <= one.until)
    };
    ended.filter(is_of_a_left_key).collect()
}

fn execution(judged: &Judged<'_>, reader: &Reader) -> Execution {
    let (job, name) = (judged.consumer.clone(), reader.name.clone());
    let on_record = judged.journal.executions(&job).and_then(|names| names.get(&name)).copied();
    let until = on_record.unwrap_or_else(|| reader.ends_by(judged.at));
    Execution { job, name, began: reader.created, until, told: true }
}
