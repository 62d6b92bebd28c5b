use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::journal::{Event, InFlight};
use crate::model::{AppId, ConsumerId, Fingerprint, Key, OperationUrl, Section};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn policy() -> Policy {
    Policy {
        rotate_every: Duration::from_secs(30 * 86_400),
        grace: Duration::from_secs(7200),
        ..Policy::default()
    }
}

fn app(n: usize) -> ConsumerId {
    AppId::new("s", "g", &format!("app-{n}"), None).into()
}

fn consumer(n: usize, holds: Holding) -> Consumer {
    let at = ConsumerRef { app: app(n), section: Section::AppSettings, name: "SignalR".into() };
    Consumer { at, holds }
}

fn fingerprint(name: &str) -> Fingerprint {
    Key::new(name).fingerprint()
}

fn snapshot(time: DateTime<Utc>, primary: &str, secondary: &str, holds: &[Holding]) -> Snapshot {
    let keys = PerKey { primary: fingerprint(primary), secondary: fingerprint(secondary) };
    let consumers = holds.iter().enumerate().map(|(n, holding)| consumer(n, holding.clone())).collect();
    Snapshot { consumers, ..Snapshot::of_keys(time, keys) }
}

/// A journal and what it is compared with, moved on step by step.
#[derive(Clone)]
struct Story {
    journal: Journal,
    policy: Policy,
}

impl Story {
    fn new() -> Self {
        Self { journal: Journal::default(), policy: policy() }
    }

    fn event(&mut self, time: DateTime<Utc>, event: Event) {
        self.journal.apply(event, time).unwrap();
    }

    fn look(&mut self, seen: &Snapshot) -> Decision {
        for event in reconcile(seen, &self.journal, &self.policy, seen.at) {
            self.event(seen.at, event);
        }
        decide(seen, &self.journal, &self.policy, seen.at)
    }

    fn regenerate(&mut self, time: DateTime<Utc>, key_type: KeyType, key: &str) {
        let (promised, operation) = (Some(fingerprint(key)), Some(OperationUrl::location("https://x")));
        self.event(time, Event::RegenerationIntended { key_type });
        self.event(time, Event::RegenerationAccepted { operation, promised });
        let done = Event::Regenerated { fingerprint: fingerprint(key), confirmed: true };
        self.event(time + TimeDelta::seconds(75), done);
    }
}

const P: Holding = Holding::Valid(KeyType::Primary);
const S: Holding = Holding::Valid(KeyType::Secondary);

#[test]
fn a_rotation_from_first_sight_to_the_death_of_the_old_key() {
    let mut story = Story::new();
    let (grace, primary, secondary) = (7200, KeyType::Primary, KeyType::Secondary);

    let first = story.look(&snapshot(at(0), "p", "s", &[P, P]));
    let wait = |key_type, until| Decision::Waiting { reason: WaitFor::Grace { key_type }, until };
    assert_eq!(first, wait(secondary, at(grace)), "somebody may have left the standby key a minute ago");

    let seen = snapshot(at(grace), "p", "s", &[P, P]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Regenerate { key_type: secondary }));
    story.regenerate(at(grace), secondary, "s2");

    let seen = snapshot(at(grace + 80), "p", "s2", &[P, P]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Verify { key_type: secondary }));
    story.event(at(grace + 85), Event::Verified { key_type: secondary });

    let seen = snapshot(at(grace + 86), "p", "s2", &[P, P]);
    let consumers = seen.holders(|holding| *holding == P);
    assert_eq!(story.look(&seen), Decision::Do(Step::Repoint { to: secondary, consumers, repair: false }));

    let left = grace + 90;
    assert_eq!(story.look(&snapshot(at(left), "p", "s2", &[S, S])), wait(primary, at(left + grace)));
    let seen = snapshot(at(left + grace), "p", "s2", &[S, S]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Regenerate { key_type: primary }));
    story.regenerate(at(left + grace), primary, "p2");

    let end = story.look(&snapshot(at(left + grace + 80), "p2", "s2", &[S, S]));
    assert_eq!(end, Decision::Settled { next: Some(at(grace + 75 + 30 * 86_400)) });
}

#[test]
fn a_standby_key_from_the_last_rotation_is_not_fresh() {
    let mut story = Story::new();
    story.policy.first_rotation = FirstRotation::WhenDue;
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.regenerate(at(10), KeyType::Secondary, "s2");
    let due = 30 * 86_400;
    let decision = story.look(&snapshot(at(due), "p", "s2", &[P]));
    assert_eq!(decision, Decision::Do(Step::Regenerate { key_type: KeyType::Secondary }));
}

