//! Whom an announced regeneration moves, and whom it keeps where he is.

use super::*;
use crate::calendar::Freeze;
use crate::policy::ApprovalPolicy;

const PRIMARY: KeyType = KeyType::Primary;
const SECONDARY: KeyType = KeyType::Secondary;
const GRACE: i64 = 7200;
const DAY: i64 = 86_400;

/// When everybody has left the announced primary key.
const AWAY: i64 = 4 * GRACE;

fn announce(story: &mut Story, time: i64, deadline: i64, keys: PerKey<bool>) {
    let deadline = Deadline { at: at(deadline), keys };
    let Announced::Watched(watch) = Announced::of(deadline, at(time)) else { panic!("not ahead") };
    story.event(at(time), Event::WatchAsked { from: watch.from, until: watch.until, keys: watch.keys });
}

const OF_PRIMARY: PerKey<bool> = PerKey { primary: true, secondary: false };

/// The regeneration of the primary key is announced for a time, and who held it was given the secondary one.
fn moved_away(deadline: i64) -> Story {
    let mut story = Story::new();
    story.policy.first_rotation = FirstRotation::WhenDue;
    story.look(&snapshot(at(0), "p", "s", &[P]));
    announce(&mut story, 1, deadline, OF_PRIMARY);
    story.event(at(1), Event::RotationRequested { compromised: false, noticed: true });
    story.regenerate(at(GRACE), SECONDARY, "s2");
    story.event(at(GRACE + 80), Event::Verified { key_type: SECONDARY });
    assert_eq!(moves(&story.look(&snapshot(at(GRACE + 90), "p", "s2", &[P]))), Some(SECONDARY));
    story.look(&snapshot(at(GRACE + 100), "p", "s2", &[S]));
    let dies = story.look(&snapshot(at(3 * GRACE), "p", "s2", &[S]));
    assert_eq!(dies, Decision::Do(Step::Regenerate(PRIMARY)), "the key that was left dies all the same");
    story.regenerate(at(3 * GRACE), PRIMARY, "p2");
    let settled = story.look(&snapshot(at(AWAY), "p2", "s2", &[S]));
    assert!(matches!(settled, Decision::Settled { .. }), "nobody goes back to it: {settled:?}");
    story
}

fn moves(decision: &Decision) -> Option<KeyType> {
    match decision {
        Decision::Do(Step::Repoint { to, repair: false, .. }) => Some(*to),
        _ => None,
    }
}

fn look(story: &mut Story, time: i64) -> Decision {
    story.look(&snapshot(at(time), "p2", "s2", &[S]))
}

/// The age of the secondary key, made when the primary one was left.
const DUE: i64 = GRACE + 75 + 30 * DAY;

#[test]
fn nobody_is_moved_to_a_key_that_others_are_about_to_regenerate() {
    let deadline = DUE + DAY;
    let mut story = moved_away(deadline);
    let until = at(deadline + 3600);
    let waits = Decision::Waiting { reason: WaitFor::Announced(PRIMARY), until };
    for asked in [false, true] {
        if asked {
            story.event(at(DUE), Event::RotationRequested { compromised: false, noticed: false });
        }
        assert_eq!(look(&mut story, DUE + 1), waits);
    }
    let goes_on = story.look(&snapshot(until, "p3", "s2", &[S]));
    let grace = WaitFor::Grace(PRIMARY);
    assert!(
        matches!(&goes_on, Decision::Waiting { reason, .. } if *reason == grace),
        "once it has come: {goes_on:?}"
    );
}

/// Else an announcement, which anybody may have forged, would keep keys for as long as it likes.
#[test]
fn a_rotation_waits_for_announced_regenerations_no_longer_than_it_is_ever_due() {
    let mut story = moved_away(DUE + DAY);
    for day in 1..31 {
        announce(&mut story, DUE + (day - 1) * DAY, DUE + (day + 1) * DAY, OF_PRIMARY);
        let waits = look(&mut story, DUE + day * DAY - 1);
        assert!(
            matches!(waits, Decision::Waiting { reason: WaitFor::Announced(PRIMARY), .. }),
            "{day}: {waits:?}"
        );
    }
    assert_eq!(look(&mut story, DUE + 30 * DAY), Decision::Do(Step::Regenerate(PRIMARY)));
}

