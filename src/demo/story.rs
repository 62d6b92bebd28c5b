//! What is played: the world, the rotation, and the recovery.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use embedded_azure::functions_host::{Host, HostError, Reply, event, http, timer};
use embedded_azure::{
    self as azure, Activity, ActivityKind, EmbeddedAzure, EventGrid, Key, KeyType, Options, Pair, State,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::cast::Cast;
use super::handler::Handler;
use super::live::{Live, Play};
use super::summary::{Recovery, Rotation, Summary};
use super::timeline::{Timeline, Who};
use super::{Trouble, setup};
use crate::clock::{Clock, SystemClock};
use rekey_core::model;

/// How long an app's old process serves on, and how long client tokens live. Both are far longer in Azure.
const RESTART_TAKES: Duration = Duration::from_secs(1);
const TOKENS_LIVE: Duration = Duration::from_secs(1);

/// A client that got its token just before its app restarted holds the old key for a restart and a token's life; half
/// as much again is the margin.
const GRACE: Duration = Duration::from_secs(3);

/// How long the rotation may take. It is mostly two grace periods, two regenerations and the proof of a key: 15 s.
const ROTATION_PATIENCE: Duration = Duration::from_secs(60);

/// How long Event Grid waits for an answer (docs: Event Grid message delivery and retry).
const NOTICE_PATIENCE: Duration = Duration::from_secs(30);

/// How long apps may take to come back once their settings are repaired.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two runs of the timer where one is not enough, and the time between the acts in which clients
/// would notice that the rotation had cut them off.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the clients are counted.
const GLANCE: Duration = Duration::from_millis(100);

/// All that is needed for the play, at work: Azure with its traffic, and the handler.
pub(crate) struct Stage {
    story: Story,
    handler: Handler,
    /// Dropped after the handler, which works in it.
    _root: tempfile::TempDir,
    /// They stop when they are dropped.
    _watchers: JoinSet<()>,
}

impl Stage {
    /// Sets it up, with the usual apps or with one consumer of every kind.
    pub(crate) async fn build(timeline: &Arc<Timeline>, every_kind: bool) -> Result<Self, Trouble> {
        let cast = if every_kind { Cast::of_every_kind()? } else { Cast::usual() };
        let sim = Arc::new(start_azure(&cast).await?);
        let watchers = watch(&sim, timeline);
        let root = app_root(&cast)?;
        let heard = Arc::clone(timeline);
        let handler = Handler::start(root.path(), &settings(&sim), move |line| heard.logged(line))?;
        let story = Story::new(cast, sim, Host::new(handler.port())?, Arc::clone(timeline))?;
        Ok(Self { story, handler, _root: root, _watchers: watchers })
    }

    /// What a browser is shown of it.
    pub(crate) fn live(&self) -> Result<Live, Trouble> {
        let host = Host::new(self.handler.port())?;
        let play = Play { timeline: Arc::clone(&self.story.timeline), host };
        Ok(Live::of(Arc::clone(&self.story.sim), Some(play)))
    }

    /// Plays both acts. What is on the stage stays at work.
    pub(crate) async fn play(&mut self) -> Result<Summary, Trouble> {
        let played = tokio::select! {
            died = self.handler.ended() => Err(died),
            played = self.story.play() => played,
        };
        match played {
            Ok(summary) => Ok(summary),
            Err(trouble) => Err(explain(trouble, &mut self.handler).await),
        }
    }

    /// Ends all of it.
    pub(crate) async fn close(mut self) {
        self.handler.stop().await;
    }
}

/// What went wrong, with what the handler has to say to it. A call that broke off may be the first sign of its end.
async fn explain(trouble: Trouble, handler: &mut Handler) -> Trouble {
    let died = tokio::time::timeout(GLANCE, handler.ended()).await;
    let what = died.unwrap_or(trouble).what;
    Trouble { what, handler: handler.last_lines().await }
}

async fn start_azure(cast: &Cast) -> Result<EmbeddedAzure, Trouble> {
    let options = Options {
        regenerate_takes: cast.regenerate_takes,
        restart_takes: RESTART_TAKES,
        client_token_life: TOKENS_LIVE,
        tick: Duration::from_millis(20),
        key_prefix: "demokey".into(),
        event_grid: Some(EventGrid {
            operations: vec!["Microsoft.SignalRService/SignalR/regenerateKey/action".into()],
            ..EventGrid::default()
        }),
        ..Options::default()
    };
    let started = EmbeddedAzure::start(
        cast.world.clone(),
        options,
        Arc::new(azure::SystemClock),
        (Ipv4Addr::LOCALHOST, 0).into(),
    )
    .await;
    started.map_err(|error| Trouble::of("the embedded Azure cannot start", &error))
}

/// The folder that stands for the function app's, with rekey.toml in it.
fn app_root(cast: &Cast) -> Result<tempfile::TempDir, Trouble> {
    let made = tempfile::tempdir().and_then(|root| {
        std::fs::write(root.path().join("rekey.toml"), cast.rekey_toml())?;
        Ok(root)
    });
    made.map_err(|error| Trouble::of("rekey.toml cannot be written", &error))
}

/// The app settings of the function app.
fn settings(sim: &EmbeddedAzure) -> BTreeMap<&'static str, String> {
    let mut settings = setup::environment(sim);
    settings.insert("REKEY_STATE", "memory".into());
    settings.insert("REKEY_GRACE", humantime::format_duration(GRACE).to_string());
    settings
}

