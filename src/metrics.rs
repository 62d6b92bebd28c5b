//! Metrics: numbers about services and about what is asked of Azure, for a receiver of OpenTelemetry's. Nothing is decided by
//! them, and nothing waits for them longer than [`BOUND`].
//!
//! Start at [`Metrics::flush`]. What runs tell is counted (`count`) and what is known of services is kept
//! (`observe`) until an export takes it along. One export is under way at a time, in a task of its own; what comes
//! meanwhile goes with the next.
//!
//! A sum counts from the start of the process, unless delta is asked for: then an export whose answer is lost can be made again,
//! and nothing counts twice. Each process has an id of its own (`service.instance.id`), for many come and go. With delta, what
//! a receiver may have taken is not sent again.

mod otlp;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::watch;
use url::Url;

use crate::azure::arm::{Arm, is_page};
use crate::azure::http::{self, Http};
use crate::bounded::Unread;
use crate::clock::Clock;
use crate::config::MetricsConfig;
use crate::config::metrics::Temporality;
use crate::overview::{ServiceOverview, State as Stands};
use crate::report::text::{metrics as words, rounded};
use crate::report::{Ending, RunReport, cause};
use otlp::{Attribute, Metric, Number, Point};
use rekey_core::journal::Event;
use rekey_core::model::{PerKey, ServiceId};

/// How long an answer waits for an export: a receiver in another part of the world takes half a second with its handshakes, and
/// one that takes longer is not worth more of the 30 seconds of Event Grid.
pub const BOUND: Duration = Duration::from_secs(1);

/// The largest answer of a receiver that is read. It has a number and a sentence.
const LARGEST_ANSWER: usize = 64 << 10;

/// How much is told of what a receiver says its answer is.
const LONGEST_KIND: usize = 40;

/// One of the numbers.
#[derive(Clone, Copy, Debug)]
pub struct Instrument {
    pub name: &'static str,
    pub unit: &'static str,
    pub description: &'static str,
    /// Whether it counts up; else it is as it is now.
    pub is_sum: bool,
    /// What it is told of, one by one.
    pub attributes: &'static [&'static str],
}

const SERVICE: &str = "cloud.resource_id";
const KEY: &str = "signalr_rekey.key.type";
const OUTCOME: &str = "signalr_rekey.outcome";
const OPERATION: &str = "signalr_rekey.azure.operation";
const STATUS: &str = "http.response.status_code";
const ERROR: &str = "error.type";
const SUBSCRIPTION: &str = "cloud.account.id";
const REQUESTS: &str = "signalr_rekey.azure.requests.kind";

const KEY_AGE: Instrument = Instrument {
    name: "signalr_rekey.key.age",
    unit: "s",
    description: "How old each of the two keys is",
    is_sum: false,
    attributes: &[SERVICE, KEY],
};
const TIME_TO_DUE: Instrument = Instrument {
    name: "signalr_rekey.key.time_to_due",
    unit: "s",
    description: "Until a key that consumers hold is due to be replaced by its age; negative from then on",
    is_sum: false,
    attributes: &[SERVICE, KEY],
};
const TIME_BLOCKED: Instrument = Instrument {
    name: "signalr_rekey.blocked.time",
    unit: "s",
    description: "How long nothing has gone on until a person does something; 0 while that is not so",
    is_sum: false,
    attributes: &[SERVICE],
};
const STALE: Instrument = Instrument {
    name: "signalr_rekey.consumers.stale",
    unit: "{consumer}",
    description: "Consumers that were last seen with an invalid key",
    is_sum: false,
    attributes: &[SERVICE],
};
const LAST_CHECK: Instrument = Instrument {
    name: "signalr_rekey.check.last_success",
    unit: "s",
    description: "When a run last ended well that had checked the service, as a Unix time",
    is_sum: false,
    attributes: &[SERVICE],
};
const ROTATIONS: Instrument = Instrument {
    name: "signalr_rekey.rotations",
    unit: "{rotation}",
    description: "Rotations that are over, by whether something was left undone",
    is_sum: true,
    attributes: &[SERVICE, OUTCOME],
};
const REGENERATIONS: Instrument = Instrument {
    name: "signalr_rekey.regenerations",
    unit: "{regeneration}",
    description: "Keys that were to be made anew, by what came of it",
    is_sum: true,
    attributes: &[SERVICE, OUTCOME],
};
const REPAIRS: Instrument = Instrument {
    name: "signalr_rekey.repairs",
    unit: "{consumer}",
    description: "Consumers with an invalid key, by whether a run gave them a valid one or left them without",
    is_sum: true,
    attributes: &[SERVICE, OUTCOME],
};
const AZURE_REQUESTS: Instrument = Instrument {
    name: "signalr_rekey.azure.requests",
    unit: "{request}",
    description: "Requests to Azure Resource Manager, vaults and App Configuration stores",
    is_sum: true,
    attributes: &[OPERATION, STATUS, ERROR],
};
const REQUESTS_LEFT: Instrument = Instrument {
    name: "signalr_rekey.azure.requests.left",
    unit: "{request}",
    description: "Requests that Azure Resource Manager still takes at once, as it last said",
    is_sum: false,
    attributes: &[SUBSCRIPTION, REQUESTS],
};

