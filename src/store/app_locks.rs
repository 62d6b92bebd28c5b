//! The locks of the places that are written whole: of an app's settings, whose every write replaces the dictionary, on no
//! condition. Two services may share an app, and the runs of each, in whatever process, read the dictionary before the other
//! writes it: the later write would undo the earlier.
//!
//! Start at [`Locker::lock`]. Within a process one task at a time has an app ([`AppLocks`]). Where several services share
//! it, so has one process: by a small document beside the journals, with a lease like theirs. An app that one service alone
//! is at costs no request.
//!
//! A write rests on a proof that the lock is held, as a change in Azure does on a [`LeaseProof`](super::LeaseProof): it ends
//! after half of the lease, and whoever writes looks at the clock just before. A lock that is not given back, because its
//! holder died or because nobody knows what became of his write, ends by itself.
//!
//! # A write that was not answered
//!
//! It may still be on its way, and would put back all that was written since its holder read the dictionary. So until it cannot
//! arrive any more the lock is kept, and says which request that is and until when ([`AppLock::release`]). Two shorter ways were
//! looked at, and neither is safe. That the dictionary *reads as it was written* says that somebody wrote it so: the request
//! once, or a person, or what is between us and Azure's database, which nobody has answered either and which may send it once
//! more. And a *repair that goes on all the same* is undone when the request arrives after it, when its run has long said that
//! all is well. What can be said is how long a request is on its way: half of the lease, the time that the proof leaves to one
//! that is sent at its end, from when it was given up and its connection closed. It is counted from there, and not from when
//! its own run last took the lock to look what became of it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};

use super::document::{LeaseRecord, encode};
use super::lease::{LEASE, put_surely};
use super::{ETag, Found, Store, StoreError};
use crate::clock::Clock;
use crate::report::cause;
use crate::report::text::azure as words;
use rekey_core::model::{ConsumerId, ServiceId};
use rekey_core::time::delta;

/// The folder of the documents. No subscription is called that, and no journal lies as deep.
const FOLDER: &str = "locks";

/// The waits between two looks at a lock that another process has, which mostly reads a dictionary and writes it, in a
/// second or two. The last is for one that is not given back.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_secs(2),
];

/// The apps of this process, for its life.
#[derive(Debug, Default)]
pub struct AppLocks {
    /// Those that more than one configured service names.
    shared: BTreeSet<ConsumerId>,
    turns: Mutex<HashMap<ConsumerId, Arc<tokio::sync::Mutex<Turn>>>>,
}

/// What whoever has the turn at an app knows of it.
#[derive(Debug, Default)]
struct Turn {
    /// When this process last wrote it: what was read before that is out of date.
    written: Option<DateTime<Utc>>,
    /// That another process has it, and when to look again. One task looks for all that wait.
    held: Option<Held>,
    /// A write of ours of which nobody knows what became. As long as it may arrive the lock is not given back.
    unanswered: Option<Unanswered>,
}

/// A request that was not answered.
#[derive(Clone, Debug)]
struct Unanswered {
    request: String,
    /// Until when it may still arrive, by our clock.
    until: DateTime<Utc>,
}

/// Why an app is not locked, and so not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    Held(Held),
    /// Whether anybody has it cannot be told.
    Store(#[source] StoreError),
}

/// That another process has a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub holder: LockHolder,
    /// Until when, if it does not give it back before.
    pub until: DateTime<Utc>,
    /// When it is worth asking again.
    pub again: DateTime<Utc>,
    looks: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockHolder {
    /// A run, and the service that it is over.
    Run(String),
    /// A request of such a run, which Azure has not answered and may still carry out.
    Unanswered { run: String, request: String },
    /// Whoever was faster just now.
    Faster,
    /// Somebody whose lock cannot be read.
    Unreadable,
}

/// What one run over one service locks apps with.
#[derive(Clone, Copy)]
pub struct Locker<'a> {
    /// The locks of the process.
    pub locks: &'a AppLocks,
    /// Where the documents are kept.
    pub store: &'a dyn Store,
    pub clock: &'a Arc<dyn Clock>,
    pub run: &'a str,
    /// The service. The run may be over others too, which are not to take its lock for theirs.
    pub service: &'a ServiceId,
}

