//! What consumers say themselves of the key that they hold, put on record.
//!
//! Start at [`Engine::take_report`]. A report is no run: it reads nothing of Azure, and nothing is done on the strength of it but
//! by a later run, which goes by the journal. It is written under the lease like every event, so that no run decides beside it;
//! while a run is at work it waits for its turn, as long as it has time.

use std::sync::Arc;

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Dispatcher, Engine};
use crate::handler::{Content, KeyReport, Outcome, Reply};
use crate::report::cause;
use crate::report::text::brief::called;
use crate::report::text::file_name;
use crate::report::text::notice as words;
use crate::store::{Draft, StoreError, peek};
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{ConsumerId, Fingerprint, KeyType, ServiceId};

/// How often it is looked whether the run at work has given its lease back.
const IN_TURN: TimeDelta = TimeDelta::milliseconds(500);

/// How often that a consumer still holds the key that is on record is put on record anew. Writing it costs two requests and keeps
/// runs waiting; an hour is good enough for telling who has fallen silent.
const AGAIN: TimeDelta = TimeDelta::hours(1);

/// What became of a report.
#[derive(Debug)]
pub struct Reported {
    /// The service and the consumer, as they are configured: whoever reports may write them in any case.
    pub service: ServiceId,
    pub consumer: ConsumerId,
    /// Whether it was on record already.
    pub known: bool,
    /// Which key that is; nothing if it is none of the two on record.
    pub holds: Option<KeyType>,
    /// Whether the service was ever checked.
    pub checked: bool,
}

/// Why a report is not on record. Nothing was changed.
#[derive(Debug)]
pub enum NotReported {
    NoService,
    /// No consumer of this name is configured that reports.
    NoName,
    /// The journal could not be written, in the time that there was.
    Store {
        consumer: ConsumerId,
        error: StoreError,
    },
}

impl Engine {
    /// Puts on record what a consumer says of itself, of those that are configured to.
    pub async fn take_report(
        &self,
        report: &KeyReport,
        deadline: DateTime<Utc>,
    ) -> Result<Reported, NotReported> {
        let service = self.config.instances.iter().find(|one| one.id == report.service);
        let service = service.ok_or(NotReported::NoService)?;
        let report = &KeyReport { service: service.id.clone(), ..report.clone() };
        let named = |consumer: &ConsumerId| match consumer {
            ConsumerId::Reporter(name) | ConsumerId::Manual(name) => *name == report.name,
            _ => false,
        };
        let consumer = service.external.iter().map(|one| &one.id).find(|consumer| named(consumer));
        let consumer = consumer.ok_or(NotReported::NoName)?;
        let written = self.write_report(report, consumer, deadline).await;
        let (journal, known) =
            written.map_err(|error| NotReported::Store { consumer: consumer.clone(), error })?;
        let checked = journal.keys().is_some();
        let holds = key_type_of(&journal, &report.fingerprint);
        Ok(Reported { service: service.id.clone(), consumer: consumer.clone(), known, holds, checked })
    }

    /// Writes it, unless it is on record and was said again not long ago; the journal with it, and whether it was there before.
    async fn write_report(
        &self,
        report: &KeyReport,
        consumer: &ConsumerId,
        deadline: DateTime<Utc>,
    ) -> Result<(Journal, bool), StoreError> {
        let before = peek(&*self.store, &report.service).await?;
        let said = before.report(consumer).filter(|said| said.fingerprint == report.fingerprint);
        let (known, now) = (said.is_some(), self.clock.now());
        if said.is_some_and(|said| said.at <= now && now < said.at + AGAIN) {
            return Ok((before, true));
        }
        loop {
            match self.try_to_write(report, consumer).await {
                Ok(journal) => return Ok((journal, known)),
                // That it was said again is worth no waiting.
                Err(error) if known && is_of_another(&error) => return Ok((before, true)),
                Err(error) if is_of_another(&error) => {
                    let again = self.clock.now() + IN_TURN;
                    if again >= deadline || self.stop.is_asked() {
                        return Err(error);
                    }
                    self.clock.sleep_until(again).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_to_write(&self, report: &KeyReport, consumer: &ConsumerId) -> Result<Journal, StoreError> {
        let holder = format!("report/{}", uuid::Uuid::new_v4());
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let draft = Draft::read(store, clock, &report.service, &holder).await?;
        let mut lease = draft.take(&holder).await?;
        let (consumer, fingerprint) = (consumer.clone(), report.fingerprint.clone());
        let recorded = lease.record(Event::Reported { consumer, fingerprint });
        let journal = lease.journal().clone();
        lease.release().await?;
        recorded.map(|()| journal)
    }
}

/// Whether somebody else writes the journal at the moment.
const fn is_of_another(error: &StoreError) -> bool {
    matches!(error, StoreError::Held { .. } | StoreError::StrangeLease { .. } | StoreError::Changed)
}

fn key_type_of(journal: &Journal, fingerprint: &Fingerprint) -> Option<KeyType> {
    let keys = journal.keys()?;
    KeyType::ALL.into_iter().find(|key_type| keys[*key_type].fingerprint == *fingerprint)
}

impl Dispatcher {
    /// Takes a report, and answers whoever sent it.
    pub(super) async fn reported(&self, report: &KeyReport, deadline: DateTime<Utc>) -> Outcome {
        let _at_work = self.engine().at_work.begin();
        match self.engine().take_report(report, deadline).await {
            Ok(reported) => answered(report, &reported),
            Err(not) => refused(report, &not),
        }
    }
}

fn answered(report: &KeyReport, reported: &Reported) -> Outcome {
    let Reported { service, consumer, known, holds, checked } = reported;
    let told = match holds {
        Some(key_type) => words::report_of_the_key(key_type),
        None if *checked => words::REPORT_OF_NO_KEY.to_owned(),
        None => words::REPORT_BEFORE_A_CHECK.to_owned(),
    };
    let who = format!("{}: {}", service.name(), called(consumer));
    let text = if *known { words::report_known(&who, told) } else { words::report_recorded(&who, told) };
    match holds {
        None if *checked => tracing::warn!("{text}"),
        _ => tracing::info!("{text}"),
    }
    let body = json!({
        "instance": service.to_string(),
        "name": consumer.name(),
        "fingerprint": report.fingerprint,
        "recorded": true,
        "known": known,
        "keyType": holds,
        "text": text,
    });
    Outcome { logs: vec![text], ..with_reply(StatusCode::OK, body) }
}

fn refused(report: &KeyReport, not: &NotReported) -> Outcome {
    let (name, service) = (&report.name, report.service.name());
    let (status, why) = match not {
        NotReported::NoService => {
            (StatusCode::NOT_FOUND, words::report_of_no_service(&report.service, file_name()))
        }
        NotReported::NoName => (StatusCode::NOT_FOUND, words::report_of_no_name(name, service, file_name())),
        NotReported::Store { consumer, error } => {
            let who = format!("{service}: {}", called(consumer));
            let status = match error.is_passing() {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, words::report_not_taken(who, cause::told(error)))
        }
    };
    let unfinished = status == StatusCode::SERVICE_UNAVAILABLE;
    let body = json!({ "error": why });
    Outcome { failure: Some(why), unfinished, ..with_reply(status, body) }
}

fn with_reply(status: StatusCode, body: Value) -> Outcome {
    Outcome { reply: Some(Reply { status, content: Content::Json(body) }), ..Outcome::default() }
}
