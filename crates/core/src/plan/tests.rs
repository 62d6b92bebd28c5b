//! Each rule of the decision by a story of its own; and in `properties` all of them, in arbitrary worlds.

mod announced;
mod external;
mod held;
mod home;
mod properties;
mod quiet;
mod waves;
mod windows;
mod world;
mod writers;

use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::intent::{Cause, RotationRequest};
use crate::journal::{AfterGate, Event};
use crate::model::{AppId, ConsumerId, Fingerprint, Key, OperationUrl, Section};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

/// A regeneration of both keys, announced for a time.
fn both(at: DateTime<Utc>) -> Deadline {
    Deadline { at, keys: PerKey { primary: true, secondary: true } }
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
    let at = ConsumerRef { app: app(n), section: Some(Section::AppSettings), name: "SignalR".into() };
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
    let wait = |key_type, until| Decision::Waiting { reason: WaitFor::Grace(key_type), until };
    assert_eq!(first, wait(secondary, at(grace)), "somebody may have left the standby key a minute ago");

    let seen = snapshot(at(grace), "p", "s", &[P, P]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Regenerate(secondary)));
    story.regenerate(at(grace), secondary, "s2");

    let seen = snapshot(at(grace + 80), "p", "s2", &[P, P]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Verify(secondary)));
    story.event(at(grace + 85), Event::Verified { key_type: secondary });

    let seen = snapshot(at(grace + 86), "p", "s2", &[P, P]);
    let consumers = seen.holders(|holding| *holding == P);
    assert_eq!(
        story.look(&seen),
        Decision::Do(Step::Repoint { to: secondary, consumers, repair: false, part: Part::All })
    );

    let left = grace + 90;
    assert_eq!(story.look(&snapshot(at(left), "p", "s2", &[S, S])), wait(primary, at(left + grace)));
    let seen = snapshot(at(left + grace), "p", "s2", &[S, S]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Regenerate(primary)));
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
    assert_eq!(decision, Decision::Do(Step::Regenerate(KeyType::Secondary)));
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
    assert_eq!(
        decision,
        Decision::Do(Step::Repoint { to: KeyType::Secondary, consumers, repair: true, part: Part::All })
    );
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
    let reason = WaitFor::Grace(KeyType::Secondary);
    assert_eq!(cured, Decision::Waiting { reason, until: at(20_001 + 7200) });
}

#[test]
fn a_lost_answer_is_waited_out_and_a_changed_key_is_a_done_regeneration() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.event(at(7200), Event::RegenerationIntended { key_type: KeyType::Secondary });
    let reason = WaitFor::LostOperation(KeyType::Secondary);
    let unchanged = story.look(&snapshot(at(7205), "p", "s", &[P]));
    assert_eq!(unchanged, Decision::Waiting { reason, until: at(7200 + 600) });

    let mut done = Story { journal: story.journal.clone(), policy: story.policy.clone() };
    let reason = WaitFor::LostOperation(KeyType::Secondary);
    let early = done.look(&snapshot(at(7205), "p", "s2", &[P]));
    let until = at(7200 + 120);
    assert_eq!(early, Decision::Waiting { reason, until }, "ours may be on its way, and this another's");
    let decision = done.look(&snapshot(at(7320), "p", "s2", &[P]));
    assert_eq!(decision, Decision::Do(Step::Verify(KeyType::Secondary)));

    let rest = story.look(&snapshot(at(7800), "p", "s", &[P]));
    assert!(matches!(rest, Decision::Waiting { reason: WaitFor::RegenerateAgain { .. }, .. }), "{rest:?}");
    let again = story.look(&snapshot(at(7860), "p", "s", &[P]));
    assert_eq!(again, Decision::Do(Step::Regenerate(KeyType::Secondary)));
}