impl fmt::Debug for Locker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locker")
            .field("run", &self.run)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// An app that nobody else of ours writes.
#[derive(Debug)]
pub struct AppLock<'a> {
    turn: OwnedMutexGuard<Turn>,
    stored: Option<StoredLock<'a>>,
    _room: Option<SemaphorePermit<'a>>,
}

struct StoredLock<'a> {
    store: &'a dyn Store,
    clock: &'a Arc<dyn Clock>,
    name: String,
    app: ConsumerId,
    holder: String,
    etag: ETag,
    proves_until: DateTime<Utc>,
    /// When the lease ends, by the storage's clock; by ours it does half of a lease after the proof.
    expires: DateTime<Utc>,
}

/// The document of a lock.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    /// Whose it is, for whoever finds it.
    app: ConsumerId,
    lease: Option<LeaseRecord>,
    /// The request of its holder that was not answered, for which alone the lease lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unanswered: Option<String>,
    /// Who gave it back last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    released_by: Option<String>,
}

impl AppLocks {
    /// Locks for apps of which these are shared.
    pub fn new(shared: BTreeSet<ConsumerId>) -> Self {
        Self { shared, turns: Mutex::default() }
    }

    async fn turn(&self, app: &ConsumerId) -> OwnedMutexGuard<Turn> {
        let turn = {
            let mut turns = self.turns.lock();
            Arc::clone(turns.entry(app.clone()).or_default())
        };
        turn.lock_owned().await
    }
}

impl<'a> Locker<'a> {
    /// The lock of an app, or who has it. Another task of this process, which is about to write the app or to give it up, is
    /// waited for, and only then is there `room` to be had, for as long as the lock is; another process, which may have died,
    /// is not waited for. `seen_shared` says that another service's connection string was seen in it, which another deployment
    /// may rotate.
    pub async fn lock<'room>(
        &self,
        app: &ConsumerId,
        seen_shared: bool,
        room: &'room Semaphore,
    ) -> Result<AppLock<'room>, LockError>
    where
        'a: 'room,
    {
        let mut turn = self.locks.turn(app).await;
        // Nobody closes the semaphore.
        let room = room.acquire().await.ok();
        if !seen_shared && !self.locks.shared.contains(app) {
            return Ok(AppLock { turn, stored: None, _room: room });
        }
        let held = match turn.held.take() {
            Some(held) if self.clock.now() < held.again => held,
            before => match self.try_lock(app, before.map_or(0, |held| held.looks + 1)).await {
                Ok(stored) => return Ok(AppLock { turn, stored: Some(stored), _room: room }),
                Err(LockError::Held(held)) => {
                    tracing::info!("{}", words::app_is_locked(app.name(), &held.holder));
                    held
                }
                Err(error) => return Err(error),
            },
        };
        turn.held = Some(held.clone());
        Err(LockError::Held(held))
    }

    /// The lock, or who has it, for who has looked so often before.
    async fn try_lock(&self, app: &ConsumerId, looks: usize) -> Result<StoredLock<'a>, LockError> {
        let us = format!("{} for {}", self.run, self.service.name());
        let name = document_name(app);
        let local = self.clock.now();
        let found = self.store.get(&name).await.map_err(LockError::Store)?;
        let held = |holder, until| {
            let again = self.clock.now() + delta(AGAIN[looks.min(AGAIN.len() - 1)]);
            LockError::Held(Held { holder, until, again, looks })
        };
        if let Some((holder, until)) = held_by_another(&found, &us) {
            return Err(held(holder, until));
        }
        let expires = found.at + (self.clock.now() - local) + delta(LEASE);
        let lease = Some(LeaseRecord { holder: us.clone(), expires });
        let body = encode(&Document { app: app.clone(), lease, unanswered: None, released_by: None })
            .map_err(LockError::Store)?;
        let local = self.clock.now();
        let etag = found.document.as_ref().map(|(_, etag)| etag);
        match put_surely(self.store, self.clock, &name, &body, etag).await {
            Ok(stored) => Ok(StoredLock {
                store: self.store,
                clock: self.clock,
                name,
                app: app.clone(),
                holder: us,
                etag: stored.etag,
                proves_until: local + delta(LEASE / 2),
                expires,
            }),
            // Somebody was faster; who, the next check tells.
            Err(StoreError::Changed) => Err(held(LockHolder::Faster, found.at + delta(LEASE))),
            Err(error) => Err(LockError::Store(error)),
        }
    }
}

