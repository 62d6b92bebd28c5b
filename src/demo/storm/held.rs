//! What holds rotations back: windows, freezes, the need of an approval, and apps that are not well. None of it may delay a
//! repair.
//!
//! Start at [`configure`]. The storm has a [`Calendar`] of its own, by which [`super::judge`] goes: a mistake in that of the
//! workers shows. Whether an answer of [`Health`] is lost goes by the run that asks and how often it did, and not by which of
//! two requests came first.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Timelike, Utc, Weekday};
use embedded_azure::{EmbeddedAzure, KeyType, VirtualClock};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

use super::world::{EAST, NORTH};
use crate::clock::Clock;
use crate::config::Config;
use crate::demo::Trouble;
use rekey_core::model::ConsumerId;
use rekey_core::plan::{BlockedBy, Decision, WaitFor};
use rekey_core::policy::{ApprovalPolicy, OnUnhealthy, Policy};

/// When apps that work may be moved.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    windows: &'static [Window],
    /// The first days of freezes, each of so many days.
    freezes: Vec<NaiveDate>,
}

/// Hours of some days. Those that end before they begin end on the next day.
#[derive(Debug)]
struct Window {
    days: &'static [Weekday],
    from: u32,
    to: u32,
    zone: Zone,
}

#[derive(Clone, Copy, Debug)]
enum Zone {
    Berlin,
    NewYork,
}

use Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};

const WINDOWS_OF_EAST: [Window; 2] = [
    Window { days: &[Mon, Tue, Wed, Thu, Fri], from: 22, to: 8, zone: Zone::Berlin },
    Window { days: &[Sat, Sun], from: 0, to: 24, zone: Zone::Berlin },
];
const WINDOWS_OF_WEST: [Window; 1] =
    [Window { days: &[Mon, Tue, Wed, Thu, Fri, Sat, Sun], from: 9, to: 21, zone: Zone::NewYork }];

const DAYS_OF_A_FREEZE: u64 = 5;

impl Calendar {
    /// That of a service: a few days of every two months are frozen.
    pub(super) fn of(service: &str, start: DateTime<Utc>) -> Self {
        let windows: &'static [Window] = match service {
            EAST => &WINDOWS_OF_EAST,
            NORTH => &[],
            _ => &WINDOWS_OF_WEST,
        };
        let freezes = (0..40).map(|month| start.date_naive() + Days::new(25 + 60 * month)).collect();
        Self { windows, freezes }
    }

    /// Whether apps that work may be moved.
    pub(super) fn is_open(&self, at: DateTime<Utc>) -> bool {
        let day = Zone::Berlin.shows(at).0;
        let frozen =
            self.freezes.iter().any(|first| (*first..*first + Days::new(DAYS_OF_A_FREEZE)).contains(&day));
        !frozen && (self.windows.is_empty() || self.windows.iter().any(|window| window.is_open(at)))
    }

    fn configure(&self, policy: &mut Policy) -> Result<(), Trouble> {
        let unusable = |_| Trouble::new("the storm has a window that is none");
        for first in &self.freezes {
            let freeze = format!("{first}..{} Europe/Berlin", *first + Days::new(DAYS_OF_A_FREEZE - 1));
            policy.freezes.push(freeze.parse().map_err(unusable)?);
        }
        for Window { days, from, to, zone } in self.windows {
            let days: Vec<String> = days.iter().map(ToString::to_string).collect();
            let zone = match zone {
                Zone::Berlin => "Europe/Berlin",
                Zone::NewYork => "America/New_York",
            };
            let window = format!("{} {from:02}:00-{to:02}:00 {zone}", days.join(","));
            policy.windows.push(window.parse().map_err(unusable)?);
        }
        Ok(())
    }
}

impl Window {
    fn is_open(&self, at: DateTime<Utc>) -> bool {
        let (day, hour) = self.zone.shows(at);
        let on = |day: NaiveDate| self.days.contains(&day.weekday());
        if self.from < self.to {
            on(day) && (self.from..self.to).contains(&hour)
        } else {
            (on(day) && self.from <= hour) || (on(day - Days::new(1)) && hour < self.to)
        }
    }
}