/// Shows what happens in the embedded Azure, until dropped.
fn watch(sim: &Arc<EmbeddedAzure>, timeline: &Arc<Timeline>) -> JoinSet<()> {
    let mut watchers = JoinSet::new();
    watchers.spawn(hear(sim.activity(), Arc::clone(timeline)));
    let shown = Arc::clone(timeline);
    watchers.spawn(async move { shown.show().await });
    if timeline.counts() {
        let (sim, timeline) = (Arc::clone(sim), Arc::clone(timeline));
        watchers.spawn(async move {
            loop {
                timeline.count(&sim.report());
                tokio::time::sleep(GLANCE).await;
            }
        });
    }
    watchers
}

async fn hear(mut activities: Receiver<Activity>, timeline: Arc<Timeline>) {
    loop {
        match activities.recv().await {
            Ok(activity) => timeline.happened(&activity),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break,
        }
    }
}

/// Who takes part.
struct Story {
    service: String,
    /// The service's resource id.
    id: String,
    cast: Cast,
    apps: Vec<String>,
    /// What those whom only others can change have reported.
    reported: Mutex<BTreeMap<&'static str, Key>>,
    sim: Arc<EmbeddedAzure>,
    host: Host,
    timeline: Arc<Timeline>,
}

impl Story {
    fn new(
        cast: Cast,
        sim: Arc<EmbeddedAzure>,
        host: Host,
        timeline: Arc<Timeline>,
    ) -> Result<Self, Trouble> {
        let found = cast.world.signalr.iter().zip(cast.world.services()).next();
        let (service, id) = found.ok_or_else(|| Trouble::new("the world has no service"))?;
        let (service, id, apps) = (service.name.clone(), id.to_string(), cast.names());
        Ok(Self { service, id, cast, apps, reported: Mutex::default(), sim, host, timeline })
    }

    async fn play(&self) -> Result<Summary, Trouble> {
        let users = self.apps.join(", ");
        self.timeline.tell(Who::Azure, &format!("{}: in use by {users}", &self.service));
        self.host.ready().await?;
        let rotation = self.rotate().await?;
        let consumers =
            self.cast.consumers(&self.sim, &self.service, self.key_in_use()?, &self.reported.lock())?;
        let recovery = self.recover().await?;
        // The last lines are on their way to the timeline.
        tokio::time::sleep(GLANCE).await;
        Ok(Summary { consumers, rotation, recovery })
    }

    /// The first act: the timer fires until both keys are replaced.
    async fn rotate(&self) -> Result<Rotation, Trouble> {
        let (before, started, activities) = (self.keys()?, SystemClock.now(), self.sim.activity());
        within(ROTATION_PATIENCE, "the rotation", self.tick_until_settled()).await??;
        let elapsed_ms = (SystemClock.now() - started).num_milliseconds();
        let arm_requests = self.sim.report().arm_requests_total;
        let after = self.keys()?;
        if let Some(kept) = KeyType::ALL.into_iter().find(|key_type| before[*key_type] == after[*key_type]) {
            return Err(Trouble::new(format!(
                "the rotation is settled, but the {} key is the old one",
                kept.name()
            )));
        }
        tokio::time::sleep(PAUSE).await;
        let report = self.sim.report();
        let restarts = restarts(activities);
        Ok(Rotation {
            client_calls: report.calls,
            refused: report.refused,
            restarts,
            arm_requests,
            elapsed_ms,
        })
    }

