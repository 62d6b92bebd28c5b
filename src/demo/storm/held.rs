//! What holds rotations back: windows, freezes, the need of an approval, and apps that are not well, which the storm itself says
//! of them; and whether rotations were held back as they should be. None of it may delay a repair.
//!
//! Start at [`configure`]. Whether an answer of [`Health`] is lost goes by the run that asks and how often it did, and not by
//! which of two requests came first.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, TimeDelta, Utc};
use embedded_azure::{EmbeddedAzure, KeyType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

use crate::config::{Config, ServiceConfig};
use crate::demo::Trouble;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::ConsumerId;
use rekey_core::plan::{BlockedBy, Decision, WaitFor};
use rekey_core::policy::{ApprovalPolicy, OnUnhealthy, Policy};

/// Each service waits for something else: one has windows and many small waves, one needs an approval and stops where a wave
/// does not come back, one has windows elsewhere and is due later than the others. All have freezes.
pub(super) fn configure(config: &mut Config, start: DateTime<Utc>) -> Result<(), Trouble> {
    let unusable = |_| Trouble::new("the storm has a window that is none");
    for service in &mut config.instances {
        service.policy.watched = service.consumers().filter(is_watched).collect();
        let policy = &mut service.policy;
        // A few days of every two months.
        for month in 0..40 {
            let first = start.date_naive() + Days::new(25 + 60 * month);
            let freeze = format!("{first}..{} Europe/Berlin", first + Days::new(4));
            policy.freezes.push(freeze.parse().map_err(unusable)?);
        }
        let windows: &[&str] = match service.id.name() {
            "sr-east" => {
                policy.pause_between_waves = Duration::from_secs(20 * 60);
                policy.restarts_at_once = 2;
                &["Mon-Fri 22:00-08:00 Europe/Berlin", "Sat,Sun 00:00-24:00 Europe/Berlin"]
            }
            "sr-north" => {
                policy.approval = ApprovalPolicy::Required;
                policy.on_unhealthy = OnUnhealthy::Stop;
                &[]
            }
            _ => {
                policy.spread = Duration::from_secs(24 * 3600);
                policy.due_later = Duration::from_secs(9 * 3600);
                &["daily 09:00-21:00 America/New_York"]
            }
        };
        for window in windows {
            policy.windows.push(window.parse().map_err(unusable)?);
        }
    }
    Ok(())
}

/// The sites of one service alone say how they are.
fn is_watched(consumer: &ConsumerId) -> bool {
    let name = consumer.name();
    name != "web-shared" && ["web-", "func-"].iter().any(|kind| name.starts_with(kind))
}

/// An app that is not well.
#[derive(Clone, Copy)]
pub(super) struct Ill {
    /// With which key; with any if there is none.
    pub(super) with: Option<KeyType>,
    /// In which round it is cured.
    pub(super) until: u64,
}

/// A server that says of each app how it is.
pub(super) struct Health {
    base: Url,
    pub(super) ill: Arc<Mutex<BTreeMap<String, Ill>>>,
    serving: JoinHandle<()>,
}

impl Drop for Health {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Health {
    pub(super) async fn start(azure: Arc<EmbeddedAzure>, seed: u64) -> Result<Self, Trouble> {
        let unusable = |error| Trouble::of("nothing can say how the apps are", &error);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(unusable)?;
        let base = format!("http://{}/", listener.local_addr().map_err(unusable)?);
        let base = Url::parse(&base).map_err(|error| Trouble::of("the storm has no URL", &error))?;
        let ill: Arc<Mutex<BTreeMap<String, Ill>>> = Arc::default();
        let mut answers = Answers { azure, ill: Arc::clone(&ill), seed, asked: BTreeMap::new() };
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever asked may be dead.
                let _ = answers.answer(stream).await;
            }
        });
        Ok(Self { base, ill, serving })
    }

    /// Where one run asks how the apps of a service are.
    pub(super) fn urls(&self, service: &ServiceConfig, run: u64) -> BTreeMap<ConsumerId, Url> {
        let url = |app: &ConsumerId| {
            Some((app.clone(), self.base.join(&format!("{run}/{}", app.name().replace('/', "~"))).ok()?))
        };
        service.policy.watched.iter().filter_map(url).collect()
    }
}

