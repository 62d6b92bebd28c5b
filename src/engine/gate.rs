//! How those are whom a wave moves, before it and once they had time to restart; and those who were repaired.
//!
//! Start at [`Run::gate`]. What is asked: that each was read with the new key, that its `health` answers with success several
//! times in a row, and that the service takes the key; of who was repaired his `health` alone. `ARCHITECTURE.md` says why nothing else is.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;

use super::check::Check;
use super::run::{Run, Then};
use super::{Engine, RunError};
use crate::azure::data_plane::Probe;
use crate::azure::http::{ask_health, shown};
use crate::azure::services::KeyService;
use crate::config::ServiceConfig;
use crate::report::RunEvent;
use crate::report::text::azure as words;
use crate::store::Lease;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{ConsumerId, KeyType};
use rekey_core::plan::{self, BlockedBy, Decision, Gated, Part, Snapshot, Step, WaitFor};
use rekey_core::policy::{Policy, Verify};
use rekey_core::time::delta;

/// How often in a row an app must answer with success: an old process may answer once more before it ends, and a new one once
/// before it fails.
const IN_A_ROW: u32 = 3;

/// How often it is asked at one time at most, and how far apart. One answer that is lost is no app that is ill.
const TRIES: u32 = 6;
const APART: Duration = Duration::from_secs(2);

/// How long after one time the next is. The lease is let go meanwhile, for a pause or a report of compromised keys that comes in;
/// and what is asked next rests on another check.
const AGAIN: TimeDelta = TimeDelta::seconds(20);

/// How old what was read may be on which a gate rests.
const READ_AGAIN: TimeDelta = TimeDelta::seconds(60);

impl Run<'_> {
    /// Asks how those are whom a step moves, before it does; the block that this is, if one of them is not well already: it is
    /// not to be blamed on the key, and nobody could tell afterwards.
    pub(super) async fn hold_back(
        &mut self,
        lease: &mut Lease,
        step: &Step,
    ) -> Result<Option<Decision>, RunError> {
        let Step::Repoint { consumers, part: Part::Wave { number, waits: true }, .. } = step else {
            return Ok(None);
        };
        let apps: BTreeSet<ConsumerId> = consumers.iter().map(|consumer| consumer.app.clone()).collect();
        let mut tried = 0;
        let detail = loop {
            let Some(why) = self.engine.unwell(self.service, &apps).await else { return Ok(None) };
            tried += 1;
            if tried == IN_A_ROW || self.now() + delta(APART) >= self.order.deadline {
                break why;
            }
            self.engine.clock.sleep(APART).await;
        };
        let number = *number;
        let known = lease.journal().held_back();
        if known.is_none_or(|known| known.number != number || known.detail != detail) {
            self.record(lease, Event::WaveHeldBack { number, detail: detail.clone() })?;
        }
        Ok(Some(Decision::Blocked(BlockedBy::UnhealthyBefore { wave: number, detail })))
    }

    /// Asks how those are who were moved or repaired last, and takes down what came of it.
    pub(super) async fn gate(
        &mut self,
        lease: &mut Lease,
        check: &mut Check,
        gated: Gated,
    ) -> Result<Then, RunError> {
        if check.is_echoed() {
            self.read_back(lease, check).await?;
            // Replicas that are being replaced take minutes, and the others are asked meanwhile.
            if !check.is_echoed() || gated == Gated::Repaired {
                return Ok(Then::Assess);
            }
        // It waits for minutes, and who was cut off meanwhile comes first.
        } else if check.refresh(self.reader(), self.service, READ_AGAIN).await? {
            return Ok(Then::Assess);
        }
        let (journal, policy) = (lease.journal(), &self.service.policy);
        let moved = match gated {
            Gated::Wave(_) => journal.wave().map(|wave| wave.moved),
            Gated::Repaired => journal.repair().map(|repair| repair.moved),
        };
        let Some(moved) = moved else { return Ok(Then::Assess) };
        let (until, seen) = (back_by(moved, policy), check.snapshot(self.service, journal));
        let unwell = self.how_they_are(gated, check, &seen, journal).await;
        if let Some(why) = unwell.clone().filter(|_| self.now() < until) {
            self.emit_once(RunEvent::NotWellYet { why, until });
            let next = (self.now() + AGAIN).min(until);
            if next >= self.order.deadline {
                return Err(RunError::OutOfTime);
            }
            let until = if self.waits(next) { next } else { until };
            return Ok(Then::Leave(Decision::Waiting { reason: WaitFor::Gate(gated), until }));
        }
        let event = match (gated, journal.wave(), journal.repair(), unwell) {
            (Gated::Wave(_), Some(wave), _, None) => plan::passes(wave, &seen, policy),
            (Gated::Wave(number), Some(wave), _, Some(detail)) => {
                Event::GateFailed { number, detail, then: plan::after_gate(wave, journal, policy) }
            }
            (Gated::Repaired, _, Some(repair), None) => plan::repair_passes(repair, &seen),
            (Gated::Repaired, _, _, Some(detail)) => Event::RepairFailed { detail },
            _ => return Ok(Then::Assess),
        };
        self.record(lease, event)?;
        lease.commit().await?;
        Ok(Then::Assess)
    }

    /// What is not well of those who were moved or repaired; nothing, if all of it is.
    async fn how_they_are(
        &self,
        gated: Gated,
        check: &Check,
        seen: &Snapshot,
        journal: &Journal,
    ) -> Option<String> {
        match (gated, journal.wave(), journal.repair()) {
            (Gated::Wave(_), Some(wave), _) => {
                let (asked, mut elsewhere) = (plan::asked_of(wave, seen), plan::not_seen_with(wave, seen));
                elsewhere.extend(check.echoed().filter(|consumer| wave.apps.contains(consumer)));
                if elsewhere.is_empty() {
                    return self.how_it_is(&asked, Some((check, wave.to))).await;
                }
                let names: Vec<String> = elsewhere.iter().map(ConsumerId::name).collect();
                let unwell = self.engine.unwell(self.service, &asked).await;
                let whys = [words::not_on_the_new_key(names.join(", "))].into_iter().chain(unwell);
                Some(whys.collect::<Vec<String>>().join("; "))
            }
            // Which of the keys each was given says who reads it; that it is a valid one has been seen by now.
            (Gated::Repaired, _, Some(repair)) => {
                self.how_it_is(&plan::repaired_of(repair, seen), None).await
            }
            _ => None,
        }
    }

    /// What is not well of these apps, or of the key that they were given, where it is asked about.
    async fn how_it_is(&self, apps: &BTreeSet<ConsumerId>, key: Option<(&Check, KeyType)>) -> Option<String> {
        let watched = apps.iter().any(|app| self.service.health.contains_key(app));
        let enough = if watched { IN_A_ROW } else { 1 };
        let (mut in_a_row, mut said) = (0, None);
        for tried in 0..TRIES {
            if tried > 0 {
                self.engine.clock.sleep(APART).await;
            }
            let refused = async {
                match key {
                    Some((check, key_type)) => self.refused(check, key_type).await,
                    None => None,
                }
            };
            let (unwell, refused) = futures::join!(self.engine.unwell(self.service, apps), refused);
            match unwell.or(refused) {
                Some(why) => (in_a_row, said) = (0, Some(why)),
                None => in_a_row += 1,
            }
            if in_a_row == enough {
                return None;
            }
            if self.now() + delta(APART) >= self.order.deadline {
                break;
            }
        }
        Some(said.unwrap_or_else(|| words::not_often_enough(enough)))
    }

    /// Why the service does not take a key, by what it answers when it is asked once.
    async fn refused(&self, check: &Check, key_type: KeyType) -> Option<String> {
        if self.service.policy.verify == Verify::ControlPlane {
            return None;
        }
        let (kind, key) = (self.service.id.service_type(), &check.keys()[key_type]);
        match kind.probe(&self.engine.data_plane, check.host(), key).await {
            Probe::Accepted => None,
            Probe::Refused { detail } | Probe::Unreachable { detail } => {
                Some(words::new_key_not_taken(detail))
            }
        }
    }
}

