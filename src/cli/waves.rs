//! What `rotate` shows below its lines at a terminal: who holds which key, which wave is on its way, and what is waited for.
//!
//! Start at [`Picture::hear`]. It is made of what a run sees and does, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use crate::report::RunEvent;
use crate::report::text::brief::{and_more, called, names};
use crate::report::text::{InWords, command as words, readable};
use rekey_core::journal::Event;
use rekey_core::model::{ConsumerId, KeyType, PerKey, ServiceId};
use rekey_core::plan::{Decision, Holding};

/// How many services are drawn; a line tells how many more there are.
const SERVICES: usize = 4;

/// How much of a line the names of consumers take, in characters.
const NAMES: usize = 60;

/// What follows runs, and draws them.
pub(super) fn watcher() -> impl Fn(&ServiceId, &RunEvent) -> Option<String> + Send + Sync + 'static {
    let picture = Mutex::new(Picture::default());
    move |service, event| {
        let mut picture = picture.lock();
        picture.hear(service, event);
        Some(picture.draw())
    }
}

#[derive(Default)]
struct Picture(BTreeMap<ServiceId, Standing>);

/// How one service stands.
struct Standing {
    holders: PerKey<BTreeSet<ConsumerId>>,
    /// Whether consumers were looked at, and whether some of them could not be seen.
    is_seen: bool,
    is_blind: bool,
    /// Those with a key that is neither of the two.
    invalid: BTreeSet<ConsumerId>,
    /// The wave that is moved, or asked how it is.
    wave: Option<(u32, Vec<ConsumerId>)>,
    /// What is waited for.
    waits: Option<String>,
}

impl Default for Standing {
    fn default() -> Self {
        let holders = PerKey::from_fn(|_| BTreeSet::new());
        let invalid = BTreeSet::new();
        Self { holders, is_seen: false, is_blind: false, invalid, wave: None, waits: None }
    }
}

impl Picture {
    fn hear(&mut self, service: &ServiceId, event: &RunEvent) {
        let standing = self.0.entry(service.clone()).or_default();
        match event {
            // Nothing but the keys was looked at yet.
            RunEvent::Checked(snapshot)
                if snapshot.consumers.is_empty()
                    && snapshot.seen.is_empty()
                    && snapshot.unknown.is_empty() => {}
            RunEvent::Checked(snapshot) => {
                standing.is_seen = true;
                standing.is_blind = !snapshot.unknown.is_empty();
                let holding = |fits: &dyn Fn(&Holding) -> bool| {
                    let fitting = snapshot.consumers.iter().filter(|consumer| fits(&consumer.holds));
                    fitting.map(|consumer| consumer.at.app.clone()).collect()
                };
                standing.holders =
                    PerKey::from_fn(|key_type| holding(&|held| *held == Holding::Valid(key_type)));
                standing.invalid = holding(&|held| matches!(held, Holding::Stale(_)));
            }
            RunEvent::Waiting(decision @ Decision::Waiting { .. }) => {
                standing.waits = Some(decision.in_words());
            }
            RunEvent::NotWellYet { why, until } => {
                standing.waits = Some(words::rotate_not_well_yet(readable(*until), why));
            }
            RunEvent::Recorded { event, .. } => standing.record(event),
            _ => {}
        }
    }

    fn draw(&self) -> String {
        let services = self.0.iter().take(SERVICES);
        let lines = services.flat_map(|(service, standing)| standing.lines(service.name()));
        let more = self.0.len().saturating_sub(SERVICES);
        let lines: Vec<String> = lines.chain((more > 0).then(|| and_more(more))).collect();
        lines.join("\n")
    }
}

