//! What the embedded Azure announces, and what of it is on its way.

use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Announced;
use super::event::{Event, Request};
use super::queue::{Delivery, Outcome, Queue};
use crate::call::{Answer, Call};
use crate::deeds::{Deed, Entry};
use crate::identity::{COLLEAGUE_NAME, OBJECT_ID};
use crate::state::State;
use crate::stores::Name;
use crate::vaults::Version;

/// How many of the embedded Azure's are, for it may run for long.
const MOST: usize = 10_000;

impl State {
    /// What is to be sent to the webhook now. A delivery that is not answered by [`State::delivery_answered`] within
    /// 30 seconds of the embedded Azure's clock counts as unanswered, and is due again later.
    pub fn deliveries_due(&mut self) -> Vec<Delivery> {
        let now = self.now;
        self.grid.as_mut().map(|grid| grid.due(now)).unwrap_or_default()
    }

    /// Notes what the webhook answered; what failed is due again later.
    pub fn delivery_answered(&mut self, id: u64, outcome: Outcome) {
        let now = self.now;
        if let Some(grid) = &mut self.grid {
            grid.answered(id, outcome, now);
        }
    }

    /// When the next delivery is due, or one that is on its way counts as unanswered; none if no event waits.
    #[must_use]
    pub fn next_delivery(&self) -> Option<DateTime<Utc>> {
        self.grid.as_ref().and_then(Queue::next)
    }

    /// The events that were not delivered yet, in the order in which they fall due.
    #[must_use]
    pub fn undelivered_events(&self) -> Vec<Value> {
        self.grid.as_ref().map(Queue::undelivered).unwrap_or_default()
    }

    /// Announces a request to ARM that was answered; `pattern` is its path in the words of the swagger.
    pub(crate) fn announce_request(&mut self, pattern: &str, call: &Call, answer: &Answer) {
        // Nobody was let in, or nothing was begun.
        let unheard = matches!(answer.status.as_u16(), 401 | 403 | 429);
        if unheard || !call.param("subscription").eq_ignore_ascii_case(&self.subscription) {
            return;
        }
        if call.method == Method::GET || call.method == Method::HEAD {
            return;
        }
        let claims = self.identity.claims_of(call);
        let caller = claims[OBJECT_ID].as_str().unwrap_or_default().to_owned();
        let request = Request::of_a_call(pattern, call, answer, claims);
        self.log_deed(request.deed(), &caller, request.given_ids());
        let Some(rules) = self.grid.as_ref().map(Queue::rules) else { return };
        let later = rules.announced == Announced::WhenFinished && answer.status == StatusCode::ACCEPTED;
        let event = Event::in_arm(&request, &self.subscription, &mut self.event_ids);
        let waiting = match pattern.contains("/Microsoft.App/") {
            true => self.writes.last_mut().map(|write| &mut write.announcement),
            false => self.operations.last_mut().map(|operation| &mut operation.announcement),
        };
        match (event, waiting) {
            (Some(event), Some(announcement)) if later => *announcement = Some(event),
            (Some(event), _) => self.publish(&event),
            (None, _) => {}
        }
    }

    /// Announces what a colleague did through ARM.
    pub(crate) fn announce_colleague(&mut self, method: Method, path: &str) {
        let claims = self.identity.claims_of_a_colleague(self.now);
        let request = Request::of_a_colleague(method, path, claims);
        self.log_deed(request.deed(), COLLEAGUE_NAME, request.given_ids());
        if self.grid.is_some()
            && let Some(event) = Event::in_arm(&request, &self.subscription, &mut self.event_ids)
        {
            self.publish(&event);
        }
    }

    /// Announces that other settings were written.
    pub(crate) fn announce_settings(&mut self, at: usize) {
        if self.grid.is_some() {
            let event = Event::settings_changed(&self.apps[at].id, &mut self.event_ids);
            self.publish(&event);
        }
    }

    /// Announces a new version of a secret, whoever wrote it.
    pub(crate) fn announce_secret(&mut self, at: usize, name: &str, version: &Version) {
        if self.grid.is_some() {
            let event = Event::new_version(&self.vaults[at].id, name, version, &mut self.event_ids);
            self.publish(&event);
        }
    }

    /// Announces that a key-value was written or deleted, whoever did it.
    pub(crate) fn announce_key_value(&mut self, at: usize, name: &Name, etag: &str, deleted: bool) {
        if self.grid.is_some() {
            let event = Event::key_value(&self.stores[at], name, etag, deleted, &mut self.event_ids);
            self.publish(&event);
        }
    }

    /// Takes down what was done, and by whom. What was only read is in no activity log (docs: there).
    /// A person is told by his name, an application by its object (swagger: the UPN claim or SPN claim).
    pub(crate) fn log_deed(&mut self, deed: Option<Deed>, caller: &str, ids: [Option<String>; 2]) {
        let Some(deed) = deed else { return };
        let [correlation, client_request] =
            ids.map(|given| given.unwrap_or_else(|| self.event_ids.uuid().to_string()));
        let caller = caller.to_owned();
        let id = self.event_ids.uuid().to_string();
        let entry = Entry { at: self.now, deed, caller, id, correlation, client_request };
        self.deeds.push_back(entry);
        self.deeds.drain(..self.deeds.len().saturating_sub(MOST));
    }

    pub(crate) fn publish(&mut self, event: &Event) {
        let now = self.now;
        if let Some(grid) = &mut self.grid {
            let event = event.written(grid.rules().schema, now);
            grid.publish(&event, now);
        }
    }
}
