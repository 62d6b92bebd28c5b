//! What would hold a wave back: consumers that can only be moved together, and are configured to be in different waves, for
//! only Azure shows who reads what; and a `health` that does not answer with success.

use chrono::{DateTime, Utc};
use futures::FutureExt;
use url::Url;

use super::collect::{Facts, InstanceFacts};
use super::finding::{Check, Finding};
use super::fixes;
use crate::azure::discovery::at_once;
use crate::azure::http::{ask_health, shown};
use crate::config::ServiceConfig;
use crate::engine::Engine;
use crate::report::text::{InWords, overview as words};
use rekey_core::journal::Obstacle;
use rekey_core::model::ConsumerId;
use rekey_core::plan::{self, BlockedBy, WaveOrder};

pub(super) fn check(instance: &InstanceFacts<'_>) -> Vec<Finding> {
    let Some(Ok(seen)) = &instance.as_checked else { return Vec::new() };
    let differ = WaveOrder::of(seen, &instance.config.policy).differ;
    if differ.is_empty() {
        return Vec::new();
    }
    let what = BlockedBy::WavesDiffer(differ).in_words();
    let why = "no app is moved to another key until then; who holds an invalid one is repaired all the same";
    vec![Finding::error(Check::Consumer, &instance.config.id, what, why).of(&instance.config.id)]
}

/// What a person has to look after, as the journal tells it: runs say it, and some stand still.
pub(super) fn for_a_person(instance: &InstanceFacts<'_>, now: DateTime<Utc>) -> Vec<Finding> {
    let Ok(journal) = &instance.journal else { return Vec::new() };
    let (service, name) = (instance.config, instance.config.id.name());
    let found =
        |what: String, why: &str| Finding::error(Check::Consumer, &service.id, what, why).of(&service.id);
    let mut findings = Vec::new();
    for obstacle in journal.obstacles() {
        match obstacle {
            Obstacle::Gate { .. } => {
                let why = format!("the rotation stands still. {}", words::unblock(name));
                findings.push(found(obstacle.in_words(), &why));
            }
            Obstacle::Repair { .. } => {
                let why = format!("it does not work, with a key that does. {}", words::unblock(name));
                findings.push(found(obstacle.in_words(), &why));
            }
            Obstacle::Failures(_) | Obstacle::Refused { .. } | Obstacle::Operation { .. } => {}
        }
    }
    if let Some(due) = plan::late_approval(journal, &service.policy, now) {
        let why = format!("the rotation stands still. {}", words::approve(name));
        findings.push(found(BlockedBy::NotApproved(due).in_words(), &why));
    }
    findings
}

/// Asks each `health` once, as it is asked before its wave is moved.
pub(super) async fn health(rekey: &Engine, facts: &Facts<'_>) -> Vec<Finding> {
    let services = facts.instances.iter().map(|instance| instance.config);
    let watched =
        services.flat_map(|service| service.health.iter().map(move |(app, url)| (service, app, url)));
    let asked = watched.map(|(service, app, url)| {
        ask_health(&rekey.http, url).map(move |answer| answered(service, app, url, answer)).boxed()
    });
    at_once(asked).await
}

fn answered(service: &ServiceConfig, app: &ConsumerId, url: &Url, answer: Result<(), String>) -> Finding {
    let (id, shown) = (&service.id, shown(url));
    let Err(why) = answer else {
        return Finding::ok(Check::Consumer, app, format!("its health, {shown}, answers with success"))
            .of(id);
    };
    let what = format!("its health, {shown}, does not answer with success: {why}");
    let held = "its wave is held back: before a rotation moves it, it has to answer three times in a row. Repair the app, or let \
                signalr-rekey reach the address. Who holds an invalid key is repaired all the same";
    let fix = fixes::in_file(id, "correct or take out this health in");
    Finding::error(Check::Consumer, app, what, held).of(id).fixed_by(fix)
}
