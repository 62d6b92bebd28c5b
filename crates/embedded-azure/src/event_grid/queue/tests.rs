//! The rules of delivery, by the clock and without I/O.

use chrono::TimeDelta;
use serde_json::json;

use super::*;

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

fn after(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

fn queue(rules: EventGrid) -> Queue {
    Queue::new(rules, Rng::with_seed(1))
}

fn event(number: usize) -> Value {
    json!({"id": number, "data": {"operationName": "Microsoft.Web/sites/config/write"}})
}

/// The numbers of the events in deliveries, delivery by delivery.
fn numbers(deliveries: &[Delivery]) -> Vec<Vec<u64>> {
    let of = |delivery: &Delivery| delivery.events.iter().filter_map(|event| event["id"].as_u64()).collect();
    deliveries.iter().map(of).collect()
}

/// Answers every delivery at the moment it falls due, and tells how many seconds after the event that was.
fn attempts(queue: &mut Queue, outcome: Outcome) -> Vec<i64> {
    let mut times = Vec::new();
    while let Some(due) = queue.next() {
        for delivery in queue.due(due) {
            times.push((due - start()).num_seconds());
            queue.answered(delivery.id, outcome, due);
        }
    }
    times
}

#[test]
fn a_failing_endpoint_is_tried_for_a_day_at_growing_intervals() {
    let mut queue = queue(EventGrid::default());
    queue.publish(&event(1), start());
    let times = attempts(&mut queue, Outcome::Unanswered);
    assert_eq!(times, [0, 10, 40, 100, 400, 1000, 2800, 6400, 17_200, 38_800, 82_000]);
    let report = queue.report();
    assert_eq!((report.occurred, report.delivered, report.pending), (1, 0, 0));
    let letter = &report.dead_letters[0];
    assert_eq!((letter.reason, letter.attempts), (Reason::TimeToLiveExceeded, 11));
    assert_eq!((letter.last_outcome, letter.published), (Outcome::Unanswered, start()));
}

#[test]
fn some_answers_ask_for_more_patience_and_some_for_none() {
    for (status, second) in
        [(500, Some(10)), (404, Some(10)), (503, Some(30)), (408, Some(120)), (205, Some(10))]
            .into_iter()
            .chain([400, 401, 403, 413, 200, 202, 204].map(|status| (status, None)))
    {
        let mut queue = queue(EventGrid { max_attempts: 2, ..EventGrid::default() });
        queue.publish(&event(1), start());
        let expected: Vec<i64> = [Some(0), second].into_iter().flatten().collect();
        assert_eq!(attempts(&mut queue, Outcome::Answered(status)), expected, "{status}");
        let reasons: Vec<_> = queue.report().dead_letters.iter().map(|letter| letter.reason).collect();
        match (status, second) {
            (200..=204, _) => assert_eq!((reasons, queue.report().delivered), (vec![], 1)),
            (_, None) => assert_eq!(reasons, [Reason::NotRetried]),
            (_, Some(_)) => assert_eq!(reasons, [Reason::MaxDeliveryAttemptsExceeded]),
        }
    }
}

#[test]
fn what_is_on_its_way_is_not_sent_again_and_a_batch_fails_as_one() {
    let mut queue = queue(EventGrid { batch: 2, latency: Duration::from_secs(5), ..EventGrid::default() });
    (1..=3).for_each(|number| queue.publish(&event(number), start()));
    assert_eq!((queue.due(start()), queue.next()), (vec![], Some(after(5))));
    let sent = queue.due(after(5));
    assert_eq!(numbers(&sent), [vec![1, 2], vec![3]]);
    assert_eq!((queue.due(after(6)), queue.undelivered().len()), (vec![], 3));
    queue.answered(sent[0].id, Outcome::Answered(500), after(6));
    queue.answered(sent[1].id, Outcome::Answered(200), after(6));
    // An answer that comes twice, or to nothing, changes nothing.
    queue.answered(sent[1].id, Outcome::Answered(500), after(6));
    assert_eq!(queue.next(), Some(after(16)));
    assert_eq!(numbers(&queue.due(after(16))), [vec![1, 2]]);
    assert_eq!(queue.report().delivered, 1);
}

#[test]
fn a_delivery_that_nobody_answers_in_time_counts_as_unanswered() {
    let mut queue = queue(EventGrid::default());
    queue.publish(&event(1), start());
    queue.publish(&event(2), start());
    let sent = queue.due(start());
    queue.answered(sent[0].id, Outcome::Answered(200), after(30));
    queue.answered(sent[1].id, Outcome::Answered(200), after(31));
    assert_eq!((queue.report().delivered, queue.next()), (1, Some(after(40))), "one was late");
    let again = queue.due(after(40));
    assert_eq!((numbers(&again), queue.next()), (vec![vec![2]], Some(after(70))));
    assert_eq!((queue.due(after(70)), queue.next()), (vec![], Some(after(100))));
    queue.answered(again[0].id, Outcome::Answered(200), after(71));
    assert_eq!(queue.report().pending, 1, "nobody waited for it any more");
}

#[test]
fn every_so_many_events_come_twice_and_held_back_ones_are_overtaken() {
    let mut twice = queue(EventGrid { duplicate_every: 3, batch: 100, ..EventGrid::default() });
    (1..=6).for_each(|number| twice.publish(&event(number), start()));
    assert_eq!(numbers(&twice.due(start())), [vec![1, 2, 3, 3, 4, 5, 6, 6]]);

    let rules = EventGrid { disorder: Duration::from_secs(60), batch: 100, ..EventGrid::default() };
    let shuffled = || {
        let mut queue = queue(rules.clone());
        (1..=20).for_each(|number| queue.publish(&event(number), start()));
        numbers(&queue.due(after(60))).concat()
    };
    let order = shuffled();
    assert!(!order.is_sorted(), "{order:?}");
    assert_eq!(order, shuffled(), "the same seed, the same disorder");
    let mut sorted = order;
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(1..=20));
}

#[test]
fn the_filter_matches_in_any_case_and_never_what_has_no_operation() {
    let operations = vec!["microsoft.web/SITES/config/WRITE".into()];
    let mut queue = queue(EventGrid { operations, ..EventGrid::default() });
    queue.publish(&event(1), start());
    queue.publish(&json!({"id": 2, "data": {"operationName": "Microsoft.Web/sites/write"}}), start());
    queue.publish(&json!({"id": 3, "data": {}}), start());
    assert_eq!(numbers(&queue.due(start())), [[1]]);
}

#[test]
fn what_waits_and_what_is_given_up_is_bounded_and_the_rest_is_counted() {
    let mut queue = queue(EventGrid { batch: usize::MAX, ..EventGrid::default() });
    (0..MOST_PENDING + 7).for_each(|number| queue.publish(&event(number), start()));
    let report = queue.report();
    assert_eq!((report.pending, report.dropped), (MOST_PENDING, 7));
    let sent = queue.due(start());
    queue.answered(sent[0].id, Outcome::Answered(400), start());
    let report = queue.report();
    assert_eq!((report.pending, report.dead_letters.len()), (0, MOST_DEAD));
    assert_eq!(report.dropped, 7 + u64::try_from(MOST_PENDING - MOST_DEAD).unwrap());
    assert_eq!(report.dead_letters[0].event["id"], MOST_PENDING - MOST_DEAD, "the oldest are forgotten");
}