#[test]
fn compromised_keys_wait_for_no_announced_regeneration() {
    let mut story = moved_away(DUE + DAY);
    look(&mut story, AWAY + 1);
    story.event(at(AWAY + 2), Event::RotationRequested { compromised: true, noticed: true });
    assert_eq!(look(&mut story, AWAY + GRACE), Decision::Do(Step::Regenerate(PRIMARY)));
}

/// A rotation long before the time goes on, and brings everybody back from the key that is meant.
#[test]
fn a_rotation_long_before_an_announced_regeneration_ends_on_the_key_that_it_does_not_mean() {
    for home in [None, Some(PRIMARY)] {
        let mut story = moved_away(DUE + 90 * DAY);
        story.policy.home = home;
        assert_eq!(look(&mut story, DUE), Decision::Do(Step::Regenerate(PRIMARY)));
        story.regenerate(at(DUE), PRIMARY, "p3");
        story.event(at(DUE + 80), Event::Verified { key_type: PRIMARY });
        assert_eq!(moves(&story.look(&snapshot(at(DUE + 90), "p3", "s2", &[S]))), Some(PRIMARY));
        story.look(&snapshot(at(DUE + 100), "p3", "s2", &[P]));
        let dies = story.look(&snapshot(at(DUE + 100 + GRACE), "p3", "s2", &[P]));
        assert_eq!(dies, Decision::Do(Step::Regenerate(SECONDARY)));
        story.regenerate(at(DUE + 100 + GRACE), SECONDARY, "s3");
        story.event(at(DUE + 200 + GRACE), Event::Verified { key_type: SECONDARY });
        let back = story.look(&snapshot(at(DUE + 210 + GRACE), "p3", "s3", &[P]));
        assert_eq!(moves(&back), Some(SECONDARY), "{home:?}");
    }
}

/// What is announced of a key hurries those who hold it, and nobody else.
#[test]
fn only_who_holds_the_announced_key_is_moved_out_of_hours() {
    let frozen = |policy: &mut Policy| {
        policy.freezes = vec!["1970-01-01..1990-01-01 UTC".parse::<Freeze>().unwrap()];
        policy.approval = ApprovalPolicy::Required;
    };
    // Far enough for the rotation itself not to wait for it, and before the freeze is over.
    let mut story = moved_away(DUE + 90 * DAY);
    frozen(&mut story.policy);
    let held = look(&mut story, DUE + 1);
    assert!(matches!(held, Decision::Waiting { reason: WaitFor::Approval { .. }, .. }), "{held:?}");
    story.policy.approval = ApprovalPolicy::None;
    let held = look(&mut story, DUE + 1);
    assert!(matches!(held, Decision::Blocked(BlockedBy::NeverOpens { .. })), "{held:?}");
    // Who holds it is moved all the same.
    let mut story = Story::new();
    story.policy.first_rotation = FirstRotation::WhenDue;
    frozen(&mut story.policy);
    story.look(&snapshot(at(0), "p", "s", &[P]));
    announce(&mut story, 1, 10 * DAY, OF_PRIMARY);
    story.event(at(1), Event::RotationRequested { compromised: false, noticed: true });
    let hurries = story.look(&snapshot(at(GRACE), "p", "s", &[P]));
    assert_eq!(hurries, Decision::Do(Step::Regenerate(SECONDARY)));
}

/// What was announced of both keys, or by a release that did not say of which, means no key alone.
#[test]
fn an_announcement_of_both_keys_keeps_nobody_where_he_is() {
    let mut story = moved_away(AWAY + 2);
    announce(&mut story, AWAY + 3, DUE + DAY, PerKey { primary: true, secondary: true });
    assert_eq!(look(&mut story, DUE), Decision::Do(Step::Regenerate(PRIMARY)));
}
