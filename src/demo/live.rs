//! The embedded Azure under traffic, for a browser: what its clients meet, with which keys, and what happens.
//!
//! Start at [`Live::show`]. It looks at the embedded Azure four times a second and remembers the last minute; [`page`] draws
//! it. The page needs no script: it asks for itself each second.

mod page;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::functions_host::{self, Host};
use embedded_azure::{Activity, EmbeddedAzure, KeyType, Report};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::Trouble;
use super::timeline::Timeline;
use crate::clock::{Clock, SystemClock};
use crate::loopback::{Door, refused, shown};
use crate::overview::ServiceOverview;
use crate::overview::page::Page;

/// How much of the past is drawn.
const WINDOW: TimeDelta = TimeDelta::seconds(60);

/// How often is looked. A process that is refused is so for a restart at least, which is a second.
const GLANCE: Duration = Duration::from_millis(250);

/// How many apps have a lane of their own in the picture.
const LANES: usize = 24;

/// How many things that happened are remembered.
const MARKS: usize = 60;

/// An embedded Azure, to be watched.
pub(crate) struct Live {
    sim: Arc<EmbeddedAzure>,
    /// What is played on it; nothing of `simulate`, on which others play.
    play: Option<Play>,
    seen: Mutex<Seen>,
}

/// What is played: who tells of it, and who calls the handler.
pub(super) struct Play {
    pub(super) timeline: Arc<Timeline>,
    pub(super) host: Host,
}

impl Live {
    pub(super) fn of(sim: Arc<EmbeddedAzure>, play: Option<Play>) -> Self {
        Self { sim, play, seen: Mutex::default() }
    }

    /// One on which nothing is played.
    pub(crate) fn of_azure(sim: Arc<EmbeddedAzure>) -> Self {
        Self::of(sim, None)
    }

    /// Shows it at a door, until dropped.
    pub(crate) fn show(self, door: Door) -> JoinSet<()> {
        let activities = self.sim.activity();
        let live = Arc::new(self);
        let mut work = JoinSet::new();
        work.spawn(Arc::clone(&live).watch(activities));
        // It ends when it is dropped.
        work.spawn(async move { drop(door.serve(get(answer).with_state(live)).await) });
        work
    }

    /// Looks, and hears what happens.
    async fn watch(self: Arc<Self>, mut activities: Receiver<Activity>) {
        loop {
            let now = SystemClock.now();
            let report = self.sim.report();
            let signs = |app: &str| self.sim.with(|state| state.runs_with(app)).unwrap_or_default();
            self.seen.lock().look(now, &report, |(service, app)| {
                signs(app).into_iter().filter(|(of, _)| of == service).map(|(_, key)| key).collect()
            });
            let next = now + GLANCE;
            loop {
                tokio::select! {
                    () = SystemClock.sleep_until(next) => break,
                    heard = activities.recv() => match heard {
                        Ok(activity) => self.seen.lock().hear(activity),
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return,
                    }
                }
            }
        }
    }

    /// How the services stand, as the function `Status` tells it; nothing before a run has told of any.
    async fn standing(play: &Play) -> Result<Option<Page>, Trouble> {
        let now = SystemClock.now();
        let envelope = functions_host::get("Status", &json!({ "format": "json" }), now);
        let reply = play.host.invoke("Status", &envelope).await?;
        let body = reply.outputs["res"]["body"].as_str().unwrap_or_default();
        let no_page = |error: serde_json::Error| Trouble::of("the answer of Status cannot be read", &error);
        let mut page: Value = serde_json::from_str(body).map_err(no_page)?;
        let services: Vec<ServiceOverview> =
            serde_json::from_value(page["services"].take()).map_err(no_page)?;
        let is_told = services.iter().any(|service| service.at.is_some());
        Ok(is_told.then(|| Page::new(services, now)))
    }
}

/// The page as of now: with `?still` one that stays as it is.
async fn answer(State(live): State<Arc<Live>>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let moves = match &query[..] {
        [] => true,
        [(name, _)] if name == "still" => false,
        _ => return refused(StatusCode::BAD_REQUEST, "this page takes ?still".to_owned()),
    };
    let page = live.page(moves).await;
    let headers: Vec<_> = page.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    shown(&headers, page.body)
}

/// An app at a service.
type Lane = (String, String);

/// The last minute.
#[derive(Default)]
struct Seen {
    /// Client calls in all, and those of them that were refused, when it was looked last.
    calls: u64,
    refused: u64,
    /// The calls of each second, by its place in time.
    seconds: BTreeMap<i64, Second>,
    lanes: BTreeMap<Lane, Spans>,
    /// How many apps there are besides those that have a lane.
    others: usize,
    marks: VecDeque<Activity>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Second {
    calls: u64,
    refused: u64,
}

/// How an app fared, one time after the other.
#[derive(Default)]
struct Spans {
    refused: u64,
    spans: Vec<Span>,
}

/// A time in which nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    with: With,
    /// Whether calls were refused.
    refused: bool,
}

/// What an app signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    Key(KeyType),
    /// A key that the service does not know any more.
    Invalid,
    /// It does not call the service.
    Nothing,
}

impl With {
    /// One that has several connections is judged by the worst.
    fn of(keys: &[Option<KeyType>]) -> Self {
        match keys {
            [] => Self::Nothing,
            all if all.contains(&None) => Self::Invalid,
            all => all.iter().flatten().next().map_or(Self::Nothing, |key_type| Self::Key(*key_type)),
        }
    }
}

