//! The lease that lets one worker at a time change a service, which is a part of the service's journal.
//!
//! Start at [`Draft::read`] and [`Draft::take`].

use std::sync::Arc;
use std::time::Duration;

use backon::Retryable;
use chrono::{DateTime, TimeDelta, Utc};
use futures::join;

use super::document::{
    Document, Fence, LeaseRecord, Loaded, Older, Place, encode, format_1_name, format_1_with_lease, load,
    name_of, older,
};
use super::{ETag, Found, Store, StoreError, Stored};
use crate::clock::{Clock, sleeper};
use crate::report::InWords;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::ServiceId;
use rekey_core::time::delta;

/// How long a lease lasts unless it is renewed: half of it for sending, which is twice as long as one request may take,
/// and half for what was sent to arrive ([`LeaseProof::until`]); short enough that a killed worker is followed within
/// two timer ticks.
pub(super) const LEASE: Duration = Duration::from_secs(120);

/// When a lease is renewed: late enough that following a regeneration (74 s at the most on record) costs no write of its
/// own, and early enough that what is left is longer than one request to Azure may take (30 s).
const RENEW_AFTER: Duration = Duration::from_secs(80);

/// How far the time between two of the storage's may be from what it tells: it tells whole seconds, and two of them are off.
const RESOLUTION: TimeDelta = TimeDelta::seconds(2);

/// The waits before a write is sent again. All tries together stay far below the time that a lease is good for.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// Proof that whoever shows it held the lease at the last write. Only [`Lease::proof`] makes one.
///
/// It proves nothing of now: a worker may be frozen behind that write for longer than its lease, while another takes
/// over. So it ends, and whoever sends a request on the strength of it looks at the clock just before.
#[derive(Debug)]
pub struct LeaseProof<'lease> {
    until: DateTime<Utc>,
    _lease: std::marker::PhantomData<&'lease Lease>,
}

/// How far the clocks of a worker and of the storage may be apart: an answer that takes its time, and the tolerance that is usual
/// between two clocks. A grace is longer.
pub(crate) const CLOCKS_AGREE: TimeDelta = TimeDelta::minutes(5);

fn apart(ahead: TimeDelta) -> Option<TimeDelta> {
    (ahead.abs() > CLOCKS_AGREE).then_some(ahead)
}

impl LeaseProof<'_> {
    /// Until when a request may be sent, by our clock: half of the lease. The other half is for what was sent in time
    /// to arrive, so that nothing of ours is under way any more when another worker may take over.
    pub fn until(&self) -> DateTime<Utc> {
        self.until
    }
}

/// The journal of a service as it was read, before anybody takes the lease. Enough for looking and deciding; whoever
/// finds something to do takes the lease on exactly this version.
#[derive(Debug)]
pub struct Draft {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    document: Document,
    place: Place,
    /// The storage's clock and ours when it was read.
    read: (DateTime<Utc>, DateTime<Utc>),
    /// When it was written, by the storage's clock.
    modified: DateTime<Utc>,
}

impl Draft {
    /// Reads the journal of a service, or tells who is at work on it.
    ///
    /// Whether a lease is over is judged by the storage's clock alone, by which it was also written: a worker whose
    /// own clock is wrong can neither steal a lease nor keep one.
    pub async fn read(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        instance: &ServiceId,
        holder: &str,
    ) -> Result<Self, StoreError> {
        let draft = Self::read_whoever_holds_it(store, clock, instance).await?;
        let (at, modified) = (draft.read.0, draft.modified);
        if let Some(LeaseRecord { holder: other, expires }) = &draft.document.lease {
            // No lease of ours is longer, so one that claims to be is believed no longer than ours.
            let until = (*expires).min(modified + delta(LEASE));
            if until > at && other != holder {
                let (holder, claims) = (other.clone(), *expires);
                let is_strange = claims > modified + delta(2 * LEASE);
                return Err(if is_strange {
                    StoreError::StrangeLease { holder, claims, until }
                } else {
                    StoreError::Held { holder, until, heard: draft.document.journal.heard() }
                });
            }
        }
        Ok(draft)
    }

