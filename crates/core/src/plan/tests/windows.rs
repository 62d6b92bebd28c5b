//! What waits for a window, and what does not.

use super::*;

/// 1970-01-03 was a Saturday.
const SATURDAY: i64 = 2 * 86_400;
const HOUR: i64 = 3600;

fn story(windows: &[&str], freezes: &[&str]) -> Story {
    let mut story = Story::new();
    story.policy.windows = windows.iter().map(|text| text.parse().unwrap()).collect();
    story.policy.freezes = freezes.iter().map(|text| text.parse().unwrap()).collect();
    story
}

fn waits(reason: WaitFor, until: i64) -> Decision {
    Decision::Waiting { reason, until: at(until) }
}

#[test]
fn a_rotation_by_age_regenerates_and_moves_inside_windows_alone_and_the_old_key_dies_outside() {
    let mut story = story(&["Sat 02:00-03:00 UTC"], &[]);
    let (primary, secondary) = (KeyType::Primary, KeyType::Secondary);
    story.look(&snapshot(at(0), "p", "s", &[P]));
    let opens = SATURDAY + 2 * HOUR;
    assert_eq!(story.look(&snapshot(at(7200), "p", "s", &[P])), waits(WaitFor::Window, opens));
    assert_eq!(story.look(&snapshot(at(opens), "p", "s", &[P])), Decision::Do(Step::Regenerate(secondary)));
    story.regenerate(at(opens + HOUR - 80), secondary, "s2");

    // The window closes with the regeneration; proving the key goes on, and nobody is moved for a week.
    let closed = opens + HOUR;
    assert_eq!(story.look(&snapshot(at(closed), "p", "s2", &[P])), Decision::Do(Step::Verify(secondary)));
    story.event(at(closed), Event::Verified { key_type: secondary });
    let next = opens + 7 * 86_400;
    assert_eq!(story.look(&snapshot(at(closed + 1), "p", "s2", &[P])), waits(WaitFor::Window, next));
    let moves = story.look(&snapshot(at(next), "p", "s2", &[P, P]));
    assert!(matches!(moves, Decision::Do(Step::Repoint { to, repair: false, .. }) if to == secondary));

    // One was moved when it closed, the other goes on with a key that works.
    let half = story.look(&snapshot(at(next + HOUR), "p", "s2", &[S, P]));
    assert_eq!(half, waits(WaitFor::Window, next + 7 * 86_400));
    let left = next + 7 * 86_400;
    story.look(&snapshot(at(left), "p", "s2", &[S, S]));
    let dies = story.look(&snapshot(at(left + 7200), "p", "s2", &[S, S]));
    assert_eq!(dies, Decision::Do(Step::Regenerate(primary)), "nobody is moved by it");
}

#[test]
fn a_freeze_closes_windows_and_is_told_as_that() {
    let mut story = story(&["daily 02:00-03:00 UTC"], &["1970-01-01..1970-01-05 UTC"]);
    story.look(&snapshot(at(0), "p", "s", &[P]));
    let after = 5 * 86_400 + 2 * HOUR;
    assert_eq!(story.look(&snapshot(at(7200), "p", "s", &[P])), waits(WaitFor::Freeze, after));
    story.policy.freezes = vec!["1970-01-01..1990-01-05 UTC".parse().unwrap()];
    let opens = Some(at(7310 * 86_400 + 2 * HOUR));
    let never = story.look(&snapshot(at(7200), "p", "s", &[P]));
    assert_eq!(never, Decision::Blocked(BlockedBy::NeverOpens { opens }));
    story.policy.windows.clear();
    story.policy.freezes = vec!["1970-01-01..1970-01-05 UTC".parse().unwrap()];
    assert_eq!(story.look(&snapshot(at(7200), "p", "s", &[P])), waits(WaitFor::Freeze, 5 * 86_400));
}

#[test]
fn repairs_and_compromised_keys_wait_for_no_window() {
    let mut story = story(&[], &["1970-01-01..1990-01-05 UTC"]);
    story.look(&snapshot(at(0), "p", "s", &[P]));
    let seen = snapshot(at(10), "p2", "s", &[Holding::Stale(fingerprint("p"))]);
    assert!(story.look(&seen).repairs());
    let seen = snapshot(at(20_000), "p2", "s", &[S]);
    let opens = Some(at(7310 * 86_400));
    assert_eq!(story.look(&seen), Decision::Blocked(BlockedBy::NeverOpens { opens }));
    story.event(at(20_000), Event::RotationRequested { compromised: true, noticed: true });
    assert_eq!(story.look(&seen), Decision::Do(Step::Regenerate(KeyType::Primary)));
}

