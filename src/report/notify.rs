//! Telling a webhook how runs ended: one CloudEvent for each that a person would want to know of.
//!
//! Start at [`Notifier::tell`]. It never keeps the work waiting, and never fails it: what cannot be delivered is said in
//! the log. [`announce`] says, purely, what there is to tell.
//!
//! The event is sent in CloudEvents' binary mode (CloudEvents 1.0, HTTP protocol binding): its attributes are headers, and
//! the body is plain JSON with a `text`, which is all that an incoming webhook of Slack or Teams looks at. With a signing
//! key it carries the signature of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`).

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use backon::Retryable;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::Instrument;
use url::Url;

use crate::azure::http::Http;
use crate::clock::{Clock, sleeper};
use crate::config::NotifyConfig;
use crate::report::text::InWords;
use crate::report::text::run::once_approved;
use crate::report::{Ending, RunReport, cause};
use crate::store::Told;
use rekey_core::journal::{AfterGate, Event, Fate};
use rekey_core::model::{ConsumerId, KeyType, ServiceId};
use rekey_core::plan::{Awaited, BlockedBy, Decision, Due, WaitFor};

/// How many announcements may be on their way at once; more are dropped, and the log says so.
const MOST_AT_ONCE: u32 = 32;

/// The waits before an announcement is sent again: the usual restart of a receiver is over by the third.
const AGAIN: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long what lasts is not told again. The timer finds it anew every few minutes.
const LASTS: TimeDelta = TimeDelta::hours(6);

/// Tells one webhook.
pub struct Notifier {
    config: NotifyConfig,
    http: Http,
    clock: Arc<dyn Clock>,
    on_their_way: Arc<Semaphore>,
    /// What goes on at each service.
    lasting: Mutex<BTreeMap<ServiceId, Lasting>>,
}

/// What was told and goes on.
#[derive(Clone)]
struct Lasting {
    kind: Kind,
    /// When it was told.
    at: DateTime<Utc>,
    /// Who is cut off.
    cut_off: BTreeSet<String>,
}

impl Notifier {
    /// Nothing is sent yet.
    pub fn new(config: NotifyConfig, http: Http, clock: Arc<dyn Clock>) -> Arc<Self> {
        let on_their_way = Arc::new(Semaphore::new(MOST_AT_ONCE as usize));
        Arc::new(Self { config, http, clock, on_their_way, lasting: Mutex::default() })
    }

    /// Tells of a run, if there is anything to tell, without waiting.
    pub fn tell(self: &Arc<Self>, report: &RunReport) {
        let announcement = announce(report);
        if !self.is_news(&report.service, announcement.as_ref()) {
            return;
        }
        let Some(announcement) = announcement else { return };
        let Ok(place) = Arc::clone(&self.on_their_way).try_acquire_owned() else {
            tracing::error!(
                "{MOST_AT_ONCE} announcements are on their way to the webhook; dropped: {announcement}"
            );
            return;
        };
        let notifier = Arc::clone(self);
        let deliver = async move {
            notifier.deliver(&announcement).await;
            drop(place);
        };
        tokio::spawn(deliver.in_current_span());
    }

    /// Waits until everything that was told is delivered or given up: for a process that ends with its work.
    pub async fn drain(&self) {
        // Nobody closes the semaphore.
        drop(self.on_their_way.acquire_many(MOST_AT_ONCE).await);
    }

    /// Takes in what an earlier process has told of and goes on.
    pub(crate) fn recall(&self, told: BTreeMap<ServiceId, Told>) {
        let known = told.into_iter().filter_map(|(instance, Told { what, at, cut_off })| {
            let kind = Kind::of_type(&what)?;
            Some((instance, Lasting { kind, at, cut_off }))
        });
        self.lasting.lock().extend(known);
    }

    /// What was told of and goes on, for a later process.
    pub fn told(&self) -> BTreeMap<ServiceId, Told> {
        let lasting = self.lasting.lock();
        let told = |Lasting { kind, at, cut_off }: &Lasting| Told {
            what: kind.event_type().to_owned(),
            at: *at,
            cut_off: cut_off.clone(),
        };
        lasting.iter().map(|(instance, lasts)| (instance.clone(), told(lasts))).collect()
    }