impl Zone {
    /// The day and the hour that its clocks show. Europe changes them at 01:00 UTC, on the last Sundays of March and October;
    /// the United States at 02:00 of their own time, on the second Sunday of March and the first of November.
    fn shows(self, at: DateTime<Utc>) -> (NaiveDate, u32) {
        let day = |month, day| NaiveDate::from_ymd_opt(at.year(), month, day).unwrap_or_default();
        let sunday_from =
            |first: NaiveDate| first + Days::new(u64::from(7 - first.weekday().num_days_from_sunday()) % 7);
        let hour =
            |day: NaiveDate, hour| day.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::hours(hour);
        let (winter, begins, ends) = match self {
            Self::Berlin => (1, hour(sunday_from(day(3, 25)), 1), hour(sunday_from(day(10, 25)), 1)),
            Self::NewYork => (-5, hour(sunday_from(day(3, 8)), 7), hour(sunday_from(day(11, 1)), 6)),
        };
        let summer = i64::from((begins..ends).contains(&at));
        let shown = at + TimeDelta::hours(winter + summer);
        (shown.date_naive(), shown.hour())
    }
}

/// Each service waits for something else: one has windows, three waves and few restarts at once; one needs an approval and
/// stops where a wave does not come back; one has windows elsewhere, and is due later than the others. All have
/// freezes, and sites that say how they are.
pub(super) fn configure(config: &mut Config, start: DateTime<Utc>) -> Result<(), Trouble> {
    for service in &mut config.instances {
        let watched: Vec<ConsumerId> = service.consumers().filter(|one| is_watched(&one.name())).collect();
        let policy = &mut service.policy;
        policy.watched = watched.into_iter().collect();
        Calendar::of(service.id.name(), start).configure(policy)?;
        match service.id.name() {
            EAST => {
                policy.pause_between_waves = Duration::from_secs(20 * 60);
                policy.restarts_at_once = 2;
                let last = policy.watched.iter().filter(|one| wave_of(&one.name()) == LAST);
                policy.waves = last.map(|one| (one.clone(), LAST)).collect();
            }
            NORTH => {
                policy.approval = ApprovalPolicy::Required;
                policy.on_unhealthy = OnUnhealthy::Stop;
            }
            _ => {
                policy.spread = Duration::from_secs(24 * 3600);
                policy.due_later = Duration::from_secs(9 * 3600);
            }
        }
    }
    Ok(())
}

/// The sites of one service alone say how they are.
pub(super) fn is_watched(place: &str) -> bool {
    place != "web-shared" && ["web-", "func-"].iter().any(|kind| place.starts_with(kind))
}

const LAST: u32 = 3;

/// In which wave a place is moved: slots first, as everywhere; in one service its function app last.
pub(super) fn wave_of(place: &str) -> u32 {
    match place {
        _ if place.starts_with("func-") && place.ends_with(EAST) => LAST,
        _ if place.starts_with("web-") && place.contains('/') => 1,
        _ => 2,
    }
}

/// An app that is not well.
#[derive(Clone, Copy)]
pub(super) struct Ill {
    /// With which key; with any if there is none.
    pub(super) with: Option<KeyType>,
    /// In which round it is cured.
    pub(super) until: u64,
}

/// What an app said of how it is; nothing good, if the answer was lost.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) at: DateTime<Utc>,
    pub(super) app: String,
    pub(super) well: bool,
}

/// A server that says of each app how it is.
pub(super) struct Health {
    base: Url,
    pub(super) ill: Arc<Mutex<BTreeMap<String, Ill>>>,
    asked: Arc<Mutex<Asked>>,
    serving: JoinHandle<()>,
}

/// What the run at work was answered.
#[derive(Default)]
struct Asked {
    run: u64,
    often: BTreeMap<String, u64>,
    answers: Vec<Answer>,
}