#[test]
fn a_rotation_waits_for_no_window_that_opens_after_an_announced_regeneration() {
    let told = |deadline: i64| {
        let mut story = story(&["Sat 02:00-03:00 UTC"], &[]);
        story.look(&snapshot(at(0), "p", "s", &[P]));
        let Announced::Watched(watch) = Announced::of(both(at(deadline)), at(0)) else { panic!("not ahead") };
        story.event(at(0), Event::WatchAsked { from: watch.from, until: watch.until, keys: watch.keys });
        story.look(&snapshot(at(7200), "p", "s", &[P]))
    };
    let opens = SATURDAY + 2 * HOUR;
    assert_eq!(told(opens - 60), Decision::Do(Step::Regenerate(KeyType::Secondary)));
    assert_eq!(told(opens + 5 * HOUR), waits(WaitFor::Window, opens));
}

#[test]
fn a_key_is_due_later_by_the_services_share_of_the_spread() {
    let mut story = story(&[], &[]);
    story.policy.first_rotation = FirstRotation::WhenDue;
    story.policy.due_later = Duration::from_secs(5 * 3600);
    let due = at(30 * 86_400 + 5 * HOUR);
    let settled = story.look(&snapshot(at(0), "p", "s", &[P]));
    assert_eq!(settled, Decision::Settled { next: Some(due) });
    let seen = snapshot(due, "p", "s", &[P]);
    assert_eq!(story.look(&seen), Decision::Do(Step::Regenerate(KeyType::Secondary)));
}

/// When the next rotation may begin is told before it is due.
#[test]
fn a_rotation_that_is_not_due_yet_begins_with_the_first_window_after_that() {
    let mut story = story(&["Sat 02:00-03:00 UTC"], &[]);
    story.policy.first_rotation = FirstRotation::WhenDue;
    let settled = story.look(&snapshot(at(0), "p", "s", &[P]));
    let due = 30 * 86_400;
    assert_eq!(settled, Decision::Settled { next: Some(at(due)) });
    // 1970-01-31 was a Saturday too.
    let saturday = Some(at(due + 2 * HOUR));
    let opening = |story: &Story, now| next_opening(&story.journal, &story.policy, at(now)).unwrap();
    assert_eq!(opening(&story, 10), Opening { due: at(due), opens: saturday, begins: saturday });
    // A pause until the window has closed: the next one.
    let until = at(due + 4 * HOUR);
    story.event(at(10), Event::Paused { until, by: "ada".into(), why: "an audit".into() });
    let next = Some(at(due + 7 * 86_400 + 2 * HOUR));
    assert_eq!(opening(&story, 11), Opening { due: at(due), opens: next, begins: next });
    story.policy.freezes = vec!["1970-01-01..1990-01-05 UTC".parse().unwrap()];
    assert_eq!(opening(&story, 11).begins, None);
    assert!(opening(&story, 11).opens.is_some(), "far away");
}

/// What a pause would hold back, and does not, is told with why.
#[test]
fn a_rotation_that_waits_for_nothing_says_why() {
    let mut story = story(&[], &[]);
    story.look(&snapshot(at(0), "p", "s", &[P]));
    let seen = snapshot(at(7200), "p", "s", &[P]);
    let why = |story: &Story| urgent(&seen, &story.journal, &story.policy, seen.at);
    let Announced::Watched(watch) = Announced::of(both(at(9 * HOUR)), at(0)) else { panic!("not ahead") };
    story.event(at(1), Event::WatchAsked { from: watch.from, until: watch.until, keys: watch.keys });
    assert_eq!(why(&story), None, "nothing would hold it back");
    story.event(at(2), Event::Paused { until: at(8 * HOUR), by: "ada".into(), why: "an audit".into() });
    assert_eq!(why(&story), None, "the pause ends before that");
    story.event(at(3), Event::Paused { until: at(10 * HOUR), by: "ada".into(), why: "an audit".into() });
    assert_eq!(why(&story), Some(Urgent::Announced { key_type: KeyType::Primary, at: at(9 * HOUR) }));
    assert_eq!(story.look(&seen), Decision::Do(Step::Regenerate(KeyType::Secondary)));
    story.event(at(7201), Event::RotationRequested { compromised: true, noticed: true });
    assert_eq!(why(&story), Some(Urgent::Compromised(KeyType::Primary)));
}