    /// What lasts is told when it begins, when others are cut off, and then once in a while.
    fn is_news(&self, instance: &ServiceId, announcement: Option<&Announcement>) -> bool {
        let now = self.clock.now();
        let mut lasting = self.lasting.lock();
        let Some(told) = announcement.filter(|told| told.kind.lasts()) else {
            lasting.remove(instance);
            return announcement.is_some();
        };
        let (kind, cut_off) = (told.kind, BTreeSet::from_iter(told.cut_off.iter().cloned()));
        match lasting.get_mut(instance) {
            Some(known)
                if known.kind == kind && now < known.at + LASTS && cut_off.is_subset(&known.cut_off) =>
            {
                known.cut_off = cut_off;
                // Who wrote something is told once, whatever goes on.
                !told.writers.is_empty()
            }
            _ => {
                lasting.insert(instance.clone(), Lasting { kind, at: now, cut_off });
                true
            }
        }
    }

    async fn deliver(&self, announcement: &Announcement) {
        let id = uuid::Uuid::new_v4().to_string();
        let at = self.clock.now();
        let sent = (|| self.send(announcement, &id, at))
            .retry(AGAIN.into_iter())
            .sleep(sleeper(&self.clock))
            .when(|refusal| refusal.passes);
        if let Err(Refusal { why, .. }) = sent.await {
            let host = self.config.host();
            tracing::error!("cannot reach the webhook at {host} ({why}); dropped: {announcement}");
        }
    }

    async fn send(&self, announcement: &Announcement, id: &str, at: DateTime<Utc>) -> Result<(), Refusal> {
        let stays = |error: &(dyn Error + 'static)| Refusal { why: cause::told(error), passes: false };
        let url = Url::parse(self.config.expose_url()).map_err(|error| stays(&error))?;
        let client = self.http.client(&url).map_err(|error| stays(&error))?;
        let (body, timestamp) = (announcement.body().to_string(), at.timestamp().to_string());
        let mut request = client
            .post(url)
            .timeout(TIMEOUT)
            .header("content-type", "application/json")
            .header("ce-specversion", "1.0")
            .header("ce-id", id)
            .header("ce-type", announcement.kind.event_type())
            .header("ce-source", announcement.instance.to_string())
            .header("ce-time", at.to_rfc3339_opts(SecondsFormat::Millis, true))
            .header("webhook-id", id)
            .header("webhook-timestamp", &timestamp);
        if let Some(key) = self.config.expose_signing_key() {
            request = request.header("webhook-signature", sign(key, id, &timestamp, &body));
        }
        let passes = |error: reqwest::Error| Refusal {
            why: cause::because("no answer", Some(&error.without_url())),
            passes: true,
        };
        let answer = request.body(body).send().await.map_err(passes)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let passes = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        Err(Refusal { why: format!("it answered {status}"), passes })
    }
}

/// Why an announcement was not taken.
struct Refusal {
    why: String,
    /// Whether that may pass by itself.
    passes: bool,
}

/// The signature of Standard Webhooks: HMAC-SHA256 of id, timestamp and body.
fn sign(key: &[u8], id: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signed = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(signed.as_ref()))
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What is told of a run. It holds no key material: what runs tell holds none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What kind of thing happened.
    pub kind: Kind,
    pub instance: ServiceId,
    /// One line for people.
    pub text: String,
    ending: &'static str,
    apps: Vec<String>,
    /// Whom the run leaves cut off.
    cut_off: Vec<String>,
    took_ms: u128,
    /// Those that only others can change and that are waited for, each with what is asked of it.
    waiting_for: Vec<Value>,
    /// The rotation that a person is to approve, with what it would do.
    approval: Option<Value>,
    /// Who wrote an old string back, into what and when.
    writers: Vec<Value>,
}

/// The kinds of things that are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apps held an invalid key, and have a good one now.
    Repaired,
    /// A rotation is over: the key that was left is dead.
    Rotated,
    /// Apps were repaired, or moved away from a compromised key, and did not come back.
    Unhealthy,
    /// Somebody wrote an old string back, and it is known by now who.
    WriterNamed,
    /// The service still accepts a key that was replaced.
    OldKeyAccepted,
    /// A run that failed, or is blocked, leaves somebody cut off.
    CutOff,
    /// A run failed; the next one carries on.
    Failed,
    /// Nothing goes on until a person does something.
    Blocked,
    /// A key was regenerated from outside, and nobody held it.
    DriftFound,
    /// Somebody is to change what only others can change.
    ChangeRequested,
    /// A person is to approve a rotation.
    ApprovalRequested,
    /// A rotation is due, and rotations are paused.
    Paused,
}