impl Seen {
    /// Looks once more. `signs` tells the keys that an app signs with at a service; none of them for one that is invalid.
    fn look(&mut self, now: DateTime<Utc>, report: &Report, signs: impl Fn(&Lane) -> Vec<Option<KeyType>>) {
        let Report { calls, refused, .. } = *report;
        // Of what was before the first look nobody knows when it was.
        if self.calls > 0 {
            let second = self.seconds.entry(now.timestamp()).or_default();
            second.calls += calls.saturating_sub(self.calls);
            second.refused += refused.saturating_sub(self.refused);
        }
        (self.calls, self.refused) = (calls, refused);
        self.seconds.retain(|second, _| now.timestamp() - second <= WINDOW.num_seconds());

        let apps = report.instances.iter().flat_map(|(service, of)| {
            of.apps.iter().map(move |(app, tally)| ((service.clone(), app.clone()), tally.refused))
        });
        self.others = 0;
        for (lane, refused) in apps {
            if self.lanes.len() >= LANES && !self.lanes.contains_key(&lane) {
                self.others += 1;
                continue;
            }
            let with = With::of(&signs(&lane));
            self.lanes.entry(lane).or_default().look(now, with, refused);
        }
        self.lanes.values_mut().for_each(|lane| lane.spans.retain(|span| now - span.until < WINDOW));
        self.lanes.retain(|_, lane| !lane.spans.is_empty());
    }

    fn hear(&mut self, activity: Activity) {
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back(activity);
    }

    /// How many apps are connected to a service, of those that have a lane.
    fn connections(&self) -> usize {
        let last = self.lanes.values().filter_map(|lane| lane.spans.last());
        last.filter(|span| matches!(span.with, With::Key(_))).count()
    }
}

impl Spans {
    fn look(&mut self, now: DateTime<Utc>, with: With, refused: u64) {
        let is_refused = !self.spans.is_empty() && refused > self.refused;
        self.refused = refused;
        let from = self.spans.last().map_or(now, |span| span.until);
        match self.spans.last_mut() {
            Some(span) if (span.with, span.refused) == (with, is_refused) => span.until = now,
            _ => self.spans.push(Span { from, until: now, with, refused: is_refused }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_azure::{ServiceReport, Tally};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    /// So many calls and refusals so far, of as many apps of one service; the refusals are all of the first.
    fn report(calls: u64, refused: u64, apps: usize) -> Report {
        let tally = |app: usize| Tally { refused: if app == 0 { refused } else { 0 }, ..Tally::default() };
        let apps = (0..apps).map(|app| (format!("app-{app:02}"), tally(app))).collect();
        let service = ServiceReport { apps, ..ServiceReport::default() };
        Report {
            started: at(0),
            now: at(0),
            calls,
            refused,
            refused_unexplained: 0,
            outages: vec![],
            arm_requests: BTreeMap::new(),
            arm_requests_total: 0,
            vault_requests: BTreeMap::new(),
            store_requests: BTreeMap::new(),
            instances: [("sr-demo".to_owned(), service)].into(),
            event_grid: None,
        }
    }

    const PRIMARY: With = With::Key(KeyType::Primary);

    #[test]
    fn what_changed_is_remembered_for_a_minute() {
        let mut seen = Seen::default();
        let primary = |_: &Lane| vec![Some(KeyType::Primary)];
        seen.look(at(0), &report(100, 0, 2), primary);
        assert!(seen.seconds.is_empty(), "nobody knows when the first hundred were");
        seen.look(at(1), &report(110, 0, 2), primary);
        seen.look(at(2), &report(130, 6, 2), |(_, app)| vec![(app != "app-00").then_some(KeyType::Primary)]);
        assert_eq!(seen.seconds[&at(1).timestamp()], Second { calls: 10, refused: 0 });
        assert_eq!(seen.seconds[&at(2).timestamp()], Second { calls: 20, refused: 6 });
        let spans = |seen: &Seen, app: &str| seen.lanes[&("sr-demo".into(), app.into())].spans.clone();
        let span = |from, until, with, refused| Span { from: at(from), until: at(until), with, refused };
        assert_eq!(spans(&seen, "app-00"), [span(0, 1, PRIMARY, false), span(1, 2, With::Invalid, true)]);
        assert_eq!(spans(&seen, "app-01"), [span(0, 2, PRIMARY, false)]);
        assert_eq!(seen.connections(), 1);

        seen.look(at(61), &report(140, 6, 1), primary);
        assert_eq!(spans(&seen, "app-00"), [span(1, 2, With::Invalid, true), span(2, 61, PRIMARY, false)]);
        seen.look(at(63), &report(140, 6, 1), primary);
        assert_eq!(spans(&seen, "app-00"), [span(2, 63, PRIMARY, false)]);
        assert!(!seen.lanes.contains_key(&("sr-demo".into(), "app-01".into())), "it is gone for a minute");
        assert!(!seen.seconds.contains_key(&at(2).timestamp()));
    }

    #[test]
    fn those_without_a_lane_are_counted() {
        let mut seen = Seen::default();
        seen.look(at(0), &report(1, 0, LANES + 3), |_| vec![]);
        seen.look(at(1), &report(1, 0, LANES + 3), |_| vec![]);
        assert_eq!((seen.lanes.len(), seen.others, seen.connections()), (LANES, 3, 0));
    }

    #[test]
    fn who_has_several_connections_is_judged_by_the_worst() {
        assert_eq!(With::of(&[]), With::Nothing);
        assert_eq!(With::of(&[Some(KeyType::Primary)]), PRIMARY);
        assert_eq!(With::of(&[Some(KeyType::Primary), None]), With::Invalid);
    }
}
