//! What a pause and a missing approval hold back, and what they do not.

use std::collections::BTreeSet;

use super::*;
use crate::policy::ApprovalPolicy;

const DAY: i64 = 86_400;
const PRIMARY: KeyType = KeyType::Primary;
const SECONDARY: KeyType = KeyType::Secondary;

fn paused(until: i64) -> Event {
    Event::Paused { until: at(until), by: "ada".into(), why: "an audit".into() }
}

fn approving() -> Story {
    let mut story = Story::new();
    story.policy.approval = ApprovalPolicy::Required;
    story
}

/// What is waited for: the approval of the rotation that replaces a key, since its first sight.
fn asked(key_type: KeyType, key: &str, since: i64, expired: Option<i64>) -> Decision {
    let due = Due { key_type, key: fingerprint(key), since: at(since) };
    let reason = WaitFor::Approval { due, expired: expired.map(at) };
    Decision::Waiting { reason, until: at(since + 30 * DAY) }
}

fn grace(key_type: KeyType, until: i64) -> Decision {
    Decision::Waiting { reason: WaitFor::Grace(key_type), until: at(until) }
}

impl Story {
    fn approve(&mut self, time: i64, seen: &Snapshot) {
        let Asks::For(due) = asks(seen, &self.journal, &self.policy, at(time)) else {
            panic!("it is not asked")
        };
        let event = approves(&due, "ada".into(), false, &self.policy, at(time));
        self.event(at(time), event);
    }

    fn heed(&self, time: i64, key: &str, given: i64, seen: &Snapshot) -> (Heeded, Vec<Event>) {
        let one = Approving { key: fingerprint(key), by: "bob".into(), at: at(given) };
        let approvals = BTreeSet::from([one]);
        let open = Open { approvals: &approvals, ..Open::nothing() };
        let assessed = assess(seen.clone(), &self.journal, open, &self.policy, at(time)).unwrap();
        let [(_, heeded)] = &assessed.heeded[..] else { panic!("{assessed:#?}") };
        (heeded.clone(), assessed.news)
    }
}

#[test]
fn a_pause_holds_the_rotation_and_neither_proofs_nor_repairs_nor_the_end_of_a_key_that_was_left() {
    let mut story = Story::new();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    story.event(at(10), paused(50_000));
    let held = |story: &mut Story, seen: &Snapshot| match story.look(seen) {
        Decision::Waiting { reason: WaitFor::Pause(pause), until } => {
            assert_eq!((until, pause.by.as_str(), pause.why.as_str()), (pause.until, "ada", "an audit"));
            true
        }
        _ => false,
    };
    assert!(held(&mut story, &snapshot(at(7200), "p", "s", &[P])), "nothing is regenerated");
    let stale = snapshot(at(7300), "p", "s", &[Holding::Stale(fingerprint("o"))]);
    assert!(story.look(&stale).repairs());

    // It is paused in the middle: the key is proved, and nobody is moved.
    story.event(at(7400), Event::Resumed { by: "ada".into() });
    let seen = snapshot(at(8000), "p", "s", &[P]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Regenerate(SECONDARY)));
    story.regenerate(at(8000), SECONDARY, "s2");
    story.event(at(8080), paused(50_000));
    assert_eq!(story.look(&snapshot(at(8090), "p", "s2", &[P])), Decision::Do(Step::Verify(SECONDARY)));
    story.event(at(8090), Event::Verified { key_type: SECONDARY });
    assert!(held(&mut story, &snapshot(at(8100), "p", "s2", &[P, P])));
    assert!(held(&mut story, &snapshot(at(8100), "p", "s2", &[S, P])), "one of two was moved when it began");
    let moves = story.look(&snapshot(at(50_000), "p", "s2", &[S, P]));
    assert!(
        matches!(moves, Decision::Do(Step::Repoint { repair: false, .. })),
        "it ends by itself: {moves:?}"
    );

    // What was left dies in a pause too.
    story.event(at(50_010), paused(90_000));
    assert_eq!(story.look(&snapshot(at(50_020), "p", "s2", &[S, S])), grace(PRIMARY, 57_220));
    let dies = story.look(&snapshot(at(57_220), "p", "s2", &[S, S]));
    assert_eq!(dies, Decision::Do(Step::Regenerate(PRIMARY)));
}