#[test]
fn stale_consumers_come_first_and_get_the_key_that_surely_works() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P, P]));
    let stale = || Holding::Stale(fingerprint("p"));
    let mut seen = snapshot(at(9000), "p2", "s", &[stale(), stale()]);
    seen.unknown.push(Unknown::NoConsumer { app: app(9) });
    let decision = story.look(&seen);
    let consumers = seen.holders(|_| true);
    assert_eq!(decision, Decision::Do(Step::Repoint { to: KeyType::Secondary, consumers, repair: true }));
}

#[test]
fn a_standby_key_that_azure_confirmed_is_surer_than_one_that_was_just_forced() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.regenerate(at(7200), KeyType::Secondary, "s2");
    let seen = snapshot(at(7280), "p2", "s2", &[Holding::Stale(fingerprint("p"))]);
    let Decision::Do(Step::Repoint { to, .. }) = story.look(&seen) else { panic!("not repaired") };
    assert_eq!(to, KeyType::Secondary);
}

#[test]
fn when_both_keys_were_regenerated_stale_consumers_get_one_at_once() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    let seen = snapshot(at(9000), "p2", "s2", &[Holding::Stale(fingerprint("p"))]);
    assert!(matches!(story.look(&seen), Decision::Do(Step::Repoint { repair: true, .. })));
}

#[test]
fn a_stale_consumer_never_gets_the_key_that_is_about_to_die() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.event(at(7200), Event::RegenerationIntended { key_type: KeyType::Secondary });
    let seen = snapshot(at(7201), "p2", "s", &[Holding::Stale(fingerprint("p"))]);
    let Decision::Do(Step::Repoint { to, .. }) = story.look(&seen) else { panic!("not repaired") };
    assert_eq!(to, KeyType::Primary);
}

#[test]
fn not_knowing_blocks_regeneration_and_does_not_start_the_grace() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P, S]));
    let unreadable = || Unknown::Unreadable { app: app(1), detail: "403".into(), passing: false };
    for time in [10, 20_000] {
        let mut seen = snapshot(at(time), "p", "s", &[P]);
        seen.unknown.push(unreadable());
        let decision = story.look(&seen);
        assert_eq!(decision, Decision::Blocked(BlockedBy::Unknown(vec![unreadable()])));
    }
    let cured = story.look(&snapshot(at(20_001), "p", "s", &[P]));
    let reason = WaitFor::Grace { key_type: KeyType::Secondary };
    assert_eq!(cured, Decision::Waiting { reason, until: at(20_001 + 7200) });
}

#[test]
fn a_lost_answer_is_waited_out_and_a_changed_key_is_a_done_regeneration() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.event(at(7200), Event::RegenerationIntended { key_type: KeyType::Secondary });
    let reason = WaitFor::LostOperation { key_type: KeyType::Secondary };
    let unchanged = story.look(&snapshot(at(7205), "p", "s", &[P]));
    assert_eq!(unchanged, Decision::Waiting { reason, until: at(7200 + 600) });

    let mut done = Story { journal: story.journal.clone(), policy: story.policy };
    let reason = WaitFor::LostOperation { key_type: KeyType::Secondary };
    let early = done.look(&snapshot(at(7205), "p", "s2", &[P]));
    let until = at(7200 + 120);
    assert_eq!(early, Decision::Waiting { reason, until }, "ours may be on its way, and this another's");
    let decision = done.look(&snapshot(at(7320), "p", "s2", &[P]));
    assert_eq!(decision, Decision::Do(Step::Verify { key_type: KeyType::Secondary }));

    let rest = story.look(&snapshot(at(7800), "p", "s", &[P]));
    assert!(matches!(rest, Decision::Waiting { reason: WaitFor::RegenerateAgain { .. }, .. }), "{rest:?}");
    let again = story.look(&snapshot(at(7860), "p", "s", &[P]));
    assert_eq!(again, Decision::Do(Step::Regenerate { key_type: KeyType::Secondary }));
}

#[test]
fn consumers_split_over_both_keys_are_united_only_when_due() {
    let mut story = Story::new();
    story.policy.first_rotation = FirstRotation::WhenDue;
    let calm = story.look(&snapshot(at(0), "p", "s", &[P, S, S]));
    assert_eq!(calm, Decision::Settled { next: Some(at(30 * 86_400)) });
    let seen = snapshot(at(30 * 86_400), "p", "s", &[P, S, S]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Verify { key_type: KeyType::Secondary }));
    story.event(at(30 * 86_400), Event::Verified { key_type: KeyType::Secondary });
    let consumers = seen.holders(|holding| *holding == P);
    let to = KeyType::Secondary;
    assert_eq!(
        story.look(&seen),
        Decision::Do(Step::Repoint { to, consumers, repair: false }),
        "fewer restarts"
    );
}