impl Standing {
    fn record(&mut self, event: &Event) {
        match event {
            Event::WaveIntended { number, apps, .. } => self.wave = Some((*number, apps.clone())),
            Event::Repointed { key_type, apps, .. } => {
                for app in apps {
                    self.holders[key_type.other()].remove(app);
                    self.invalid.remove(app);
                    self.holders[*key_type].insert(app.clone());
                }
            }
            Event::GatePassed { .. } | Event::GateFailed { .. } => self.wave = None,
            // What is only seen ends no wait.
            Event::AppsSeen { .. } | Event::Taken { .. } | Event::Left { .. } => return,
            _ => {}
        }
        self.waits = None;
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let who = |all: &mut dyn Iterator<Item = &ConsumerId>| names(all.map(called), NAMES);
        let holders = |key_type: KeyType| {
            let all = &self.holders[key_type];
            match all.is_empty() {
                true if self.is_blind => words::ROTATE_NOBODY_SEEN.to_owned(),
                true => words::ROTATE_NOBODY.to_owned(),
                false => who(&mut all.iter()),
            }
        };
        let keys = KeyType::ALL.into_iter().filter(|_| self.is_seen);
        let keys = keys.map(|key_type| words::rotate_holders(name, key_type, holders(key_type)));
        let invalid =
            (!self.invalid.is_empty()).then(|| words::rotate_invalid(name, who(&mut self.invalid.iter())));
        let wave =
            self.wave.as_ref().map(|(number, apps)| words::rotate_wave(name, number, who(&mut apps.iter())));
        let waits = self.waits.as_ref().map(|why| format!("{name}: {why}"));
        keys.chain(invalid).chain(wave).chain(waits).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use rekey_core::model::{AppId, Key};
    use rekey_core::plan::{Consumer, ConsumerRef, Snapshot, Unknown, WaitFor};

    use super::*;

    fn at() -> DateTime<Utc> {
        "2026-09-24T13:00:00Z".parse().unwrap()
    }

    fn app(name: &str) -> ConsumerId {
        AppId::new("s", "g", name, None).into()
    }

    fn service(name: &str) -> ServiceId {
        format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.SignalRService/signalR/{name}")
            .parse()
            .unwrap()
    }

    fn checked(holders: &[(&str, Holding)]) -> RunEvent {
        let keys = PerKey::from_fn(|key_type| Key::new(key_type.as_str()).fingerprint());
        let mut snapshot = Snapshot::of_keys(at(), keys);
        snapshot.consumers = holders
            .iter()
            .map(|(name, holds)| Consumer {
                at: ConsumerRef { app: app(name), section: None, name: "SignalR".into() },
                holds: holds.clone(),
            })
            .collect();
        RunEvent::Checked(Box::new(snapshot))
    }

    fn recorded(event: Event) -> RunEvent {
        RunEvent::Recorded { event, in_flight: None }
    }

    #[test]
    fn it_shows_who_was_moved_who_is_waited_for_and_until_when() {
        let (mut picture, chat) = (Picture::default(), service("chat"));
        let primary = Holding::Valid(KeyType::Primary);
        let stale = Holding::Stale(Key::new("old").fingerprint());
        let mut hear = |event: &RunEvent| {
            picture.hear(&chat, event);
            picture.draw()
        };
        insta::assert_snapshot!(hear(&checked(&[("api", primary.clone()), ("web", primary), ("old", stale)])), @r"
        chat: on the Primary key: api, web
        chat: on the Secondary key: nobody
        chat: on an invalid key: old
        ");
        let repaired =
            Event::Repointed { key_type: KeyType::Primary, apps: vec![app("old")], repaired: true };
        hear(&recorded(repaired));
        hear(&recorded(Event::WaveIntended {
            number: 1,
            key_type: KeyType::Secondary,
            apps: vec![app("api")],
        }));
        let moved =
            Event::Repointed { key_type: KeyType::Secondary, apps: vec![app("api")], repaired: false };
        hear(&recorded(moved));
        let not_yet = RunEvent::NotWellYet { why: "api answered 503".into(), until: at() };
        insta::assert_snapshot!(hear(&not_yet), @r"
        chat: on the Primary key: old, web
        chat: on the Secondary key: api
        chat: wave 1 is on its way: api
        chat: waiting until 2026-09-24T13:00:00Z at most for who is not well yet: api answered 503
        ");
        hear(&recorded(Event::GatePassed { number: 1, left: vec![] }));
        let grace = Decision::Waiting { reason: WaitFor::Grace(KeyType::Primary), until: at() };
        insta::assert_snapshot!(hear(&RunEvent::Waiting(grace)), @r"
        chat: on the Primary key: old, web
        chat: on the Secondary key: api
        chat: waiting until 2026-09-24T13:00:00Z (grace period of the Primary key) before regenerating it
        ");
        let over = hear(&recorded(Event::RegenerationIntended { key_type: KeyType::Primary }));
        assert_eq!(over.lines().count(), 2, "{over}");
    }

    #[test]
    fn nobody_is_said_to_hold_a_key_only_where_all_were_looked_for() {
        let mut picture = Picture::default();
        let mut hear = |event: &RunEvent| {
            picture.hear(&service("chat"), event);
            picture.draw()
        };
        assert_eq!(hear(&checked(&[])), "", "the keys alone were read");
        let RunEvent::Checked(mut snapshot) = checked(&[("api", Holding::Valid(KeyType::Primary))]) else {
            unreachable!()
        };
        snapshot.unknown =
            vec![Unknown::Unreadable { app: app("web"), detail: "403".into(), passing: false }];
        insta::assert_snapshot!(hear(&RunEvent::Checked(snapshot)), @r"
        chat: on the Primary key: api
        chat: on the Secondary key: nobody who could be seen
        ");
    }

    #[test]
    fn of_many_services_some_are_drawn_and_the_rest_is_counted() {
        let mut picture = Picture::default();
        for number in 0..7 {
            picture.hear(
                &service(&format!("chat-{number}")),
                &checked(&[("api", Holding::Valid(KeyType::Primary))]),
            );
        }
        let drawn = picture.draw();
        assert!(drawn.lines().count() == 9 && drawn.ends_with("and 3 more"), "{drawn}");
    }
}