#[test]
fn consumers_split_over_both_keys_are_united_only_when_due() {
    let mut story = Story::new();
    story.policy.first_rotation = FirstRotation::WhenDue;
    let calm = story.look(&snapshot(at(0), "p", "s", &[P, S, S]));
    assert_eq!(calm, Decision::Settled { next: Some(at(30 * 86_400)) });
    let seen = snapshot(at(30 * 86_400), "p", "s", &[P, S, S]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Verify(KeyType::Secondary)));
    story.event(at(30 * 86_400), Event::Verified { key_type: KeyType::Secondary });
    let consumers = seen.holders(|holding| *holding == P);
    let to = KeyType::Secondary;
    assert_eq!(
        story.look(&seen),
        Decision::Do(Step::Repoint { to, consumers, repair: false, part: Part::All }),
        "fewer restarts"
    );
}

/// A text may hold both keys, and former ones: its consumer holds each of them, and is named once.
#[test]
fn a_consumer_of_several_keys_is_one_consumer_of_each() {
    let of_all = |time, primary: &str, secondary: &str, holds: &[Holding]| {
        let keys = PerKey { primary: fingerprint(primary), secondary: fingerprint(secondary) };
        let consumers = holds.iter().map(|holding| consumer(0, holding.clone())).collect();
        Snapshot { consumers, ..Snapshot::of_keys(time, keys) }
    };
    let mut story = Story::new();
    story.policy.first_rotation = FirstRotation::WhenDue;
    let due = 30 * 86_400;
    let calm = story.look(&of_all(at(0), "p", "s", &[P, S]));
    assert_eq!(calm, Decision::Settled { next: Some(at(due)) }, "neither key is regenerated for being left");
    story.event(at(due), Event::Verified { key_type: KeyType::Primary });
    let seen = of_all(at(due), "p", "s", &[P, S, P]);
    let consumers = vec![consumer(0, S).at];
    let united =
        Decision::Do(Step::Repoint { to: KeyType::Primary, consumers, repair: false, part: Part::All });
    assert_eq!(story.look(&seen), united);

    // Somebody regenerates the primary key: what is held of it is invalid twice over, and the other key is in use.
    let stale = || Holding::Stale(fingerprint("p"));
    let seen = of_all(at(due + 60), "p2", "s", &[stale(), Holding::Stale(fingerprint("before")), S]);
    let consumers = vec![consumer(0, S).at];
    assert_eq!((seen.stale(), seen.cut_off().len()), (consumers.clone(), 1));
    let repaired =
        Decision::Do(Step::Repoint { to: KeyType::Secondary, consumers, repair: true, part: Part::All });
    assert_eq!(story.look(&seen), repaired);
    let foreseen = forecast(&seen, &story.journal, &story.policy, seen.at, false);
    assert_eq!(foreseen.steps[0].decision, repaired);
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
    assert!(matches!(refuse(&mut story, 7280), Decision::Waiting { reason: WaitFor::Acceptance(_), .. }));
    assert!(matches!(refuse(&mut story, 9000), Decision::Blocked(BlockedBy::KeyRefused { .. })));
    let again = story.look(&snapshot(at(9100), "p", "s2", &[P]));
    assert_eq!(again, Decision::Do(Step::Verify(KeyType::Secondary)));
}

/// After a report of a leak somebody gives the apps a key that he has made himself. The other one of the report is still in
/// strange hands.
#[test]
fn every_compromised_key_dies_whoever_replaces_the_other() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.event(at(10), Event::RotationRequested { compromised: true, noticed: true });
    let grace = i64::try_from(story.policy.exposed_grace.as_secs()).unwrap();
    let by_hand = story.look(&snapshot(at(60), "p2", "s", &[P]));
    let reason = WaitFor::Grace(KeyType::Secondary);
    assert_eq!(by_hand, Decision::Waiting { reason, until: at(grace) }, "{by_hand:?}");
    let due = story.look(&snapshot(at(grace), "p2", "s", &[P]));
    assert_eq!(due, Decision::Do(Step::Regenerate(KeyType::Secondary)));
    story.regenerate(at(grace), KeyType::Secondary, "s2");
    let end = story.look(&snapshot(at(grace + 80), "p2", "s2", &[P]));
    assert!(matches!(end, Decision::Settled { .. }), "{end:?}");
}