#[test]
fn a_refused_key_moves_nobody_and_blocks_in_the_end() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.regenerate(at(7200), KeyType::Secondary, "s2");
    let refuse = |story: &mut Story, time| {
        let detail = "401".to_owned();
        story.event(at(time), Event::VerificationRefused { key_type: KeyType::Secondary, detail });
        story.look(&snapshot(at(time + 1), "p", "s2", &[P]))
    };
    assert!(matches!(refuse(&mut story, 7280), Decision::Waiting { reason: WaitFor::Acceptance { .. }, .. }));
    assert!(matches!(refuse(&mut story, 9000), Decision::Blocked(BlockedBy::KeyRefused { .. })));
    let again = story.look(&snapshot(at(9100), "p", "s2", &[P]));
    assert_eq!(again, Decision::Do(Step::Verify { key_type: KeyType::Secondary }));
}

/// After a report of a leak somebody gives the apps a key that he has made himself. The other one of the report is still in
/// strange hands.
#[test]
fn every_exposed_key_dies_whoever_replaces_the_other() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.event(at(10), Event::RotationRequested { exposed: true, noticed: true });
    let grace = i64::try_from(story.policy.exposed_grace.as_secs()).unwrap();
    let by_hand = story.look(&snapshot(at(60), "p2", "s", &[P]));
    let reason = WaitFor::Grace { key_type: KeyType::Secondary };
    assert_eq!(by_hand, Decision::Waiting { reason, until: at(grace) }, "{by_hand:?}");
    let due = story.look(&snapshot(at(grace), "p2", "s", &[P]));
    assert_eq!(due, Decision::Do(Step::Regenerate { key_type: KeyType::Secondary }));
    story.regenerate(at(grace), KeyType::Secondary, "s2");
    let end = story.look(&snapshot(at(grace + 80), "p2", "s2", &[P]));
    assert!(matches!(end, Decision::Settled { .. }), "{end:?}");
}

/// Where no app holds a key, the exposed ones open the service to whoever has them all the same.
#[test]
fn exposed_keys_that_nobody_holds_die_too() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[Holding::Identity]));
    assert!(matches!(
        story.look(&snapshot(at(5), "p", "s", &[Holding::Identity])),
        Decision::Settled { next: None }
    ));
    story.event(at(10), Event::RotationRequested { exposed: true, noticed: true });
    let grace = i64::try_from(story.policy.exposed_grace.as_secs()).unwrap();
    for (key_type, keys) in [(KeyType::Primary, ["p", "s"]), (KeyType::Secondary, ["p2", "s"])] {
        let due = story.look(&snapshot(at(grace + 100), keys[0], keys[1], &[Holding::Identity]));
        assert_eq!(due, Decision::Do(Step::Regenerate { key_type }));
        story.regenerate(at(grace + 100), key_type, if key_type == KeyType::Primary { "p2" } else { "s2" });
    }
    let end = story.look(&snapshot(at(grace + 300), "p2", "s2", &[Holding::Identity]));
    assert_eq!(end, Decision::Settled { next: None });
}

#[test]
fn an_operation_that_cannot_be_asked_is_asked_until_the_keys_tell_and_never_sent_again_before() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.event(at(7200), Event::RegenerationIntended { key_type: KeyType::Secondary });
    let operation = Some(OperationUrl::location("https://x"));
    story.event(at(7201), Event::RegenerationAccepted { operation, promised: Some(fingerprint("s2")) });
    let longest = i64::try_from(story.policy.longest_operation.as_secs()).unwrap();
    let follow = Decision::Do(Step::Follow { key_type: KeyType::Secondary });
    for key in ["s", "s2"] {
        let look = |time| snapshot(at(time), "p", key, &[P]);
        assert_eq!(story.clone().look(&look(7200 + 10 * longest)), follow, "as long as there is a URL");
        let mut unblocked = story.clone();
        unblocked.event(at(7210), Event::Unblocked {});
        // A changed key tells as soon as no request can be on its way, an unchanged one when none can be running.
        let known = 7200 + if key == "s" { longest } else { 120 };
        let waits = Decision::Waiting {
            reason: WaitFor::LostOperation { key_type: KeyType::Secondary },
            until: at(known),
        };
        assert_eq!(unblocked.clone().look(&look(7211)), waits, "{key}");
        assert_eq!(unblocked.clone().look(&look(known - 1)), waits, "{key}");
        unblocked.look(&look(known));
        assert!(unblocked.journal.in_flight().is_none(), "{key}");
        assert_eq!(unblocked.journal.failures().is_some(), key == "s", "{key}");
    }
    let flight = story.journal.in_flight().unwrap();
    assert!(!is_overdue(flight, &story.policy, at(7200 + longest - 1)));
    assert!(is_overdue(flight, &story.policy, at(7200 + longest)));
    let short = Policy { longest_operation: Duration::from_secs(10), ..story.policy };
    assert!(!is_overdue(flight, &short, at(7200 + 119)), "a request may be on its way for two minutes");
    assert!(is_overdue(flight, &short, at(7200 + 120)));
}

