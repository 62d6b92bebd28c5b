//! Looking at the keys every few seconds for a while: around the time for which their regeneration is announced, and after a
//! notice of one that Azure does not show yet.
//!
//! What is to be watched is in the journal, for the process that learns of it may be gone a minute later. The timer's runs
//! stay as long as their time allows and keep looking; a notice's own run does so within its budget.

use chrono::{DateTime, TimeDelta, Utc};

use super::PassError;
use super::hint::explained;
use super::one::{Next, Pass};
use super::report::Ending;
use crate::journal::{Event, Journal, WATCHES, Watch};
use crate::observe::Look;
use crate::plan::readable;
use crate::store::{Draft, StoreError, peek};

/// How often keys are looked at. `listKeys` counts as a write, of which ARM gives back ten a second: one in ten seconds is a
/// hundredth of that.
const CLOSE: TimeDelta = TimeDelta::seconds(10);

/// From when on, and how long after an announced time.
const BEFORE: TimeDelta = TimeDelta::minutes(1);
const AFTER: TimeDelta = TimeDelta::hours(1);

/// How long after its event a regeneration comes into effect at the latest: the longest on record took 74 s.
const IN_EFFECT: TimeDelta = TimeDelta::minutes(3);

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
    let why = if watch.until - watch.from > IN_EFFECT {
        "an announced regeneration"
    } else {
        "a notice told of a regeneration that Azure did not show yet"
    };
    let (from, until) = (readable(watch.from), readable(watch.until));
    format!("its keys are watched closely from {from} until {until}: {why}")
}

impl Pass<'_> {
    /// The time to watch that was announced, as the event that it is to be recorded as; nothing if it is on record, over, or
    /// too far ahead, which whoever read the notice has told.
    pub(super) fn watch_to_record(&self, journal: &Journal) -> Result<Option<Event>, PassError> {
        let (now, Some(at)) = (self.rekey.clock.now(), self.run.purpose.deadline()) else { return Ok(None) };
        let Announced::Watched(watch) = Announced::of(at, now) else { return Ok(None) };
        if journal.watches().contains(&watch) {
            return Ok(None);
        }
        if journal.watches().iter().filter(|watch| now < watch.until).count() >= WATCHES {
            return Err(PassError::TooManyWatches);
        }
        Ok(Some(Event::WatchAsked { from: watch.from, until: watch.until }))
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

    /// A notice says that a key was regenerated, and Azure lists those that were there before. Until when that may change;
    /// nothing if the time for that is over. It goes on record where nobody has the lease: an event that does not say when
    /// it happened is not waited for twice, and the timer's runs look too.
    pub(super) async fn puzzled(
        &self,
        draft: Option<Draft>,
        happened: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, PassError> {
        let now = self.rekey.clock.now();
        let on_record = |journal: &Journal, until: DateTime<Utc>| {
            journal.watches().iter().any(|watch| watch.from <= now && until <= watch.until)
        };
        // That of an announcement is longer, and says nothing of this.
        let last = |draft: &Draft| {
            let such = |watch: &&Watch| watch.from <= now && watch.until - watch.from <= IN_EFFECT;
            draft.journal().watches().iter().filter(such).map(|watch| watch.until).max()
        };
        let known = happened.map(|at| at.min(now) + IN_EFFECT).or_else(|| draft.as_ref().and_then(last));
        let until = known.unwrap_or(now + IN_EFFECT);
        if until <= now {
            return Ok(None);
        }
        if let Some(draft) = draft.filter(|draft| !on_record(draft.journal(), until)) {
            match draft.take(&self.run.holder).await {
                Ok(mut lease) => {
                    lease.record(Event::WatchAsked { from: now, until })?;
                    lease.release().await?;
                }
                // Who has it looks himself, or the next delivery does.
                Err(StoreError::Changed | StoreError::Held { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(until))
    }

    /// How to go on while a regeneration may come into effect.
    pub(super) fn await_effect(&self, until: DateTime<Utc>) -> Next {
        let watch = Watch { from: self.rekey.clock.now(), until };
        Next::Watch { watch, ending: Ending::Awaited { until } }
    }

    /// Looks at the keys every few seconds, without the lease and without a place among those at work, until they are no
    /// longer those on record, the time to watch or that of this run is over, or it is asked to stop. Whether there is
    /// something to do.
    pub(super) async fn keep_looking(&mut self, watch: Watch) -> Result<bool, PassError> {
        let from = watch.from.max(self.rekey.clock.now());
        self.say_once(&format!(
            "its keys are looked at every {} seconds from {} until {}",
            CLOSE.num_seconds(),
            readable(from),
            readable(watch.until)
        ));
        let until = watch.until.min(self.run.deadline - RESERVE);
        while self.rekey.clock.now() < until {
            let next = watch.from.max(self.rekey.clock.now() + CLOSE).min(until);
            self.pause(next).await;
            if self.rekey.stop.is_asked() {
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
}
