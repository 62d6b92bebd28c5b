//! Sends what is due, and tells the queue what came of it.

use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::queue::{Delivery, Outcome, PATIENCE};
use crate::azure::http::Http;
use crate::sim::http::Shared;

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

    async fn carry(&self, delivery: &Delivery) -> Outcome {
        let Ok(client) = self.http.client(&self.endpoint) else { return Outcome::Unanswered };
        let call = client
            .post(self.endpoint.clone())
            .timeout(PATIENCE)
            // The Functions host wants this header with either schema (Event Grid extension source).
            .header("aeg-event-type", "Notification")
            .header(CONTENT_TYPE, delivery.content_type())
            .body(delivery.body().to_string());
        call.send().await.map_or(Outcome::Unanswered, |answer| Outcome::Answered(answer.status().as_u16()))
    }
}

/// Calls the endpoint, if there is one, and notes what came of it.
pub(in crate::sim) async fn deliver(shared: &Shared, delivery: Delivery) -> (Delivery, Outcome) {
    let outcome = match shared.courier() {
        Some(courier) => courier.carry(&delivery).await,
        None => Outcome::Unanswered,
    };
    shared.state().delivery_answered(delivery.id, outcome);
    (delivery, outcome)
}