impl AppLock<'_> {
    /// Until when a write may be sent, by our clock: half of the lease, for the other half is for what was sent in time to
    /// arrive. Nothing where no other process can be at the app.
    pub fn proves_until(&self) -> Option<DateTime<Utc>> {
        self.stored.as_ref().map(|stored| stored.proves_until)
    }

    /// When this process last wrote the app.
    pub(crate) fn last_written(&self) -> Option<DateTime<Utc>> {
        self.turn.written
    }

    /// Takes down that it was written now. What was read of it before is out of date, however the write ended.
    pub(crate) fn wrote(&mut self, now: DateTime<Utc>) {
        self.turn.written = Some(now);
    }

    /// Takes down that nobody knows what became of a request, which was given up now: it may still arrive, and until it cannot
    /// any more the lock lasts, whatever is read or written in between.
    pub(crate) fn may_arrive(&mut self, request: String, now: DateTime<Utc>) {
        self.turn.unanswered = Some(Unanswered { request, until: now + delta(LEASE / 2) });
    }

    /// Gives the lock back; whether it was ours to the end. Where a write of ours may still arrive it is left to end by itself,
    /// when that cannot any more.
    pub async fn release(self) -> bool {
        let Self { turn, stored, _room } = self;
        let Some(StoredLock { store, clock, name, app, etag, holder, proves_until, expires }) = stored else {
            return true;
        };
        let unanswered = turn.unanswered.as_ref().filter(|unanswered| clock.now() < unanswered.until);
        let document = match unanswered {
            Some(Unanswered { request, until }) => {
                let sooner = proves_until + delta(LEASE / 2) - *until;
                let expires = expires - sooner.max(TimeDelta::zero());
                let (lease, unanswered) = (Some(LeaseRecord { holder, expires }), Some(request.clone()));
                Document { app: app.clone(), lease, unanswered, released_by: None }
            }
            // It names who gave it back, so that nobody takes the same document of another for his own.
            None => Document { app: app.clone(), lease: None, unanswered: None, released_by: Some(holder) },
        };
        let released = match encode(&document) {
            Ok(body) => put_surely(store, clock, &name, &body, Some(&etag)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &released {
            tracing::warn!("{}", words::lock_not_given_back(app.name(), cause::told(error)));
        }
        !matches!(released, Err(StoreError::Changed))
    }
}

impl fmt::Debug for StoredLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredLock")
            .field("name", &self.name)
            .field("proves_until", &self.proves_until)
            .finish_non_exhaustive()
    }
}

/// Who else has the lock, and until when. As with the journal, by the storage's clock alone, and nobody is believed for
/// longer than a lease of ours after the document was written, whatever it says: what cannot be read, too, is somebody's.
fn held_by_another(found: &Found, us: &str) -> Option<(LockHolder, DateTime<Utc>)> {
    let (body, _) = found.document.as_ref()?;
    let longest = found.modified + delta(LEASE);
    let (holder, until) = match serde_json::from_slice(body) {
        Ok(Document { lease: None, .. }) => return None,
        Ok(Document { lease: Some(LeaseRecord { holder, .. }), .. }) if holder == us => return None,
        Ok(Document { lease: Some(LeaseRecord { holder, expires }), unanswered, .. }) => {
            let holder = match unanswered {
                Some(request) => LockHolder::Unanswered { run: holder, request },
                None => LockHolder::Run(holder),
            };
            (holder, expires.min(longest))
        }
        Err(_) => (LockHolder::Unreadable, longest),
    };
    (found.at < until).then_some((holder, until))
}

/// A readable name that no other place has: its whole id, and ids compare without regard to case.
fn document_name(app: &ConsumerId) -> String {
    format!("{FOLDER}{app}.json").to_lowercase()
}