#[test]
fn a_regeneration_that_is_refused_for_good_blocks_until_it_is_tried_again() {
    for (lasting, times, blocks) in [(false, 1, false), (false, 5, false), (false, 6, true), (true, 1, true)]
    {
        let mut story = Story::new();
        story.look(&snapshot(at(0), "p", "s", &[P]));
        let mut time = 7200;
        for _ in 0..times {
            time += 10_000;
            story.event(at(time), Event::RegenerationIntended { key_type: KeyType::Secondary });
            let detail = "409 ScopeLocked".to_owned();
            story.event(at(time), Event::RegenerationFailed { detail, lasting });
        }
        let look = |time| snapshot(at(time), "p", "s", &[P]);
        let decision = story.look(&look(time + 59));
        let blocked = matches!(decision, Decision::Blocked(BlockedBy::RegenerationFails { .. }));
        let waits = matches!(decision, Decision::Waiting { reason: WaitFor::RegenerateAgain { .. }, .. });
        assert_eq!((blocked, waits), (blocks, !blocks), "{lasting} {times}: {decision:?}");
        assert!(format!("{decision:?}").contains("409 ScopeLocked"), "{decision:?}");
        let again = Decision::Do(Step::Regenerate { key_type: KeyType::Secondary });
        assert_eq!(story.clone().look(&look(time + 3601)), again, "{lasting} {times}");
        story.event(at(time + 60), Event::Unblocked {});
        assert_eq!(story.look(&look(time + 61)), again, "{lasting} {times}");
    }
}

#[test]
fn a_stale_consumer_is_repaired_before_a_grace_is_waited_for() {
    let mut story = Story::new();
    let until = at(2 * 3600);
    let reason = WaitFor::Grace { key_type: KeyType::Secondary };
    assert_eq!(story.look(&snapshot(at(0), "p", "s", &[P])), Decision::Waiting { reason, until });
    let seen = snapshot(at(9), "p2", "s", &[Holding::Stale(fingerprint("p"))]);
    let consumers = seen.stale();
    let repair = Step::Repoint { to: KeyType::Secondary, consumers, repair: true };
    assert_eq!(story.look(&seen), Decision::Do(repair));
}

// ---- arbitrary worlds -------------------------------------------------------------------------------------------

/// What happens to a world between two of our steps, or to a pass of ours.
#[derive(Clone, Debug)]
enum Move {
    /// A pass of up to so many steps; then the process is killed.
    Pass {
        steps: usize,
        kill: Kill,
    },
    Time(i64),
    Outside(KeyType),
    Edit {
        app: usize,
        to: KeyType,
    },
    Readable {
        app: usize,
        readable: bool,
    },
    Delete {
        app: usize,
    },
    /// It gets another id, under which nobody looks for it, and goes on with what it holds; or it is named by its new id.
    Rename {
        app: usize,
        named: bool,
    },
    Request {
        exposed: bool,
    },
    /// Whether the URLs of operations can be asked.
    Askable(bool),
    /// A person forgets what stands in the way.
    Unblock,
}

/// Where in a regeneration the process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kill {
    No,
    BeforeSend,
    BeforeAnswer,
    AfterRepointOf(usize),
}

/// Azure and its apps, as far as keys go. Keys are numbers; each is made once.
#[derive(Debug)]
struct World {
    now: DateTime<Utc>,
    keys: PerKey<u64>,
    /// The regeneration that has not taken effect: key type, the key that still works, when it ends.
    pending: Option<(KeyType, u64, DateTime<Utc>)>,
    /// Whether that was started from outside.
    pending_outside: bool,
    listed_at_once: bool,
    askable: bool,
    apps: Vec<WorldApp>,
    last_held: BTreeMap<u64, DateTime<Utc>>,
    made: u64,
    /// The keys that were there when they were reported as exposed.
    exposed: BTreeSet<u64>,
    journal: Journal,
    policy: Policy,
}

#[derive(Clone, Debug)]
struct WorldApp {
    key: u64,
    readable: bool,
    deleted: bool,
    /// It is not found under the id that is configured.
    renamed: bool,
    /// An outside regeneration took its key: it may be failing until it is repaired.
    excused: bool,
}

