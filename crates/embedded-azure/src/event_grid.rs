//! Event Grid: what happens in the embedded Azure is announced, and delivered to one subscription.
//!
//! ```text
//! request or person -> event (what ARM announces) -> queue (when, how often, in which order) -> delivery (HTTP)
//! ```
//!
//! Start at [`EventGrid`], the subscription; without one nothing is made and nothing is kept. `event` says what is
//! announced and `announce` when, `queue` is a pure state machine of the rules of delivery, and `Courier` sends.
//!
//! | what happens | event |
//! |---|---|
//! | a POST to ARM | `Microsoft.Resources.ResourceActionSuccess` or `…Failure` |
//! | a PUT or PATCH | `Microsoft.Resources.ResourceWriteSuccess` or `…Failure` |
//! | a DELETE | `Microsoft.Resources.ResourceDeleteSuccess` or `…Failure` |
//! | other settings of an app, whoever wrote them | `Microsoft.Web.AppUpdated`, `ChangedAppSettings` |
//! | a new version of a secret, whoever wrote it | `Microsoft.KeyVault.SecretNewVersionCreated` |
//! | a GET; an answer of 401, 403 or 429 | nothing |
//! | a forced regeneration | nothing: Azure announces it by mail and in the portal (docs: Rotate access keys) |
//!
//! Guarantees (docs: Event Grid message delivery and retry): at least once, in no order; no event holds key material;
//! what waits and what is given up is bounded, and what is dropped is counted.
//!
//! Caveats: there is one subscription, without the handshake of a new one, so an endpoint may come later than this Azure.
//! In Azure `AppUpdated` and `SecretNewVersionCreated` need subscriptions of their own, at the site and at the vault; here
//! they come with the others. Unconfirmed, as no document says it: when the event of a regeneration is sent (see
//! [`Announced`]), how Azure writes the operation's name (so compare in any case), and that the client's request id is the
//! caller's own.

mod announce;
mod event;
mod queue;

use std::time::Duration;

use clap::ValueEnum;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use url::Url;

pub use self::queue::{DeadLetter, Delivery, EventGridReport, Outcome, Reason};

pub(crate) use self::event::Event;
pub(crate) use self::queue::Queue;

use crate::identity::is_loopback;

/// How long Event Grid waits for an answer; a later one counts for nothing here, though in Azure it may still cancel the
/// retry (docs: Event Grid message delivery and retry).
const PATIENCE: Duration = Duration::from_secs(30);

/// A subscription: who is told what, and how unreliably.
#[derive(Clone, Debug)]
pub struct EventGrid {
    /// The webhook that is called. Without one nobody is: a test takes what is due by
    /// [`State::deliveries_due`](crate::State::deliveries_due) and answers for the endpoint.
    pub endpoint: Option<Url>,
    /// How events are written.
    pub schema: Schema,
    /// Only events whose `data.operationName` is one of these, in any case (docs: Event filtering, `StringIn`, which
    /// an event without that member does not meet); all events if there is none.
    pub operations: Vec<String>,
    /// When a regeneration is announced.
    pub announced: Announced,
    /// The time between an occurrence and its first delivery.
    pub latency: Duration,
    /// An event is held back for up to so long besides, each by another time: so they overtake each other.
    pub disorder: Duration,
    /// Every so many events one is sent twice; none if 0.
    pub duplicate_every: u64,
    /// The most events in one delivery (docs: Output batching).
    pub batch: usize,
    /// How often an event is sent at most (docs: 1 to 30).
    pub max_attempts: u32,
    /// How long an event is tried (docs: a minute to a day).
    pub time_to_live: Duration,
}

/// How events are written (docs: Event Grid event schema; CloudEvents v1.0 schema with Azure Event Grid).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Schema {
    /// Event Grid's own schema: a list in each delivery
    EventGrid,
    /// CloudEvents 1.0: one event, or with batches a list
    CloudEvents,
}

/// When the event of a regeneration is sent. Whether Azure does it when it accepts or when it is done, no document
/// says; a reader must bear both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// With the 202; the new key may not work yet, and the regeneration may still fail.
    WhenAccepted,
    /// When the operation ends, as success or failure.
    WhenFinished,
}

impl EventGrid {
    /// Tells one webhook everything, once and at once.
    #[must_use]
    pub fn to(endpoint: Url) -> Self {
        Self { endpoint: Some(endpoint), ..Self::default() }
    }

    fn wants(&self, event: &Value) -> bool {
        let operation = event["data"]["operationName"].as_str();
        let fits = |operation: &str| self.operations.iter().any(|one| one.eq_ignore_ascii_case(operation));
        self.operations.is_empty() || operation.is_some_and(fits)
    }
}

impl Default for EventGrid {
    /// Azure's defaults, without an endpoint.
    fn default() -> Self {
        Self {
            endpoint: None,
            schema: Schema::EventGrid,
            operations: Vec::new(),
            announced: Announced::WhenAccepted,
            latency: Duration::ZERO,
            disorder: Duration::ZERO,
            duplicate_every: 0,
            batch: 1,
            max_attempts: 30,
            time_to_live: Duration::from_secs(24 * 3600),
        }
    }
}

/// Calls the endpoint of the subscription.
#[derive(Debug)]
pub(crate) struct Courier {
    client: Client,
    endpoint: Url,
}

impl Courier {
    pub(crate) fn new(endpoint: Url) -> reqwest::Result<Self> {
        let client = Client::builder();
        // What is on this machine is behind no proxy.
        let client = if endpoint.host_str().is_some_and(is_loopback) { client.no_proxy() } else { client };
        Ok(Self { client: client.build()?, endpoint })
    }

    /// Sends a delivery and tells what was answered.
    pub(crate) async fn carry(&self, delivery: &Delivery) -> Outcome {
        let call = self
            .client
            .post(self.endpoint.clone())
            .timeout(PATIENCE)
            // The Functions host wants this header with either schema (Event Grid extension source).
            .header("aeg-event-type", "Notification")
            .header(CONTENT_TYPE, delivery.content_type())
            .body(delivery.body().to_string());
        call.send().await.map_or(Outcome::Unanswered, |answer| Outcome::Answered(answer.status().as_u16()))
    }
}