/// All that are exported.
pub const INSTRUMENTS: [Instrument; 10] = [
    KEY_AGE,
    TIME_TO_DUE,
    TIME_BLOCKED,
    STALE,
    LAST_CHECK,
    ROTATIONS,
    REGENERATIONS,
    REPAIRS,
    AZURE_REQUESTS,
    REQUESTS_LEFT,
];

/// An id of the process, by which a receiver tells its sums from those of others.
const INSTANCE: &str = "service.instance.id";

/// What a sum is of.
type Of = Vec<(&'static str, Attribute)>;

/// The sums so far, by name.
type Sums = BTreeMap<(&'static str, Of), u64>;

/// Counts, observes, and exports.
pub struct Metrics {
    config: MetricsConfig,
    http: Http,
    arm: Arm,
    clock: Arc<dyn Clock>,
    resource: Vec<(String, String)>,
    state: Mutex<State>,
    /// How many exports were asked for, and up to which of them all are made.
    asked: watch::Sender<u64>,
    done: watch::Sender<u64>,
    worker: Once,
}

struct State {
    /// What was last told of each service, and which of that was not exported yet.
    known: BTreeMap<ServiceId, ServiceOverview>,
    fresh: BTreeSet<ServiceId>,
    /// How many consumers of each hold an invalid key, where the last run has seen that.
    stale: BTreeMap<ServiceId, usize>,
    counts: Sums,
    /// Whether there is something that no export was asked for.
    is_news: bool,
    /// From when on sums count, and what was exported of them before.
    since: DateTime<Utc>,
    before: Sums,
    /// When the last export was taken.
    taken: Option<DateTime<Utc>>,
    /// The causes that were told since an export last succeeded, and whether it was told that one took too long.
    told: BTreeSet<String>,
    told_slow: bool,
}

/// What became of an export.
enum Sent {
    Taken,
    /// It was taken, and so many points were not.
    InPart(u64),
    /// It was not taken.
    Refused(String),
    /// It may have been taken.
    Unsure(String),
}

/// What is on its way in an export.
struct Batch {
    at: DateTime<Utc>,
    services: BTreeMap<ServiceId, Option<DateTime<Utc>>>,
    sums: Sums,
}

impl Metrics {
    /// Nothing is counted or sent yet.
    pub fn new(config: MetricsConfig, arm: Arm, http: Http, clock: Arc<dyn Clock>) -> Arc<Self> {
        let since = clock.now();
        let own = [
            ("service.name", env!("CARGO_PKG_NAME").to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            (INSTANCE, uuid::Uuid::new_v4().to_string()),
        ];
        let mut resource = BTreeMap::from(own.map(|(name, value)| (name.to_owned(), value)));
        // Its id stays: sums of two processes under one would be taken for one.
        resource.extend(config.resource.iter().filter(|(name, _)| name != INSTANCE).cloned());
        let state = State {
            known: BTreeMap::new(),
            fresh: BTreeSet::new(),
            stale: BTreeMap::new(),
            counts: Sums::new(),
            is_news: false,
            since,
            before: Sums::new(),
            taken: None,
            told: BTreeSet::new(),
            told_slow: false,
        };
        Arc::new(Self {
            config,
            http,
            arm,
            clock,
            resource: resource.into_iter().collect(),
            state: Mutex::new(state),
            asked: watch::Sender::new(0),
            done: watch::Sender::new(0),
            worker: Once::new(),
        })
    }

    /// Counts what a run did.
    pub(crate) fn count(&self, report: &RunReport) {
        let mut state = self.state.lock();
        state.is_news = true;
        let mut add = |instrument: Instrument, outcome: &str, times: usize| {
            if times > 0 {
                let of = vec![(SERVICE, text(report.service.to_string())), (OUTCOME, text(outcome))];
                *state.counts.entry((instrument.name, of)).or_default() += times as u64;
            }
        };
        for finished in &report.rotations {
            add(ROTATIONS, if *finished { "completed" } else { "unfinished" }, 1);
        }
        for event in &report.recorded {
            match event {
                Event::Regenerated { .. } => add(REGENERATIONS, "regenerated", 1),
                Event::RegenerationFailed { .. } => add(REGENERATIONS, "failed", 1),
                Event::Repointed { apps, repaired: true, .. } => add(REPAIRS, "repaired", apps.len()),
                _ => {}
            }
        }
        // Where another run is at it, that one tells.
        let is_told = !matches!(report.ending, Ending::Busy { .. });
        let left = report.left_cut_off().count();
        if is_told {
            add(REPAIRS, "left_cut_off", left);
        }
        if is_told && (report.seen.is_some() || left > 0) {
            state.stale.insert(report.service.clone(), left);
        } else {
            // Who was seen cut off is so until somebody sees that he is not.
            state.stale.retain(|service, left| *service != report.service || *left > 0);
        }
    }

    /// Takes in what runs have told of their services.
    pub(crate) fn observe(&self, told: &[ServiceOverview]) {
        let mut state = self.state.lock();
        for overview in told {
            let id = overview.instance.clone();
            let known = state.known.get(&id);
            let after = known.map_or_else(|| overview.clone(), |known| overview.clone().after(known));
            state.known.insert(id.clone(), after);
            state.fresh.insert(id);
            state.is_news = true;
        }
    }

    /// Exports what is new, and waits for that; no longer than [`BOUND`], nor beyond a deadline. What takes longer goes on.
    pub async fn flush(self: &Arc<Self>, deadline: DateTime<Utc>) {
        if !std::mem::take(&mut self.state.lock().is_news) {
            return;
        }
        self.worker.call_once(|| {
            tokio::spawn(work(Arc::downgrade(self), self.asked.subscribe()));
        });
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let left = (deadline - self.clock.now()).to_std().unwrap_or_default();
        let mut done = self.done.subscribe();
        let made = done.wait_for(|done| *done >= number);
        let in_time = tokio::time::timeout(left.min(BOUND), made).await.is_ok();
        if in_time {
            self.state.lock().told_slow = false;
        } else if left >= BOUND && !std::mem::replace(&mut self.state.lock().told_slow, true) {
            tracing::warn!("{}", words::too_slow(self.config.origin(), rounded(BOUND)));
        }
    }

    async fn export(&self) {
        let Some((batch, body)) = self.batch() else { return };
        let sent = self.send(body).await;
        self.conclude(&batch, &sent);
        self.tell(sent);
    }

    async fn send(&self, body: Vec<u8>) -> Sent {
        let refused = |error: &(dyn std::error::Error + 'static)| Sent::Refused(cause::told(error));
        let url = match Url::parse(self.config.expose_endpoint()) {
            Ok(url) => url,
            Err(error) => return refused(&error),
        };
        let client = match self.http.client(&url) {
            Ok(client) => client,
            Err(error) => return refused(&error),
        };
        let protocol = self.config.protocol;
        let request = client.post(url).timeout(self.config.timeout);
        let request = request.headers(self.config.expose_headers().clone());
        let answer = request.header(CONTENT_TYPE, otlp::content_type(protocol)).body(body).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => {
                return Sent::Refused(cause::because(words::CANNOT_CONNECT, Some(&error.without_url())));
            }
            Err(error) => return Sent::Unsure(cause::because(words::NO_ANSWER, Some(&error.without_url()))),
        };
        let status = answer.status();
        if !status.is_success() {
            // What it says besides may repeat what was sent, headers too.
            return Sent::Refused(words::answered(status));
        }
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or(words::NO_KIND).chars().take(LONGEST_KIND).collect::<String>();
        let body = match http::read(answer, LARGEST_ANSWER).await {
            Ok(body) => body,
            Err(Unread::Broken(_)) => return Sent::Unsure(words::NO_BODY.to_owned()),
            Err(Unread::TooLarge) => return Sent::Refused(words::page(status)),
        };
        match otlp::rejected(&body) {
            Some(0) => Sent::Taken,
            Some(points) => Sent::InPart(points),
            // In the place of the receiver, of a proxy or a sign-in, it takes nothing.
            None if is_page(&body) => Sent::Refused(words::page(status)),
            None => Sent::Unsure(words::no_receiver(status, kind)),
        }
    }

    /// What there is to export, and the body that is sent of it; nothing where there is nothing.
    fn batch(&self) -> Option<(Batch, Vec<u8>)> {
        let now = self.clock.now();
        let state = self.state.lock();
        let services: Vec<&ServiceOverview> =
            state.fresh.iter().filter_map(|id| state.known.get(id)).collect();
        let sums = self.sums(&state.counts);
        let mut points = of_services(&services, &state.stale);
        points.extend(self.requests_left(state.taken));
        let (delta, since) = (self.config.temporality == Temporality::Delta, state.since);
        for ((name, of), total) in &sums {
            let before = state.before.get(&(*name, of.clone())).copied().filter(|_| delta);
            let value = total - before.unwrap_or_default();
            if value > 0 {
                let value = Number::Whole(value);
                points.push((*name, Point { of: of.clone(), since: Some(since), at: now, value }));
            }
        }
        let metrics: Vec<Metric> = INSTRUMENTS
            .iter()
            .filter_map(|instrument| {
                let mine = points.iter().filter(|(name, _)| *name == instrument.name);
                let points: Vec<Point> = mine.map(|(_, point)| point.clone()).collect();
                (!points.is_empty()).then_some(Metric {
                    name: instrument.name,
                    unit: instrument.unit,
                    description: instrument.description,
                    sum: instrument.is_sum.then_some(self.config.temporality),
                    points,
                })
            })
            .collect();
        let body = otlp::body(self.config.protocol, &self.resource, &metrics);
        let services = services.iter().map(|service| (service.instance.clone(), service.at)).collect();
        (!metrics.is_empty()).then_some((Batch { at: now, services, sums }, body))
    }

    /// What is counted here, and where requests are sent.
    fn sums(&self, counts: &Sums) -> Sums {
        let mut sums = counts.clone();
        for sent in self.arm.sent_so_far() {
            let result = match sent.status {
                Some(status) => (STATUS, Attribute::Whole(status)),
                None => (ERROR, text("no_answer")),
            };
            sums.insert((AZURE_REQUESTS.name, vec![(OPERATION, text(sent.operation)), result]), sent.times);
        }
        sums
    }

    /// What Azure said since an export was taken.
    fn requests_left(&self, taken: Option<DateTime<Utc>>) -> impl Iterator<Item = (&'static str, Point)> {
        let told = self.arm.left_of_requests().into_iter();
        let fresh = told.filter(move |left| taken.is_none_or(|taken| left.at > taken));
        fresh.map(|left| {
            let subscription = left.subscription.map(|id| (SUBSCRIPTION, Attribute::Text(id)));
            let of = subscription.into_iter().chain([(REQUESTS, text(left.kind))]).collect();
            (REQUESTS_LEFT.name, Point { of, since: None, at: left.at, value: Number::Real(left.left) })
        })
    }

    /// Goes on from an export.
    fn conclude(&self, batch: &Batch, sent: &Sent) {
        let mut state = self.state.lock();
        if matches!(sent, Sent::Refused(_)) {
            return;
        }
        // With delta, what may have been taken does not go again: it would count twice.
        if self.config.temporality == Temporality::Delta {
            (state.since, state.before) = (batch.at, batch.sums.clone());
        }
        if matches!(sent, Sent::Taken | Sent::InPart(_)) {
            state.taken = Some(batch.at);
            let State { known, fresh, .. } = &mut *state;
            // One of which more was told meanwhile stays.
            let is_sent = |id: &ServiceId| batch.services.get(id).copied() == known.get(id).map(|one| one.at);
            fresh.retain(|id| !is_sent(id));
        }
    }

    /// Says what did not go well, once for each cause.
    fn tell(&self, sent: Sent) {
        let origin = self.config.origin();
        let (cause, why) = match sent {
            Sent::Taken => {
                if !std::mem::take(&mut self.state.lock().told).is_empty() {
                    tracing::info!("{}", words::exported_again(origin));
                }
                return;
            }
            Sent::InPart(points) => (words::SOME_REJECTED.to_owned(), words::rejected(points)),
            Sent::Refused(why) | Sent::Unsure(why) => (why.clone(), why),
        };
        if self.state.lock().told.insert(cause) {
            tracing::error!("{}", words::not_exported(origin, why));
        }
    }
}

/// Makes the exports that are asked for, one after another, as long as somebody may ask.
async fn work(metrics: Weak<Metrics>, mut asked: watch::Receiver<u64>) {
    while asked.changed().await.is_ok() {
        let number = *asked.borrow_and_update();
        let Some(metrics) = metrics.upgrade() else { return };
        metrics.export().await;
        metrics.done.send_replace(number);
    }
}

/// What is known of services, as numbers.
fn of_services(
    services: &[&ServiceOverview],
    seen: &BTreeMap<ServiceId, usize>,
) -> Vec<(&'static str, Point)> {
    let mut points = Vec::new();
    for service in services {
        let Some(at) = service.at else { continue };
        let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).as_seconds_f64();
        let mut add = |instrument: Instrument, more: Option<(&'static str, Attribute)>, value: f64| {
            let of = [(SERVICE, text(service.instance.to_string()))].into_iter().chain(more).collect();
            points.push((instrument.name, Point { of, since: None, at, value: Number::Real(value) }));
        };
        for (key_type, key) in service.keys.iter().flat_map(PerKey::iter) {
            let of = || Some((KEY, text(key_type.as_str().to_lowercase())));
            add(KEY_AGE, of(), seconds(key.created, at));
            if let Some(due) = key.due {
                add(TIME_TO_DUE, of(), seconds(at, due));
            }
        }
        match service.condition.state {
            Stands::Blocked => {
                // The run that finds it tells so at once: 0 is for who is not blocked.
                let since = service.condition.since.map_or(0.0, |since| seconds(since, at));
                add(TIME_BLOCKED, None, since.max(1.0));
            }
            // Nobody knows.
            Stands::Unknown => {}
            Stands::Repairing | Stands::Waiting | Stands::Rotating | Stands::Ready => {
                add(TIME_BLOCKED, None, 0.0);
            }
        }
        if service.keys.is_some() {
            let by_record = || {
                let is_stale = |held: &String| held == "stale";
                service.consumers.iter().filter(|one| one.holds.iter().any(is_stale)).count()
            };
            // Of a run that could not see them it is not known.
            let is_known = service.checked == service.at;
            let stale = seen.get(&service.instance).copied().or_else(|| is_known.then(by_record));
            if let Some(stale) = stale {
                #[allow(clippy::cast_precision_loss, reason = "nobody has so many")]
                add(STALE, None, stale as f64);
            }
        }
        if let Some(checked) = service.checked {
            add(LAST_CHECK, None, seconds(DateTime::UNIX_EPOCH, checked));
        }
    }
    points
}

fn text(value: impl Into<String>) -> Attribute {
    Attribute::Text(value.into())
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("config", &self.config).finish_non_exhaustive()
    }
}
