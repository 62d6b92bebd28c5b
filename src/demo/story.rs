//! What is played: the world, the rotation, and the recovery.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::Trouble;
use super::handler::Handler;
use super::summary::{Recovery, Rotation, Summary};
use super::timeline::{Timeline, Who};
use crate::clock::{Clock, SystemClock};
use crate::sim::functions_host::{Host, Reply, envelope};
use crate::sim::{self, EventGrid, Happening, Options, Sim, SimEvent, State, World};
use rekey_core::model::{KeyPair, KeyType, ServiceId};

/// How long an app's old process serves on, and how long client tokens live. Both are far longer in Azure.
const RESTART_TAKES: Duration = Duration::from_secs(1);
const TOKENS_LIVE: Duration = Duration::from_secs(1);

/// A client that got its token just before its app restarted holds the old key for a restart and a token's life; half
/// as much again is the margin.
const GRACE: Duration = Duration::from_secs(3);

/// How long the rotation may take. It is mostly two graces, two regenerations and the proof of a key: 15 s.
const ROTATION_PATIENCE: Duration = Duration::from_secs(60);

/// How long Event Grid waits for an answer (docs: Event Grid message delivery and retry).
const NOTICE_PATIENCE: Duration = Duration::from_secs(30);

/// How long apps may take to come back once their settings are repaired.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two runs of the timer where one is not enough, and the time between the acts in which clients
/// would notice that the rotation had cut them off.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the clients are looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// Plays all of it.
pub(super) async fn play(timeline: &Arc<Timeline>) -> Result<Summary, Trouble> {
    let world = World::default();
    let sim = Arc::new(start_azure(world.clone()).await?);
    // They stop when they are dropped.
    let _watchers = watch(&sim, timeline);
    // Dropped after the handler, which works in it.
    let root = app_root(&world)?;
    let heard = Arc::clone(timeline);
    let mut handler = Handler::start(root.path(), &settings(&sim), move |line| heard.logged(line))?;
    let host = Host::new(handler.port())?;
    let story = Story::new(&world, sim, host, Arc::clone(timeline))?;
    let played = tokio::select! {
        died = handler.ended() => Err(died),
        played = story.play() => played,
    };
    let told = match played {
        Ok(summary) => Ok(summary),
        Err(trouble) => Err(explain(trouble, &mut handler).await),
    };
    handler.stop().await;
    told
}

/// What went wrong, with what the handler has to say to it. A call that broke off may be the first sign of its end.
async fn explain(trouble: Trouble, handler: &mut Handler) -> Trouble {
    let died = tokio::time::timeout(GLANCE, handler.ended()).await;
    let what = died.unwrap_or(trouble).what;
    Trouble { what, handler: handler.last_lines().await }
}

async fn start_azure(world: World) -> Result<Sim, Trouble> {
    let options = Options {
        regenerate_takes: Duration::from_secs(2),
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
    let started = Sim::start(world, options, Arc::new(SystemClock), (Ipv4Addr::LOCALHOST, 0).into()).await;
    started.map_err(|error| Trouble::of("the embedded Azure cannot start", &error))
}

/// The folder that stands for the function app's, with rekey.toml in it.
fn app_root(world: &World) -> Result<tempfile::TempDir, Trouble> {
    let made = tempfile::tempdir().and_then(|root| {
        std::fs::write(root.path().join("rekey.toml"), sim::command::config(world))?;
        Ok(root)
    });
    made.map_err(|error| Trouble::of("rekey.toml cannot be written", &error))
}

/// The app settings of the function app.
fn settings(sim: &Sim) -> BTreeMap<&'static str, String> {
    let mut settings = sim.environment();
    settings.insert("REKEY_STATE", "memory".into());
    settings.insert("REKEY_GRACE", humantime::format_duration(GRACE).to_string());
    settings
}

