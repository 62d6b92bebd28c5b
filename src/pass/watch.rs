//! Looking at the keys every few seconds for a while: around the time for which their regeneration is announced, and after a
//! notice of one that Azure does not show yet.
//!
//! What is to be watched is in the journal, for the process that learns of it may be gone a minute later. The timer's runs
//! stay as long as their time allows and keep looking; a notice's own run does so within its budget.

use chrono::{DateTime, TimeDelta, Utc};

use super::RunError;
use super::hint::explained;
use super::one::Pass;
use super::report::Ending;
use crate::observe::Look;
use crate::report::text::run as words;
use crate::store::{StoreError, peek};
use rekey_core::journal::{Event, Journal, WATCHES, Watch};

/// How often keys are looked at. `listKeys` counts as a write, of which ARM gives back ten a second: one in ten seconds is a
/// hundredth of that.
const CLOSE: TimeDelta = TimeDelta::seconds(10);

/// From when on, and how long after an announced time.
const BEFORE: TimeDelta = TimeDelta::minutes(1);
const AFTER: TimeDelta = TimeDelta::hours(1);

/// The farthest announced time that is watched. Nobody announces farther ahead, and a time that is a slip of the pen would be
/// on record for ever.
const FAR: TimeDelta = TimeDelta::days(366);

/// What is left of a run's time when it looks for the last time, so that it may begin to repair what it finds.
const RESERVE: TimeDelta = TimeDelta::seconds(5);

/// What becomes of a time for which a regeneration is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// The keys are watched around it.
    Watched(Watch),
    /// It is over.
    Over,
    /// It is too far ahead.
    Far,
}

impl Announced {
    /// What becomes of it if it is told now.
    pub(crate) fn of(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        if at > now + FAR {
            return Self::Far;
        }
        if at <= now - AFTER {
            return Self::Over;
        }
        Self::Watched(Watch { from: at - BEFORE, until: at + AFTER })
    }
}

/// When and why keys are watched, in words.
pub(crate) fn told(watch: &Watch) -> String {
    words::watch(watch, watch.until - watch.from == BEFORE + AFTER)
}

impl Pass<'_> {
    /// The times to watch that were announced and are not on record, as the events that they are to be recorded as. Whoever
    /// read the notice has told of those that are over or too far ahead. One that cannot be watched fails the run, once what
    /// can be done is done.
    pub(super) fn watches_to_record(&mut self, journal: &Journal) -> Vec<Event> {
        let now = self.rekey.clock.now();
        let open = journal.watches().iter().filter(|watch| now < watch.until).count();
        let mut events = Vec::new();
        for at in self.run.purpose.deadlines() {
            let Announced::Watched(watch) = Announced::of(at, now) else { continue };
            if journal.watches().contains(&watch) {
                continue;
            }
            if open + events.len() >= WATCHES {
                self.unwatched = Some(at);
                continue;
            }
            events.push(Event::WatchAsked { from: watch.from, until: watch.until });
        }
        events
    }

    /// What is on record to be watched while this run lasts, if it keeps looking.
    pub(super) fn to_watch(&self, journal: &Journal) -> Option<Watch> {
        let now = self.rekey.clock.now();
        let comes = |watch: &&Watch| now < watch.until && watch.from < self.run.deadline - RESERVE;
        let (open, ahead): (Vec<Watch>, Vec<Watch>) =
            journal.watches().iter().filter(comes).partition(|watch| watch.from <= now);
        let longest = open.into_iter().max_by_key(|watch| watch.until);
        let watch = longest.or_else(|| ahead.into_iter().min_by_key(|watch| watch.from))?;
        self.run.purpose.keeps_looking().then_some(watch)
    }

    /// What is claimed and nothing explains: that a key was regenerated, though Azure lists those that were there before. Until
    /// when that may show; nothing if the time for that is over. It goes on record where nobody has the lease, so that the
    /// timer's runs look too.
    pub(super) async fn unexplained(&mut self) -> Result<Option<DateTime<Utc>>, RunError> {
        let now = self.rekey.clock.now();
        let until = self.claim.map(|claim| claim.shows_until(now)).filter(|until| now < *until);
        let Some(until) = until else { return Ok(None) };
        self.put_on_record(until).await?;
        Ok(Some(until))
    }

    async fn put_on_record(&self, until: DateTime<Utc>) -> Result<(), RunError> {
        let now = self.rekey.clock.now();
        let covers = |watch: &Watch| watch.from <= now && until <= watch.until + RESERVE;
        let draft = match self.read().await {
            Ok(draft) if draft.journal().watches().iter().any(covers) => return Ok(()),
            Ok(draft) if draft.journal().watches().len() >= WATCHES => return Ok(()),
            Ok(draft) => draft,
            // Who has it looks himself, or the next delivery does.
            Err(StoreError::Held { .. } | StoreError::StrangeLease { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match draft.take(&self.run.holder).await {
            Ok(mut lease) => {
                lease.record(Event::WatchAsked { from: now, until })?;
                Ok(lease.release().await?)
            }
            Err(StoreError::Changed | StoreError::Held { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks as long as the claim may come true. What the run then ends with; nothing if it is to check everything (again).
    pub(super) async fn await_effect(&mut self, until: DateTime<Utc>) -> Result<Option<Ending>, RunError> {
        let watch = Watch { from: self.rekey.clock.now(), until };
        let changed = self.keep_looking(watch).await?;
        let over = until <= self.rekey.clock.now();
        if changed || over {
            // What did not come true was nothing. Others may have found something meanwhile, so everything is checked.
            (self.claim, self.known) = (None, None);
            return Ok(None);
        }
        Ok(Some(Ending::Awaited { until }))
    }

    /// Looks at the keys every few seconds, without the lease and without a place among those at work, until they are no
    /// longer those on record, the time to watch or that of this run is over, or it is asked to stop. Whether there is
    /// something to do.
    pub(super) async fn keep_looking(&mut self, watch: Watch) -> Result<bool, RunError> {
        let from = watch.from.max(self.rekey.clock.now());
        self.say_once(&words::watching(CLOSE.num_seconds(), from, watch.until));
        let until = watch.until.min(self.run.deadline - RESERVE);
        while self.rekey.clock.now() < until {
            let next = watch.from.max(self.rekey.clock.now() + CLOSE).min(until);
            if self.is_called_away(next).await {
                return Ok(false);
            }
            let look = Look::of_keys(self.eyes(), self.instance).await?;
            let journal = peek(&*self.rekey.store, &self.instance.id).await?;
            if !journal.keys().is_some_and(|keys| explained(&look.fingerprints(), &journal, keys)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits, and is called away by who asks the process to stop, or by another notice that waits behind this one's run.
    async fn is_called_away(&mut self, until: DateTime<Utc>) -> bool {
        self.slot = None;
        let (rekey, is_notice) = (self.rekey, self.run.purpose.is_notice());
        let called = async {
            if is_notice { rekey.calls.called(&self.instance.id).await } else { std::future::pending().await }
        };
        let away = tokio::select! {
            biased;
            () = rekey.stop.asked() => true,
            () = called => true,
            () = rekey.clock.sleep_until(until) => false,
        };
        self.take_slot().await;
        away
    }
}