    /// The same, whoever has the lease.
    async fn read_whoever_holds_it(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        instance: &ServiceId,
    ) -> Result<Self, StoreError> {
        let local = clock.now();
        let Loaded { document, place, modified, at } = load(&*store, instance).await?;
        Ok(Self { store, clock, document, place, read: (at, local), modified })
    }

    /// The version that was read; nothing of a journal that is none of this release's yet.
    pub(crate) const fn version(&self) -> Option<&ETag> {
        match &self.place {
            Place::Here { etag } => Some(etag),
            Place::Nowhere { .. } | Place::Format1 { .. } => None,
        }
    }

    /// Whether it may have been written in this time before it was read.
    pub(crate) fn may_be_written_within(&self, time: TimeDelta) -> bool {
        self.read.0 - self.modified <= time + RESOLUTION
    }

    /// How far the storage's clock is ahead of ours, if one of them is wrong.
    pub(crate) fn apart(&self) -> Option<TimeDelta> {
        apart(self.read.0 - self.read.1)
    }

    /// What is remembered.
    pub fn journal(&self) -> &Journal {
        &self.document.journal
    }

    /// Looks at what keeps older releases out of a journal that was taken over from them, and puts it up again where it is gone:
    /// who finds two journals in an emergency only cannot repair anything.
    pub(crate) async fn keep_fenced(&self, holder: &str) -> Result<(), StoreError> {
        if !self.document.fenced {
            return Ok(());
        }
        let writer = Writer { store: Arc::clone(&self.store), clock: Arc::clone(&self.clock) };
        let found = older(&*self.store, &self.document.service).await;
        writer.fence(&self.document, holder, found).await
    }

    /// Takes the lease, if nobody has written since this was read. Older releases are kept out before that: what they do goes
    /// by the journal of format 1, and by the lease in it.
    pub async fn take(self, holder: &str) -> Result<Lease, StoreError> {
        let Self { store, clock, document, place, read: (storage, local), .. } = self;
        let service = &document.service;
        let mut lease = Lease {
            writer: Writer { store, clock },
            name: name_of(service),
            holder: holder.to_owned(),
            ahead: storage - local,
            renew_at: local,
            proves_until: local,
            etag: None,
            dirty: false,
            document,
        };
        match place {
            Place::Format1 { body, etag, copy } => lease.carry_over(&body, &etag, copy).await?,
            Place::Nowhere { fenced } => lease.begin(fenced).await?,
            Place::Here { etag } if lease.document.fenced => {
                lease.etag = Some(etag);
                // The journal is this one, whatever is found; so the two are asked side by side.
                let (store, service) = (Arc::clone(&lease.writer.store), lease.document.service.clone());
                let (found, renewed) = join!(older(&*store, &service), lease.renew());
                renewed?;
                if let Err(error) = lease.writer.fence(&lease.document, holder, found).await {
                    lease.release().await?;
                    return Err(error);
                }
            }
            Place::Here { etag } => {
                lease.etag = Some(etag);
                lease.begin(false).await?;
            }
        }
        Ok(lease)
    }
}

/// The right to change one service, and its journal.
///
/// Events are folded in memory by [`Lease::record`] and written by [`Lease::commit`]. Nothing may be done in Azure on
/// the strength of an event that is not committed; [`Lease::proof`] commits, so it cannot be forgotten.
#[derive(Debug)]
pub struct Lease {
    writer: Writer,
    name: String,
    holder: String,
    document: Document,
    etag: Option<ETag>,
    /// How far the storage's clock is ahead of ours, as they were last seen side by side.
    ahead: TimeDelta,
    /// When the lease is to be renewed, by our clock.
    renew_at: DateTime<Utc>,
    /// Until when the last write is good for a proof, by our clock.
    proves_until: DateTime<Utc>,
    dirty: bool,
}

