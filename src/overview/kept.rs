//! Where overviews are kept: in the store beside the journals, a hundred services to a document. Runs of the timer write all of
//! them, a run of a notice the one of its service; each write is conditional, and what a later run has told is never replaced by
//! what an earlier one did. Where there is nothing new ([`ServiceOverview::is_news`]), nothing is written.
//!
//! Times are those of the storage, as far as they order what runs have told: a process whose clock is wrong, or was, hides nothing of
//! what others tell, and who looks by such a clock sees how old it is.
//!
//! An overview is no record: who looks at one that could not be written sees that it is old. Nothing is decided by it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Rhythm, ServiceOverview};
use crate::config::{Config, ServiceConfig};
use crate::store::{ETag, Found, LARGEST_DOCUMENT, Store, StoreError};
use rekey_core::model::ServiceId;

/// How many services share a document. Each takes a few kilobytes, and some 300 bytes for each of its consumers.
pub const SERVICES: usize = 100;

/// How long one stays of a service that is not configured there any more: another function app with the same storage may have
/// written it a moment ago, and goes on doing so.
const FORGOTTEN: TimeDelta = TimeDelta::days(2);

/// How many consumers of a service are shown where their document would be too large with all of them, to begin with.
const CONSUMERS: usize = 1024;

/// How often one is written anew because somebody else wrote it in between.
const CROWDED: u32 = 4;

/// How far the clocks of a process and of the storage, which tells seconds, may be from each other to count as one.
const SAME_CLOCK: TimeDelta = TimeDelta::seconds(2);

/// One of the documents.
#[derive(Serialize, Deserialize)]
struct Document {
    services: BTreeMap<ServiceId, Value>,
}

/// What stands in a document.
struct Part {
    services: BTreeMap<ServiceId, ServiceOverview>,
    /// What cannot be read of it: another release may have written it. `whole` if that is so of all.
    unreadable: BTreeMap<ServiceId, Value>,
    whole: bool,
    etag: Option<ETag>,
    /// The time of the storage.
    at: DateTime<Utc>,
}

/// What is known of services, by the time of the storage.
pub struct Known {
    pub services: Vec<ServiceOverview>,
    pub at: DateTime<Utc>,
}

/// What is known of each service that is configured, in the order of the file.
pub async fn read(store: &dyn Store, config: &Config) -> Result<Known, StoreError> {
    let parts = read_parts(store, 0..config.instances.len().div_ceil(SERVICES)).await?;
    Ok(known(&parts, &config.instances.iter().collect::<Vec<_>>()))
}

/// The same of those of a name or resource id: only the documents are read in which they are. Where the order of the file has
/// changed, and no run has told of them since, they may stand in any.
pub async fn read_named(store: &dyn Store, config: &Config, named: &str) -> Result<Known, StoreError> {
    let is_named = |service: &ServiceConfig| {
        service.id.name().eq_ignore_ascii_case(named) || service.id.to_string().eq_ignore_ascii_case(named)
    };
    let services = config.instances.iter().enumerate().filter(|(_, service)| is_named(service));
    let (places, services): (Vec<usize>, Vec<&ServiceConfig>) = services.unzip();
    let of_them: BTreeSet<usize> = places.iter().map(|place| place / SERVICES).collect();
    let mut parts = read_parts(store, of_them).await?;
    let is_there = |service: &&ServiceConfig| parts.iter().any(|part| part.has(&service.id));
    if !services.iter().all(is_there) {
        parts = read_parts(store, 0..config.instances.len().div_ceil(SERVICES)).await?;
    }
    Ok(known(&parts, &services))
}

async fn read_parts(
    store: &dyn Store,
    parts: impl IntoIterator<Item = usize>,
) -> Result<Vec<Part>, StoreError> {
    try_join_all(parts.into_iter().map(|part| read_part(store, part))).await
}

/// Where the order of the file has changed, one of before may stand in another document still: the latest counts.
fn known(parts: &[Part], services: &[&ServiceConfig]) -> Known {
    let of = |service: &&ServiceConfig| {
        let told = parts.iter().filter_map(|part| part.services.get(&service.id));
        let cannot_be_read =
            || parts.iter().any(|part| part.whole || part.unreadable.contains_key(&service.id));
        told.max_by_key(|told| told.at).cloned().unwrap_or_else(|| match cannot_be_read() {
            true => ServiceOverview::unreadable(service),
            false => ServiceOverview::unknown(service),
        })
    };
    let at = parts.iter().map(|part| part.at).max().unwrap_or_default();
    Known { services: services.iter().map(of).collect(), at }
}

impl Part {
    fn has(&self, service: &ServiceId) -> bool {
        self.whole || self.services.contains_key(service) || self.unreadable.contains_key(service)
    }
}

