//! The rotation of a fleet by the program: both keys of each service, from the timer's call on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::common::round_trips::{Asked, chain};
use super::{AT_ONCE, Row, handler};

/// How old a key may be: a rotation is due as soon as a fleet is known and its standby keys are out of their grace period.
const DUE: Duration = Duration::from_secs(40);

/// How often the timer may have to call until both keys are new.
const MOST_RUNS: usize = 4;

/// What the program took.
pub(crate) struct Ours {
    /// From the timer's call to the last write of settings, in seconds; and to the last request.
    pub(crate) moved: f64,
    pub(crate) whole: f64,
    pub(crate) requests: u64,
    /// How many round trips lay one after another up to the last write.
    pub(crate) trips: usize,
    /// In MiB.
    pub(crate) peak: f64,
    by_operation: BTreeMap<String, u64>,
    /// What was asked, in the order of its beginning.
    order: Vec<Asked>,
}

impl Ours {
    pub(crate) async fn measure(world: &Value, row: &Row) -> Self {
        let mut azure = row.azure(world);
        azure.environment.insert("REKEY_FIRST_ROTATION".into(), "when-due".into());
        azure.environment.insert("REKEY_ROTATE_EVERY".into(), humantime::format_duration(DUE).to_string());
        // The script proves nothing either: four accepted calls in a row, a second apart, would be in our figure alone.
        azure.environment.insert("REKEY_VERIFY".into(), "control-plane".into());
        azure.environment.insert("REKEY_STATE".into(), "memory".into());
        let handler = handler(&azure).await;
        // Known before, so that nothing of the first sight is in the figures.
        let known = Instant::now();
        assert_eq!(handler.tick().await.0, 200);
        tokio::time::sleep((DUE + Duration::from_secs(1)).saturating_sub(known.elapsed())).await;
        let before = azure.get("requests").await.as_array().unwrap().len();
        let start = Utc::now();
        let wanted = 2 * row.services as u64;
        for _ in 0..MOST_RUNS {
            let (status, answer) = handler.tick().await;
            assert_eq!(status, 200, "{answer}");
            if regenerations(&azure.report().await) == wanted {
                break;
            }
        }
        let report = azure.report().await;
        assert_eq!(regenerations(&report), wanted, "both keys of each service are new: {report}");
        assert_eq!(report["refused_unexplained"], 0);
        let requests = azure.get("requests").await;
        let requests = requests.as_array().unwrap()[before..].iter().filter(|one| one["arm"] == true);
        Self::of(&requests.collect::<Vec<_>>(), start, handler.memory("VmHWM"))
    }

    fn of(requests: &[&Value], start: DateTime<Utc>, peak: f64) -> Self {
        let since = |one: &Value| {
            let at: DateTime<Utc> = one["at"].as_str().unwrap().parse().unwrap();
            (at - start).as_seconds_f64()
        };
        let operation = |one: &Value| one["operation"].as_str().unwrap().to_owned();
        let mut by_operation: BTreeMap<String, u64> = BTreeMap::new();
        requests.iter().for_each(|one| *by_operation.entry(operation(one)).or_default() += 1);
        let asked = |one: &&Value| Asked {
            what: format!("{} {}", operation(one), one["resource"].as_str().unwrap()),
            begun: one["begun"].as_u64().unwrap(),
            answered: one["answered"].as_u64().unwrap(),
        };
        let mut order: Vec<Asked> = requests.iter().map(asked).collect();
        order.sort_by_key(|one| one.begun);
        let last_write = requests.iter().rfind(|one| operation(one).starts_with("WebApps_Update"));
        Self {
            moved: since(last_write.unwrap()),
            whole: since(requests.last().unwrap()),
            requests: requests.len() as u64,
            trips: chain(&order, |one| one.what.starts_with("WebApps_Update")).len(),
            peak,
            by_operation,
            order,
        }
    }

    /// What the invariants need (`docs/performance.md`), with the polls that there were. The grace period is so short that
    /// what was read back after the write is fresh enough for the second regeneration; and a check that is older than a
    /// slow operation is too old for the write.
    pub(crate) fn formula(&self, row: &Row) -> u64 {
        let sections = if row.take == AT_ONCE { 5 } else { 6 };
        let polls = self.by_operation.iter().filter(|(name, _)| name.starts_with("SignalR_Operation"));
        row.services as u64 * (6 + sections * row.apps as u64) + polls.map(|(_, count)| count).sum::<u64>()
    }

    /// What was asked: of a fleet by operation, of one service in order.
    pub(crate) fn tell(&self, row: &Row) {
        let counts = self.by_operation.iter().map(|(name, count)| format!("{name} {count}"));
        println!("    {}", counts.collect::<Vec<_>>().join(", "));
        if row.services == 1 {
            for Asked { what, begun, answered } in &self.order {
                println!("    {begun:>6} to {answered:>6}  {what}");
            }
        }
    }
}

fn regenerations(report: &Value) -> u64 {
    let services = report["instances"].as_object().unwrap().values();
    services.map(|service| service["regenerations"].as_u64().unwrap()).sum()
}