#[test]
fn a_pause_holds_neither_compromised_keys_nor_what_is_announced_for_a_time_within_it() {
    let begun = |events: Vec<Event>| {
        let mut story = Story::new();
        story.look(&snapshot(at(0), "p", "s", &[P]));
        story.event(at(10), paused(50_000));
        events.into_iter().for_each(|event| story.event(at(20), event));
        matches!(story.look(&snapshot(at(7300), "p", "s", &[P])), Decision::Do(Step::Regenerate(SECONDARY)))
    };
    let announced = |deadline: i64| {
        let Announced::Watched(watch) = Announced::of(both(at(deadline)), at(20)) else {
            panic!("not ahead")
        };
        vec![Event::WatchAsked { from: watch.from, until: watch.until, keys: watch.keys }]
    };
    assert!(!begun(vec![]));
    assert!(begun(vec![Event::RotationRequested { compromised: true, noticed: true }]));
    assert!(begun(announced(49_000)) && !begun(announced(51_000)));
}

#[test]
fn a_rotation_is_approved_once_for_the_key_that_it_replaces() {
    let mut story = approving();
    let seen = snapshot(at(0), "p", "s", &[P]);
    assert_eq!(story.look(&seen), asked(PRIMARY, "p", 0, None), "at once, and not after the grace");
    story.approve(10, &seen);
    assert_eq!(story.look(&snapshot(at(20), "p", "s", &[P])), grace(SECONDARY, 7200));
    let begins = story.look(&snapshot(at(7200), "p", "s", &[P]));
    assert_eq!(begins, Decision::Do(Step::Regenerate(SECONDARY)));
    story.regenerate(at(7200), SECONDARY, "s2");
    story.event(at(7300), Event::Verified { key_type: SECONDARY });

    // What has begun goes on, though the approval could begin nothing any more.
    let late = 20 * DAY;
    let moves = story.look(&snapshot(at(late), "p", "s2", &[P, P]));
    assert!(matches!(moves, Decision::Do(Step::Repoint { repair: false, .. })), "{moves:?}");
    let moves = story.look(&snapshot(at(late), "p", "s2", &[S, P]));
    assert!(matches!(moves, Decision::Do(Step::Repoint { repair: false, .. })), "{moves:?}");
    story.look(&snapshot(at(late), "p", "s2", &[S, S]));
    let dies = story.look(&snapshot(at(late + 7200), "p", "s2", &[S, S]));
    assert_eq!(dies, Decision::Do(Step::Regenerate(PRIMARY)), "retiring a key asks nobody");
    story.regenerate(at(late + 7200), PRIMARY, "p2");

    // The next rotation is another, and is asked for anew.
    let due = 7275 + 30 * DAY;
    let seen = snapshot(at(due), "p2", "s2", &[S, S]);
    assert_eq!(story.look(&seen), asked(SECONDARY, "s2", due, None));
    assert_eq!(story.heed(due, "p", 10, &seen).0, Heeded::Over, "the old approval is of no use for it");
}

#[test]
fn an_approval_that_began_nothing_in_a_week_is_needed_anew() {
    let mut story = approving();
    let seen = snapshot(at(0), "p", "s", &[P]);
    story.look(&seen);
    story.approve(10, &seen);
    let ends = 10 + 7 * DAY;
    story.event(at(20), paused(ends));
    assert_eq!(story.look(&snapshot(at(ends), "p", "s", &[P])), asked(PRIMARY, "p", 0, Some(ends)));
    story.approve(ends, &snapshot(at(ends), "p", "s", &[P]));
    let begins = story.look(&snapshot(at(ends), "p", "s", &[P]));
    assert_eq!(begins, Decision::Do(Step::Regenerate(SECONDARY)));
}

/// The next window may be farther away than a week.
#[test]
fn an_approval_holds_for_a_week_from_the_next_window_on() {
    let mut story = approving();
    story.policy.freezes = vec!["1970-01-01..1970-01-20 UTC".parse().unwrap()];
    let seen = snapshot(at(0), "p", "s", &[P]);
    story.look(&seen);
    story.approve(10, &seen);
    assert_eq!(story.journal.approved().unwrap().until, at(27 * DAY));
}

