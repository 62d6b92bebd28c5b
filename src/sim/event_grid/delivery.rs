//! Sends what is due, and tells the queue what came of it.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::queue::{Delivery, Outcome};
use crate::clock::{Clock, delta};
use crate::http::Http;
use crate::sim::http::Shared;

/// How long Event Grid waits for an answer (docs: Event Grid message delivery and retry).
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls the endpoint of the subscription.
#[derive(Debug)]
pub(in crate::sim) struct Courier {
    http: Http,
    endpoint: Url,
}

impl Courier {
    pub(in crate::sim) fn new(endpoint: Url) -> Self {
        Self { http: Http::new(), endpoint }
    }

    async fn carry(&self, delivery: &Delivery, clock: &dyn Clock) -> Outcome {
        let Ok(client) = self.http.client(&self.endpoint) else { return Outcome::Unanswered };
        let sent = clock.now();
        let call = client
            .post(self.endpoint.clone())
            .timeout(PATIENCE)
            // The Functions host wants this header with either schema (Event Grid extension source).
            .header("aeg-event-type", "Notification")
            .header(CONTENT_TYPE, delivery.content_type())
            .body(delivery.body().to_string());
        match call.send().await {
            // A virtual clock may have passed more time than the client has noticed.
            Ok(answer) if clock.now() - sent <= delta(PATIENCE) => {
                Outcome::Answered(answer.status().as_u16())
            }
            Ok(_) | Err(_) => Outcome::Unanswered,
        }
    }
}

/// Calls the endpoint, if there is one, and notes what came of it.
pub(in crate::sim) async fn deliver(shared: &Shared, delivery: Delivery) -> (Delivery, Outcome) {
    let outcome = match shared.courier() {
        Some(courier) => courier.carry(&delivery, shared.clock()).await,
        None => Outcome::Unanswered,
    };
    shared.state().delivery_answered(delivery.id, outcome);
    (delivery, outcome)
}
