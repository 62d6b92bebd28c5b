//! Ten thousand copies of the notice of one regeneration, many at a time, against the real program: what Azure is asked, and how much
//! memory the process takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::common::program::{Azure, Handler, key_event};
use super::table::Figure;

/// How many are under way at once. Event Grid itself is slower.
const AT_ONCE: usize = 256;

/// Apps of the default world.
const APPS: u64 = 3;

pub(crate) struct Storm {
    notices: usize,
    requests: u64,
    /// The memory of the process when it is idle, and its peak, in MiB.
    idle: f64,
    peak: f64,
    took: Duration,
}

impl Storm {
    pub(crate) async fn of(notices: usize) -> Self {
        let azure = Azure::start(&["--latency", "50ms"]);
        let handler = Arc::new(Handler::start(&azure, &["handler"]).await);
        // Two ticks: adopted, and nothing left to say.
        handler.notice("sr-demo").await;
        let idle = handler.memory("VmRSS");
        azure.force("sr-demo", "Both").await;
        let before = asked(&azure.report().await);
        let start = Instant::now();
        let event = key_event("sr-demo");
        let calls = stream::iter(0..notices).map(|_| {
            let (handler, event) = (Arc::clone(&handler), event.clone());
            async move { handler.call("OnKeyNotice", json!({ "event": event })).await.0 }
        });
        let statuses: Vec<u16> = calls.buffer_unordered(AT_ONCE).collect().await;
        let took = start.elapsed();
        assert!(statuses.iter().all(|status| *status == 200), "every notice is answered well");
        let requests = asked(&azure.report().await) - before;
        Self { notices, requests, idle, peak: handler.memory("VmHWM"), took }
    }

    pub(crate) fn figures(&self) -> [Figure; 2] {
        let goal = 4 * APPS + 4;
        let floor = 1 + 2 * APPS;
        [
            Figure {
                name: format!("{} notices, ARM requests", self.notices),
                ours: self.requests.to_string(),
                floor: floor.to_string(),
                ratio: self.requests as f64 / floor as f64,
                goal: format!("<= {goal}"),
                reached: self.requests <= goal,
            },
            Figure {
                name: format!("{} notices, peak memory (MiB)", self.notices),
                ours: format!("{:.1}", self.peak),
                floor: format!("{:.1}", self.idle),
                ratio: self.peak / self.idle,
                goal: "<= 3x".into(),
                reached: self.peak / self.idle <= 3.0,
            },
        ]
    }

    pub(crate) fn details(&self) -> String {
        let rate = self.notices as f64 / self.took.as_secs_f64();
        format!(
            "{} notices answered in {:.1?}, {rate:.0} a second, {AT_ONCE} at a time",
            self.notices, self.took
        )
    }
}

fn asked(report: &Value) -> u64 {
    report["arm_requests_total"].as_u64().unwrap()
}
