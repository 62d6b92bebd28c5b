//! Those whom no worker can change: a machine that takes its key from a secret and reports it, one that reads a secret without
//! anybody seeing it, a person who changes what is his and says so late, and jobs that run for hours.
//!
//! Start at [`Others::act`]. They act between runs; the storage is whole then, and at worst a dead worker's lease is in the way.

use chrono::{DateTime, TimeDelta, Utc};
use embedded_azure::EmbeddedAzure;
use fastrand::Rng;

use super::run::Storm;
use super::world::{CONFIGURED, FOLLOWED, PARTNER, Place, REPORTER, UNSEEN, VAULT};
use crate::clock::Clock;
use rekey_core::journal::{Event, Held, Journal};
use rekey_core::model::{ConnectionString, ConsumerId, Fingerprint, KeyType};

/// All of them, and what they are about to do.
pub(super) struct Others {
    rng: Rng,
    reporter: Other,
    unseen: Other,
    partner: Other,
    /// When an execution of the job that runs ends, and when the next begins.
    ends: Option<DateTime<Utc>>,
    begins: DateTime<Utc>,
    restarts: u64,
}

/// One who holds a key.
struct Other {
    site: &'static str,
    /// What he goes by.
    source: Place,
    /// How many minutes he takes at most until he looks, and from then until he says so; nothing if he never does.
    takes: (u64, Option<u64>),
    holds: Option<String>,
    /// When he looks, once there is something else for him.
    looks: Option<DateTime<Utc>>,
    /// When he says what he holds.
    says: Option<DateTime<Utc>>,
}

impl Other {
    const fn new(site: &'static str, source: Place, takes: (u64, Option<u64>)) -> Self {
        Self { site, source, takes, holds: None, looks: None, says: None }
    }

    /// What there is for him, if it is another key than he has; nothing where it cannot be read.
    fn wanted(&self, azure: &EmbeddedAzure) -> Option<String> {
        if let Place::Secret(name) = self.source
            && !azure.with(|state| state.is_secret_enabled(VAULT, name)).unwrap_or_default()
        {
            return None;
        }
        let found = key_in(&self.source.read(azure)?)?;
        (self.holds.as_ref() != Some(&found)).then_some(found)
    }
}

/// The key in a connection string.
fn key_in(value: &str) -> Option<String> {
    Some(ConnectionString::parse(value).ok()?.key()?.expose().to_owned())
}

impl Others {
    pub(super) fn new(seed: u64, azure: &EmbeddedAzure, now: DateTime<Utc>) -> Self {
        let of_an_app = Place::Setting("web-sr-north".into(), "Azure__SignalR__ConnectionString");
        let mut others = Self {
            rng: Rng::with_seed(seed ^ 0x07e5),
            reporter: Other::new(REPORTER, Place::Secret(FOLLOWED), (60, Some(50))),
            unseen: Other::new(UNSEEN, Place::Secret(CONFIGURED), (150, None)),
            partner: Other::new(PARTNER, of_an_app, (300, Some(90))),
            ends: None,
            begins: now,
            restarts: 0,
        };
        for other in [&mut others.reporter, &mut others.unseen, &mut others.partner] {
            // All keys are the ones of the beginning.
            other.holds = other.wanted(azure);
        }
        // The person and the machine say at first what they hold.
        (others.reporter.says, others.partner.says) = (Some(now), Some(now));
        others
    }

    /// When somebody acts next, where there is something to do for him.
    fn next(&mut self, azure: &EmbeddedAzure, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let Self { rng, reporter, unseen, partner, ends, .. } = self;
        let all = [reporter, unseen, partner];
        let acts = all.into_iter().flat_map(|other| {
            let outdated = other.wanted(azure).is_some();
            if outdated && other.looks.is_none() {
                other.looks = Some(now + TimeDelta::minutes(minutes(rng, other.takes.0)));
            }
            other.looks = other.looks.filter(|_| outdated);
            other.looks.into_iter().chain(other.says)
        });
        acts.chain(*ends).min()
    }

    /// Lets time pass until then, and everybody act who has something to do.
    pub(super) async fn until(&mut self, storm: &Storm, end: DateTime<Utc>) {
        loop {
            let now = storm.clock.now();
            let next = self.next(&storm.azure, now).map(|next| next.max(now));
            let Some(next) = next.filter(|next| *next < end) else { break };
            storm.clock.advance((next - now).to_std().unwrap_or_default());
            self.act(storm).await;
        }
        let left = end - storm.clock.now();
        storm.clock.advance(left.to_std().unwrap_or_default());
    }