impl World {
    fn new(holds: &[KeyType], listed_at_once: bool, first_rotation: FirstRotation) -> Self {
        let keys = PerKey { primary: 1, secondary: 2 };
        let app = |key_type: &KeyType| WorldApp {
            key: keys[*key_type],
            readable: true,
            deleted: false,
            renamed: false,
            excused: false,
        };
        let start = at(1_000_000);
        Self {
            now: start,
            keys,
            pending: None,
            pending_outside: false,
            listed_at_once,
            askable: true,
            apps: holds.iter().map(app).collect(),
            last_held: BTreeMap::from([(1, start), (2, start)]),
            made: 2,
            exposed: BTreeSet::new(),
            journal: Journal::default(),
            policy: Policy { first_rotation, ..policy() },
        }
    }

    fn listed(&self, key_type: KeyType) -> u64 {
        match self.pending {
            Some((pending, old, _)) if pending == key_type && !self.listed_at_once => old,
            _ => self.keys[key_type],
        }
    }

    fn works(&self, key: u64) -> bool {
        KeyType::ALL.into_iter().any(|key_type| match self.pending {
            Some((pending, old, _)) if pending == key_type => old == key,
            _ => self.keys[key_type] == key,
        })
    }

    fn pass_time(&mut self, seconds: i64) {
        for app in self.apps.iter().filter(|app| !app.deleted) {
            self.last_held.insert(app.key, self.now + TimeDelta::seconds(seconds));
        }
        self.now += TimeDelta::seconds(seconds);
        if let Some((_, old, _)) = self.pending.take_if(|(_, _, end)| *end <= self.now)
            && self.pending_outside
        {
            self.apps.iter_mut().filter(|app| app.key == old).for_each(|app| app.excused = true);
        }
        self.nobody_is_cut_off();
    }

    fn nobody_is_cut_off(&self) {
        for app in self.apps.iter().filter(|app| !app.deleted && !app.excused) {
            assert!(self.works(app.key), "an app was cut off: {self:#?}");
        }
    }

    /// Azure's operation; refused while another runs.
    fn start_regeneration(&mut self, key_type: KeyType) -> bool {
        if self.pending.is_some() {
            return false;
        }
        self.made += 1;
        let old = std::mem::replace(&mut self.keys[key_type], self.made);
        self.pending = Some((key_type, old, self.now + TimeDelta::seconds(75)));
        self.pending_outside = false;
        true
    }

    fn outside(&mut self, key_type: KeyType) {
        if self.start_regeneration(key_type) {
            self.pending_outside = true;
            self.last_held.insert(self.keys[key_type], self.now);
        }
    }

    fn look(&self) -> Snapshot {
        let name = |key: u64| key.to_string();
        let holding = |key: u64| match KeyType::ALL.into_iter().find(|key_type| self.listed(*key_type) == key)
        {
            Some(key_type) => Holding::Valid(key_type),
            None => Holding::Stale(fingerprint(&name(key))),
        };
        let there = || self.apps.iter().enumerate().filter(|(_, app)| !app.deleted);
        let unreadable = |n| Unknown::Unreadable { app: app(n), detail: "403".into(), passing: false };
        let keys = PerKey::from_fn(|key_type| fingerprint(&name(self.listed(key_type))));
        let renamed = |n| match self.journal.seen(&app(n)) {
            Some(held) => {
                let whereabouts = Whereabouts::Unclear("403".into());
                let either = keys.iter().filter(|_| self.journal.is_blurred(&app(n))).map(|(_, key)| key);
                let held = held.iter().chain(either).cloned().collect();
                Unknown::Vanished { app: app(n), whereabouts, held }
            }
            None => Unknown::NeverSeen { app: app(n), meant: None },
        };
        let seen = || there().filter(|(_, a)| a.readable && !a.renamed);
        let blurred = there()
            .filter(|(n, a)| !a.readable && !a.renamed && self.journal.seen(&app(*n)).is_some())
            .map(|(n, _)| app(n))
            .collect();
        let unknown = there().filter_map(|(n, a)| match (a.renamed, a.readable) {
            (true, _) => Some(renamed(n)),
            (false, false) => Some(unreadable(n)),
            (false, true) => None,
        });
        Snapshot {
            consumers: seen().map(|(n, a)| consumer(n, holding(a.key))).collect(),
            unknown: unknown.collect(),
            seen: seen().map(|(n, a)| (app(n), vec![fingerprint(&name(a.key))])).collect(),
            blurred,
            ..Snapshot::of_keys(self.now, keys.clone())
        }
    }