impl Drop for Health {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Health {
    pub(super) async fn start(
        azure: Arc<EmbeddedAzure>,
        clock: Arc<VirtualClock>,
        seed: u64,
    ) -> Result<Self, Trouble> {
        let unusable = |error| Trouble::of("nothing can say how the apps are", &error);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(unusable)?;
        let base = format!("http://{}/", listener.local_addr().map_err(unusable)?);
        let base = Url::parse(&base).map_err(|error| Trouble::of("the storm has no URL", &error))?;
        let (ill, asked) = (Arc::default(), Arc::default());
        let answers = Answers { azure, clock, ill: Arc::clone(&ill), asked: Arc::clone(&asked), seed };
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever asked may be dead.
                let _ = answers.answer(stream).await;
            }
        });
        Ok(Self { base, ill, asked, serving })
    }

    /// Where one run asks how the apps of each service are. Which run it is no app is told, and nobody who reads of it.
    pub(super) fn configure(&self, config: &mut Config, run: u64) {
        for service in &mut config.instances {
            let url = |app: &ConsumerId| {
                let path = format!("{}?{run}", app.name().replace('/', "~"));
                Some((app.clone(), self.base.join(&path).ok()?))
            };
            service.health = service.policy.watched.iter().filter_map(url).collect();
        }
    }

    /// A run begins.
    pub(super) fn begin(&self, run: u64) {
        *self.asked.lock() = Asked { run, ..Asked::default() };
    }

    /// What was answered since it began.
    pub(super) fn answers(&self) -> Vec<Answer> {
        std::mem::take(&mut self.asked.lock().answers)
    }
}

struct Answers {
    azure: Arc<EmbeddedAzure>,
    clock: Arc<VirtualClock>,
    ill: Arc<Mutex<BTreeMap<String, Ill>>>,
    asked: Arc<Mutex<Asked>>,
    seed: u64,
}

impl Answers {
    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await?;
        let request = String::from_utf8_lossy(&request[..read]);
        let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
        let Some((app, run)) = path.split_once('?') else { return Ok(()) };
        // A run that was killed hears nothing more.
        if run.parse() != Ok(self.asked.lock().run) {
            return Ok(());
        }
        let app = app.replace('~', "/");
        let (lost, ill) = (self.is_lost(&app), self.is_ill(&app));
        let at = self.clock.now();
        self.asked.lock().answers.push(Answer { at, app, well: !lost && !ill });
        if lost {
            return Ok(());
        }
        let status = if ill { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await
    }

    /// One of twelve is lost; and all that some runs ask for.
    fn is_lost(&self, app: &str) -> bool {
        let mut asked = self.asked.lock();
        let run = asked.run;
        let nth = asked.often.entry(app.to_owned()).or_default();
        *nth += 1;
        drawn(&(self.seed, run)).is_multiple_of(25) || drawn(&(self.seed, run, app, *nth)).is_multiple_of(12)
    }

    fn is_ill(&self, app: &str) -> bool {
        let Some(ill) = self.ill.lock().get(app).copied() else { return false };
        ill.with.is_none_or(|key_type| holds(&self.azure, app) == Some(key_type))
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
        _ if is_for_a_person(decision) => Some(now + TimeDelta::hours(1)),
        _ => None,
    }
}

const fn is_for_a_person(decision: &Decision) -> bool {
    matches!(
        decision,
        Decision::Waiting { reason: WaitFor::Approval { .. }, .. }
            | Decision::Blocked(
                BlockedBy::NeverOpens { .. } | BlockedBy::NotApproved(_) | BlockedBy::Unhealthy { .. }
            )
    )
}

/// Whether a rotation is held back, by what may hold back no repair.
pub(super) fn is_held(decision: &Decision) -> bool {
    let of_waves = matches!(
        decision,
        Decision::Waiting { reason: WaitFor::Gate(_) | WaitFor::BetweenWaves(_), .. }
            | Decision::Blocked(BlockedBy::UnhealthyBefore { .. })
    );
    let of_calendar = matches!(decision, Decision::Waiting { reason, .. } if reason.is_for_calendar());
    of_waves || of_calendar || is_for_a_person(decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two that were written apart say the same, at each half of an hour of three years.
    #[test]
    fn the_calendar_of_the_judge_is_that_of_the_workers() {
        let start: DateTime<Utc> = "2026-01-01T00:15:00Z".parse().unwrap_or_default();
        for service in [EAST, NORTH, "sr-west"] {
            let calendar = Calendar::of(service, start);
            let mut policy = Policy::default();
            assert!(calendar.configure(&mut policy).is_ok());
            let (mut open, mut at) = (0, start);
            while at < start + TimeDelta::days(3 * 365) {
                assert_eq!(calendar.is_open(at), policy.calendar().is_open(at), "{service} at {at}");
                open += u32::from(calendar.is_open(at));
                at += TimeDelta::minutes(30);
            }
            assert!(open > 1000, "{service} is open for {open} of them");
        }
    }
}
