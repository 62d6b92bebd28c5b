//! Tagging services with how they stand: what runs have told is written when the invocation that waits for them is done with
//! everything else, so that it keeps no run waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::join_all;
use parking_lot::Mutex;

use super::Engine;
use crate::overview::{Rhythm, ServiceOverview, kept};
use crate::report::cause;
use crate::report::text::overview as words;
use rekey_core::model::ServiceId;
use rekey_core::time::delta;

/// How long all of it may take: whoever waits for the answer of a run waits for this as well.
const PATIENCE: Duration = Duration::from_secs(3);

/// What services are to be tagged with.
#[derive(Default)]
pub struct Tags {
    /// What runs have told since services were last tagged.
    known: Mutex<BTreeMap<ServiceId, ServiceOverview>>,
    /// Why services could not be tagged, as it was told.
    told: Mutex<BTreeMap<ServiceId, String>>,
}

impl Engine {
    /// Takes in how services stand that are to be tagged.
    pub(super) fn note_tags(&self, known: Vec<ServiceOverview>) {
        let is_tagged = |one: &ServiceOverview| {
            self.config.instances.iter().any(|service| service.policy.tags && service.id == one.instance)
        };
        let known = known.into_iter().filter(is_tagged).map(|one| (one.instance.clone(), one));
        self.tags.known.lock().extend(known);
    }

    /// Tags the services whose tags are others than those that they were last given. That one could not be is told once for each
    /// cause; a later run tries again.
    pub(super) async fn tag(&self, deadline: DateTime<Utc>) {
        let known = std::mem::take(&mut *self.tags.known.lock());
        let news: Vec<_> = known.into_values().filter(|one| one.tagged != one.tags()).collect();
        let now = self.clock.now();
        let until = deadline.min(now + delta(PATIENCE));
        if news.is_empty() || until <= now {
            return;
        }
        let tagged = join_all(news.into_iter().map(|one| self.tag_one(one, until))).await;
        let tagged: Vec<_> = tagged.into_iter().flatten().collect();
        // Where it cannot be kept which tags were given, they are given again.
        let kept = kept::write(&*self.store, &self.config, &tagged, Rhythm::of(&self.config, now), None);
        let left = (until - self.clock.now()).to_std().unwrap_or_default();
        if !matches!(tokio::time::timeout(left, kept).await, Ok(Ok(_))) {
            tracing::debug!("{}", words::TAGS_NOT_KEPT);
        }
    }

    async fn tag_one(&self, mut service: ServiceOverview, until: DateTime<Utc>) -> Option<ServiceOverview> {
        let tags = service.tags();
        match self.arm.no_later_than(until).merge_tags(&service.instance, &tags).await {
            Ok(()) => {
                self.tags.told.lock().remove(&service.instance);
                service.tagged = tags;
                Some(service)
            }
            Err(error) => {
                let (id, short) = (service.instance, error.in_short());
                let before = self.tags.told.lock().insert(id.clone(), short.clone());
                if before.is_none_or(|before| before != short) {
                    tracing::warn!("{}", words::not_tagged(id.name(), cause::told(&error)));
                }
                None
            }
        }
    }
}