/// Keeps what runs have told until now, by their clock; nothing of that where their times are the storage's already. What is known
/// then of the services that they told of.
pub async fn write(
    store: &dyn Store,
    config: &Config,
    told: &[ServiceOverview],
    rhythm: Rhythm,
    now: Option<DateTime<Utc>>,
) -> Result<Vec<ServiceOverview>, StoreError> {
    let mut told: BTreeMap<&ServiceId, &ServiceOverview> =
        told.iter().map(|overview| (&overview.instance, overview)).collect();
    let parts = config.instances.chunks(SERVICES).enumerate().filter_map(|(part, services)| {
        let of_part: Vec<&ServiceOverview> =
            services.iter().filter_map(|service| told.remove(&service.id)).collect();
        (!of_part.is_empty()).then(|| write_part(store, part, services, of_part, (rhythm, now)))
    });
    Ok(try_join_all(parts.collect::<Vec<_>>()).await?.concat())
}

async fn write_part(
    store: &dyn Store,
    part: usize,
    services: &[ServiceConfig],
    told: Vec<&ServiceOverview>,
    (rhythm, now): (Rhythm, Option<DateTime<Utc>>),
) -> Result<Vec<ServiceOverview>, StoreError> {
    let mut crowded = 0;
    loop {
        let mut found = read_part(store, part).await?;
        let at = found.at;
        found.services.retain(|id, overview| {
            let is_recent = || overview.at.is_some_and(|told| at - told < FORGOTTEN);
            services.iter().any(|service| service.id == *id) || is_recent()
        });
        let off = now.map(|now| at - now).filter(|off| off.abs() > SAME_CLOCK).unwrap_or_default();
        let (mut is_new, mut known) = (false, Vec::new());
        for overview in told.iter().map(|&told| told.clone().by_a_clock_off_by(off)) {
            let before = found.services.get(&overview.instance);
            // One of a time to come was told by a wrong clock.
            let is_older = before.and_then(|before| before.at).is_some_and(|before| {
                overview.at.is_some_and(|told| told + SAME_CLOCK < before) && before <= at + SAME_CLOCK
            });
            if !is_older {
                let mut after = match before {
                    Some(before) => overview.after(before),
                    None => overview,
                };
                let is_tagged = services.iter().any(|one| one.id == after.instance && one.policy.tags);
                // From here on nobody knows with what it is tagged, until that was written.
                if !is_tagged || after.tagged != after.tags() {
                    after.tagged.clear();
                }
                is_new |= before.is_none_or(|before| after.is_news(before, rhythm));
                let after = after.told_in(rhythm);
                known.push(after.clone());
                found.unreadable.remove(&after.instance);
                found.services.insert(after.instance.clone(), after);
            }
        }
        if !is_new {
            return Ok(known);
        }
        match store.put(&name(part), found.within(LARGEST_DOCUMENT)?, found.etag.as_ref()).await {
            Err(StoreError::Changed) if crowded < CROWDED => crowded += 1,
            written => return written.map(|_| known),
        }
    }
}

impl Part {
    /// As it is written, no larger than what is read: of services with a crowd of consumers not all of these are shown then.
    fn within(&mut self, largest: usize) -> Result<Vec<u8>, StoreError> {
        let mut most = CONSUMERS;
        loop {
            let body = self
                .written()
                .map_err(|error| StoreError::Unavailable(crate::report::cause::told(&error)))?;
            if body.len() <= largest || most == 0 {
                return Ok(body);
            }
            most /= 2;
            self.services.values_mut().for_each(|overview| overview.shorten(most));
        }
    }

    fn written(&self) -> serde_json::Result<Vec<u8>> {
        let mut services = self.unreadable.clone();
        for (id, overview) in &self.services {
            services.insert(id.clone(), serde_json::to_value(overview)?);
        }
        serde_json::to_vec(&Document { services })
    }
}

async fn read_part(store: &dyn Store, part: usize) -> Result<Part, StoreError> {
    let Found { document, at, .. } = store.get(&name(part)).await?;
    let (services, unreadable) = (BTreeMap::new(), BTreeMap::new());
    let mut part = Part { services, unreadable, whole: false, etag: None, at };
    let Some((body, etag)) = document else { return Ok(part) };
    part.etag = Some(etag);
    match serde_json::from_slice::<Document>(&body) {
        Ok(document) => {
            for (id, told) in document.services {
                let read = ServiceOverview::deserialize(&told).ok();
                match read.filter(|read| read.instance == id && read.at.is_some()) {
                    Some(read) => drop(part.services.insert(id, read)),
                    None => drop(part.unreadable.insert(id, told)),
                }
            }
        }
        Err(_) => part.whole = true,
    }
    Ok(part)
}

/// Journals are in folders, so none has it.
fn name(part: usize) -> String {
    format!("overview-{part}.json")
}
