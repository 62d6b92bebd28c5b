//! How a rotation ends at home, and who stays away.

use super::*;
use crate::policy::ApprovalPolicy;

const PRIMARY: KeyType = KeyType::Primary;
const SECONDARY: KeyType = KeyType::Secondary;
const GRACE: i64 = 7200;

/// When everybody has the new secondary key, the primary one is new, and nothing else is to be done without a home.
const AWAY: i64 = 4 * GRACE;

/// A first rotation up to there, which was asked for as `asked` says.
fn away(policy: impl FnOnce(&mut Policy), asked: impl FnOnce(&mut Story)) -> Story {
    let mut story = Story::new();
    story.policy.home = Some(PRIMARY);
    policy(&mut story.policy);
    story.look(&snapshot(at(0), "p", "s", &[P, P]));
    asked(&mut story);
    story.regenerate(at(GRACE), SECONDARY, "s2");
    story.event(at(GRACE + 80), Event::Verified { key_type: SECONDARY });
    story.look(&snapshot(at(GRACE + 90), "p", "s2", &[S, S]));
    let dies = story.look(&snapshot(at(3 * GRACE), "p", "s2", &[S, S]));
    assert_eq!(dies, Decision::Do(Step::Regenerate(PRIMARY)), "the key at home is made anew first");
    story.regenerate(at(3 * GRACE), PRIMARY, "p2");
    story
}

fn seen(time: i64, holds: &[Holding]) -> Snapshot {
    snapshot(at(time), "p2", "s2", holds)
}

fn goes_home(decision: &Decision) -> bool {
    matches!(decision, Decision::Do(Step::Repoint { to: PRIMARY, repair: false, .. }))
}

#[test]
fn a_rotation_ends_at_home_and_the_key_of_the_way_dies_after_its_grace() {
    let mut story = away(|_| {}, |_| {});
    assert_eq!(story.look(&seen(AWAY, &[S, S])), Decision::Do(Step::Verify(PRIMARY)));
    story.event(at(AWAY), Event::Verified { key_type: PRIMARY });
    assert!(goes_home(&story.look(&seen(AWAY + 1, &[S, S]))));
    assert!(goes_home(&story.look(&seen(AWAY + 2, &[P, S]))), "whoever is left is moved as well");
    let left = AWAY + 3;
    let reason = WaitFor::Grace(SECONDARY);
    let waits = Decision::Waiting { reason, until: at(left + GRACE) };
    assert_eq!(story.look(&seen(left, &[P, P])), waits);
    assert_eq!(story.look(&seen(left + GRACE, &[P, P])), Decision::Do(Step::Regenerate(SECONDARY)));
    story.regenerate(at(left + GRACE), SECONDARY, "s3");
    let end = story.look(&snapshot(at(left + GRACE + 80), "p2", "s3", &[P, P]));
    assert_eq!(end, Decision::Settled { next: Some(at(3 * GRACE + 75 + 30 * 86_400)) });
}

#[test]
fn without_a_home_and_at_home_nobody_is_moved() {
    for home in [None, Some(SECONDARY)] {
        let mut story = away(|policy| policy.home = home, |_| {});
        assert!(matches!(story.look(&seen(AWAY, &[S, S])), Decision::Settled { .. }), "{home:?}");
    }
}

#[test]
fn the_way_home_waits_for_windows_and_a_pause_and_for_no_second_approval() {
    let mut story = away(
        |policy| {
            policy.windows = vec!["Sat 02:00-03:00 UTC".parse().unwrap()];
            policy.approval = ApprovalPolicy::Required;
        },
        |_| {},
    );
    story.event(at(AWAY), Event::Verified { key_type: PRIMARY });
    let home = |held| WaitFor::Home { home: PRIMARY, held: Box::new(held) };
    let opens = at(2 * 86_400 + 2 * 3600);
    let waits = Decision::Waiting { reason: home(WaitFor::Window), until: opens };
    let look = seen(AWAY + 1, &[S, S]);
    assert_eq!(story.look(&look), waits);
    assert_eq!(asks(&look, &story.journal, &story.policy, look.at), Asks::Nothing);
    story.event(at(AWAY), Event::Paused { until: opens, by: "ada".into(), why: "an audit".into() });
    let paused = story.look(&look);
    let Decision::Waiting { reason, .. } = &paused else { panic!("{paused:?}") };
    assert!(
        matches!(reason, WaitFor::Home { held, .. } if matches!(**held, WaitFor::Pause(_))),
        "{reason:?}"
    );
    story.event(at(AWAY), Event::Resumed { by: "ada".into() });
    assert!(goes_home(&story.look(&snapshot(opens, "p2", "s2", &[S, S]))));
}

/// The key at home may be the one that is meant.
#[test]
fn while_a_regeneration_is_announced_nobody_goes_home() {
    let mut story = away(|_| {}, |_| {});
    let deadline = at(AWAY + 1000);
    let Announced::Watched(watch) = Announced::of(both(deadline), at(AWAY)) else { panic!("not ahead") };
    story.event(at(AWAY), Event::WatchAsked { from: watch.from, until: watch.until, keys: watch.keys });
    story.event(at(AWAY), Event::Verified { key_type: PRIMARY });
    assert!(matches!(story.look(&seen(AWAY + 1, &[S, S])), Decision::Settled { .. }));
    let over = watch.until;
    assert!(goes_home(&story.look(&snapshot(over, "p2", "s2", &[S, S]))));
}

#[test]
fn whom_a_notice_has_moved_away_comes_home_with_the_next_rotation_and_from_a_compromised_key_at_once() {
    let noticed = |compromised| Event::RotationRequested { compromised, noticed: true };
    let mut story = away(|_| {}, |story| story.event(at(10), noticed(false)));
    story.event(at(AWAY), Event::Verified { key_type: PRIMARY });
    assert!(matches!(story.look(&seen(AWAY + 1, &[S, S])), Decision::Settled { .. }));
    let due = GRACE + 75 + 30 * 86_400;
    assert_eq!(story.look(&seen(due, &[S, S])), Decision::Do(Step::Regenerate(PRIMARY)));
    story.regenerate(at(due), PRIMARY, "p3");
    story.event(at(due + 80), Event::Verified { key_type: PRIMARY });
    assert!(goes_home(&story.look(&snapshot(at(due + 81), "p3", "s2", &[S, S]))));

    let mut story = away(|_| {}, |story| story.event(at(10), noticed(true)));
    story.event(at(AWAY), Event::Verified { key_type: PRIMARY });
    assert!(goes_home(&story.look(&seen(AWAY + 1, &[S, S]))));
}

/// What somebody else made is not what a rotation made.
#[test]
fn a_repair_is_no_rotation() {
    let mut story = Story::new();
    story.policy.home = Some(PRIMARY);
    story.policy.first_rotation = FirstRotation::WhenDue;
    story.look(&snapshot(at(0), "p", "s", &[P]));
    assert!(story.look(&snapshot(at(10), "p2", "s", &[Holding::Stale(fingerprint("p"))])).repairs());
    let repaired = story.look(&snapshot(at(9000), "p2", "s", &[S]));
    assert!(matches!(repaired, Decision::Settled { .. }), "{repaired:?}");
}
