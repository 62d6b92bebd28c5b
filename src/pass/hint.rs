//! Hints: what calls for a look, and whether it is news.
//!
//! Most of what Azure tells us was our own doing: every regeneration and every write of settings raises an event. Such a
//! hint costs one `listKeys` (and the settings of the app that it names), no write, and no waiting for the run that
//! caused it.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::RunError;
use super::one::Pass;
use crate::config::ServiceConfig;
use crate::observe::Look;
use crate::report::text::run::KNOWN;
use crate::store::{Draft, StoreError};
use rekey_core::journal::{Held, Journal, KeyRecord, Origin};
use rekey_core::model::{AppId, Fingerprint, PerKey};
use rekey_core::plan::{Holding, Snapshot};

/// How long the event of a regeneration may take to reach us; most come within seconds, and those that were not taken at
/// once again within minutes (docs: Event Grid message delivery and retry).
const LATELY: TimeDelta = TimeDelta::minutes(15);

/// How far Azure's clocks and ours may be apart.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// How long after its event a regeneration comes into effect at the latest: the longest on record took 74 s.
const IN_EFFECT: TimeDelta = TimeDelta::minutes(3);

/// How long after the intent the event of a regeneration of ours may happen: the longest on record took 74 s.
const OURS: TimeDelta = TimeDelta::minutes(2);

/// That a key was regenerated, as an event says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When; unknown if one of the events does not say so.
    pub happened: Option<DateTime<Utc>>,
}

impl Claim {
    /// Until when it may show. What does not say when it happened, or says a time to come, may have happened now.
    pub(super) fn shows_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let happened = self.happened.filter(|at| *at <= now + SKEW).unwrap_or(now);
        happened.checked_add_signed(IN_EFFECT).unwrap_or(happened)
    }
}

/// What a pass begins with.
pub(super) enum Begun {
    /// What called for it shows nothing new.
    Known,
    /// The journal, and a look at everything.
    Seen(Box<(Draft, Look)>),
}

/// How it is that what called for a pass was no news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The journal explains it.
    Explained,
    /// It says that a key was regenerated, none changed lately, and Azure lists the keys that the journal knows: it may yet
    /// be under way, and listed when it is in effect.
    Puzzling,
}

/// What an event hints at, for one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// A key was regenerated.
    pub regenerated: bool,
    /// When, if all the events of it say so; then the last.
    pub happened: Option<DateTime<Utc>>,
    /// Something happened to these apps.
    pub apps: BTreeSet<AppId>,
    /// Something happened that only a look at everything can tell.
    pub anything: bool,
}

impl Hint {
    /// That a key was regenerated, if it hints at that.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        self.regenerated.then_some(Claim { happened: self.happened })
    }

    /// Takes in what another event hints at.
    pub fn merge(&mut self, other: Self) {
        self.happened = match (self.regenerated, other.regenerated) {
            (true, true) => self.happened.zip(other.happened).map(|(one, other)| one.max(other)),
            (false, _) => other.happened,
            (true, false) => self.happened,
        };
        self.regenerated |= other.regenerated;
        self.anything |= other.anything;
        self.apps.extend(other.apps);
    }

    /// Whether the keys and the apps that it names show nothing that the journal does not explain. While something is out of
    /// sight nothing is explained: who answers well that nothing happened has looked at everything.
    fn is_known(&self, snapshot: &Snapshot, journal: &Journal) -> bool {
        let all_in_sight = !journal.is_blind() && !journal.is_missing();
        let Some(keys) = journal.keys().filter(|_| !self.anything && all_in_sight) else { return false };
        let repaired = !self.regenerated || !journal.is_unrepaired();
        repaired && explained(&snapshot.keys, journal, keys) && in_order(snapshot, keys)
    }
}

/// Whether both keys are those that the journal knows, or the one that is being made for us.
pub(super) fn explained(found: &PerKey<Fingerprint>, journal: &Journal, keys: &PerKey<KeyRecord>) -> bool {
    keys.iter().all(|(key_type, record)| {
        let found = &found[key_type];
        let flight = journal.in_flight().filter(|flight| flight.key_type == key_type);
        record.fingerprint == *found || flight.is_some_and(|flight| flight.promised.as_ref() == Some(found))
    })
}