    async fn tick_until_settled(&self) -> Result<(), Trouble> {
        let mut last = None;
        loop {
            self.report_others().await?;
            let now = SystemClock.now();
            self.timeline.tell(Who::Host, "the timer fires: POST /RotateKeys");
            let reply = self.host.invoke("RotateKeys", &timer("RotateKeys", last, now)).await?;
            self.answered("RotateKeys", now);
            if self.is_settled(&reply)? {
                return Ok(());
            }
            last = Some(now);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The last line says how the run ended.
    fn is_settled(&self, reply: &Reply) -> Result<bool, Trouble> {
        let said = reply.logs.last().map_or("nothing", String::as_str);
        let ending = said.strip_prefix(self.service.as_str()).and_then(|rest| rest.strip_prefix(": "));
        let ended = |word| ending.is_some_and(|ending| ending.starts_with(word));
        if ended("settled") || ended("waiting") {
            Ok(ended("settled"))
        } else {
            Err(Trouble::new(format!("the rotation did not end as it should; the handler said: {said}")))
        }
    }

    /// The second act: the key in use is regenerated from outside, and Event Grid tells.
    async fn recover(&self) -> Result<Recovery, Trouble> {
        let key_type = self.key_in_use()?;
        // The handler's own regenerations were announced too; there is nothing to repair after them.
        drop(self.announced());
        let (activities, forced) = (self.sim.activity(), SystemClock.now());
        let regenerated = self.sim.regenerate_through_arm(&self.service, &[key_type]);
        regenerated.map_err(|error| Trouble::of("the key cannot be regenerated", &error))?;
        let announced =
            self.announced().pop().ok_or_else(|| Trouble::new("the regeneration was not announced"))?;
        let sent = SystemClock.now();
        self.timeline.tell(Who::Host, "Event Grid tells of it: POST /OnKeyNotice");
        let notice = event("OnKeyNotice", &announced, sent);
        within(NOTICE_PATIENCE, "the notice", self.notify(&notice)).await??;
        self.answered("OnKeyNotice", sent);
        within(RECOVERY_PATIENCE, "the recovery of the apps", self.recovered()).await?;
        let written =
            last_write(activities).ok_or_else(|| Trouble::new("nobody's settings were repaired"))?;
        Ok(Recovery {
            outage_ms: self.longest_outage(forced)?,
            notice_to_settings_ms: (written - sent).num_milliseconds(),
        })
    }

    /// Event Grid sends until it is answered well: who changes himself is named as cut off until he has reported.
    async fn notify(&self, notice: &Value) -> Result<(), Trouble> {
        loop {
            match self.host.invoke("OnKeyNotice", notice).await {
                Ok(_) => return Ok(()),
                Err(HostError::Failed { .. }) if !self.cast.others.is_empty() => {
                    self.timeline.tell(Who::Host, "OnKeyNotice names who has not reported a valid key");
                    tokio::time::sleep(PAUSE).await;
                    self.report_others().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Those that only others can change take the key of the first app, and say so where it is another than they said last.
    async fn report_others(&self) -> Result<(), Trouble> {
        if self.cast.others.is_empty() {
            return Ok(());
        }
        let key = self.keys()?[self.key_in_use()?].clone();
        for (_, name) in &self.cast.others {
            if self.reported.lock().get(name) == Some(&key) {
                continue;
            }
            let fingerprint = model::Key::new(key.expose()).fingerprint();
            let report = json!({ "instance": self.id, "name": name, "fingerprint": fingerprint });
            let now = SystemClock.now();
            self.timeline.tell(Who::Host, &format!("{name} reports its key: POST /OnReport"));
            self.host.invoke("OnReport", &http("OnReport", &report, now)).await?;
            self.reported.lock().insert(name, key.clone());
        }
        Ok(())
    }

    /// What Event Grid would deliver, of all that was announced since the last call.
    fn announced(&self) -> Vec<Value> {
        let due = self.sim.with(State::deliveries_due);
        due.into_iter().flat_map(|delivery| delivery.events).collect()
    }

    /// Waits until nobody is refused any more.
    async fn recovered(&self) {
        while self.sim.report().outages.iter().any(|outage| outage.outage.open) {
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn longest_outage(&self, since: DateTime<Utc>) -> Result<i64, Trouble> {
        let report = self.sim.report();
        let outages = report.outages.iter().map(|outage| &outage.outage);
        let longest = outages.filter(|outage| outage.start >= since).map(|outage| outage.length_ms).max();
        longest.ok_or_else(|| Trouble::new("the forced regeneration was felt by nobody"))
    }

    fn keys(&self) -> Result<Pair<Key>, Trouble> {
        let keys = self.sim.keys(&self.service);
        keys.map_err(|error| Trouble::of("the keys cannot be read", &error))
    }

    /// The key that the first app signs with.
    fn key_in_use(&self) -> Result<KeyType, Trouble> {
        let signs = self.apps.first().and_then(|app| self.sim.with(|state| state.signs(app)).ok());
        let mut signs = signs.into_iter().flatten();
        signs
            .find_map(|(service, key_type)| key_type.filter(|_| service == self.service))
            .ok_or_else(|| Trouble::new("no app holds a valid key after the rotation"))
    }

    fn answered(&self, function: &str, asked: DateTime<Utc>) {
        let took = (SystemClock.now() - asked).num_milliseconds();
        self.timeline.tell(Who::Host, &format!("{function} answered 200 after {took} ms"));
    }
}

/// How often apps restarted, of all that was heard.
fn restarts(mut activities: Receiver<Activity>) -> usize {
    let heard = std::iter::from_fn(|| activities.try_recv().ok());
    heard.filter(|activity| matches!(activity.what, ActivityKind::Restarted { .. })).count()
}

/// When settings were last written, of all that was heard.
fn last_write(mut activities: Receiver<Activity>) -> Option<DateTime<Utc>> {
    let heard = std::iter::from_fn(|| activities.try_recv().ok());
    let writes = heard.filter(|activity| matches!(activity.what, ActivityKind::SettingsChanged { .. }));
    writes.map(|activity| activity.at).max()
}

async fn within<T>(patience: Duration, what: &str, work: impl Future<Output = T>) -> Result<T, Trouble> {
    let late =
        |_| Trouble::new(format!("{what} is not done within {}", humantime::format_duration(patience)));
    tokio::time::timeout(patience, work).await.map_err(late)
}