    fn remember(&mut self, seen: &Snapshot) {
        for event in reconcile(seen, &self.journal, &self.policy, self.now) {
            self.record(event);
        }
    }

    fn record(&mut self, event: Event) {
        self.journal.apply(event, self.now).unwrap();
    }

    /// Up to `steps` steps of a pass; the last decision.
    fn pass(&mut self, steps: usize, kill: Kill) -> Decision {
        for _ in 0..steps {
            self.pass_time(1);
            let seen = self.look();
            self.remember(&seen);
            match decide(&seen, &self.journal, &self.policy, self.now) {
                Decision::Do(step) => {
                    if self.act(step, kill) {
                        break;
                    }
                }
                end => {
                    self.ends_well_only_if_all_is_seen(&end);
                    return end;
                }
            }
        }
        decide(&self.look(), &self.journal, &self.policy, self.now)
    }

    /// Invariant 11, read off the world and not off what was seen of it.
    fn ends_well_only_if_all_is_seen(&self, end: &Decision) {
        if matches!(end, Decision::Settled { .. } | Decision::Waiting { .. }) {
            let out_of_sight = |app: &&WorldApp| !app.deleted && (!app.readable || app.renamed);
            assert!(
                self.apps.iter().find(out_of_sight).is_none(),
                "{end:?}, with an app out of sight: {self:#?}"
            );
            let listed = |key| KeyType::ALL.into_iter().any(|key_type| self.listed(key_type) == key);
            let stale = |app: &&WorldApp| !app.deleted && !listed(app.key);
            assert!(self.apps.iter().find(stale).is_none(), "{end:?}, with a stale app: {self:#?}");
        }
    }

    /// Does a step; true if the process was killed in it.
    fn act(&mut self, step: Step, kill: Kill) -> bool {
        match step {
            Step::Repoint { to, consumers, repair } => self.repoint(to, &consumers, repair, kill),
            Step::Regenerate { key_type } => self.regenerate(key_type, kill),
            Step::Verify { key_type } => {
                let detail = "401".to_owned();
                let accepted = self.works(self.listed(key_type));
                let refused = Event::VerificationRefused { key_type, detail };
                self.record(if accepted { Event::Verified { key_type } } else { refused });
                false
            }
            Step::Follow { .. } => {
                self.pass_time(80);
                let flight = self.journal.in_flight().unwrap().clone();
                if !self.askable {
                    return self.cannot_ask(&flight);
                }
                let now = fingerprint(&self.listed(flight.key_type).to_string());
                let detail = "no effect".to_owned();
                self.record(if now == flight.prior {
                    Event::RegenerationFailed { detail, lasting: false }
                } else {
                    Event::Regenerated { fingerprint: now, confirmed: true }
                });
                false
            }
        }
    }

    /// The operation's URL is refused; true if that ends the run.
    fn cannot_ask(&mut self, flight: &InFlight) -> bool {
        let overdue = is_overdue(flight, &self.policy, self.now);
        if overdue {
            let over = self.pending.is_none_or(|(_, _, end)| end <= self.now);
            assert!(over || self.pending_outside, "it still runs: {self:#?}");
            self.record(Event::OperationLost {});
        }
        !overdue
    }

    fn repoint(&mut self, to: KeyType, consumers: &[ConsumerRef], repair: bool, kill: Kill) -> bool {
        self.record(Event::RepointIntended { key_type: to });
        self.record(handed_out(&self.journal, &fingerprint(&self.listed(to).to_string()), consumers));
        for (done, at) in consumers.iter().enumerate() {
            if kill == Kill::AfterRepointOf(done) {
                return true;
            }
            let key = self.listed(to);
            let worked = self.works(key);
            let index = (0..self.apps.len()).find(|n| app(*n) == at.app).unwrap();
            let app = &mut self.apps[index];
            assert!(repair || worked, "moved to a key that does not work");
            self.last_held.insert(app.key, self.now);
            app.key = key;
            app.excused = !worked;
        }
        let apps = consumers.iter().map(|at| at.app.clone()).collect();
        self.record(Event::Repointed { key_type: to, apps, repaired: repair });
        false
    }

