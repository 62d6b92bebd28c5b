//! Proving what was changed: that the keys that were replaced are dead, and a document of each change.
//!
//! Both come when nothing else is to be done now, so that they keep nobody from a repair and nothing waiting. Start at
//! [`Run::prove`].

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::RunError;
use super::check::Check;
use super::run::{OldKey, RESERVE, Run};
use crate::azure::data_plane::Probe;
use crate::report::text::run::{document_not_made, evidence_left_out, old_key_lost};
use crate::report::{RunEvent, cause};
use crate::store::{self, Lease};
use rekey_core::evidence;
use rekey_core::journal::{Change, Event, Fate, LeftOut};
use rekey_core::model::{Fingerprint, Key, KeyType};
use rekey_core::plan::Decision;
use rekey_core::policy::Verify;
use rekey_core::time::delta;

/// How long calls are signed with a key that was replaced until one is refused. Azure says that the old key stops at once; a new
/// one was seen to spread through the service within a minute or two (azure-signalr#2197), and so does the end of an old one.
const PATIENCE: TimeDelta = TimeDelta::minutes(3);

/// The waits between two of these calls; the last is that between all later ones.
const WAITS: [u64; 5] = [1, 2, 4, 8, 15];

impl Run<'_> {
    /// Keeps a key that is about to be replaced, for this run alone.
    pub(super) fn remember(&mut self, key: &Key) {
        if self.service.policy.verify != Verify::ControlPlane {
            let old = OldKey { key: key.clone(), calls: 0, since: None };
            self.old_keys.entry(key.fingerprint()).or_insert(old);
        }
    }

    /// What is left when nothing is to be done now; when to go on with it, if it takes its time.
    pub(super) async fn prove(
        &mut self,
        lease: &mut Lease,
        check: &Check,
        decision: &Decision,
    ) -> Result<Option<DateTime<Utc>>, RunError> {
        let again = self.try_old_keys(lease, check).await?;
        if again.is_none() {
            self.keep_evidence(lease, decision).await?;
        }
        Ok(again)
    }

    /// Tries each key that was replaced, and is not known to be dead, once; when to do so again, if at all.
    async fn try_old_keys(
        &mut self,
        lease: &mut Lease,
        check: &Check,
    ) -> Result<Option<DateTime<Utc>>, RunError> {
        let undecided = lease.journal().evidence().undecided();
        let undecided: Vec<(Fingerprint, KeyType)> = undecided.map(|(old, key)| (old.clone(), key)).collect();
        let mut again: Option<DateTime<Utc>> = None;
        for (fingerprint, key_type) in undecided {
            match self.try_old_key(&fingerprint, &check.keys()[key_type], check.host()).await {
                Tried::Again(at) => again = Some(again.map_or(at, |other| other.min(at))),
                Tried::Known { calls, fate } => {
                    self.old_keys.remove(&fingerprint);
                    self.record(lease, Event::OldKeyTried { fingerprint, calls, fate })?;
                }
            }
        }
        Ok(again)
    }

    async fn try_old_key(&mut self, fingerprint: &Fingerprint, new: &Key, host: &str) -> Tried {
        let (now, end) = (self.now(), self.order.deadline - RESERVE);
        if self.service.policy.verify == Verify::ControlPlane {
            return Tried::Known { calls: 0, fate: Fate::NotAsked };
        }
        let Some(OldKey { key, calls, since }) = self.old_keys.get_mut(fingerprint) else {
            return Tried::Known { calls: 0, fate: Fate::NotKnown { why: Some(old_key_lost()) } };
        };
        let wait = WAITS[usize::try_from(*calls).unwrap_or(usize::MAX).min(WAITS.len() - 1)];
        *calls = calls.saturating_add(1);
        let (calls, since, key) = (*calls, *since.get_or_insert(now), key.clone());
        let answer = self.actor().try_old(host, &key, new).await;
        let fate = match answer {
            Probe::Refused { .. } => return Tried::Known { calls, fate: Fate::Refused },
            Probe::Accepted => Fate::StillAccepted,
            Probe::Unreachable { detail } => Fate::NotKnown { why: Some(detail) },
        };
        let next = self.now() + delta(Duration::from_secs(wait));
        if next > since + PATIENCE || next >= end { Tried::Known { calls, fate } } else { Tried::Again(next) }
    }

    /// Puts on record that a change is over, and writes the document of each that is. What a document says follows from the journal,
    /// which is written before it.
    async fn keep_evidence(&mut self, lease: &mut Lease, decision: &Decision) -> Result<(), RunError> {
        let settled = matches!(decision, Decision::Settled { .. });
        let concludes = lease.journal().concludes(settled, self.now());
        let rotation = concludes.filter(|_| lease.journal().evidence().open().is_some_and(Change::rotates));
        if let Some(finished) = concludes {
            self.record(lease, Event::Concluded { finished })?;
        }
        while lease.journal().evidence().waiting().len() > 0 {
            lease.commit().await?;
            let document = match evidence::next(lease.journal(), &self.service.id) {
                Ok(Some(document)) => document,
                Ok(None) => break,
                Err(error) => {
                    self.not_proved(lease, document_not_made(cause::told(&error)), false);
                    break;
                }
            };
            let (store, clock) = (&*self.engine.store, &self.engine.clock);
            if let Err(error) = store::keep_evidence(store, clock, &document).await {
                self.not_proved(lease, cause::told(&error), error.is_passing());
                break;
            }
            let evidence::Document { name, sha256, .. } = document;
            self.record(lease, Event::EvidenceKept { name, sha256 })?;
        }
        // Not before it is on record: what is not, the next run would tell of again.
        if let Some(finished) = rotation {
            self.emit(RunEvent::RotationOver { finished });
        }
        Ok(())
    }

    fn not_proved(&mut self, lease: &Lease, why: String, passes: bool) {
        let LeftOut { changes, entries } = lease.journal().evidence().left_out();
        let is_whole = changes == 0 && entries == 0;
        let why = if is_whole { why } else { evidence_left_out(&why, changes, entries) };
        self.emit_once(RunEvent::NotProved { why, passes });
    }
}

/// What trying a key that was replaced has shown.
enum Tried {
    /// Nothing yet; it is to be tried then.
    Again(DateTime<Utc>),
    Known {
        calls: u32,
        fate: Fate,
    },
}