impl Kind {
    /// The type of the CloudEvent.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Repaired => "SignalRRekey.Repaired",
            Self::Rotated => "SignalRRekey.Rotated",
            Self::Unhealthy => "SignalRRekey.Unhealthy",
            Self::WriterNamed => "SignalRRekey.WriterNamed",
            Self::OldKeyAccepted => "SignalRRekey.OldKeyAccepted",
            Self::CutOff => "SignalRRekey.CutOff",
            Self::Failed => "SignalRRekey.Failed",
            Self::Blocked => "SignalRRekey.Blocked",
            Self::DriftFound => "SignalRRekey.DriftFound",
            Self::ChangeRequested => "SignalRRekey.ChangeRequested",
            Self::ApprovalRequested => "SignalRRekey.ApprovalRequested",
            Self::Paused => "SignalRRekey.Paused",
        }
    }

    /// The kind whose events are of this type.
    fn of_type(event_type: &str) -> Option<Self> {
        let all = [
            Self::Repaired,
            Self::Rotated,
            Self::Unhealthy,
            Self::WriterNamed,
            Self::OldKeyAccepted,
            Self::CutOff,
            Self::Failed,
            Self::Blocked,
            Self::DriftFound,
            Self::ChangeRequested,
            Self::ApprovalRequested,
            Self::Paused,
        ];
        all.into_iter().find(|kind| kind.event_type() == event_type)
    }

    /// Whether the next run will find the same.
    const fn lasts(self) -> bool {
        match self {
            Self::CutOff
            | Self::Failed
            | Self::Blocked
            | Self::ChangeRequested
            | Self::ApprovalRequested
            | Self::Paused => true,
            Self::Repaired
            | Self::Rotated
            | Self::DriftFound
            | Self::Unhealthy
            | Self::WriterNamed
            | Self::OldKeyAccepted => false,
        }
    }
}

/// What there is to tell of a run; mostly nothing.
pub fn announce(report: &RunReport) -> Option<Announcement> {
    let apps = report.recorded.iter().filter_map(|event| match event {
        Event::Repointed { apps, .. } => Some(apps),
        _ => None,
    });
    Some(Announcement {
        kind: kind(report).or_else(|| (!writers(report).is_empty()).then_some(Kind::WriterNamed))?,
        instance: report.service.clone(),
        text: text(report),
        ending: report.ending.name(),
        apps: apps.flatten().map(ConsumerId::to_string).collect(),
        cut_off: report.left_cut_off().map(InWords::in_words).collect(),
        took_ms: report.took.as_millis(),
        waiting_for: waiting_for(report),
        approval: approval(report),
        writers: writers(report),
    })
}

/// One line for people; where one of them is to approve a rotation, with what it would do.
fn text(report: &RunReport) -> String {
    let steps = report.foreseen.as_ref().filter(|_| asked(report).is_some()).map(once_approved);
    let steps = steps.filter(|steps| !steps.is_empty());
    let is_told = |event: &&Event| {
        is_reported(event)
            || is_still_accepted(event)
            || matches!(event, Event::WriterNamed { .. } | Event::WriterUnknown { .. })
    };
    let besides = report.recorded.iter().filter(is_told).map(InWords::in_words);
    let mut text = std::iter::once(report.summary()).chain(besides).collect::<Vec<_>>().join("; ");
    if let Some(steps) = steps {
        let _ = write!(text, ". It would do: {}", steps.join("; "));
    }
    text
}

/// The rotation that a person is to approve.
fn asked(report: &RunReport) -> Option<&Due> {
    match &report.ending {
        Ending::Decided(
            Decision::Waiting { reason: WaitFor::Approval { due, .. }, .. }
            | Decision::Blocked(BlockedBy::NotApproved(due)),
        ) => Some(due),
        _ => None,
    }
}

fn approval(report: &RunReport) -> Option<Value> {
    let Due { key_type, key, since } = asked(report)?;
    let foreseen = report.foreseen.as_ref();
    let restarts: Vec<String> = foreseen
        .map(|forecast| forecast.restarts().keys().map(ToString::to_string).collect())
        .unwrap_or_default();
    let would_do = foreseen.map(once_approved).unwrap_or_default();
    Some(
        json!({ "key": key, "keyType": key_type, "since": since, "wouldDo": would_do, "restarts": restarts }),
    )
}

/// What is asked of those that only others can change. It holds no key: who is to change one reads it where he always does.
fn waiting_for(report: &RunReport) -> Vec<Value> {
    let Ending::Decided(decision) = &report.ending else { return Vec::new() };
    let asked = |(key_type, one): (KeyType, &Awaited)| {
        json!({
            "kind": one.consumer.kind(),
            "name": one.consumer.name(),
            "owner": one.owner,
            "ticket": one.ticket,
            "leave": key_type,
            "take": key_type.other(),
            "since": one.since,
            "late": one.late,
        })
    };
    decision.awaits().map(asked).collect()
}