    fn regenerate(&mut self, key_type: KeyType, kill: Kill) -> bool {
        let key = self.keys[key_type];
        let held = self.apps.iter().any(|app| !app.deleted && app.key == key);
        assert!(!held, "regenerated a key that an app holds: {self:#?}");
        let left = self.last_held.get(&key).copied();
        let exposed = self.exposed.contains(&key);
        let grace = delta(if exposed { self.policy.exposed_grace } else { self.policy.grace });
        let over = left.is_none_or(|left| left + grace <= self.now);
        assert!(over || self.pending.is_some(), "regenerated within the grace, and not refused: {self:#?}");
        self.record(Event::RegenerationIntended { key_type });
        if kill == Kill::BeforeSend {
            return true;
        }
        let accepted = self.start_regeneration(key_type);
        if kill == Kill::BeforeAnswer {
            return true;
        }
        let operation = Some(OperationUrl::location("https://x"));
        let promised = Some(fingerprint(&self.keys[key_type].to_string()));
        let detail = "409 Conflict".to_owned();
        self.record(if accepted {
            Event::RegenerationAccepted { operation, promised }
        } else {
            Event::RegenerationFailed { detail, lasting: false }
        });
        false
    }

    fn make(&mut self, change: &Move) {
        match *change {
            Move::Pass { steps, kill } => drop(self.pass(steps, kill)),
            Move::Time(seconds) => self.pass_time(seconds),
            Move::Outside(key_type) => self.outside(key_type),
            Move::Edit { app, to } => self.edit(app, to),
            Move::Readable { app, readable } => self.with_app(app, |app| app.readable = readable),
            Move::Delete { app } => self.with_app(app, |app| app.deleted = true),
            Move::Rename { app, named } => self.with_app(app, |app| app.renamed = !named),
            Move::Askable(askable) => self.askable = askable,
            Move::Unblock => self.record(Event::Unblocked {}),
            Move::Request { exposed } => {
                if self.journal.keys().is_some() {
                    if exposed {
                        self.exposed.extend(self.keys.iter().map(|(_, key)| *key));
                        self.exposed.extend(self.pending.map(|(_, old, _)| old));
                    }
                    self.record(Event::RotationRequested { exposed, noticed: false });
                }
            }
        }
    }

    /// A colleague gives an app a key. Giving it one that is being replaced is his own doing. The one assumption that
    /// the proof makes: what he does lasts until the next look, for what comes and goes in between is never seen.
    fn edit(&mut self, app: usize, to: KeyType) {
        let key = self.listed(to);
        let safe = self.pending.is_none_or(|(pending, ..)| pending != to)
            && self.journal.in_flight().is_none_or(|flight| flight.key_type != to);
        let now = self.now;
        let old = &self.apps[app % self.apps.len()];
        if old.deleted || old.renamed {
            return;
        }
        self.last_held.insert(old.key, now);
        self.with_app(app, |app| (app.key, app.excused) = (key, !safe));
        self.remember(&self.look());
    }

    fn with_app(&mut self, app: usize, change: impl FnOnce(&mut WorldApp)) {
        let index = app % self.apps.len();
        change(&mut self.apps[index]);
    }
}

/// It goes out of sight, takes a key there, gets another id, and is deleted: until then it held the key, and its grace begins.
#[test]
fn who_vanished_out_of_sight_may_have_held_either_key_until_it_is_deleted() {
    use KeyType::{Primary, Secondary};
    let mut world = World::new(&[Secondary, Secondary, Primary], false, FirstRotation::Now);
    for change in [
        Move::Pass { steps: 3, kill: Kill::No },
        Move::Time(7199),
        Move::Pass { steps: 5, kill: Kill::No },
        Move::Readable { app: 0, readable: false },
        Move::Edit { app: 0, to: Secondary },
        Move::Rename { app: 0, named: false },
        Move::Pass { steps: 1, kill: Kill::No },
        Move::Time(899),
        Move::Delete { app: 0 },
        Move::Request { exposed: true },
        Move::Pass { steps: 1, kill: Kill::No },
    ] {
        // The world itself knows when a key was last held, and refuses what comes within its grace.
        world.make(&change);
    }
    let seen = world.look();
    let decision = decide(&seen, &world.journal, &world.policy, world.now);
    assert!(matches!(decision, Decision::Waiting { reason: WaitFor::Grace { .. }, .. }), "{decision:?}");
}

fn key_type() -> impl Strategy<Value = KeyType> {
    prop_oneof![Just(KeyType::Primary), Just(KeyType::Secondary)]
}

