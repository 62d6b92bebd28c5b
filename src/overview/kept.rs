//! Where overviews are kept: in the store beside the journals, a hundred services to a document. Runs of the timer write all of
//! them, a run of a notice the one of its service; each write is conditional, and what a later run has told is never replaced by
//! what an earlier one did. Where there is nothing new ([`ServiceOverview::is_news`]), nothing is written.
//!
//! An overview is no record: who looks at one that could not be written sees that it is old. Nothing is decided by it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{Rhythm, ServiceOverview};
use crate::config::{Config, ServiceConfig};
use crate::store::{ETag, Found, Store, StoreError};
use rekey_core::model::ServiceId;

/// How many services share a document. Each takes a few kilobytes, and a journal's document may be four megabytes.
pub const SERVICES: usize = 100;

/// How long one stays of a service that is not configured there any more: another function app with the same storage may have
/// written it a moment ago, and goes on doing so.
const FORGOTTEN: TimeDelta = TimeDelta::days(2);

/// How often one is written anew because somebody else wrote it in between.
const CROWDED: u32 = 4;

/// One of the documents.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    services: BTreeMap<ServiceId, ServiceOverview>,
}

/// What is known of each service that is configured, in the order of the file.
pub async fn read(store: &dyn Store, config: &Config) -> Result<Vec<ServiceOverview>, StoreError> {
    let parts = 0..config.instances.len().div_ceil(SERVICES);
    let known = read_parts(store, parts).await?;
    Ok(config.instances.iter().map(|service| of(&known, service)).collect())
}

/// The same of those of a name or resource id: only the documents are read in which they are. Where the order of the file has
/// changed, and no run has told of them since, they may stand in any.
pub async fn read_named(
    store: &dyn Store,
    config: &Config,
    named: &str,
) -> Result<Vec<ServiceOverview>, StoreError> {
    let is_named = |service: &ServiceConfig| {
        service.id.name().eq_ignore_ascii_case(named) || service.id.to_string().eq_ignore_ascii_case(named)
    };
    let services = config.instances.iter().enumerate().filter(|(_, service)| is_named(service));
    let (places, services): (Vec<usize>, Vec<&ServiceConfig>) = services.unzip();
    let parts: BTreeSet<usize> = places.iter().map(|place| place / SERVICES).collect();
    let mut known = read_parts(store, parts).await?;
    if !services.iter().all(|service| known.contains_key(&service.id)) {
        known = read_parts(store, 0..config.instances.len().div_ceil(SERVICES)).await?;
    }
    Ok(services.into_iter().map(|service| of(&known, service)).collect())
}

async fn read_parts(
    store: &dyn Store,
    parts: impl IntoIterator<Item = usize>,
) -> Result<BTreeMap<ServiceId, ServiceOverview>, StoreError> {
    let found = try_join_all(parts.into_iter().map(|part| read_part(store, part))).await?;
    let mut known = BTreeMap::<ServiceId, ServiceOverview>::new();
    for (id, overview) in found.into_iter().flat_map(|(document, _)| document.services) {
        // Where the order of the file has changed, one of before may stand in another document still.
        if known.get(&id).is_none_or(|other| other.at < overview.at) {
            known.insert(id, overview);
        }
    }
    Ok(known)
}

fn of(known: &BTreeMap<ServiceId, ServiceOverview>, service: &ServiceConfig) -> ServiceOverview {
    known.get(&service.id).cloned().unwrap_or_else(|| ServiceOverview::unknown(service))
}

/// Keeps what runs have told. What is known then of the services that they told of.
pub async fn write(
    store: &dyn Store,
    config: &Config,
    told: &[ServiceOverview],
    rhythm: Rhythm,
) -> Result<Vec<ServiceOverview>, StoreError> {
    let mut told: BTreeMap<&ServiceId, &ServiceOverview> =
        told.iter().map(|overview| (&overview.instance, overview)).collect();
    let parts = config.instances.chunks(SERVICES).enumerate().filter_map(|(part, services)| {
        let of_part: Vec<&ServiceOverview> =
            services.iter().filter_map(|service| told.remove(&service.id)).collect();
        (!of_part.is_empty()).then(|| write_part(store, part, services, of_part, rhythm))
    });
    Ok(try_join_all(parts.collect::<Vec<_>>()).await?.concat())
}

async fn write_part(
    store: &dyn Store,
    part: usize,
    services: &[ServiceConfig],
    told: Vec<&ServiceOverview>,
    rhythm: Rhythm,
) -> Result<Vec<ServiceOverview>, StoreError> {
    let mut crowded = 0;
    loop {
        let (mut document, etag) = read_part(store, part).await?;
        let newest = told.iter().filter_map(|overview| overview.at).max();
        document.services.retain(|id, overview| {
            let is_recent = || overview.at.zip(newest).is_some_and(|(at, newest)| newest - at < FORGOTTEN);
            services.iter().any(|service| service.id == *id) || is_recent()
        });
        let (mut is_new, mut known) = (false, Vec::new());
        for &overview in &told {
            let before = document.services.get(&overview.instance);
            let is_older = before.is_some_and(|before| overview.at < before.at);
            if !is_older {
                let after = before.map_or_else(|| overview.clone(), |before| overview.clone().after(before));
                is_new |= before.is_none_or(|before| after.is_news(before, rhythm));
                let after = after.told_in(rhythm);
                known.push(after.clone());
                document.services.insert(overview.instance.clone(), after);
            }
        }
        if !is_new {
            return Ok(known);
        }
        let body = serde_json::to_vec(&document)
            .map_err(|error| StoreError::Unavailable(crate::report::cause::told(&error)))?;
        match store.put(&name(part), body, etag.as_ref()).await {
            Err(StoreError::Changed) if crowded < CROWDED => crowded += 1,
            written => return written.map(|_| known),
        }
    }
}

/// What cannot be read as one of ours is made anew: another release may have written it.
async fn read_part(store: &dyn Store, part: usize) -> Result<(Document, Option<ETag>), StoreError> {
    let Found { document, .. } = store.get(&name(part)).await?;
    Ok(document.map_or_else(Default::default, |(body, etag)| {
        (serde_json::from_slice(&body).unwrap_or_default(), Some(etag))
    }))
}

/// Journals are in folders, so none has it.
fn name(part: usize) -> String {
    format!("overview-{part}.json")
}