/// Who wrote an old string back.
fn writers(report: &RunReport) -> Vec<Value> {
    let named = report.recorded.iter().filter_map(|event| match event {
        Event::WriterNamed { consumer, by, written, action } => {
            Some(json!({ "consumer": consumer.to_string(), "by": by, "at": written, "action": action }))
        }
        _ => None,
    });
    named.collect()
}

/// Whether a person has to hear that somebody is waited for: of what persons change always, and of machines, which change by
/// themselves, while the key that they hold is in strange hands.
fn is_to_be_told(decision: &Decision) -> bool {
    let of_persons = decision.awaits().any(|(_, one)| matches!(one.consumer, ConsumerId::Manual(_)));
    let compromised =
        matches!(decision, Decision::Waiting { reason: WaitFor::External { compromised: true, .. }, .. });
    of_persons || compromised
}

/// Whether it tells that apps did not come back, and nothing follows from it.
const fn is_reported(event: &Event) -> bool {
    matches!(event, Event::RepairFailed { .. } | Event::GateFailed { then: AfterGate::Report, .. })
}

/// Whether it tells that a key that was replaced still works.
const fn is_still_accepted(event: &Event) -> bool {
    matches!(event, Event::OldKeyTried { fate: Fate::StillAccepted, .. })
}

fn kind(report: &RunReport) -> Option<Kind> {
    let happened = |fits: fn(&Event) -> bool| report.recorded.iter().any(fits);
    match &report.ending {
        ending if ending.is_failure() && report.left_cut_off().next().is_some() => Some(Kind::CutOff),
        ending if ending.is_failure() && !matches!(ending, Ending::Decided(_)) => Some(Kind::Failed),
        Ending::Decided(Decision::Blocked(_)) | Ending::Postponed { .. } => Some(Kind::Blocked),
        _ if happened(is_reported) => Some(Kind::Unhealthy),
        _ if happened(is_still_accepted) => Some(Kind::OldKeyAccepted),
        _ if happened(|event| matches!(event, Event::Repointed { repaired: true, .. })) => {
            Some(Kind::Repaired)
        }
        _ if happened(|event| matches!(event, Event::KeyChanged { .. })) => Some(Kind::DriftFound),
        Ending::Decided(decision @ Decision::Waiting { .. }) if is_to_be_told(decision) => {
            Some(Kind::ChangeRequested)
        }
        Ending::Decided(Decision::Waiting { reason: WaitFor::Approval { .. }, .. }) => {
            Some(Kind::ApprovalRequested)
        }
        Ending::Decided(Decision::Waiting { reason, .. }) if reason.is_for_pause() => Some(Kind::Paused),
        Ending::Decided(Decision::Settled { .. }) => {
            happened(|event| matches!(event, Event::Regenerated { .. })).then_some(Kind::Rotated)
        }
        _ => None,
    }
}

impl Announcement {
    /// The data of the CloudEvent.
    pub fn body(&self) -> Value {
        json!({
            "text": self.text,
            "instance": self.instance.to_string(),
            "ending": self.ending,
            "apps": self.apps,
            "cutOff": self.cut_off,
            "tookMs": u64::try_from(self.took_ms).unwrap_or(u64::MAX),
            "waitingFor": self.waiting_for,
            "approval": self.approval,
            "writers": self.writers,
        })
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.event_type(), self.text)
    }
}

#[cfg(test)]
mod tests {
    use rekey_core::journal::Pause;

    use super::*;

    /// A pause holds the way home as it holds a rotation.
    #[test]
    fn a_way_home_that_is_paused_is_told() {
        let at = DateTime::UNIX_EPOCH;
        let pause = Pause { at, until: at, by: "ada".into(), why: "an audit".into() };
        let home = |held| WaitFor::Home { home: KeyType::Primary, held: Box::new(held) };
        let kind = |reason| {
            let ending = Ending::Decided(Decision::Waiting { reason, until: at });
            announce(&RunReport::that_ended(ServiceId::new("s", "g", "chat"), ending, vec![]))
                .map(|told| told.kind)
        };
        assert_eq!(kind(WaitFor::Pause(pause.clone())), Some(Kind::Paused));
        assert_eq!(kind(home(WaitFor::Pause(pause))), Some(Kind::Paused));
        assert_eq!(kind(home(WaitFor::Window)), None);
    }

    /// The example of the Standard Webhooks specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