#[test]
fn a_rotation_that_nobody_approves_until_the_next_would_be_due_is_told_as_a_failure() {
    let mut story = approving();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    let late = snapshot(at(30 * DAY), "p", "s", &[P]);
    let decision = story.look(&late);
    let due = Due { key_type: PRIMARY, key: fingerprint("p"), since: at(0) };
    assert_eq!(decision, Decision::Blocked(BlockedBy::NotApproved(due)));
    story.approve(31 * DAY, &late);
    let begins = story.look(&snapshot(at(31 * DAY), "p", "s", &[P]));
    assert_eq!(begins, Decision::Do(Step::Regenerate(SECONDARY)));
}

#[test]
fn neither_repairs_nor_compromised_keys_nor_announced_ones_wait_for_an_approval() {
    let begun = |events: Vec<Event>| {
        let mut story = approving();
        story.look(&snapshot(at(0), "p", "s", &[P]));
        events.into_iter().for_each(|event| story.event(at(20), event));
        let stale = snapshot(at(7290), "p", "s", &[Holding::Stale(fingerprint("o"))]);
        assert!(story.clone().look(&stale).repairs());
        matches!(story.look(&snapshot(at(7300), "p", "s", &[P])), Decision::Do(Step::Regenerate(SECONDARY)))
    };
    let Announced::Watched(watch) = Announced::of(both(at(90_000)), at(20)) else { panic!("not ahead") };
    assert!(!begun(vec![]));
    assert!(begun(vec![Event::RotationRequested { compromised: true, noticed: true }]));
    assert!(begun(vec![Event::WatchAsked { from: watch.from, until: watch.until, keys: watch.keys }]));
}

/// What the journal tells of an approval without a check is what a check would.
#[test]
fn what_the_journal_answers_of_an_approval_needs_no_check() {
    let mut story = approving();
    let seen = snapshot(at(0), "p", "s", &[P]);
    story.look(&seen);
    let one = |key: &str| Approving { key: fingerprint(key), by: "bob".into(), at: at(10) };
    let answer =
        |story: &Story, key: &str| heeded_by_record(&one(key), &story.journal, &story.policy, at(10));
    assert_eq!(answer(&story, "p"), None, "it is waited for");
    assert_eq!(answer(&story, "x"), Some(Heeded::Unknown));
    let mut needless = story.clone();
    needless.policy.approval = ApprovalPolicy::None;
    assert_eq!(answer(&needless, "p"), Some(Heeded::NotAsked));
    story.approve(5, &seen);
    assert_eq!(answer(&story, "p"), Some(Heeded::Already { by: "ada".into(), at: at(5) }));
    story.regenerate(at(7200), SECONDARY, "s2");
    assert_eq!(answer(&story, "s"), Some(Heeded::Over));
    let mut not_due = approving();
    not_due.policy.first_rotation = FirstRotation::WhenDue;
    not_due.look(&seen);
    assert_eq!(answer(&not_due, "p"), Some(Heeded::NotAsked));
}

/// Who is asked late sees what it would do, as who was asked in time.
#[test]
fn a_late_approval_is_asked_for_with_what_it_would_do() {
    let mut story = approving();
    story.look(&snapshot(at(0), "p", "s", &[P]));
    let late = snapshot(at(30 * DAY), "p", "s", &[P]);
    assert!(matches!(story.look(&late), Decision::Blocked(BlockedBy::NotApproved(_))));
    let due = late_approval(&story.journal, &story.policy, at(30 * DAY)).unwrap();
    assert_eq!((due.key, late_approval(&story.journal, &story.policy, at(DAY))), (fingerprint("p"), None));
    let foreseen = forecast(&late, &story.journal, &story.policy, at(30 * DAY), false);
    assert!(!foreseen.restarts().is_empty() && !foreseen.is_idle(), "{foreseen:#?}");
}