/// The report calls for the first run of a service: adoption and request have one time.
#[test]
fn the_keys_that_a_first_check_finds_are_those_that_a_report_means() {
    let mut story = Story::new();
    let seen = snapshot(at(0), "p", "s", &[P]);
    let rotation = RotationRequest { cause: Cause::Compromised, since: Some(at(-60)) };
    let open = Open { rotation: Some(rotation), ..Open::nothing() };
    let assessed = assess(seen, &story.journal, open, &story.policy, at(0)).unwrap();
    story.journal = assessed.journal;
    let short = i64::try_from(story.policy.exposed_grace.as_secs()).unwrap();
    let waits = |until| Decision::Waiting { reason: WaitFor::Grace(KeyType::Secondary), until: at(until) };
    assert_eq!(assessed.decision, waits(short));
    assert_eq!(
        story.look(&snapshot(at(short), "p", "s", &[P])),
        Decision::Do(Step::Regenerate(KeyType::Secondary))
    );
    // What is made after that is no key that was there.
    story.regenerate(at(short), KeyType::Secondary, "s2");
    story.event(at(short + 80), Event::Verified { key_type: KeyType::Secondary });
    let moves = story.look(&snapshot(at(short + 90), "p", "s2", &[P]));
    assert!(matches!(moves, Decision::Do(Step::Repoint { to: KeyType::Secondary, .. })), "{moves:?}");
}

/// Where no app holds a key, the compromised ones open the service to whoever has them all the same.
#[test]
fn compromised_keys_that_nobody_holds_die_too() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[Holding::Identity]));
    assert!(matches!(
        story.look(&snapshot(at(5), "p", "s", &[Holding::Identity])),
        Decision::Settled { next: None }
    ));
    story.event(at(10), Event::RotationRequested { compromised: true, noticed: true });
    let grace = i64::try_from(story.policy.exposed_grace.as_secs()).unwrap();
    for (key_type, keys) in [(KeyType::Primary, ["p", "s"]), (KeyType::Secondary, ["p2", "s"])] {
        let due = story.look(&snapshot(at(grace + 100), keys[0], keys[1], &[Holding::Identity]));
        assert_eq!(due, Decision::Do(Step::Regenerate(key_type)));
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
    let follow = Decision::Do(Step::Follow(KeyType::Secondary));
    for key in ["s", "s2"] {
        let look = |time| snapshot(at(time), "p", key, &[P]);
        assert_eq!(story.clone().look(&look(7200 + 10 * longest)), follow, "as long as there is a URL");
        let mut unblocked = story.clone();
        unblocked.event(at(7210), Event::Unblocked {});
        // A changed key tells as soon as no request can be on its way, an unchanged one when none can be running.
        let known = 7200 + if key == "s" { longest } else { 120 };
        let waits =
            Decision::Waiting { reason: WaitFor::LostOperation(KeyType::Secondary), until: at(known) };
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
        let again = Decision::Do(Step::Regenerate(KeyType::Secondary));
        assert_eq!(story.clone().look(&look(time + 3601)), again, "{lasting} {times}");
        story.event(at(time + 60), Event::Unblocked {});
        assert_eq!(story.look(&look(time + 61)), again, "{lasting} {times}");
    }
}

#[test]
fn a_stale_consumer_is_repaired_before_a_grace_is_waited_for() {
    let mut story = Story::new();
    let until = at(2 * 3600);
    let reason = WaitFor::Grace(KeyType::Secondary);
    assert_eq!(story.look(&snapshot(at(0), "p", "s", &[P])), Decision::Waiting { reason, until });
    let seen = snapshot(at(9), "p2", "s", &[Holding::Stale(fingerprint("p"))]);
    let consumers = seen.stale();
    let repair = Step::Repoint { to: KeyType::Secondary, consumers, repair: true, part: Part::All };
    assert_eq!(story.look(&seen), Decision::Do(repair));
}