    async fn act(&mut self, storm: &Storm) {
        let now = storm.clock.now();
        if self.ends.take_if(|ends| *ends <= now).is_some() {
            // It runs.
            let _ = storm.azure.with(|state| state.end_execution("night-west", None, true));
        }
        let Self { rng, reporter, unseen, partner, restarts, .. } = self;
        for other in [reporter, unseen, partner] {
            if other.looks.take_if(|looks| *looks <= now).is_some() {
                *restarts += 1;
                take(storm, other, *restarts);
                other.says = other.takes.1.map(|most| now + TimeDelta::minutes(minutes(rng, most)));
            }
            if other.says.is_some_and(|says| says <= now) {
                let said = say(storm, other).await;
                other.says = (!said).then(|| now + TimeDelta::minutes(1));
            }
        }
        if self.rng.u8(0..100) < 30 {
            acknowledge_readers(storm, &self.unseen).await;
        }
    }

    /// A job that may run at the moment is begun, as its schedule has it, and one at a time.
    pub(super) fn begin_round(&mut self, storm: &Storm) {
        let now = storm.clock.now();
        if self.ends.is_none() && self.begins <= now {
            self.ends = Some(now + TimeDelta::minutes(minutes(&mut self.rng, 180)));
            self.begins = now + TimeDelta::minutes(minutes(&mut self.rng, 600));
            // It is there.
            let _ = storm.azure.with(|state| state.start_execution("night-west"));
        }
    }
}

fn minutes(rng: &mut Rng, most: u64) -> i64 {
    i64::try_from(rng.u64(2..most)).unwrap_or(i64::MAX)
}

/// He takes what there is for him, by a restart.
fn take(storm: &Storm, other: &mut Other, restarts: u64) {
    let Some(key) = other.wanted(&storm.azure) else { return };
    let (name, value) = match &other.source {
        // What he is to have is in the setting of his own.
        Place::Setting(_, name) => (*name, other.source.read(&storm.azure).unwrap_or_default()),
        _ => ("RESTARTS", restarts.to_string()),
    };
    if storm.azure.edit_setting(other.site, name, Some(&value)).is_ok() {
        other.holds = Some(key);
    }
}

/// He says what he holds, and tells whether that is on record.
async fn say(storm: &Storm, other: &Other) -> bool {
    let Some(held) = other.holds.as_deref().map(fingerprint) else { return true };
    match other.site {
        REPORTER => storm.report("sr-east", REPORTER, held).await,
        _ => {
            let consumer = ConsumerId::Manual(match PARTNER.parse() {
                Ok(name) => name,
                Err(_) => return true,
            });
            let by = "ada".to_owned();
            storm.record("sr-north", Event::Acknowledged { consumer, fingerprint: held, by }).await
        }
    }
}

/// A person has seen that the machine which nobody sees has left a key, and says so.
async fn acknowledge_readers(storm: &Storm, unseen: &Other) {
    let Some(held) = unseen.holds.as_deref().map(fingerprint) else { return };
    let Some(journal) = storm.journal_of("sr-west").await else { return };
    let left = left_key(&journal, &held);
    let url = format!("https://{VAULT}.vault.azure.net/secrets/{CONFIGURED}");
    let (Some(fingerprint), Ok(secret)) = (left, url.parse()) else { return };
    let consumer = ConsumerId::KeyVaultSecret(secret);
    let by = "ada".to_owned();
    // If it is not on record, they are waited for.
    let _ = storm.record("sr-west", Event::ReadersAcknowledged { consumer, fingerprint, by }).await;
}

fn left_key(journal: &Journal, held: &Fingerprint) -> Option<Fingerprint> {
    let keys = journal.keys()?;
    let left = |key_type: &KeyType| matches!(keys[*key_type].held, Held::Left(_) | Held::Unknown(_));
    let left = KeyType::ALL.into_iter().find(left)?;
    let is_other = keys[left.other()].fingerprint == *held;
    is_other.then(|| keys[left].fingerprint.clone())
}

fn fingerprint(key: &str) -> Fingerprint {
    rekey_core::model::Key::new(key).fingerprint()
}