/// What an event says is judged, and has one outcome of each sort.
#[test]
fn an_approval_of_an_event_is_recorded_once_or_told_to_be_of_no_use() {
    let mut story = approving();
    let seen = snapshot(at(0), "p", "s", &[P]);
    story.look(&seen);
    let week = 7 * DAY;
    let until = at(100 + week);
    let (heeded, news) = story.heed(200, "p", 100, &seen);
    assert_eq!(heeded, Heeded::Recorded { until });
    let event = Event::Approved { fingerprint: fingerprint("p"), until, by: "bob".into(), noticed: true };
    assert_eq!(news, std::slice::from_ref(&event));
    let none = |story: &Story, time, key, given, seen: &Snapshot| {
        let (heeded, news) = story.heed(time, key, given, seen);
        assert_eq!(news, [], "{heeded:?}");
        heeded
    };
    assert_eq!(none(&story, 200 + week, "p", 100, &seen), Heeded::Expired { at: at(100) });
    assert_eq!(none(&story, 200, "x", 100, &seen), Heeded::Unknown);
    assert_eq!(none(&story, 200, "s", 100, &seen), Heeded::Over, "nobody holds it");
    // Else each delivery of the same event would approve anew, for ever.
    assert_eq!(none(&story, 200, "p", 90 * DAY, &seen), Heeded::Ahead { at: at(90 * DAY) });
    let (told, _) = story.heed(200, "p", 200 + 299, &seen);
    assert_eq!(told, Heeded::Recorded { until: at(200 + week) }, "two clocks may be that far apart");

    story.event(at(200), event);
    assert_eq!(none(&story, 300, "p", 250, &seen), Heeded::Already { by: "bob".into(), at: at(200) });
    story.policy.approval = ApprovalPolicy::None;
    assert_eq!(none(&story, 300, "p", 250, &seen), Heeded::NotAsked);
}

#[test]
fn no_window_before_the_next_rotation_would_be_due_blocks_and_a_nearer_one_is_waited_for() {
    let time = |text: &str| -> DateTime<Utc> { format!("{text}:00Z").parse().unwrap() };
    let story = |windows: &[&str], freezes: &[&str], days: u64| {
        let mut story = Story::new();
        story.policy.rotate_every = Duration::from_secs(days * 86_400);
        story.policy.windows = windows.iter().map(|text| text.parse().unwrap()).collect();
        story.policy.freezes = freezes.iter().map(|text| text.parse().unwrap()).collect();
        let first = time("2026-03-28T12:00");
        story.look(&snapshot(first, "p", "s", &[P]));
        move |text: &str| story.look(&snapshot(time(text), "p", "s", &[P]))
    };
    let never = |opens: &str| Decision::Blocked(BlockedBy::NeverOpens { opens: Some(time(opens)) });
    let waits = |reason, until: &str| Decision::Waiting { reason, until: time(until) };

    // Of every length that is too long, and told to its end though it comes near.
    for (last, opens) in [("2026-04-28", "2026-04-29T00:00"), ("2027-04-20", "2027-04-21T00:00")] {
        let freeze = format!("2026-03-28..{last} UTC");
        let mut frozen = story(&[], &[&freeze], 30);
        assert_eq!(frozen("2026-03-28T15:00"), never(opens));
        assert_eq!(frozen("2026-04-27T15:00"), never(opens));
    }
    let mut frozen = story(&[], &["2026-03-28..2027-04-20 UTC"], 400);
    assert_eq!(
        frozen("2026-03-28T15:00"),
        waits(WaitFor::Freeze, "2027-04-21T00:00"),
        "the next would be due later"
    );

    // It is left out on the day on which the clocks go forward, so that there are fifteen days between two.
    let mut left_out = story(&["Sun 02:00-03:00 Europe/Berlin"], &[], 7);
    assert_eq!(left_out("2026-03-28T15:00"), never("2026-04-05T00:00"));
    let mut left_out = story(&["Sun 02:00-03:00 Europe/Berlin"], &[], 8);
    assert_eq!(left_out("2026-03-28T15:00"), waits(WaitFor::Window, "2026-04-05T00:00"));

    // Who had a window and did not use it waits for the next.
    let mut long_due = story(&["daily 02:00-03:00 UTC"], &[], 2);
    assert_eq!(long_due("2026-05-28T15:00"), waits(WaitFor::Window, "2026-05-29T02:00"));
}

/// Executions of jobs keep the standby key: a person is asked meanwhile, as he is while a grace runs.
#[test]
fn a_person_is_asked_while_executions_are_waited_for() {
    let mut story = approving();
    let mut seen = snapshot(at(0), "p", "s", &[P]);
    let (job, name) = (app(7), "nightly-1".to_owned());
    seen.executions.push(Execution { job, name, began: Some(at(0)), until: at(20_000), told: true });
    assert_eq!(story.look(&seen), asked(PRIMARY, "p", 0, None));
    story.approve(0, &seen);
    let waits = story.look(&seen);
    assert!(matches!(waits, Decision::Waiting { reason: WaitFor::Executions { .. }, .. }), "{waits:?}");
}