/// Shows what happens in the embedded Azure, until dropped.
fn watch(sim: &Arc<Sim>, timeline: &Arc<Timeline>) -> JoinSet<()> {
    let mut watchers = JoinSet::new();
    watchers.spawn(hear(sim.events(), Arc::clone(timeline)));
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

async fn hear(mut events: Receiver<SimEvent>, timeline: Arc<Timeline>) {
    loop {
        match events.recv().await {
            Ok(event) => timeline.happened(&event),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break,
        }
    }
}

/// Who takes part.
struct Story {
    instance: ServiceId,
    apps: Vec<String>,
    sim: Arc<Sim>,
    host: Host,
    timeline: Arc<Timeline>,
}

impl Story {
    fn new(world: &World, sim: Arc<Sim>, host: Host, timeline: Arc<Timeline>) -> Result<Self, Trouble> {
        let mut instances = world.signalr.iter().zip(world.instances());
        let (spec, instance) = instances.next().ok_or_else(|| Trouble::new("the world has no instance"))?;
        let apps = world.apps_of(spec).iter().map(rekey_core::model::AppId::name).collect();
        Ok(Self { instance, apps, sim, host, timeline })
    }

    async fn play(&self) -> Result<Summary, Trouble> {
        let users = self.apps.join(", ");
        self.timeline.tell(Who::Azure, &format!("{}: in use by {users}", self.instance.name()));
        self.host.ready().await?;
        let rotation = self.rotate().await?;
        let recovery = self.recover().await?;
        // The last lines are on their way to the timeline.
        tokio::time::sleep(GLANCE).await;
        Ok(Summary { rotation, recovery })
    }

    /// The first act: the timer fires until both keys are replaced.
    async fn rotate(&self) -> Result<Rotation, Trouble> {
        let (before, started, events) = (self.keys()?, SystemClock.now(), self.sim.events());
        within(ROTATION_PATIENCE, "the rotation", self.tick_until_settled()).await??;
        let elapsed_ms = (SystemClock.now() - started).num_milliseconds();
        let arm_requests = self.sim.report().arm_requests_total;
        let after = self.keys()?;
        if let Some(kept) = KeyType::ALL.into_iter().find(|key_type| before[*key_type] == after[*key_type]) {
            return Err(Trouble::new(format!("the rotation is settled, but the {kept} key is the old one")));
        }
        tokio::time::sleep(PAUSE).await;
        let report = self.sim.report();
        let restarts = restarts(events);
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
            let now = SystemClock.now();
            self.timeline.tell(Who::Host, "the timer fires: POST /RotateKeys");
            let reply = self.host.invoke("RotateKeys", &envelope::timer(last, now)).await?;
            self.answered("RotateKeys", now);
            if self.is_settled(&reply)? {
                return Ok(());
            }
            last = Some(now);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The last line says how the pass ended.
    fn is_settled(&self, reply: &Reply) -> Result<bool, Trouble> {
        let said = reply.logs.last().map_or("nothing", String::as_str);
        let ending = said.strip_prefix(self.instance.name()).and_then(|rest| rest.strip_prefix(": "));
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
        let (events, forced) = (self.sim.events(), SystemClock.now());
        let regenerated = self.sim.regenerate_through_arm(self.instance.name(), &[key_type]);
        regenerated.map_err(|error| Trouble::of("the key cannot be regenerated", &error))?;
        let event =
            self.announced().pop().ok_or_else(|| Trouble::new("the regeneration was not announced"))?;
        let sent = SystemClock.now();
        self.timeline.tell(Who::Host, "Event Grid tells of it: POST /OnKeyNotice");
        let notice = envelope::event("OnKeyNotice", &event, sent);
        within(NOTICE_PATIENCE, "the notice", self.host.invoke("OnKeyNotice", &notice)).await??;
        self.answered("OnKeyNotice", sent);
        within(RECOVERY_PATIENCE, "the recovery of the apps", self.recovered()).await?;
        let written = last_write(events).ok_or_else(|| Trouble::new("nobody's settings were repaired"))?;
        Ok(Recovery {
            outage_ms: self.longest_outage(forced)?,
            notice_to_settings_ms: (written - sent).num_milliseconds(),
        })
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

    fn keys(&self) -> Result<KeyPair, Trouble> {
        let keys = self.sim.keys(self.instance.name());
        keys.map_err(|error| Trouble::of("the keys cannot be looked at", &error))
    }

    /// The key that the first app signs with.
    fn key_in_use(&self) -> Result<KeyType, Trouble> {
        let signs = self.apps.first().and_then(|app| self.sim.with(|state| state.signs(app)).ok());
        let mut signs = signs.into_iter().flatten();
        signs
            .find_map(|(instance, key_type)| key_type.filter(|_| instance == self.instance.name()))
            .ok_or_else(|| Trouble::new("no app holds a valid key after the rotation"))
    }

    fn answered(&self, function: &str, asked: DateTime<Utc>) {
        let took = (SystemClock.now() - asked).num_milliseconds();
        self.timeline.tell(Who::Host, &format!("{function} answered 200 after {took} ms"));
    }
}

/// How often apps restarted, of all that was heard.
fn restarts(mut events: Receiver<SimEvent>) -> usize {
    let heard = std::iter::from_fn(|| events.try_recv().ok());
    heard.filter(|event| matches!(event.what, Happening::Restarted { .. })).count()
}

/// When settings were last written, of all that was heard.
fn last_write(mut events: Receiver<SimEvent>) -> Option<DateTime<Utc>> {
    let heard = std::iter::from_fn(|| events.try_recv().ok());
    let writes = heard.filter(|event| matches!(event.what, Happening::SettingsChanged { .. }));
    writes.map(|event| event.at).max()
}

async fn within<T>(patience: Duration, what: &str, work: impl Future<Output = T>) -> Result<T, Trouble> {
    let late =
        |_| Trouble::new(format!("{what} is not done within {}", humantime::format_duration(patience)));
    tokio::time::timeout(patience, work).await.map_err(late)
}