impl Lease {
    /// Reads the journal of a service and takes the lease at once.
    pub async fn acquire(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        instance: &ServiceId,
        holder: &str,
    ) -> Result<Self, StoreError> {
        Draft::read(store, clock, instance, holder).await?.take(holder).await
    }

    /// The same for a person who has looked: a lease that is longer than any of ours is ended.
    pub async fn acquire_by_hand(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        instance: &ServiceId,
        holder: &str,
    ) -> Result<Self, StoreError> {
        let again = (Arc::clone(&store), Arc::clone(&clock));
        match Self::acquire(store, clock, instance, holder).await {
            Err(StoreError::StrangeLease { .. }) => {
                Draft::read_whoever_holds_it(again.0, again.1, instance).await?.take(holder).await
            }
            acquired => acquired,
        }
    }

    /// The journal, with the events that were recorded.
    pub fn journal(&self) -> &Journal {
        &self.document.journal
    }

    /// How far the storage's clock is ahead of ours, if one of them is wrong.
    pub(crate) fn apart(&self) -> Option<TimeDelta> {
        apart(self.ahead)
    }

    /// Folds an event into the journal; [`Lease::commit`] writes it. Where our clock is wrong it happened when the storage says:
    /// a grace that begins at another worker's past would be over before it has begun.
    pub fn record(&mut self, event: Event) -> Result<(), StoreError> {
        tracing::debug!(event = event.in_words(), "recorded");
        let now = self.writer.clock.now() + self.apart().unwrap_or_default();
        self.document.journal.apply(event, now)?;
        self.dirty = true;
        Ok(())
    }

    /// Writes what was recorded, and renews the lease with it.
    pub async fn commit(&mut self) -> Result<(), StoreError> {
        if self.dirty { self.renew().await } else { Ok(()) }
    }

    /// Renews the lease once most of it is gone.
    pub async fn keep(&mut self) -> Result<(), StoreError> {
        if self.renew_at <= self.writer.clock.now() { self.renew().await } else { Ok(()) }
    }

    async fn begin(&mut self, fenced: bool) -> Result<(), StoreError> {
        if !fenced {
            let found = older(&*self.writer.store, &self.document.service).await;
            self.writer.fence(&self.document, &self.holder, found).await?;
        }
        self.document.fenced = true;
        self.renew().await
    }

    async fn renew(&mut self) -> Result<(), StoreError> {
        self.write(Some(delta(LEASE))).await
    }

    /// When [`Lease::keep`] would write.
    pub(crate) fn renew_at(&self) -> DateTime<Utc> {
        self.renew_at
    }