fn a_move() -> impl Strategy<Value = Move> {
    let kill = prop_oneof![
        4 => Just(Kill::No),
        1 => Just(Kill::BeforeSend),
        1 => Just(Kill::BeforeAnswer),
        1 => (0..3_usize).prop_map(Kill::AfterRepointOf),
    ];
    let time = prop_oneof![1..200_i64, 200..20_000_i64, 80_000..3_000_000_i64];
    prop_oneof![
        6 => (1..12_usize, kill).prop_map(|(steps, kill)| Move::Pass { steps, kill }),
        4 => time.prop_map(Move::Time),
        1 => key_type().prop_map(Move::Outside),
        1 => (0..4_usize, key_type()).prop_map(|(app, to)| Move::Edit { app, to }),
        1 => (0..4_usize, any::<bool>()).prop_map(|(app, readable)| Move::Readable { app, readable }),
        1 => (0..4_usize).prop_map(|app| Move::Delete { app }),
        1 => (0..4_usize, any::<bool>()).prop_map(|(app, named)| Move::Rename { app, named }),
        1 => any::<bool>().prop_map(|exposed| Move::Request { exposed }),
        1 => any::<bool>().prop_map(Move::Askable),
        1 => Just(Move::Unblock),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// Invariants 1, 2 and 3 in every world and interleaving, and every world settles.
    #[test]
    fn nobody_is_ever_cut_off_and_every_world_settles(
        holds in prop::collection::vec(key_type(), 1..4),
        listed_at_once in any::<bool>(),
        now in any::<bool>(),
        askable_at_last in any::<bool>(),
        moves in prop::collection::vec(a_move(), 0..40),
    ) {
        let first = if now { FirstRotation::Now } else { FirstRotation::WhenDue };
        let mut world = World::new(&holds, listed_at_once, first);
        for change in &moves {
            world.make(change);
        }
        world.apps.iter_mut().for_each(|app| (app.readable, app.renamed) = (true, false));
        world.askable = askable_at_last;
        world.pass_time(100);
        let mut passes = 0;
        while !matches!(world.pass(20, Kill::No), Decision::Settled { .. }) {
            world.pass_time(600);
            passes += 1;
            prop_assert!(passes < 200, "does not settle: {world:#?}");
        }
        world.pass_time(100);
        for app in world.apps.iter().filter(|app| !app.deleted) {
            prop_assert!(world.works(app.key), "left behind with a dead key: {world:#?}");
        }
    }

    /// From every world a forecast comes to its end, and begins with what is decided now; who is stale comes first.
    #[test]
    fn a_forecast_comes_to_its_end(
        holds in prop::collection::vec(key_type(), 1..4),
        listed_at_once in any::<bool>(),
        moves in prop::collection::vec(a_move(), 0..40),
        asked in any::<bool>(),
    ) {
        let mut world = World::new(&holds, listed_at_once, FirstRotation::Now);
        moves.iter().for_each(|change| world.make(change));
        let seen = world.look();
        let foreseen = forecast(&seen, &world.journal, &world.policy, world.now, asked);
        prop_assert!(foreseen.steps.len() < 50, "it goes on and on: {foreseen:#?}");
        let ends = matches!(foreseen.end, Decision::Settled { .. } | Decision::Blocked(BlockedBy::Unknown(_)));
        let fails = matches!(foreseen.end, Decision::Blocked(BlockedBy::RegenerationFails { .. } | BlockedBy::KeyRefused { .. }));
        prop_assert!(ends || fails, "{foreseen:#?}");
        if !asked {
            let mut journal = world.journal.clone();
            for event in reconcile(&seen, &journal, &world.policy, world.now) {
                journal.apply(event, world.now).unwrap();
            }
            let now = decide(&seen, &journal, &world.policy, world.now);
            let first = foreseen.steps.first().map_or(&foreseen.end, |step| &step.decision);
            prop_assert_eq!(first, &now);
        }
        let repairs = |foreseen: &Foreseen| matches!(foreseen.decision, Decision::Do(Step::Repoint { repair: true, .. }));
        prop_assert!(seen.stale().is_empty() || repairs(&foreseen.steps[0]), "{foreseen:#?}");
        prop_assert!(foreseen.steps.is_sorted_by_key(|step| step.at) && foreseen.over >= world.now);
    }

    /// decide is total: whatever the journal and the snapshot, even when they have nothing to do with each other.
    #[test]
    fn decide_never_panics(
        moves in prop::collection::vec(a_move(), 0..20),
        others in prop::collection::vec(a_move(), 0..20),
        seconds in any::<i32>(),
    ) {
        let mut one = World::new(&[KeyType::Primary, KeyType::Secondary], true, FirstRotation::Now);
        moves.iter().for_each(|change| one.make(change));
        let mut other = World::new(&[KeyType::Secondary], false, FirstRotation::WhenDue);
        others.iter().for_each(|change| other.make(change));
        let now = one.now + TimeDelta::seconds(i64::from(seconds));
        let mut journal = one.journal.clone();
        for event in reconcile(&other.look(), &journal, &one.policy, now) {
            journal.apply(event, now).unwrap();
        }
        drop(decide(&other.look(), &one.journal, &one.policy, now));
        drop(decide(&other.look(), &journal, &one.policy, now));
    }
}