/// Whether a regeneration of ours is under way, or a key changed so lately that the event of it may be on its way still. An
/// event of something that happened after that is not the event of it.
fn changed_lately(journal: &Journal, happened: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let until = |end: DateTime<Utc>| happened.is_none_or(|happened| happened <= end);
    let lately = |record: &KeyRecord| {
        record.origin != Origin::FirstSeen && now < record.created + LATELY && until(record.created + SKEW)
    };
    let made = |keys: &PerKey<KeyRecord>| keys.iter().any(|(_, record)| lately(record));
    journal.in_flight().is_some_and(|flight| until(flight.intended + OURS))
        || journal.keys().is_some_and(made)
}

/// Whether the consumers that were looked at hold keys that the journal knows to be held, and nothing is out of sight.
fn in_order(snapshot: &Snapshot, keys: &PerKey<KeyRecord>) -> bool {
    let fits = |holding: &Holding| match holding {
        Holding::Valid(key_type) => keys[*key_type].held == Held::Now,
        Holding::Stale(_) => false,
        Holding::Identity => true,
    };
    let seen = snapshot.unknown.is_empty() && snapshot.gone.is_empty();
    seen && snapshot.consumers.iter().all(|consumer| fits(&consumer.holds))
}

impl Pass<'_> {
    /// The journal and a look at everything, unless the hint that called for it is no news.
    pub(super) async fn begin(&mut self) -> Result<Begun, RunError> {
        let Some(hint) = self.hint.take() else {
            let draft = self.read_in_turn().await?;
            self.explain(draft.journal());
            let look = self.look_at_all(draft.journal()).await?;
            return Ok(Begun::Seen(Box::new((draft, look))));
        };
        match self.read().await {
            Ok(draft) => {
                let mut look = self.look_at(&hint).await?;
                if self.is_known(&hint, &look, draft.journal()) {
                    return Ok(Begun::Known);
                }
                self.be_alarmed(&look, draft.journal());
                look.complete(self.eyes(), self.instance).await?;
                Ok(Begun::Seen(Box::new((draft, look))))
            }
            // Most likely it was the one who is at work, and there is nothing to wait for.
            Err(StoreError::Held { .. } | StoreError::StrangeLease { .. }) => {
                let journal = crate::store::peek(&*self.rekey.store, &self.instance.id).await?;
                let look = self.look_at(&hint).await?;
                if self.is_known(&hint, &look, &journal) {
                    return Ok(Begun::Known);
                }
                let draft = self.read_in_turn().await?;
                let look = self.look_at_all(draft.journal()).await?;
                Ok(Begun::Seen(Box::new((draft, look))))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the keys, and then all apps.
    async fn look_at_all(&mut self, journal: &Journal) -> Result<Look, RunError> {
        let mut look = Look::of_keys(self.eyes(), self.instance).await?;
        self.be_alarmed(&look, journal);
        look.complete(self.eyes(), self.instance).await?;
        Ok(look)
    }

    /// Whether somebody may be cut off: a key is not the one on record, or changed from outside and not everybody was seen
    /// with a valid one since.
    fn be_alarmed(&mut self, look: &Look, journal: &Journal) {
        let changed = |keys| !explained(&look.fingerprints(), journal, keys);
        self.alarmed = journal.is_unrepaired() || journal.keys().is_some_and(changed);
    }

    /// Reads the keys, and the apps that the hint names.
    async fn look_at(&self, hint: &Hint) -> Result<Look, RunError> {
        let mut look = Look::of_keys(self.eyes(), self.instance).await?;
        if !hint.anything {
            look.complete(self.eyes(), &self.named(hint)).await?;
        }
        Ok(look)
    }

    fn is_known(&mut self, hint: &Hint, look: &Look, journal: &Journal) -> bool {
        self.explain(journal);
        let known = hint.is_known(&look.snapshot(&self.named(hint), journal), journal);
        if known {
            self.known = Some(if self.claim.is_none() { Known::Explained } else { Known::Puzzling });
        }
        if self.known == Some(Known::Explained) {
            self.say(KNOWN);
        }
        known
    }

    /// Lets go of the claim that a key was regenerated, if the journal explains it, or the time in which it may show is over.
    pub(super) fn explain(&mut self, journal: &Journal) {
        let now = self.rekey.clock.now();
        let open = |claim: &Claim| now < claim.shows_until(now);
        self.claim = self.claim.filter(open).filter(|claim| !changed_lately(journal, claim.happened, now));
    }

    /// The instance with those apps alone that the hint names.
    fn named(&self, hint: &Hint) -> ServiceConfig {
        let apps = self.instance.apps.iter().filter(|app| hint.apps.contains(&app.id)).cloned().collect();
        ServiceConfig { apps, ..self.instance.clone() }
    }
}
