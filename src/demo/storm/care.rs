//! What holds rotations back, and the people who see to it: windows, freezes, pauses, approvals, and apps that come back
//! unhealthy, which the storm itself says of them. None of it may delay a repair.
//!
//! Start at [`Care::begin_round`]. Whether an answer of [`Health`] is lost goes by the run that asks and how often it did, and
//! not by which of two requests came first.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, TimeDelta, Utc};
use embedded_azure::{EmbeddedAzure, KeyType};
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

use super::run::Storm;
use crate::clock::Clock;
use crate::config::{Config, ServiceConfig};
use crate::demo::Trouble;
use rekey_core::intent::Intent;
use rekey_core::journal::{Event, Journal};
use rekey_core::model::{ConsumerId, ServiceId};
use rekey_core::plan::{self, Approving, BlockedBy, Decision, Due, WaitFor};
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
struct Ill {
    /// With which key; with any if there is none.
    with: Option<KeyType>,
    /// In which round it is cured.
    until: u64,
}

/// A server that says of each app how it is.
pub(super) struct Health {
    base: Url,
    ill: Arc<Mutex<BTreeMap<String, Ill>>>,
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
fn holds(azure: &EmbeddedAzure, app: &str) -> Option<KeyType> {
    let signs = azure.with(|state| state.signs(app)).ok()?;
    signs.into_iter().find_map(|(_, key_type)| key_type)
}

/// Those who pause, approve and cure, and what happens to the apps. They act between runs.
pub(super) struct Care {
    rng: Rng,
    /// What was approved before.
    approved: Option<Due>,
    counts: BTreeMap<&'static str, u64>,
}

impl Care {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed ^ 0xca4e), approved: None, counts: BTreeMap::new() }
    }

    /// How often which of it happened.
    pub(super) const fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn chance(&mut self, percent: u8, what: &'static str) -> bool {
        let happens = self.rng.u8(0..100) < percent;
        if happens {
            *self.counts.entry(what).or_default() += 1;
        }
        happens
    }

    /// What happens before the runs of one round.
    pub(super) async fn begin_round(&mut self, storm: &mut Storm) -> Result<(), Trouble> {
        let round = storm.rounds;
        storm.health.ill.lock().retain(|_, ill| round < ill.until);
        let services: Vec<ServiceId> = storm.config.instances.iter().map(|known| known.id.clone()).collect();
        for service in &services {
            let decision = storm.decision(service).cloned();
            if !matches!(decision, Some(Decision::Settled { .. })) {
                self.fall_ill(storm, service);
            }
            match decision {
                Some(Decision::Waiting { reason: WaitFor::Approval { due, .. }, .. })
                | Some(Decision::Blocked(BlockedBy::NotApproved(due))) => {
                    self.approve(storm, service, due).await?;
                }
                Some(Decision::Waiting { reason: WaitFor::Pause(_), .. }) if self.chance(20, "resumed") => {
                    storm.record(service.name(), Event::Resumed { by: "ada".into() }).await;
                }
                Some(Decision::Blocked(BlockedBy::Unhealthy { .. })) if self.chance(30, "unblocked") => {
                    if self.rng.u8(0..4) > 0 {
                        storm.health.ill.lock().retain(|app, _| !app.contains(service.name()));
                    }
                    storm.record(service.name(), Event::Unblocked {}).await;
                }
                _ if self.chance(1, "paused") => {
                    let until = storm.clock.now() + TimeDelta::hours(self.rng.i64(1..40));
                    let paused = Event::Paused { until, by: "ada".into(), why: "an audit".into() };
                    storm.record(service.name(), paused).await;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// An app is not well; with the key that it does not have yet, mostly.
    fn fall_ill(&mut self, storm: &Storm, service: &ServiceId) {
        let apps = ["web-NAME", "web-NAME/staging", "func-NAME"];
        let app = apps[self.rng.usize(0..apps.len())].replace("NAME", service.name());
        let Some(held) = holds(&storm.azure, &app) else { return };
        let (with, rounds) = if self.chance(4, "app that does not come back") {
            let other = KeyType::ALL.into_iter().find(|key_type| *key_type != held);
            (other, self.rng.u64(5..60))
        } else if self.chance(2, "app unwell") {
            (None, self.rng.u64(1..8))
        } else {
            return;
        };
        storm.health.ill.lock().insert(app, Ill { with, until: storm.rounds + rounds });
    }

    /// Sooner or later a person approves: by the command, or by an event, which is sent again, or was on its way for too long, or
    /// tells of a rotation that is over.
    async fn approve(&mut self, storm: &mut Storm, service: &ServiceId, due: Due) -> Result<(), Trouble> {
        if self.rng.u8(0..100) < 70 {
            return Ok(());
        }
        let now = storm.clock.now();
        let event = |due: &Due, at| Approving { key: due.key.clone(), by: "bob".into(), at };
        let events = match self.rng.u8(0..5) {
            0 => {
                if self.chance(100, "approved") && storm.approve(service, &due).await {
                    self.approved = Some(due);
                }
                return Ok(());
            }
            1 if self.chance(100, "approval expired") => vec![event(&due, now - TimeDelta::days(12))],
            2 if self.chance(100, "approval of a rotation that is over") => {
                self.approved.iter().filter(|past| past.key != due.key).map(|past| event(past, now)).collect()
            }
            3 if self.chance(100, "approved twice") => vec![event(&due, now), event(&due, now)],
            _ => vec![event(&due, now - TimeDelta::hours(self.rng.i64(0..30)))],
        };
        for approving in events {
            if approving.key == due.key {
                self.approved = Some(due.clone());
            }
            storm.run(service, Intent::approval(approving), None).await?;
        }
        Ok(())
    }

    /// Whoever is waited for does what he has to, and all apps are well.
    pub(super) async fn see_to_all(storm: &Storm) {
        storm.health.ill.lock().clear();
        for service in &storm.config.instances {
            match storm.decision(&service.id) {
                Some(Decision::Waiting { reason: WaitFor::Approval { due, .. }, .. })
                | Some(Decision::Blocked(BlockedBy::NotApproved(due))) => {
                    storm.approve(&service.id, due).await;
                }
                Some(Decision::Waiting { reason: WaitFor::Pause(_), .. }) => {
                    storm.record(service.id.name(), Event::Resumed { by: "ada".into() }).await;
                }
                Some(Decision::Blocked(BlockedBy::Unhealthy { .. })) => {
                    storm.record(service.id.name(), Event::Unblocked {}).await;
                }
                _ => {}
            }
        }
    }
}

impl Storm {
    /// A person approves a rotation by the command. Whether it is on record.
    async fn approve(&self, service: &ServiceId, due: &Due) -> bool {
        let known = self.config.instances.iter().find(|known| known.id == *service);
        let Some(policy) = known.map(|known| &known.policy) else { return false };
        let event = plan::approves(due, "ada".into(), false, policy, self.clock.now());
        self.record(service.name(), event).await
    }
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