/// By when who was moved or repaired then is to be well.
fn back_by(moved: DateTime<Utc>, policy: &Policy) -> DateTime<Utc> {
    moved + delta(policy.gate_after) + delta(policy.settle_within)
}

impl Engine {
    /// What is not well now of those who were moved or repaired and are waited for, once they had time to restart.
    pub(super) async fn not_well_yet(
        &self,
        service: &ServiceConfig,
        journal: &Journal,
        seen: &Snapshot,
        now: DateTime<Utc>,
    ) -> Vec<RunEvent> {
        let policy = &service.policy;
        let of_wave = journal.open_wave().map(|wave| (plan::asked_of(wave, seen), wave.moved));
        let of_repair = journal.open_repair().map(|repair| (plan::repaired_of(repair, seen), repair.moved));
        let had_time = |moved: DateTime<Utc>| moved + delta(policy.gate_after) <= now;
        let asked = of_wave.into_iter().chain(of_repair).filter(|(_, moved)| had_time(*moved));
        let unwell = asked.map(|(apps, moved)| async move {
            let why = self.unwell(service, &apps).await?;
            Some(RunEvent::NotWellYet { why, until: back_by(moved, policy) })
        });
        join_all(unwell).await.into_iter().flatten().collect()
    }

    /// Who of these is not well, by what it answers when it is asked once, and what that is.
    async fn unwell(&self, service: &ServiceConfig, apps: &BTreeSet<ConsumerId>) -> Option<String> {
        let watched = apps.iter().filter_map(|app| Some((app, service.health.get(app)?)));
        let asked = watched.map(|(app, url)| async move {
            let why = ask_health(&self.http, url).await.err()?;
            Some(words::unwell(app.name(), shown(url), why))
        });
        let unwell: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
        (!unwell.is_empty()).then(|| unwell.join("; "))
    }
}