struct Answers {
    azure: Arc<EmbeddedAzure>,
    ill: Arc<Mutex<BTreeMap<String, Ill>>>,
    seed: u64,
    /// How often each path was asked for by the run at work.
    asked: BTreeMap<String, u64>,
}

impl Answers {
    async fn answer(&mut self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await?;
        let request = String::from_utf8_lossy(&request[..read]);
        let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
        let Some((run, app)) = path.split_once('/') else { return Ok(()) };
        if self.is_lost(run, app) {
            return Ok(());
        }
        let status = if self.is_well(&app.replace('~', "/")) { "200 OK" } else { "503 Service Unavailable" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await
    }

    /// One of twelve is lost; and all that some runs ask for.
    fn is_lost(&mut self, run: &str, app: &str) -> bool {
        let of_run = format!("{run}/");
        self.asked.retain(|path, _| path.starts_with(&of_run));
        let nth = self.asked.entry(of_run + app).or_default();
        *nth += 1;
        drawn(&(self.seed, run)).is_multiple_of(25) || drawn(&(self.seed, run, app, *nth)).is_multiple_of(12)
    }

    fn is_well(&self, app: &str) -> bool {
        let Some(ill) = self.ill.lock().get(app).copied() else { return true };
        ill.with.is_some_and(|key_type| holds(&self.azure, app) != Some(key_type))
    }
}

fn drawn(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The valid key that an app signs with.
pub(super) fn holds(azure: &EmbeddedAzure, app: &str) -> Option<KeyType> {
    let signs = azure.with(|state| state.signs(app)).ok()?;
    signs.into_iter().find_map(|(_, key_type)| key_type)
}

/// Until when a service has nothing to do, or waits for a person.
pub(super) fn rests_until(decision: &Decision, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match decision {
        Decision::Settled { next } => *next,
        Decision::Waiting { reason, until } if reason.is_for_calendar() => Some(*until),
        _ if is_held(decision) => Some(now + TimeDelta::hours(1)),
        _ => None,
    }
}

/// Whether a rotation is held back, by what may hold back no repair.
pub(super) fn is_held(decision: &Decision) -> bool {
    match decision {
        Decision::Waiting { reason, .. } => {
            reason.is_for_calendar()
                || matches!(reason, WaitFor::Approval { .. } | WaitFor::Gate(_) | WaitFor::BetweenWaves(_))
        }
        Decision::Blocked(by) => matches!(
            by,
            BlockedBy::NeverOpens { .. }
                | BlockedBy::NotApproved(_)
                | BlockedBy::Unhealthy { .. }
                | BlockedBy::UnhealthyBefore { .. }
        ),
        _ => false,
    }
}

/// The waves that were moved since then though the rotation was to wait: for a window, the end of a pause, or an approval.
pub(super) fn moved_too_soon(journal: &Journal, policy: &Policy, since: DateTime<Utc>) -> Vec<String> {
    let mut paused = None;
    let mut wrong = Vec::new();
    for entry in journal.history() {
        match &entry.event {
            Event::Paused { until, .. } => paused = Some(*until),
            Event::Resumed { .. } => paused = None,
            Event::WaveIntended { number, key_type, .. } if since < entry.at => {
                // It was decided a moment before.
                let decided = entry.at - TimeDelta::seconds(30);
                let open = [decided, entry.at].iter().any(|at| policy.calendar().is_open(*at));
                let rests = paused.is_some_and(|until| entry.at < until);
                let left = journal.keys().map(|keys| &keys[key_type.other()].fingerprint);
                let approved = policy.approval == ApprovalPolicy::None
                    || journal.approved().is_some_and(|approval| Some(&approval.fingerprint) == left);
                if !open || rests || !approved {
                    let at = entry.at;
                    wrong.push(format!(
                        "wave {number} was moved at {at}: open {open}, paused {rests}, approved {approved}"
                    ));
                }
            }
            _ => {}
        }
    }
    wrong
}