    /// What a change in Azure asks for: everything recorded is written, and the lease is ours as of now, with time
    /// enough left for a request.
    pub async fn proof(&mut self) -> Result<LeaseProof<'_>, StoreError> {
        let soon = self.writer.clock.now() + delta(LEASE / 4);
        if self.dirty || self.proves_until <= soon {
            self.renew().await?;
        }
        Ok(LeaseProof { until: self.proves_until, _lease: std::marker::PhantomData })
    }

    /// Writes what was recorded and gives the lease back; the version of the journal that this has made.
    pub async fn release(mut self) -> Result<Option<ETag>, StoreError> {
        self.write(None).await?;
        Ok(self.etag)
    }

    /// Writes the document with a lease of this length from now by the storage's clock, or with none.
    async fn write(&mut self, length: Option<TimeDelta>) -> Result<(), StoreError> {
        let local = self.writer.clock.now();
        self.document.lease = length.map(|length| self.record_of(local + length));
        let body = encode(&self.document)?;
        let stored = self.writer.write(&self.name, &body, self.etag.as_ref()).await?;
        self.written(stored, local);
        self.dirty = false;
        Ok(())
    }

    /// Until a time by our clock.
    fn record_of(&self, until: DateTime<Utc>) -> LeaseRecord {
        LeaseRecord { holder: self.holder.clone(), expires: until + self.ahead }
    }

    /// Takes down a write that was begun at that time, by our clock.
    fn written(&mut self, stored: Stored, begun: DateTime<Utc>) {
        (self.etag, self.ahead) = (Some(stored.etag), stored.at - self.writer.clock.now());
        (self.renew_at, self.proves_until) = (begun + delta(RENEW_AFTER), begun + delta(LEASE / 2));
    }

    /// Carries the journal of format 1 over, under the lease in it: takes that, writes the copy, and closes the one of format 1
    /// to older releases. Each write is conditional on what was read before the first, so whatever an older release, or another
    /// worker of this one, writes in between makes one of the three fail, and the copy counts for nothing until the third is
    /// done (`ARCHITECTURE.md`, "An older release").
    async fn carry_over(&mut self, body: &[u8], etag: &ETag, copy: Option<ETag>) -> Result<(), StoreError> {
        let Some(old) = format_1_name(&self.document.service) else { return Ok(()) };
        let local = self.writer.clock.now();
        let record = self.record_of(local + delta(LEASE));
        let held = self.writer.write(&old, &format_1_with_lease(&old, body, &record)?, Some(etag)).await?;
        self.document.lease = Some(record);
        let copied = self.writer.write(&self.name, &encode(&self.document)?, copy.as_ref()).await?;
        self.written(copied, local);
        let fence = encode(&Fence::new(&self.name, &self.holder, local))?;
        self.writer.write(&old, &fence, Some(&held.etag)).await?;
        self.document.fenced = true;
        Ok(())
    }
}

#[derive(Debug)]
struct Writer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Writer {
    /// Writes. No two workers write the same: each names itself.
    async fn write(&self, name: &str, body: &[u8], expected: Option<&ETag>) -> Result<Stored, StoreError> {
        put_surely(&*self.store, &self.clock, name, body, expected).await
    }

    /// Sees to it that no older release begins a journal of its own, of which this one would know nothing.
    async fn fence(
        &self,
        document: &Document,
        holder: &str,
        found: Result<Older, StoreError>,
    ) -> Result<(), StoreError> {
        let service = &document.service;
        let kept = document.is_kept(found)?;
        if let Some(old) = format_1_name(service).filter(|_| !kept) {
            let fence = Fence::new(&name_of(service), holder, self.clock.now());
            self.write(&old, &encode(&fence)?, None).await?;
        }
        Ok(())
    }
}

/// Writes, and again where a write failed and left the document as it was: storage closes idle connections whenever it
/// likes, and a run is not to fail for that. A write that was done all the same, its answer lost, is recognised by
/// what is there; and one that is still on its way can do no harm after the next, for it is conditional on a version
/// that is gone by then.
pub(super) async fn put_surely(
    store: &dyn Store,
    clock: &Arc<dyn Clock>,
    name: &str,
    body: &[u8],
    expected: Option<&ETag>,
) -> Result<Stored, StoreError> {
    let put = || async {
        let error = match store.put(name, body.to_vec(), expected).await {
            Ok(stored) => return Ok(stored),
            Err(error @ StoreError::Refused(_)) => return Err((error, false)),
            Err(error) => error,
        };
        let Ok(Found { document, at, .. }) = store.get(name).await else { return Err((error, false)) };
        match document {
            Some((there, etag)) if there == body => Ok(Stored { etag, at }),
            found => Err((error, found.map(|(_, etag)| etag).as_ref() == expected)),
        }
    };
    let put = put.retry(AGAIN.into_iter()).sleep(sleeper(clock)).when(|(_, is_as_it_was)| *is_as_it_was);
    put.await.map_err(|(error, _)| error)
}
